"""Sets of nodes with a condition on every edge: independent sets, vertex covers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ensembles.problems.binary import Assignment, BinaryProblem, finite_number
from ensembles.problems.graph_input import node_weights, read_graph
from ensembles.problems.spin_polynomial import SpinPolynomial

if TYPE_CHECKING:
    from jaxtyping import Float64, Int8, Int32

__all__ = ["MaxIndependentSet", "MinVertexCover"]


class _NodeSet(BinaryProblem):
    """A set of nodes of a graph, those with bit 1; breaking the condition on an edge costs a penalty."""

    noun: ClassVar[str] = "node"
    whole: ClassVar[str] = "graph"

    edges: Int32[np.ndarray, "edges 2"]
    weights: Float64[np.ndarray, " n"]
    penalty: float

    def __init__(
        self,
        graph: Any,
        *,
        weights: Mapping[Any, float] | None = None,
        penalty: float | None = None,
        num_nodes: int | None = None,
    ) -> None:
        self.variables, self.edges, _ = read_graph(self.kind, graph, num_nodes)
        if not self.variables:
            raise ValueError(f"{self.kind}: the graph has no nodes; give at least one.")
        self.weights = node_weights(self.kind, graph, self.variables, weights)
        heaviest = float(self.weights.max())
        self.penalty = (
            2 * heaviest if penalty is None else finite_number(penalty, f"{self.kind}: the penalty")
        )
        if self.penalty <= heaviest:
            raise ValueError(
                f"{self.kind}: the penalty must be above the largest weight of a node, {heaviest:g}, or breaking the "
                f"condition on an edge would pay, but {self.penalty:g} was given."
            )
        self.polynomial = self._cost()

    def _cost(self) -> SpinPolynomial:
        raise NotImplementedError

    def _broken(self, bits: Int8[np.ndarray, " n"]) -> np.ndarray:
        """Whether the condition is broken, for each edge."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.kind}({self.n_qubits} nodes, {len(self.edges)} edges)"

    @property
    def nodes(self) -> tuple[Hashable, ...]:
        """The labels; node k is qubit k."""
        return self.variables

    def objective(self, assignment: Assignment) -> float:
        """The weight of the set, without penalties."""
        return float(self.weights[self.bits(assignment) == 1].sum())

    def is_feasible(self, assignment: Assignment) -> bool:
        """Whether the condition holds on every edge."""
        return not self._broken(self.bits(assignment)).any()

    def decode(self, assignment: Assignment) -> tuple[Hashable, ...]:
        """The labels of the nodes in the set."""
        return tuple(node for node, bit in zip(self.nodes, self.bits(assignment)) if bit)


class MaxIndependentSet(_NodeSet):
    """The heaviest set of nodes no two of which share an edge.

    The cost, to be maximised, is sum_i w_i x_i - penalty * sum over edges of x_a x_b, with x_i = 1 for nodes in the
    set (Lucas, arXiv:1302.5843, section 4.2). With a penalty above all weights its best assignment is feasible:
    dropping a node of a broken edge gains more than the node weighs.

    Args:
        graph: as for `MaxCut`; may have no edges. Weights of edges do not matter.
        weights: {node: weight above 0}; by default networkx's node attribute "weight", or 1.
        penalty: what a broken edge costs; by default twice the largest weight.
        num_nodes: as for `MaxCut`.

    Raises:
        TypeError, ValueError: as `MaxCut`; weights that are not above 0; a penalty that is not above all weights.

    Example:
        >>> path = MaxIndependentSet([(0, 1), (1, 2), (2, 3), (3, 4)])
        >>> path.best(), path.decode("10101"), path.is_feasible("00011")
        (Best(value=3.0, bitstring='10101'), (0, 2, 4), False)
    """

    kind: ClassVar[str] = "MaxIndependentSet"
    maximize = True

    def _cost(self) -> SpinPolynomial:
        return SpinPolynomial.from_binary_quadratic(
            0.0, self.weights, self.edges.astype(np.int64), np.full(len(self.edges), -self.penalty)
        )

    def _broken(self, bits: Int8[np.ndarray, " n"]) -> np.ndarray:
        return (bits[self.edges] == 1).all(axis=1)


class MinVertexCover(_NodeSet):
    """The lightest set of nodes that has at least one end of every edge.

    The cost, to be minimised, is sum_i w_i x_i + penalty * sum over edges of (1 - x_a)(1 - x_b), with x_i = 1 for
    nodes in the set (Lucas, arXiv:1302.5843, section 4.3).

    Arguments and errors as for `MaxIndependentSet`.

    Example:
        >>> path = MinVertexCover([(0, 1), (1, 2), (2, 3), (3, 4)])
        >>> path.best(), path.decode("01010"), path.is_feasible("00010")
        (Best(value=2.0, bitstring='01010'), (1, 3), False)
    """

    kind: ClassVar[str] = "MinVertexCover"

    def _cost(self) -> SpinPolynomial:
        degrees = np.bincount(self.edges.ravel(), minlength=self.n_qubits)
        return SpinPolynomial.from_binary_quadratic(
            self.penalty * len(self.edges),
            self.weights - self.penalty * degrees,
            self.edges.astype(np.int64),
            np.full(len(self.edges), self.penalty),
        )

    def _broken(self, bits: Int8[np.ndarray, " n"]) -> np.ndarray:
        return (bits[self.edges] == 0).all(axis=1)
