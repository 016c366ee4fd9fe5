"""Graphs as users give them: networkx graphs, or lists of edges."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensembles.problems.binary import finite_number, in_order, plain

if TYPE_CHECKING:
    from jaxtyping import Float64, Int32

__all__ = ["GraphArrays", "node_weights", "read_graph"]


class GraphArrays(NamedTuple):
    """A graph as arrays; node k is ``nodes[k]``, edges are pairs a < b, sorted."""

    nodes: tuple[Hashable, ...]
    edges: Int32[np.ndarray, "edges 2"]
    weights: Float64[np.ndarray, " edges"]


def read_graph(kind: str, graph: Any, num_nodes: int | None, loops: str = "") -> GraphArrays:
    """The graph as arrays.

    Args:
        kind: who asks, for messages.
        graph: an undirected networkx graph (edge attribute "weight", 1 where missing) or a list of edges (u, v) or
            (u, v, weight).
        num_nodes: for lists: the nodes are 0, ..., num_nodes - 1, so that some may have no edge.
        loops: what else the message about an edge from a node to itself says.

    Raises:
        TypeError: neither a graph nor a list.
        ValueError: directed graphs, loops, edges that occur twice, weights that are no finite numbers.
    """
    labels, entries = _labels_and_edges(kind, graph, num_nodes)
    nodes = in_order(labels)
    place = {label: k for k, label in enumerate(nodes)}
    weight_of: dict[tuple[int, int], float] = {}
    for u, v, weight in entries:
        a, b = sorted((place[u], place[v]))
        if a == b:
            raise ValueError(f"{kind}: edge ({u!r}, {v!r}) joins a node to itself{loops}; leave it out.")
        if (a, b) in weight_of:
            raise ValueError(
                f"{kind}: edge ({u!r}, {v!r}) is given twice; give it once, with the sum of the weights."
            )
        weight_of[a, b] = finite_number(
            weight, f"{kind}: the weight of edge ({u!r}, {v!r})", "weights are finite real numbers"
        )
    edges = np.array(sorted(weight_of), np.int32).reshape(-1, 2)
    weights = np.array([weight_of[edge] for edge in sorted(weight_of)], np.float64)
    edges.setflags(write=False)
    weights.setflags(write=False)
    return GraphArrays(nodes, edges, weights)


def node_weights(
    kind: str, graph: Any, nodes: tuple[Hashable, ...], given: Mapping[Any, float] | None
) -> Float64[np.ndarray, " n"]:
    """A positive weight for each node: those given, or networkx's node attribute "weight", or 1."""
    if given is None:
        found = dict(graph.nodes(data="weight", default=1.0)) if hasattr(graph, "is_directed") else {}
    elif isinstance(given, Mapping):
        found = dict(given)
        known = set(nodes)
        if strangers := [label for label in found if label not in known]:
            raise ValueError(f"{kind}: weights names {strangers[0]!r}, which is not a node of the graph.")
    else:
        raise TypeError(f"{kind}: weights is a mapping from nodes to numbers, but {given!r:.60} was given.")
    rule = "weights of nodes are finite numbers above 0"
    weights = [
        finite_number(found.get(node, 1.0), f"{kind}: the weight of node {node!r}", rule) for node in nodes
    ]
    for node, weight in zip(nodes, weights):
        if weight <= 0:
            raise ValueError(f"{kind}: the weight of node {node!r} is {weight!r}; {rule}.")
    result = np.array(weights)
    result.setflags(write=False)
    return result


def _labels_and_edges(
    kind: str, graph: Any, num_nodes: int | None
) -> tuple[list[Any], list[tuple[Any, Any, Any]]]:
    """The labels of all nodes, and the edges as (u, v, weight)."""
    if hasattr(graph, "is_directed") and hasattr(graph, "edges"):
        if num_nodes is not None:
            raise ValueError(
                f"{kind}: num_nodes goes with a list of edges; a networkx graph knows its nodes."
            )
        if graph.is_directed():
            raise ValueError(f"{kind}: the graph is directed; give graph.to_undirected().")
        return list(graph.nodes), list(graph.edges(data="weight", default=1.0))
    edges = _edge_entries(kind, graph)
    labels = list(dict.fromkeys(label for u, v, _ in edges for label in (u, v)))
    if num_nodes is None:
        return labels, edges
    if isinstance(num_nodes, bool) or not isinstance(num_nodes, numbers.Integral) or num_nodes < 1:
        raise ValueError(f"{kind}: num_nodes must be an integer, 1 or more, not {num_nodes!r}.")
    nodes = range(int(num_nodes))
    if strangers := [label for label in labels if label not in nodes]:
        raise ValueError(
            f"{kind}: node {strangers[0]!r} is not one of 0 to {num_nodes - 1}, as num_nodes={num_nodes} "
            "demands; relabel the nodes or leave num_nodes out."
        )
    return list(nodes), edges


def _edge_entries(kind: str, edges: Iterable[Any]) -> list[tuple[Any, Any, Any]]:
    try:
        rows = [tuple(edge) for edge in edges]
    except TypeError:
        raise TypeError(
            f"{kind}: give a networkx graph or a list of edges (u, v) or (u, v, weight), not "
            f"{type(edges).__name__}."
        ) from None
    for row in rows:
        if len(row) not in (2, 3):
            raise ValueError(
                f"{kind}: edge {row} has {len(row)} entries; an edge is (u, v) or (u, v, weight)."
            )
    return [(plain(u), plain(v), rest[0] if rest else 1.0) for u, v, *rest in rows]
