"""Random circuits over the whole gate table beside what Qiskit says of them, and a counter of compilations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.monitoring
import numpy as np
import pytest
import qiskit.circuit.library as library
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Pauli, Statevector

from jaxsim import Circuit
from jaxsim.gates import GATES

# compilations -----------------------------------------------------------------------------------------------

_COMPILED: list[str] = []


def _listen(event: str, duration: float, **about: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_listen)


@dataclass
class Count:
    """How many programs XLA compiled."""

    total: int = 0


@pytest.fixture(scope="session")
def compilations() -> Callable[[], contextlib.AbstractContextManager[Count]]:
    """``with compilations() as count: ...``, then `count.total`: backend compilations, eager operations included."""

    @contextlib.contextmanager
    def counting() -> Iterator[Count]:
        before, count = len(_COMPILED), Count()
        yield count
        count.total = len(_COMPILED) - before

    return counting


# random circuits --------------------------------------------------------------------------------------------


class Gate(NamedTuple):
    """One gate: a row of the table with what it takes."""

    name: str
    angles: tuple[float, ...]
    wires: tuple[int, ...]  # controls first
    controls: int  # in addition to the row's own
    payload: Any


@dataclass
class RandomCircuit:
    """The same gates for us and for Qiskit."""

    num_wires: int
    gates: list[Gate] = field(default_factory=list)

    def circuit(self, angle: Callable[[int, float], Any] = lambda k, value: value) -> Circuit:
        """Our circuit; `angle` says what is handed over as angle k instead of its value."""
        c, k = Circuit(self.num_wires), 0
        for g in self.gates:
            angles = [angle(k + j, value) for j, value in enumerate(g.angles)]
            k += len(angles)
            controls, targets = g.wires[: g.controls], g.wires[g.controls :]
            match g.name:
                case "mcx" | "mcp":
                    getattr(c, g.name)(*angles, g.wires[:-1], g.wires[-1])
                case "pauli_rotation":
                    c.pauli_rotation(angles[0], g.payload, g.wires)
                case "unitary" | "diagonal":
                    getattr(c, g.name)(g.payload, targets, controls=controls)
                case "evolve_diagonal":
                    c.evolve_diagonal(angles[0], g.payload, targets, controls=controls)
                case "initialize":
                    c.initialize(g.payload, targets)
                case _:
                    c.append(g.name, angles, g.wires, controls=g.controls)
        return c

    @property
    def angles(self) -> np.ndarray:
        """All angles in the order in which `circuit` counts them."""
        return np.array([a for g in self.gates for a in g.angles])

    def with_angles(self, values: np.ndarray) -> RandomCircuit:
        """The same gates with other angles."""
        gates, k = [], 0
        for g in self.gates:
            gates.append(g._replace(angles=tuple(map(float, values[k : k + len(g.angles)]))))
            k += len(g.angles)
        return RandomCircuit(self.num_wires, gates)

    def qiskit(self) -> QuantumCircuit:
        """Qiskit's circuit; `initialize` is no gate of it."""
        qc = QuantumCircuit(self.num_wires)
        for g in self.gates:
            if g.name == "global_phase" and not g.controls:
                qc.global_phase += g.angles[0]
            elif g.name != "initialize":
                qc.append(_qiskit_gate(g), list(g.wires))
        return qc

    def statevector(self) -> np.ndarray:
        """The final state according to Qiskit."""
        state = np.eye(1, 2**self.num_wires, dtype=complex)[0]
        for g in self.gates:
            if g.name == "initialize":
                mask = sum(1 << w for w in g.wires)
                rest = state.copy()
                for j in range(2**self.num_wires):
                    local = sum((j >> w & 1) << k for k, w in enumerate(g.wires))
                    state[j] = rest[j & ~mask] * g.payload[local]
        return np.asarray(Statevector(state).evolve(self.qiskit()).data)


def _qiskit_gate(g: Gate) -> Any:
    targets = len(g.wires) - g.controls
    special = {
        "c3x": library.C3XGate,
        "c4x": library.C4XGate,
        "mcx": lambda: library.MCXGate(targets - 1),
        "mcp": lambda a: library.MCPhaseGate(a, targets - 1),
        "u_phase": lambda t, p, lam, gamma: library.UnitaryGate(
            np.exp(1j * gamma) * library.UGate(t, p, lam).to_matrix()
        ),
        "unitary": lambda: library.UnitaryGate(g.payload),
        "diagonal": lambda: library.DiagonalGate(list(g.payload)),
        "evolve_diagonal": lambda a: library.DiagonalGate(list(np.exp(-1j * a * g.payload))),
        "pauli_rotation": lambda a: library.UnitaryGate(
            np.cos(a / 2) * np.eye(2**targets) - 1j * np.sin(a / 2) * Pauli(g.payload[::-1]).to_matrix()
        ),
    }
    make = special.get(g.name) or _STANDARD[GATES[g.name].qiskit or ""].base_class
    made = make(*g.angles)
    if not g.controls:
        return made
    # The definition: the gate where the low bits are all 1.
    block, on = np.asarray(Operator(made).data), 2**g.controls - 1
    whole = np.eye(len(block) << g.controls, dtype=complex)
    whole[on :: on + 1, on :: on + 1] = block
    return library.UnitaryGate(whole)


_STANDARD = library.get_standard_gate_name_mapping()
_CARRYING = ("unitary", "diagonal", "evolve_diagonal")


def random_unitary(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]


def _draw(rng: np.random.Generator, name: str, num_wires: int, extra: bool) -> Gate | None:
    """A random gate of this row, or None if it does not fit."""
    row = GATES[name]
    if name in ("mcx", "mcp"):
        size = int(rng.integers(2, 7))
    elif row.num_wires is None:
        size = int(rng.integers(1, 5))
    else:
        size = row.num_wires
    may_control = not (row.any_controls or row.has_label or name == "initialize")
    controls = int(rng.integers(1, 3)) if extra and may_control and rng.random() < 0.2 else 0
    if size + controls > num_wires:
        return None
    wires = tuple(map(int, rng.permutation(num_wires)[: size + controls]))
    payload: Any = None
    if row.has_label:
        payload = "".join(rng.choice(list("IXYZ"), size))
    elif row.operand == "matrix":
        payload = random_unitary(2**size, rng)
    elif row.operand == "phases":
        payload = np.exp(1j * rng.uniform(-np.pi, np.pi, 2**size))
    elif row.operand == "energies":
        payload = rng.normal(size=2**size)
    elif row.operand == "amplitudes":
        payload = random_unitary(2**size, rng)[0]
    angles = tuple(map(float, rng.uniform(-np.pi, np.pi, len(row.angles))))
    return Gate(name, angles, wires, controls, payload)


@pytest.fixture(scope="session")
def random_circuit() -> Callable[..., RandomCircuit]:
    """random_circuit(seed, num_wires, num_gates, arrays=..., names=...): gates drawn uniformly from the table.

    `arrays` of the gates are such as are given by arrays. They are compiled in, so circuits with them share no kernel.
    `initialize` starts with a prepared state.
    """

    def build(
        seed: int,
        num_wires: int,
        num_gates: int,
        *,
        arrays: int = 0,
        initialize: bool = False,
        names: tuple[str, ...] = (),
        extra_controls: bool = True,
    ) -> RandomCircuit:
        rng = np.random.default_rng([seed, num_wires, num_gates, arrays])
        plain = [n for n in GATES if n not in (*_CARRYING, "initialize")]
        result = RandomCircuit(num_wires)
        while initialize and not result.gates:
            gate = _draw(rng, "initialize", num_wires, False)
            result.gates.extend([gate] if gate else [])
        due = {round((k + 1) * num_gates / (arrays + 1)) for k in range(arrays)}
        while len(result.gates) < num_gates:
            among = _CARRYING if len(result.gates) in due else names or plain
            gate = _draw(rng, str(rng.choice(among)), num_wires, extra_controls)
            result.gates.extend([gate] if gate else [])
        return result

    return build
