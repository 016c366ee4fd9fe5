"""MaxCut: the nodes of a graph in two parts, with as much weight as possible between them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ensembles.problems.binary import MAX_ENUMERATED, Assignment, BinaryProblem
from ensembles.problems.graph_input import read_graph
from ensembles.problems.spin_polynomial import SpinPolynomial

if TYPE_CHECKING:
    from jaxtyping import Float64, Int32

__all__ = ["Cut", "MaxCut"]


class Cut(NamedTuple):
    """The value of a cut and its bit string; the rightmost character belongs to qubit 0, the first node."""

    value: float
    bitstring: str


class MaxCut(BinaryProblem):
    """Split the nodes of a weighted graph in two so that the weight of the edges between them is largest.

    `graph` is an undirected networkx graph (edge attribute "weight", 1 where missing) or a list of edges
    (u, v) or (u, v, weight). Labels are any hashable values; qubit k is the k-th of `nodes`: the labels
    sorted, or in order of appearance where they do not compare. `num_nodes` (edge lists only) says that the nodes are
    0, ..., num_nodes - 1, so that some may have no edge. Graphs of more than 30 nodes do not fit on qubits as they
    are; `ensembles.partition` cuts them into parts.

    Attributes: `nodes` (labels), `n_qubits`, `edges` (E, 2) int32 pairs of qubits a < b, sorted, `weights`
    (E,) float64, `hamiltonian`: the cost C = sum over edges of w/2 (1 - Z_a Z_b), identity term first, to be
    maximised; a minimiser's loss is `loss_sign` * <C>.

    Errors: ValueError for a graph without edges, loops, repeated or directed edges, weights that are not
    finite.

    >>> square = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
    >>> square.cut("0101"), square.cut({0: 1, 1: 1, 2: 0, 3: 0}), square.best()
    (4.0, 2.0, Cut(value=4.0, bitstring='0101'))
    """

    kind: ClassVar[str] = "MaxCut"
    noun: ClassVar[str] = "node"
    whole: ClassVar[str] = "graph"
    maximize = True

    edges: Int32[np.ndarray, "edges 2"]
    weights: Float64[np.ndarray, " edges"]

    def __init__(self, graph: Any, *, num_nodes: int | None = None) -> None:
        self.variables, self.edges, self.weights = read_graph("MaxCut", graph, num_nodes, " and is never cut")
        if not len(self.edges):
            raise ValueError("MaxCut: the graph has no edges, so every cut is 0; give at least one edge.")
        self.polynomial = SpinPolynomial(
            self.weights.sum() / 2, np.zeros(len(self.variables)), self.edges, -self.weights / 2
        )

    def __repr__(self) -> str:
        return f"MaxCut({self.n_qubits} nodes, {len(self.edges)} edges)"

    @property
    def nodes(self) -> tuple[Hashable, ...]:
        """The labels; node k is qubit k."""
        return self.variables

    def cut(self, assignment: Assignment) -> float:
        """The weight of the edges between the two parts.

        `assignment`: a bit string (rightmost character: qubit 0), a basis index, a dict {node: 0 or 1}, or a
        sequence of 0 and 1 in the order of `nodes`.

        Errors: ValueError where it does not assign 0 or 1 to every node.

        >>> MaxCut([("a", "b", 2.0), ("b", "c", 0.5)]).cut({"a": 0, "b": 1, "c": 1})
        2.0
        """
        bits = self.bits(assignment)
        return float(self.weights[bits[self.edges[:, 0]] != bits[self.edges[:, 1]]].sum())

    objective = cut

    def partition(self, assignment: Assignment) -> tuple[tuple[Hashable, ...], tuple[Hashable, ...]]:
        """The labels of the nodes with bit 0, and of those with bit 1. `assignment` and errors as for `cut`.

        >>> MaxCut([("a", "b"), ("b", "c")]).partition("010")
        (('a', 'c'), ('b',))
        """
        bits = self.bits(assignment)
        zero, one = (tuple(node for node, bit in zip(self.nodes, bits) if bit == side) for side in (0, 1))
        return zero, one

    decode = partition

    def diagonal(self) -> Float64[np.ndarray, "2**n"]:
        """C of every basis state, (2**n,) float64: entry k is `cut(k)`.

        Errors: ValueError above 26 nodes.

        >>> MaxCut([(0, 1)]).diagonal().tolist()
        [0.0, 1.0, 1.0, 0.0]
        """
        return self._values(self.n_qubits)

    def best(self) -> Cut:  # type: ignore[override]
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
        self._refuse_above(
            MAX_ENUMERATED, f"and all 2**{self.n_qubits} cuts are too many to try; the limit is {MAX_ENUMERATED} nodes"
        )  # fmt: skip
        matrix = np.zeros((self.n_qubits, self.n_qubits))
        matrix[self.edges[:, 1], self.edges[:, 0]] = self.weights
        degrees = matrix.sum(axis=1).tolist()
        values = np.zeros(1)
        # Of every node to come: the weight of its edges to nodes before whose bit is 1
        to_ones = np.zeros((self.n_qubits, 1))
        for node in range(self.n_qubits):
            own, to_ones = to_ones[0], to_ones[1:]
            if node < free:
                values = np.concatenate([values + own, values + (degrees[node] - own)])
                to_ones = np.concatenate([to_ones, to_ones + matrix[node + 1 :, node : node + 1]], axis=1)
            else:
                values = values + own
        return values
