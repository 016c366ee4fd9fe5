"""Programs whose circuits differ are one group, and each gets the numbers of its own circuit."""

from __future__ import annotations

import numpy as np

from ensembles import VQE, ProgramEnsemble, sgd
from ensembles.problems import tfim
from jaxsim import Circuit, ParameterVector

QUBITS, LAYERS, PROGRAMS = 4, 2, 12
ANGLES = 2 * QUBITS * LAYERS
RATE = 0.1


def gates(seed: int) -> list[tuple[str, tuple[int, ...]]]:
    """Two rotations on every qubit, then a CX network of its own; layer by layer."""
    rng = np.random.default_rng(seed)
    made: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(LAYERS):
        made += [(str(name), (q,)) for q in range(QUBITS) for name in rng.permutation(["rx", "ry", "rz"])[:2]]
        made += [("cx", tuple(rng.permutation(QUBITS)[:2].tolist())) for _ in range(2 + seed % 3)]
    return made


def circuit(seed: int) -> Circuit:
    theta = iter(ParameterVector("t", ANGLES))
    made = Circuit(QUBITS)
    for name, wires in gates(seed):
        getattr(made, name)(*([] if name == "cx" else [next(theta)]), *wires)
    return made


X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])

AXES = {"rx": X, "ry": Y, "rz": Z}


def on(matrix: np.ndarray, wire: int) -> np.ndarray:
    return np.kron(np.kron(np.eye(2 ** (QUBITS - 1 - wire)), matrix), np.eye(2**wire))


# of the transverse-field Ising chain: -sum ZZ - sum X
CHAIN = -sum(on(Z, q) @ on(Z, q + 1) for q in range(QUBITS - 1)) - sum(on(X, q) for q in range(QUBITS))


def energy(seed: int, values: np.ndarray) -> float:
    """By dense matrices in complex128."""
    angles, state = iter(values), np.eye(1, 2**QUBITS, dtype=complex)[0]
    for name, wires in gates(seed):
        if name == "cx":
            control, target = wires
            flipped = on(np.diag([0, 1]), control) @ on(X, target) + on(np.diag([1, 0]), control)
            state = flipped @ state
        else:
            a = next(angles) / 2
            state = np.cos(a) * state - 1j * np.sin(a) * on(AXES[name], wires[0]) @ state
    return float((state.conj() @ CHAIN @ state).real)


def test_different_circuits_share_a_group_and_its_calls():
    starts = np.random.default_rng(5).normal(size=(PROGRAMS, ANGLES))
    ensemble = ProgramEnsemble(
        {
            k: VQE(circuit(k), tfim(QUBITS), optimizer=sgd(RATE), steps=3, initial_parameters=starts[k])
            for k in range(PROGRAMS)
        }
    )
    assert len({str(gates(k)) for k in range(PROGRAMS)}) == PROGRAMS
    assert len(ensemble.plan().groups) == 1
    result = ensemble.run(seed=1, progress=False)
    assert result.stats.groups == 1 and result.stats.compilations <= 2
    for k in (0, 1, 2, PROGRAMS - 1):
        values, losses = starts[k], []
        for _ in range(3):
            losses.append(energy(k, values))
            shift = np.pi / 2 * np.eye(len(values))
            values = values - RATE * np.array(
                [(energy(k, values + s) - energy(k, values - s)) / 2 for s in shift]
            )
        np.testing.assert_allclose(result[k].history, losses, atol=1e-5)
        np.testing.assert_allclose(result[k].final_parameters, values, atol=1e-5)
