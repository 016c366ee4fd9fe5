"""Divi (qoro-divi): an ensemble of QAOA programs with SciPy's optimisers, on its default simulator.

Its programs meet at a barrier, one thread each, and their circuits go to a simulator in C++ together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
from divi.backends import MaestroSimulator
from divi.qprog import QAOA
from divi.qprog.ensemble import ProgramEnsemble
from divi.qprog.optimizers import ScipyMethod, ScipyOptimizer
from divi.qprog.problems import MaxCutProblem

METHODS = {"COBYLA": ScipyMethod.COBYLA, "Nelder-Mead": ScipyMethod.NELDER_MEAD}
Graphs = Sequence[Sequence[tuple[int, int]]]


def prepare(graphs: Graphs, layers: int, method: str, iterations: int, shots: int) -> Callable[[], Any]:
    """A function that builds the programs, trains them, and samples once at the end, as Divi's `run` does."""

    class Graphwise(ProgramEnsemble):
        def create_programs(self, state: Any = None) -> None:
            super().create_programs(state)
            self.programs = {
                f"g{k}": QAOA(
                    MaxCutProblem(nx.Graph(edges)),
                    n_layers=layers,
                    max_iterations=iterations,
                    optimizer=ScipyOptimizer(method=METHODS[method]),
                    backend=self.backend,
                    seed=1,
                )
                for k, edges in enumerate(graphs)
            }

        def aggregate_results(self) -> dict[str, float]:
            return {name: program.best_loss for name, program in self.programs.items()}

    def run() -> tuple[int, list[float]]:
        ensemble = Graphwise(backend=MaestroSimulator(shots=shots), reporting_level="off")
        ensemble.run()
        return ensemble.total_circuit_count, list(ensemble.aggregate_results().values())

    return run
