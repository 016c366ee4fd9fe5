"""`QAOA`: the quantum approximate optimisation algorithm on problems with a diagonal cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import jaxsim
from ensembles.programs.vqe import VQE
from jaxsim import ansatz

__all__ = ["QAOA"]


class QAOA(VQE):
    """QAOA with `layers` layers: prod exp(-i beta_l sum X) exp(-i gamma_l C) on the uniform superposition,
    maximising <C>.

    The cost enters as data, so all problems of one size share a compiled call. The loss is -<C>. Parameters
    are in the order beta[0], ..., gamma[0], .... Results have, besides the common fields: `solution`, the
    most probable bitstring at the best parameters (qubit 0 rightmost); `cut` (`objective` for problems that
    are no cuts), its value; `ratio`, the best <C> over the largest value of C.

    Reference: Farhi, Goldstone and Gutmann, arXiv:1411.4028.

    Args:
        problem: for example `ensembles.problems.MaxCut(graph)`: has `n_qubits`, `hamiltonian` (to be
            maximised) and `diagonal()`.
        layers: how many, at least 1.
        optimizer, steps, dtype, engine: as for `VQE`.
        initial_parameters: as for `VQE`; None is a linear ramp (betas falling, gammas rising).
        mixer: "x".

    Example:
        >>> from ensembles import QAOA, ProgramEnsemble, adam
        >>> from ensembles.problems import MaxCut
        >>> square = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
        >>> ensemble = ProgramEnsemble({"square": QAOA(square, layers=2, optimizer=adam(0.1), steps=100)})
        >>> best = ensemble.run(progress=False)["square"]
        >>> best.cut, best.ratio > 0.99
        (4.0, True)
    """

    kind = "QAOA"

    def __init__(
        self,
        problem: Any,
        *,
        layers: int,
        optimizer: Any,
        steps: int | None = None,
        initial_parameters: Any = None,
        mixer: str = "x",
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if not all(hasattr(problem, needed) for needed in ("n_qubits", "hamiltonian", "diagonal")):
            raise TypeError(
                f"QAOA: a problem such as MaxCut(graph) is needed, with n_qubits, hamiltonian and diagonal(), but "
                f"a {type(problem).__name__} was given."
            )
        self.problem = problem
        self.layers = layers
        self._costs = np.asarray(problem.diagonal(), np.float64)
        circuit = ansatz.qaoa(self._costs, layers, mixer=mixer)
        if initial_parameters is None:
            gammas, betas = ansatz.linear_ramp(layers)
            # A unit of cost is what one term weighs, so that weighted problems start alike.
            weights = np.abs(problem.hamiltonian.coefficients[problem.hamiltonian.z_mask != 0])
            scale = 2 * weights.mean() if weights.any() else 1.0
            initial_parameters = np.concatenate([betas, np.asarray(gammas) / scale])
        super().__init__(
            circuit,
            -1.0 * problem.hamiltonian,
            optimizer=optimizer,
            steps=steps,
            initial_parameters=initial_parameters,
            dtype=dtype,
            engine=engine,
        )

    @classmethod
    def extras(
        cls, programs: Sequence[QAOA], values: Sequence[float], parameters: Sequence[Any]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{} for _ in programs]
        groups: dict[Any, list[int]] = {}
        for k, program in enumerate(programs):
            groups.setdefault(program._lowered.key, []).append(k)
        for members in groups.values():
            rows = jaxsim.stack([programs[k]._lowered for k in members])
            winners = jaxsim.evaluate(rows, np.stack([parameters[k] for k in members]), "most_probable")
            for k, winner in zip(members, winners, strict=True):
                found[k] = programs[k]._solution(int(winner), -values[k])
        return found

    def _solution(self, index: int, expected: float) -> dict[str, Any]:
        optimum = float(self._costs.max())
        objective = float(self._costs[index])
        return {
            "solution": format(index, f"0{self.problem.n_qubits}b"),
            "cut" if hasattr(self.problem, "cut") else "objective": objective,
            "expected": expected,
            "optimum": optimum,
            "ratio": expected / optimum if optimum > 0 else float("nan"),
        }
