"""`QAOA`: the quantum approximate optimisation algorithm on problems with a diagonal cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxsim
from ensembles.programs.arguments import remembers_arguments
from ensembles.programs.vqe import VQE
from ensembles.stopping import EarlyStopping
from jaxsim import ansatz, mixers

__all__ = ["QAOA"]

_FEW_WIRES = 10
"""Up to here the probabilities of all basis states are few enough to be brought to the host."""

_PADDED_WIRES = 13
"""Up to here the diagonal of an observable is a transform, which takes as long for any number of terms."""


class QAOA(VQE):
    """QAOA with `layers` layers: prod exp(-i beta_l M) exp(-i gamma_l C) on a simple state, to make <C> large.

    C is the problem's cost, or minus the cost where it is to be minimised; the loss is -<C>. The cost enters as
    data, so all problems of one size share a compiled call, whatever their graphs or polynomials, unless one has more
    terms than a quadratic cost can have. Parameters are in the order beta[0], ..., gamma[0], .... Results have,
    besides the common fields: `solution`, the most probable bitstring at the best parameters (qubit 0 rightmost);
    `cut` (`objective` for problems that are no cuts), its value; `feasible`, for problems with constraints, whether
    it obeys them; `expected`, the best expectation value of the cost; `optimum`, the best cost there is; `ratio`,
    where `expected` lies between the worst cost, 0, and the best one, 1.

    References: Farhi, Goldstone and Gutmann, arXiv:1411.4028; XY mixers: Hadfield et al., arXiv:1709.03489; warm
    starts: Egger, Marecek and Woerner, Quantum 5, 479 (2021).

    Args:
        problem: for example `ensembles.problems.MaxCut(graph)`: has `n_qubits`, `hamiltonian` and `diagonal()`;
            `loss_sign` is -1 where the cost is to be maximised (as it is without such an attribute), +1 where
            minimised.
        layers: how many, at least 1.
        optimizer, steps, stopping, dtype, engine: as for `VQE`.
        initial_parameters: as for `VQE`; None is a linear ramp (betas falling, gammas rising).
        mixer: "x"; "xy_ring" or "xy_complete", which conserve the number of ones; or a function (circuit, beta) that
            appends a layer.
        hamming_weight: for XY mixers: how many ones, in the superposition of all such bitstrings.
        initial_state: another state to start from: amplitudes (2**n,), or a circuit without parameters.
        warm_start: a solution to start near: an assignment (bitstring, {label: 0 or 1}, ...), or for each
            qubit how likely it is to be 1, such as a relaxed solution. Brings its own state and mixer.
        shots: as for `VQE`.
        regularization: how near: probabilities are kept from 0 and 1 by this much, 0 to 0.5 (plain QAOA).

    Raises:
        TypeError, ValueError: as `VQE`; no problem; more than 26 qubits; unknown mixer, a mixer without a weight or a
            weight without such a mixer; a warm start beside another mixer or state.

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

    @remembers_arguments
    def __init__(
        self,
        problem: Any,
        *,
        layers: int,
        optimizer: Any,
        steps: int | None = None,
        stopping: EarlyStopping | None = None,
        initial_parameters: Any = None,
        mixer: str | Callable[[jaxsim.Circuit, Any], Any] = "x",
        hamming_weight: int | None = None,
        initial_state: Any = None,
        warm_start: Any = None,
        regularization: float = 0.25,
        shots: int | None = None,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if not all(hasattr(problem, needed) for needed in ("n_qubits", "diagonal")):
            raise TypeError(
                f"QAOA: a problem such as MaxCut(graph) is needed, with n_qubits, hamiltonian and diagonal(), but "
                f"a {type(problem).__name__} was given."
            )
        if isinstance(layers, int | np.integer) and layers < 1:
            raise ValueError(f"QAOA: layers must be at least 1, but {layers} was given.")
        self.problem, self.layers, self.mixer, self.warm_start = problem, layers, mixer, warm_start
        self.hamming_weight, self.initial_state = hamming_weight, initial_state
        self.regularization = regularization
        self._sign = float(getattr(problem, "loss_sign", -1.0))
        costs = np.asarray(problem.diagonal(), np.float64)
        state, mixer = self._state_and_mixer()
        circuit = ansatz.qaoa(-self._sign * costs, layers, mixer, initial_state=state)
        if initial_parameters is None:
            gammas, betas = ansatz.linear_ramp(layers)
            # A unit of cost is what one term weighs, so that weighted problems start alike.
            weights = np.abs(problem.hamiltonian.coefficients[problem.hamiltonian.z_mask != 0])
            scale = 2 * weights.mean() if weights.any() else 1.0
            row = mixers.MIXERS.get(mixer) if isinstance(mixer, str) else None
            step = row.step(problem.n_qubits) if row else 1.0
            initial_parameters = np.concatenate([step * betas, gammas / scale])
        super().__init__(
            circuit,
            _padded(self._sign * problem.hamiltonian, problem.n_qubits),
            optimizer=optimizer,
            steps=steps,
            stopping=stopping,
            initial_parameters=initial_parameters,
            shots=shots,
            dtype=dtype,
            engine=engine,
        )

    def _state_and_mixer(self) -> tuple[Any, Any]:
        """The state to start from (None: |+...+>) and the mixer, from what was given."""
        n, weight = self.problem.n_qubits, self.hamming_weight
        if self.warm_start is not None:
            if self.mixer != "x" or self.initial_state is not None or weight is not None:
                raise ValueError(
                    "QAOA: warm_start brings its own mixer and state; leave out mixer, initial_state and "
                    "hamming_weight, or warm_start."
                )
            return mixers.warm_start(self._likely_ones())
        row = mixers.MIXERS.get(self.mixer) if isinstance(self.mixer, str) else None
        if weight is None:
            if row is not None and row.keeps_weight and self.initial_state is None:
                raise ValueError(
                    f"QAOA: mixer={self.mixer!r} conserves the number of ones; say how many there are, as in "
                    f"hamming_weight={n // 2}, or give an initial_state."
                )
            return self.initial_state, self.mixer
        if self.initial_state is not None:
            raise ValueError(
                "QAOA: hamming_weight and initial_state both say where to start; give one of them."
            )
        if row is not None and not row.keeps_weight:
            keep = ", ".join(repr(name) for name, mixer in mixers.MIXERS.items() if mixer.keeps_weight)
            raise ValueError(
                f"QAOA: hamming_weight goes with a mixer that conserves the number of ones ({keep}), not with "
                f"mixer={self.mixer!r}."
            )
        return mixers.dicke_state(n, weight), self.mixer

    def _likely_ones(self) -> np.ndarray:
        keep_off = self.regularization
        if not 0 <= keep_off <= 0.5:
            raise ValueError(f"QAOA: regularization is a number from 0 to 0.5, but {keep_off!r} was given.")
        given: Any = self.warm_start
        if hasattr(self.problem, "bits") and not isinstance(given, list | tuple | np.ndarray):
            given = self.problem.bits(given)
        values = np.asarray(given, np.float64)
        if values.shape != (self.problem.n_qubits,) or not np.all((values >= 0) & (values <= 1)):
            raise ValueError(
                f"QAOA: warm_start is an assignment, or one number from 0 to 1 for each of {self.problem.n_qubits} "
                f"qubits, but {given!r:.60} was given."
            )
        return np.clip(values, keep_off, 1 - keep_off)

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
            winners = _most_probable(rows, [parameters[k] for k in members])
            for k, winner in zip(members, winners, strict=True):
                found[k] = programs[k]._solution(int(winner), programs[k]._sign * values[k])
        return found

    def _solution(self, index: int, expected: float) -> dict[str, Any]:
        problem = self.problem
        costs = np.asarray(problem.diagonal(), np.float64)
        bitstring = format(index, f"0{problem.n_qubits}b")
        if hasattr(problem, "cut"):
            value = {"cut": float(problem.cut(index))}
        else:
            value = {
                "objective": float(
                    problem.objective(index) if hasattr(problem, "objective") else costs[index]
                )
            }
        if hasattr(problem, "penalty"):
            value["feasible"] = problem.is_feasible(index)
        if self.hamming_weight is not None:
            costs = costs[np.bitwise_count(np.arange(len(costs))) == self.hamming_weight]
        worst, optimum = (float(f(self._sign * costs) * self._sign) for f in (np.max, np.min))
        return {
            "solution": bitstring,
            **value,
            "expected": expected,
            "optimum": optimum,
            "ratio": (expected - worst) / (optimum - worst) if optimum != worst else float("nan"),
        }


def _most_probable(rows: jaxsim.Lowered, parameters: list[Any]) -> np.ndarray:
    """The index of the most probable basis state of every row, (rows,)."""
    if rows.num_wires > _FEW_WIRES:
        return jaxsim.evaluate(rows, parameters, "most_probable")
    # Programs that are sampled have this kernel already.
    return np.argmax(jaxsim.evaluate(rows, parameters, "probabilities"), axis=1)


def _padded(cost: jaxsim.PauliSum, n: int) -> jaxsim.PauliSum:
    """The cost with as many terms as a quadratic one on n qubits can have: then the size decides the compiled call."""
    short = 1 + n + n * (n - 1) // 2 - cost.num_terms
    if short <= 0 or n > _PADDED_WIRES:
        return cost
    nothing = np.zeros(short, np.int32)
    return jaxsim.PauliSum(
        np.concatenate([cost.x_mask, nothing]),
        np.concatenate([cost.z_mask, nothing]),
        np.concatenate([cost.coefficients, np.zeros(short)]),
    )
