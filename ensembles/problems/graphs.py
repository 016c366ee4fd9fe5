"""Problems on graphs, as diagonal costs on one qubit a node."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from jaxsim import PauliSum

MAX_NODES = 30
MAX_ENUMERATED_NODES = 26  # 2**26 float64 values: 0.5 GiB


class Cut(NamedTuple):
    """The value of a cut and its bit string; the rightmost character belongs to qubit 0, the first node."""

    value: float
    bitstring: str


class MaxCut:
    """Split the nodes of a weighted graph in two so that the weight of the edges between them is largest.

    `graph` is an undirected networkx graph (edge attribute "weight", 1 where missing) or a list of edges
    (u, v) or (u, v, weight). Labels are any hashable values; qubit k is the k-th of `nodes`: the labels
    sorted, or in order of appearance where they do not compare. `num_nodes` (edge lists only) says that the nodes are
    0, ..., num_nodes - 1, so that some may have no edge.

    Attributes: `nodes` (labels), `n_qubits`, `edges` (E, 2) int32 pairs of qubits a < b, sorted, `weights`
    (E,) float64, `hamiltonian`: the cost C = sum over edges of w/2 (1 - Z_a Z_b), identity term first, to be
    maximised; a minimiser's loss is `loss_sign` * <C>.

    Errors: ValueError for a graph without edges, loops, repeated or directed edges, weights that are not
    finite, more than 30 nodes.

    >>> square = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
    >>> square.cut("0101"), square.cut({0: 1, 1: 1, 2: 0, 3: 0}), square.best()
    (4.0, 2.0, Cut(value=4.0, bitstring='0101'))
    """

    loss_sign: ClassVar[float] = -1.0

    nodes: tuple[Hashable, ...]
    n_qubits: int
    edges: Int32[np.ndarray, "edges 2"]
    weights: Float64[np.ndarray, " edges"]
    hamiltonian: PauliSum

    def __init__(self, graph: Any, *, num_nodes: int | None = None) -> None:
        labels, entries = _labels_and_edges(graph, num_nodes)
        self.nodes = _in_order(labels)
        self.n_qubits = len(self.nodes)
        if self.n_qubits > MAX_NODES:
            raise ValueError(
                f"MaxCut: the graph has {self.n_qubits} nodes, but at most {MAX_NODES} fit, one qubit each; "
                "cut it into parts first."
            )
        qubit = {label: k for k, label in enumerate(self.nodes)}
        weight_of: dict[tuple[int, int], float] = {}
        for u, v, weight in entries:
            a, b = sorted((qubit[u], qubit[v]))
            if a == b:
                raise ValueError(
                    f"MaxCut: edge ({u!r}, {v!r}) joins a node to itself and is never cut; leave it out."
                )
            if (a, b) in weight_of:
                raise ValueError(
                    f"MaxCut: edge ({u!r}, {v!r}) is given twice; give it once, with the sum of the weights."
                )
            weight_of[a, b] = _finite_weight(u, v, weight)

        self.edges = np.array(sorted(weight_of), np.int32)
        self.weights = np.array([weight_of[edge] for edge in sorted(weight_of)])
        z_mask = np.array([0, *(1 << a | 1 << b for a, b in self.edges.tolist())], np.int32)
        coefficients = np.concatenate([[self.weights.sum() / 2], -self.weights / 2])
        self.hamiltonian = PauliSum(np.zeros_like(z_mask), z_mask, coefficients)
        self.edges.setflags(write=False)
        self.weights.setflags(write=False)

    def __repr__(self) -> str:
        return f"MaxCut({self.n_qubits} nodes, {len(self.edges)} edges)"

    def cut(self, assignment: str | int | Mapping[Any, int] | Sequence[int] | np.ndarray) -> float:
        """The weight of the edges between the two parts.

        `assignment`: a bit string (rightmost character: qubit 0), a basis index, a dict {node: 0 or 1}, or a
        sequence of 0 and 1 in the order of `nodes`.

        Errors: ValueError where it does not assign 0 or 1 to every node.

        >>> MaxCut([("a", "b", 2.0), ("b", "c", 0.5)]).cut({"a": 0, "b": 1, "c": 1})
        2.0
        """
        bits = self._bits(assignment)
        return float(self.weights[bits[self.edges[:, 0]] != bits[self.edges[:, 1]]].sum())

    def partition(self, assignment: Any) -> tuple[tuple[Hashable, ...], tuple[Hashable, ...]]:
        """The labels of the nodes with bit 0, and of those with bit 1. `assignment` and errors as for `cut`.

        >>> MaxCut([("a", "b"), ("b", "c")]).partition("010")
        (('a', 'c'), ('b',))
        """
        bits = self._bits(assignment)
        zero, one = (tuple(node for node, bit in zip(self.nodes, bits) if bit == side) for side in (0, 1))
        return zero, one

    def diagonal(self) -> Float64[np.ndarray, "2**n"]:
        """C of every basis state, (2**n,) float64: entry k is `cut(k)`.

        Errors: ValueError above 26 nodes.

        >>> MaxCut([(0, 1)]).diagonal().tolist()
        [0.0, 1.0, 1.0, 0.0]
        """
        return self._values(self.n_qubits)

    def best(self) -> Cut:
        """The largest cut, found by trying all; among equals the lowest basis index.

        Errors: ValueError above 26 nodes.

        >>> MaxCut([(0, 1), (1, 2), (0, 2)]).best()
        Cut(value=2.0, bitstring='001')
        """
        # Swapping the parts changes nothing: leave the last node in part 0.
        values = self._values(self.n_qubits - 1)
        index = int(values.argmax())
        return Cut(self.cut(index), f"{index:0{self.n_qubits}b}")

    def _values(self, free: int) -> Float64[np.ndarray, "2**free"]:
        """C over all assignments of the first `free` nodes, the others 0, doubling the table once a node."""
        if self.n_qubits > MAX_ENUMERATED_NODES:
            raise ValueError(
                f"MaxCut: the graph has {self.n_qubits} nodes, and all 2**{self.n_qubits} cuts are too many "
                f"to try; the limit is {MAX_ENUMERATED_NODES} nodes."
            )
        matrix = np.zeros((self.n_qubits, self.n_qubits))
        matrix[self.edges[:, 1], self.edges[:, 0]] = self.weights
        values = np.zeros(1)
        for node in range(self.n_qubits):
            # weight of the edges from this node to earlier ones whose bit is 1
            to_ones = np.zeros(1)
            for weight in matrix[node, :node][:free]:
                to_ones = np.concatenate([to_ones, to_ones + weight])
            if node < free:
                values = np.concatenate([values + to_ones, values + (matrix[node, :node].sum() - to_ones)])
            else:
                values = values + to_ones
        return values

    def _bits(self, assignment: Any) -> np.ndarray:
        n = self.n_qubits
        if isinstance(assignment, (int, np.integer)):
            if not 0 <= assignment < 2**n:
                raise ValueError(
                    f"MaxCut: basis index {assignment} is out of range for {n} nodes (0 to {2**n - 1})."
                )
            return (int(assignment) >> np.arange(n)) & 1
        if isinstance(assignment, Mapping):
            if missing := [node for node in self.nodes if node not in assignment]:
                raise ValueError(
                    f"MaxCut: the assignment leaves out node {missing[0]!r}; give 0 or 1 for every node."
                )
            if strangers := [node for node in assignment if node not in self.nodes]:
                raise ValueError(
                    f"MaxCut: the assignment names {strangers[0]!r}, which is not a node of the graph."
                )
            values = [assignment[node] for node in self.nodes]
        elif isinstance(assignment, str):
            values = [{"0": 0, "1": 1}.get(character, character) for character in reversed(assignment)]
        else:
            values = list(assignment)
        if len(values) != n:
            raise ValueError(f"MaxCut: the assignment has {len(values)} bits, but the graph has {n} nodes.")
        if wrong := [value for value in values if value not in (0, 1)]:
            raise ValueError(f"MaxCut: the assignment contains {wrong[0]!r}; every node needs 0 or 1.")
        return np.array(values, np.int64)


def _labels_and_edges(graph: Any, num_nodes: int | None) -> tuple[list[Any], list[tuple[Any, Any, Any]]]:
    """The labels of all nodes, and the edges as (u, v, weight)."""
    if hasattr(graph, "is_directed") and hasattr(graph, "edges"):
        if num_nodes is not None:
            raise ValueError("MaxCut: num_nodes goes with a list of edges; a networkx graph knows its nodes.")
        if graph.is_directed():
            raise ValueError("MaxCut: the graph is directed; give graph.to_undirected().")
        labels, edges = list(graph.nodes), list(graph.edges(data="weight", default=1.0))
    else:
        edges = _edge_entries(graph)
        labels = list(dict.fromkeys(label for u, v, _ in edges for label in (u, v)))
    if not edges:
        raise ValueError("MaxCut: the graph has no edges, so every cut is 0; give at least one edge.")
    if num_nodes is not None:
        if not (isinstance(num_nodes, int) and 1 <= num_nodes <= MAX_NODES):
            raise ValueError(
                f"MaxCut: num_nodes must be an integer from 1 to {MAX_NODES}, not {num_nodes!r}."
            )
        if strangers := [label for label in labels if label not in range(num_nodes)]:
            raise ValueError(
                f"MaxCut: node {strangers[0]!r} is not one of 0 to {num_nodes - 1}, as num_nodes={num_nodes} "
                "demands; relabel the nodes or leave num_nodes out."
            )
        labels = list(range(num_nodes))
    return labels, edges


def _edge_entries(edges: Iterable[Any]) -> list[tuple[Any, Any, Any]]:
    try:
        rows = [tuple(edge) for edge in edges]
    except TypeError:
        raise TypeError(
            "MaxCut: give a networkx graph or a list of edges (u, v) or (u, v, weight), not "
            f"{type(edges).__name__}."
        ) from None
    for row in rows:
        if len(row) not in (2, 3):
            raise ValueError(
                f"MaxCut: edge {row} has {len(row)} entries; an edge is (u, v) or (u, v, weight)."
            )
    return [(_plain(u), _plain(v), rest[0] if rest else 1.0) for u, v, *rest in rows]


def _plain(label: Any) -> Hashable:
    """The label; NumPy numbers become Python's."""
    return label.item() if isinstance(label, np.generic) else label


def _in_order(labels: Sequence[Any]) -> tuple[Hashable, ...]:
    try:
        return tuple(sorted(labels))
    except TypeError:
        return tuple(labels)


def _finite_weight(u: Any, v: Any, weight: Any) -> float:
    try:
        value = float(weight)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"MaxCut: the weight of edge ({u!r}, {v!r}) is {weight!r}; weights are finite real numbers."
        )
    return value
