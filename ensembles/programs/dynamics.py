"""`TimeEvolution`: expectation values after evolving a state for some time; a list of times is one group."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxsim
from ensembles import names
from ensembles.optimizers import Identity
from ensembles.program import Program, Row, engine_reason
from ensembles.programs.arguments import remembers_arguments
from ensembles.programs.sweep import Sweep, sweep
from ensembles.rules import sgd
from ensembles.stopping import as_stopping
from jaxsim.trotter import qdrift, trotter

__all__ = ["METHODS", "TimeEvolution", "time_evolution"]


class Method(NamedTuple):
    """A row of the table of methods: the circuit for a time, and which arguments it takes."""

    circuit: Callable[..., jaxsim.Circuit]
    arguments: tuple[str, ...]


METHODS: dict[str, Method] = {
    "trotter": Method(
        lambda h, t, n, o: trotter(h, t, o["trotter_steps"], o["order"], num_wires=n),
        ("trotter_steps", "order"),
    ),
    "qdrift": Method(
        lambda h, t, n, o: qdrift(h, t, o["samples"], o["seed"], num_wires=n), ("samples", "seed")
    ),
}
"""How exp(-i t H) becomes a circuit; see `jaxsim.trotter`."""

_ROWS_AT_A_TIME = 256


def first_value(time: Any, row: jaxsim.Lowered, key: Any) -> Any:
    """The loss of all time evolutions: the first observable; without a derivative, as nothing is trained."""
    return jaxsim.row_values(row, jax.lax.stop_gradient(time))[0]


class TimeEvolution(Program):
    """Expectation values in the state exp(-i time H) |initial state>.

    An evaluation: nothing is trained. The time enters as data, so evolutions for different times, and of Hamiltonians
    with the same words, share a compiled call. Results have as `value` the first observable, and as `expectations`
    all of them, (observables,) in the order given.

    Args:
        hamiltonian: a sum with real coefficients.
        time: a real number, in units of 1 / energy.
        observable: a sum, or several to be measured in the same state.
        initial_state: a circuit without parameters, a bitstring (qubit 0 rightmost), or amplitudes (2**n,); |0...0>
            by default.
        method: "trotter": a product formula; "qdrift": random rotations.
        trotter_steps, order: for "trotter": how many equal steps, and of what order: 1, 2, 4, 6, ...
        samples, seed: for "qdrift": how many rotations, and which draw; times of one seed share the draw.
        dtype, engine: as for `VQE`; for "qdrift" the engine is "rotations" unless another is named.

    Raises:
        TypeError, ValueError: as `jaxsim.trotter.trotter` and `qdrift`; a time that is no finite number; unknown
            method; an initial state that does not fit.

    Example:
        >>> import numpy as np
        >>> from ensembles import ProgramEnsemble
        >>> from jaxsim import X, Z
        >>> rabi = {k: TimeEvolution(X(0), 0.1 * k, Z(0)) for k in range(5)}
        >>> result = ProgramEnsemble(rabi).run(progress=False)
        >>> bool(np.allclose([result[k].value for k in rabi], np.cos(0.2 * np.arange(5)), atol=1e-5))
        True
    """

    kind = "TimeEvolution"
    exact = True

    @remembers_arguments
    def __init__(
        self,
        hamiltonian: jaxsim.PauliSum,
        time: float,
        observable: jaxsim.PauliSum | Sequence[jaxsim.PauliSum],
        *,
        initial_state: jaxsim.Circuit | str | Any = None,
        method: str = "trotter",
        trotter_steps: int = 10,
        order: int = 2,
        samples: int = 100,
        seed: int = 0,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if not isinstance(hamiltonian, jaxsim.PauliSum):
            raise TypeError(
                f"TimeEvolution: the hamiltonian is a PauliSum, but a {type(hamiltonian).__name__} was given."
            )
        if not isinstance(method, str) or method not in METHODS:
            raise ValueError(
                f"TimeEvolution: method={method!r} is not known; choose one of {', '.join(map(repr, METHODS))}."
            )
        self.observables = _observables(observable)
        self.hamiltonian, self.method, self._engine = hamiltonian, method, engine
        self.time = _finite_time(time)
        width = max(1, hamiltonian.num_wires, *(o.num_wires for o in self.observables))
        circuit = _initial_circuit(initial_state, width)
        options = {"trotter_steps": trotter_steps, "order": order, "samples": samples, "seed": seed}
        t = jaxsim.Parameter("t")
        circuit.compose(METHODS[method].circuit(hamiltonian, t, circuit.num_wires, options))
        if not circuit.parameters:
            circuit.global_phase(t)  # no term depends on the time, but programs take it all the same
        if method == "qdrift" and engine == "auto":
            engine = "rotations"  # whatever was drawn, so that draws can share calls
        self.circuit = circuit
        self._lowered = jaxsim.lower(circuit, self.observables, engine=engine, dtype=dtype)
        self._set_training(sgd(0.0), 0)

    def at(self, time: float) -> TimeEvolution:
        """The same evolution for another time; the circuit is not built again."""
        return self._quickly_rebuilt({"time": time})

    def _quickly_rebuilt(self, changes: Mapping[str, Any]) -> Any:
        if set(changes) != {"time"}:
            return None
        other = copy.copy(self)
        other.time = _finite_time(changes["time"])
        vars(other)["_made_with"] = {**vars(self)["_made_with"], **changes}
        return other

    def row(self, name: Any) -> Row:
        return Row(
            data=self._lowered,
            parameters=np.array([self.time], self._lowered.real_dtype),
            optimizer=self.optimizer,
            steps=np.int32(0),
            stopping=as_stopping(None, self._lowered.real_dtype),
            words=names.name_words(name),
            drawn=np.bool_(False),
            trained=np.ones(1, bool),
            loss=Identity(first_value),
            rows_per_block=jaxsim.rows_per_block(self._lowered),
            rows_alone=jaxsim.block_size(1, self._lowered),
        )

    def describe(self) -> str:
        lowered = self._lowered
        return f"{self.kind} {lowered.num_wires} qubits, {len(self.circuit)} gates, engine {lowered.engine!r}"

    def __repr__(self) -> str:
        return f"{self.describe()} (time {self.time:g}, {self.method})"

    def reason(self) -> str:
        if self.method == "qdrift" and self._engine == "auto":
            return "whatever was drawn, so that draws can share calls"
        return engine_reason(self.circuit, self._engine, self._lowered)

    def state_bytes(self) -> int:
        return 3 * self._lowered.dtype.itemsize * 2**self._lowered.num_wires

    @classmethod
    def extras(
        cls, programs: Sequence[Any], values: Sequence[float], parameters: Sequence[Any]
    ) -> list[dict[str, Any]]:
        found = [{"expectations": np.array([value])} for value in values]
        groups: dict[Any, list[int]] = {}
        for k, program in enumerate(programs):
            if len(program.observables) > 1:
                groups.setdefault(program._lowered.key, []).append(k)
        for members in groups.values():
            for start in range(0, len(members), _ROWS_AT_A_TIME):
                part = members[start : start + _ROWS_AT_A_TIME]
                rows = jaxsim.stack([programs[k]._lowered for k in part])
                measured = jaxsim.evaluate(rows, np.stack([parameters[k] for k in part]))
                for k, row in zip(part, measured, strict=True):
                    found[k] = {"expectations": row.astype(np.float64)}
        return found


def time_evolution(hamiltonian: jaxsim.PauliSum, times: Any, observable: Any, **options: Any) -> Sweep:
    """A `TimeEvolution` for each time, for `ProgramEnsemble`: one group, one compilation, however many times.

    Args:
        hamiltonian, observable, options: as for `TimeEvolution`.
        times: (times,) different real numbers.

    Returns:
        {"time=0.1": program, ...}; ``.array(result)`` is the first observable, (times,), and
        ``.array(result, "expectations")`` all of them, (times, observables).

    Raises:
        ValueError: no times, equal ones, NaN or infinity.

    Example:
        >>> import numpy as np
        >>> from ensembles import ProgramEnsemble
        >>> from jaxsim import X, Y, Z
        >>> rabi = time_evolution(X(0), np.linspace(0, 1, 40), [Z(0), Y(0)])
        >>> result = ProgramEnsemble(rabi).run(progress=False)
        >>> rabi.array(result, "expectations").shape, result.stats.groups
        ((40, 2), 1)
    """
    values = np.asarray(times, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"time_evolution: times must have shape (times,), at least one, but have shape {values.shape}."
        )
    pattern = TimeEvolution(hamiltonian, values[0].item(), observable, **options)
    return sweep(pattern, time=values.tolist())


def _observables(given: Any) -> tuple[jaxsim.PauliSum, ...]:
    several = (given,) if isinstance(given, jaxsim.PauliSum) else given
    if not isinstance(several, Sequence) or not several:
        raise TypeError(
            f"TimeEvolution: the observable is a PauliSum, or a list of them, but {given!r:.60} was given."
        )
    for item in several:
        if not isinstance(item, jaxsim.PauliSum):
            raise TypeError(
                f"TimeEvolution: an observable is a PauliSum, but a {type(item).__name__} was given."
            )
    return tuple(several)


def _finite_time(time: Any) -> float:
    if isinstance(time, np.generic | np.ndarray | jax.Array) and np.ndim(time) == 0:
        time = np.asarray(time).item()
    if isinstance(time, bool) or not isinstance(time, numbers.Real):
        raise TypeError(
            f"TimeEvolution: the time is a real number, but {time!r:.60} was given; for many: time_evolution."
        )
    if not math.isfinite(time):
        raise ValueError(f"TimeEvolution: the time must be finite, but {time!r} was given.")
    return float(time)


def _initial_circuit(state: Any, width: int) -> jaxsim.Circuit:
    """A circuit on at least `width` qubits that prepares the state."""
    if state is None:
        return jaxsim.Circuit(width)
    if isinstance(state, jaxsim.Circuit):
        if state.parameters:
            raise ValueError(
                "TimeEvolution: the initial state is a circuit without parameters; bind them first."
            )
        return jaxsim.Circuit(max(width, state.num_wires)).compose(state)
    if isinstance(state, str):
        if not state or set(state) - {"0", "1"}:
            raise ValueError(f"TimeEvolution: a bitstring is made of 0 and 1, but {state!r} was given.")
        size, amplitudes = len(state), None
    else:
        amplitudes = np.asarray(state)
        size = max(1, int(amplitudes.size).bit_length() - 1)
    if size < width:
        raise ValueError(
            f"TimeEvolution: the initial state has {size} qubits, but the hamiltonian and the observables act on "
            f"{width}."
        )
    circuit = jaxsim.Circuit(size)
    if amplitudes is not None:
        return circuit.initialize(amplitudes)
    ones = [q for q, bit in enumerate(reversed(state)) if bit == "1"]
    return circuit.x(ones) if ones else circuit
