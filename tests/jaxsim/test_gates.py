"""Every row of the gate table against Qiskit, and against the other things that it says about itself."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qiskit.circuit.library as qiskit_library
from qiskit import qasm2
from qiskit.quantum_info import Operator, Pauli
from scipy.linalg import expm

from jaxsim import gates
from jaxsim.gates import GATES

# The rows that the project promises; a rename or a loss shows up here.
PROMISED = """
    id x y z h s sdg t tdg sx sxdg rx ry rz p u u1 u2 u3 r cx cy cz ch cs csdg csx cp crx cry crz cu cu1 cu3
    swap iswap dcx ecr rxx ryy rzz rzx xx_plus_yy xx_minus_yy ccx ccz cswap rccx rc3x c3x c3sx c4x mcx mcp
    global_phase unitary diagonal pauli_rotation evolve_diagonal initialize
"""

FIXED = [row for row in GATES.values() if row.num_wires is not None]
CARRYING = [row for row in GATES.values() if row.operand or row.has_label]
UNITARY = [row for row in GATES.values() if not row.any_controls and row.operand != "amplitudes"]
by_name = pytest.mark.parametrize("row", FIXED, ids=lambda row: row.name)
by_name_also_carrying = pytest.mark.parametrize("row", UNITARY, ids=lambda row: row.name)

LABEL = "XZY"  # of the payload gates; on 3 wires
WIRES = len(LABEL)


def random(row: gates.Gate) -> np.random.Generator:
    return np.random.default_rng(list(row.name.encode()))


def random_angles(row: gates.Gate) -> list[float]:
    return list(random(row).uniform(-np.pi, np.pi, len(row.angles)))


def random_unitary(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]


def payload_of(row: gates.Gate) -> Any:
    """A payload for 3 target wires, or None for a gate that carries nothing."""
    rng = random(row)
    return {
        None: LABEL if row.has_label else None,
        "matrix": random_unitary(2**WIRES, rng),
        "phases": np.exp(1j * rng.uniform(-np.pi, np.pi, 2**WIRES)),
        "energies": rng.normal(size=2**WIRES),
        "amplitudes": random_unitary(2**WIRES, rng)[0],
    }[row.operand]


# dense truth ------------------------------------------------------------------------------------------------


def dense(operation: Any) -> np.ndarray:
    return np.asarray(Operator(operation).data)


def pauli_word(label: str) -> np.ndarray:
    """Character k acts on bit k."""
    return Pauli(label[::-1]).to_matrix() if label else np.eye(1)


def product_of(rotations: tuple[gates.Rotation, ...], angles: list[float], wires: int) -> np.ndarray:
    whole = np.eye(2**wires, dtype=complex)
    for rotation in rotations:
        assert len(rotation.label) == wires
        half = (np.dot(rotation.coefficients, angles) + rotation.offset) / 2
        whole = np.cos(half) * whole - 1j * np.sin(half) * (pauli_word(rotation.label) @ whole)
    return whole


def under_controls(block: np.ndarray, controls: int) -> np.ndarray:
    """Entry by entry from the definition: the block where the low bits are all 1, else the identity."""
    on = 2**controls - 1
    whole = np.eye(len(block) << controls, dtype=complex)
    for i, j in np.ndindex(block.shape):
        whole[i << controls | on, j << controls | on] = block[i, j]
    return whole


def on_wires(block: np.ndarray, wires: tuple[int, ...], num_wires: int) -> np.ndarray:
    """The matrix that acts on these wires of a larger register."""
    whole = np.zeros((2**num_wires, 2**num_wires), dtype=complex)
    mask = sum(1 << wire for wire in wires)
    for column in range(2**num_wires):
        local = sum((column >> wire & 1) << k for k, wire in enumerate(wires))
        for new in range(len(block)):
            row = column & ~mask | sum((new >> k & 1) << wire for k, wire in enumerate(wires))
            whole[row, column] = block[new, local]
    return whole


# names ------------------------------------------------------------------------------------------------------


def test_every_promised_gate_has_a_row() -> None:
    assert set(PROMISED.split()) <= set(GATES)


def test_names_and_aliases_are_unique() -> None:
    names = [name for row in GATES.values() for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))
    for language in ("qasm2", "qasm3"):
        known = [getattr(row, language) for row in GATES.values() if getattr(row, language)]
        assert len(known) == len(set(known))


def test_lookup_by_name_alias_and_row() -> None:
    assert gates.gate("toffoli") is GATES["ccx"]
    assert gates.gate("i") is gates.gate("id") is GATES["id"]
    assert gates.gate(GATES["rx"]) is GATES["rx"]


@pytest.mark.parametrize(
    "wrong, hint", [("ccnot", "'cnot'"), ("rxz", "'rx'"), ("CX", "'cx'"), ("xx_plus", "'xx_plus_yy'")]
)
def test_unknown_gate_suggests_close_names(wrong: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"There is no gate called '{wrong}'. Did you mean .*{hint}"):
        gates.gate(wrong)


def test_unknown_gate_without_close_names_says_where_they_are() -> None:
    with pytest.raises(
        ValueError, match=r"There is no gate called '\?'. jaxsim.gates.GATES has all of them."
    ):
        gates.gate("?")


@by_name
def test_wire_names_are_as_many_as_wires(row: gates.Gate) -> None:
    names = gates.wire_names(row)
    assert len(set(names)) == row.num_wires
    assert sum(name.startswith("control") for name in names) == row.num_controls


# matrices ---------------------------------------------------------------------------------------------------

# Classes that Qiskit's map of standard gates lacks, or whose name there covers several of our rows.
QISKIT_CLASSES = {
    "c3x": qiskit_library.C3XGate,
    "c4x": qiskit_library.C4XGate,
    "u_phase": lambda theta, phi, lam, gamma: (
        np.exp(1j * gamma) * dense(qiskit_library.UGate(theta, phi, lam))
    ),
}


def qiskit_matrix(row: gates.Gate, angles: list[float]) -> np.ndarray:
    standard = qiskit_library.get_standard_gate_name_mapping()
    make = QISKIT_CLASSES.get(row.name) or standard[row.qiskit or ""].base_class
    made = make(*angles)
    return made if isinstance(made, np.ndarray) else dense(made)


@by_name
def test_matrix_is_qiskits(row: gates.Gate) -> None:
    angles = random_angles(row)
    ours = gates.matrix(row, angles)
    assert ours.dtype == np.complex128
    np.testing.assert_allclose(ours, qiskit_matrix(row, angles), atol=1e-12)


@pytest.mark.parametrize("controls", range(1, 6))
def test_any_number_of_controls_as_in_qiskit(controls: int) -> None:
    mcx = gates.resolve("mcx", controls + 1)
    assert (mcx.base, mcx.num_controls) == ("x", controls)
    np.testing.assert_allclose(gates.matrix(mcx), dense(qiskit_library.MCXGate(controls)), atol=1e-12)
    mcp = gates.resolve("mcp", controls + 1)
    assert (mcp.base, mcp.num_controls) == ("p", controls)
    theirs = dense(qiskit_library.MCPhaseGate(0.7, controls))
    np.testing.assert_allclose(gates.matrix(mcp, [0.7]), theirs, atol=1e-12)


def test_matrices_of_gates_that_carry_something_are_qiskits() -> None:
    angle = 0.7
    payload = {row.name: payload_of(row) for row in CARRYING}
    d = np.asarray(payload["evolve_diagonal"])
    theirs = {
        "unitary": qiskit_library.UnitaryGate(payload["unitary"]),
        "diagonal": qiskit_library.DiagonalGate(list(np.asarray(payload["diagonal"]))),
        "pauli_rotation": expm(-0.5j * angle * pauli_word(LABEL)),
        "evolve_diagonal": qiskit_library.DiagonalGate(list(np.exp(-1j * angle * d))),
    }
    for name, expected in theirs.items():
        angles = [angle] * len(GATES[name].angles)
        ours = gates.matrix(name, angles, payload=payload[name])
        np.testing.assert_allclose(ours, dense(expected), atol=1e-12, err_msg=name)


@by_name
def test_single_precision_angles_give_single_precision(row: gates.Gate) -> None:
    angles = np.array(random_angles(row))
    single = gates.matrix(row, list(angles.astype(np.float32)))
    assert single.dtype == (np.complex64 if row.angles else np.complex128)
    np.testing.assert_allclose(single, gates.matrix(row, list(angles)), atol=2e-6)


@by_name
def test_matrix_works_elementwise_on_arrays_of_angles(row: gates.Gate) -> None:
    batch = random(row).uniform(-np.pi, np.pi, (len(row.angles), 2, 3))
    whole = gates.matrix(row, list(batch))
    size = 2 ** (row.num_wires or 0)
    assert whole.shape == ((2, 3, size, size) if row.angles else (size, size))
    for index in np.ndindex(2, 3):
        one = gates.matrix(row, [angle[index] for angle in batch])
        np.testing.assert_allclose(whole[index] if row.angles else whole, one, atol=1e-15)


@pytest.mark.parametrize(
    "angle_type, dtype, atol", [("float32", "complex64", 2e-6), ("float64", "complex128", 1e-14)]
)
def test_traced_matrices_agree_with_numpy(angle_type: str, dtype: str, atol: float) -> None:
    """All rows in one compiled call, under vmap."""
    rows = [row for row in UNITARY if row.angles]
    payload = {row.name: payload_of(row) for row in rows}

    def matrices(xp: Any, angles: Any) -> dict[str, Any]:
        return {
            row.name: gates.matrix(row, list(angles[: len(row.angles)]), xp, payload=payload[row.name])
            for row in rows
        }

    batch = np.random.default_rng(5).uniform(-np.pi, np.pi, (3, 4)).astype(angle_type)
    with jax.enable_x64(angle_type == "float64"):
        traced = jax.jit(jax.vmap(lambda angles: matrices(jnp, angles)))(batch)
    for b, angles in enumerate(batch):
        for name, expected in matrices(np, angles).items():
            assert traced[name].dtype == dtype
            np.testing.assert_allclose(traced[name][b], expected, atol=atol, err_msg=name)


def test_traced_matrices_take_batches_without_rank_promotion() -> None:
    angles = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    for name in ("crz", "pauli_rotation", "evolve_diagonal"):
        payload = payload_of(GATES[name])
        traced = gates.matrix(name, [jnp.asarray(angles)], jnp, payload=payload)
        np.testing.assert_allclose(traced, gates.matrix(name, [angles], payload=payload), atol=2e-6)


def test_matrix_of_a_constant_gate_is_double_precision_numpy_even_for_jax() -> None:
    constant = gates.matrix("cx", xp=jnp)
    assert isinstance(constant, np.ndarray)
    assert constant.dtype == np.complex128


@pytest.mark.parametrize(
    "name, angles, payload, message",
    [
        ("rx", [], None, r"rx takes 1 angles \(theta\), but 0 are given"),
        ("x", [0.1], None, r"x takes no angles, but 1 are given"),
        ("unitary", [], None, r"unitary carries an array \(matrix\): give it as `payload`"),
        ("pauli_rotation", [0.1], None, "pauli_rotation carries a Pauli word: give it as `payload`"),
        ("pauli_rotation", [0.1], "XQ", "'XQ' has 'Q'; the letters are I, X, Y and Z"),
        ("initialize", [], [1, 0], "initialize sets a state and is no unitary gate, so it has no matrix"),
        ("mcx", [], None, r"mcx stands for any number of controls: say how many, as in controlled\('x', 5\)"),
    ],
)
def test_matrix_refuses_in_words(name: str, angles: list, payload: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gates.matrix(name, angles, payload=payload)


# controls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, controls, canonical",
    [
        ("x", 0, ("x", 0)),
        ("x", 1, ("cx", 0)),
        ("cx", 1, ("ccx", 0)),
        ("cx", 2, ("c3x", 0)),
        ("ccx", 2, ("c4x", 0)),
        ("ccx", 3, ("x", 5)),
        ("z", 2, ("ccz", 0)),
        ("sx", 3, ("c3sx", 0)),
        ("csx", 1, ("sx", 2)),
        ("crz", 1, ("rz", 2)),
        ("swap", 1, ("cswap", 0)),
        ("u", 1, ("u", 1)),
        ("u_phase", 1, ("cu", 0)),
        ("p", 2, ("p", 2)),
        ("global_phase", 1, ("p", 0)),
        ("global_phase", 2, ("cp", 0)),
        ("global_phase", 4, ("p", 3)),
        ("rccx", 1, ("rccx", 1)),
        ("unitary", 2, ("unitary", 2)),
    ],
)
def test_controls_have_one_spelling(name: str, controls: int, canonical: tuple[str, int]) -> None:
    whole = gates.controlled(name, controls)
    assert (whole.name, whole.extra_controls) == canonical
    if GATES[name].num_wires is not None:
        assert whole.num_wires == (GATES[name].num_wires or 0) + controls
    step_by_step = reduce(lambda g, _: gates.controlled(g), range(controls), gates.gate(name))
    assert step_by_step == whole


@pytest.mark.parametrize("controls", [1, 2])
@by_name_also_carrying
def test_controlled_matrix_is_the_block_where_controls_are_one(row: gates.Gate, controls: int) -> None:
    angles, payload = random_angles(row), payload_of(row)
    ours = gates.matrix(gates.controlled(row, controls), angles, payload=payload)
    expected = under_controls(gates.matrix(row, angles, payload=payload), controls)
    np.testing.assert_allclose(ours, expected, atol=1e-15)


def test_controls_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="x: -1 more controls were asked for; give 0 or more"):
        gates.controlled("x", -1)
    with pytest.raises(
        ValueError, match="initialize sets a state and is no unitary gate, so it takes no controls"
    ):
        gates.controlled("initialize")
    with pytest.raises(ValueError, match=r"mcp stands for any number of controls: .* resolve\('mcp', 6\)"):
        gates.controlled("mcp", 1)


def test_resolve_closes_what_is_open() -> None:
    assert gates.resolve("mcx", 2) == GATES["cx"]
    assert gates.resolve("mcx", 4, controls=1) == GATES["c3x"]
    assert gates.resolve("cx", 3, controls=1) == GATES["ccx"]
    assert gates.resolve("diagonal", 4) == replace(GATES["diagonal"], num_wires=4)
    controlled = gates.resolve("diagonal", 4, controls=1)
    assert (controlled.num_wires, controlled.num_controls, controlled.extra_controls) == (4, 1, 1)
    assert gates.controlled(controlled).num_wires == 5
    with pytest.raises(ValueError, match="cx acts on 2 wires, but is given 3"):
        gates.resolve("cx", 3)
    with pytest.raises(ValueError, match="mcx acts on 2 wires or more, controls first, but is given 1"):
        gates.resolve("mcx", 1)


# rotation forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controls", [0, 1, 2])
@pytest.mark.parametrize("row", [r for r in UNITARY if r.name != "unitary"], ids=lambda row: row.name)
def test_rotation_form_is_the_matrix(row: gates.Gate, controls: int) -> None:
    """With its global phase."""
    angles, payload = random_angles(row), payload_of(row)
    block = gates.matrix(row, angles, payload=payload)
    form = gates.rotations(row, controls, payload=payload)
    wires = len(block).bit_length() - 1 + controls
    np.testing.assert_allclose(product_of(form, angles, wires), under_controls(block, controls), atol=1e-12)


def test_rotations_about_words_that_do_not_occur_are_left_out() -> None:
    """A MaxCut cost on 4 wires has one ZZ per edge and a constant, whatever its 16 values."""
    bits = np.arange(16)[:, None] >> np.arange(4) & 1
    cut = sum((bits[:, a] ^ bits[:, b]) * weight for a, b, weight in [(0, 1, 0.3), (1, 2, 0.7), (0, 3, 1.1)])
    form = gates.rotations("evolve_diagonal", payload=cut)
    assert sorted(rotation.label for rotation in form) == ["IIII", "IZZI", "ZIIZ", "ZZII"]


@pytest.mark.parametrize("name", ["unitary", "initialize"])
def test_gates_without_rotation_form_say_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no rotation form in the gate table"):
        gates.rotations(name, payload=payload_of(GATES[name]))


def is_pauli_word(candidate: np.ndarray) -> bool:
    """Whether a unitary is a phase times X^x Z^z, which has one entry a column, of sign (-1)^(z.column)."""
    size = len(candidate)
    flip = int(np.argmax(np.abs(candidate[:, 0])))
    entries = candidate[np.arange(size) ^ flip, np.arange(size)]
    if not np.allclose(np.abs(entries), 1):
        return False
    signs = entries / entries[0]
    bits = [1 << k for k in range(size.bit_length() - 1)]
    characters = [np.prod([signs[bit] for bit in bits if index & bit]) for index in range(size)]
    return bool(np.allclose(signs, characters) and np.allclose(np.abs(signs.imag), 0))


@by_name
def test_clifford_means_that_pauli_words_stay_pauli_words(row: gates.Gate) -> None:
    u = gates.matrix(row, random_angles(row))
    wires = row.num_wires or 0
    words = ["I" * q + letter + "I" * (wires - 1 - q) for q in range(wires) for letter in "XZ"]
    stays = all(is_pauli_word(u @ pauli_word(word) @ u.conj().T) for word in words)
    assert gates.is_clifford(row) == (stays and row.name != "global_phase")


def test_clifford_with_more_controls() -> None:
    assert gates.is_clifford(gates.controlled("z", 1))
    assert not gates.is_clifford(gates.controlled("z", 3))
    assert not any(map(gates.is_clifford, [*CARRYING, "mcx", "mcp"]))


@by_name
def test_diagonal_means_diagonal(row: gates.Gate) -> None:
    u = gates.matrix(row, random_angles(row))
    assert gates.is_diagonal(row) == np.allclose(u, np.diag(np.diagonal(u)))


def test_diagonal_gates_that_carry_something() -> None:
    assert [row.name for row in CARRYING if gates.is_diagonal(row)] == ["diagonal", "evolve_diagonal"]
    assert gates.is_diagonal("mcp")
    assert not gates.is_diagonal("mcx")


# inverses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controls", [0, 1])
@by_name_also_carrying
def test_inverse_undoes_the_gate(row: gates.Gate, controls: int) -> None:
    angles, payload = random_angles(row), payload_of(row)
    whole = gates.matrix(gates.controlled(row, controls), angles, payload=payload)
    wires = len(whole).bit_length() - 1
    product = whole
    for step in gates.inverse(row, controls):
        undoing = gates.controlled(step.gate, step.controls)
        carried = gates.adjoint_operand(step.gate, payload) if row.operand else payload
        new = [gates.affine(angles, made) for made in step.angles]
        block = gates.matrix(undoing, new, payload=carried)
        product = on_wires(block, step.wires or tuple(range(wires)), wires) @ product
    np.testing.assert_allclose(product, np.eye(2**wires), atol=1e-12)


def test_inverse_of_what_forgets_is_refused() -> None:
    with pytest.raises(ValueError, match=r"initialize replaces the state it finds, .* it has no inverse"):
        gates.inverse("initialize")


def test_affine_does_no_more_arithmetic_than_it_takes() -> None:
    angle = object()  # any arithmetic on it would raise
    assert gates.affine([angle, 0.0], gates.Affine((1, 0), 0)) is angle
    assert gates.affine([angle], gates.Affine((0,), 0.5)) == 0.5
    assert gates.affine([2.0, 3.0], gates.Affine((-1, 0.5), 1)) == 0.5


# other languages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in FIXED if row.qasm2], ids=lambda row: row.name)
def test_openqasm2_name_means_this_gate(row: gates.Gate) -> None:
    angles = random_angles(row)
    arguments = f"({', '.join(map(repr, map(float, angles)))})" if angles else ""
    qubits = ", ".join(f"q[{k}]" for k in range(row.num_wires or 0))
    text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[{row.num_wires}]; {row.qasm2}{arguments} {qubits};'
    circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    np.testing.assert_allclose(gates.matrix(row, angles), dense(circuit), atol=1e-12)


def openqasm3_u(theta: float, phi: float, lam: float) -> np.ndarray:
    """The built-in U as the OpenQASM 3 specification defines it."""
    plus, minus = 1 + np.exp(1j * theta), -1j * (1 - np.exp(1j * theta))
    rows = [[plus, np.exp(1j * lam) * minus], [-np.exp(1j * phi) * minus, np.exp(1j * (phi + lam)) * plus]]
    return np.array(rows) / 2


OPENQASM3 = {  # the built-in gate and the two of stdgates.inc that are not Qiskit's to the phase
    "u": openqasm3_u,
    "u2": lambda phi, lam: np.exp(-0.5j * (phi + lam + np.pi / 2)) * openqasm3_u(np.pi / 2, phi, lam),
    "u3": lambda theta, phi, lam: np.exp(-0.5j * (phi + lam + theta)) * openqasm3_u(theta, phi, lam),
}


@pytest.mark.parametrize("name", OPENQASM3)
def test_openqasm3_gates_differ_by_the_stated_phase(name: str) -> None:
    row = GATES[name]
    angles = random_angles(row)
    assert row.qasm3_phase is not None
    phase = np.exp(1j * gates.affine(angles, row.qasm3_phase))
    np.testing.assert_allclose(phase * gates.matrix(row, angles), OPENQASM3[name](*angles), atol=1e-12)


def test_openqasm3_names_are_the_standard_ones() -> None:
    standard = """
        p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu id u1 u2 u3 U gphase
    """
    assert {row.qasm3 for row in GATES.values() if row.qasm3} == set(standard.split())
    assert {row.name for row in GATES.values() if row.qasm3_phase} == set(OPENQASM3)


def test_qiskit_names_cover_its_standard_gates() -> None:
    not_gates = {"delay", "reset", "measure"}
    ours = {row.qiskit for row in GATES.values()}
    assert set(qiskit_library.get_standard_gate_name_mapping()) - not_gates <= ours


def test_titles_are_unique_spellings() -> None:
    spelled = [
        gates.controlled(name, k).title for name, k in itertools.product(["x", "p", "ry", "u"], range(3))
    ]
    assert spelled == ["x", "cx", "ccx", "p", "cp", "mcp", "ry", "cry", "c2_ry", "u", "c1_u", "c2_u"]
