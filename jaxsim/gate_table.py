"""The gate table: one row per gate. Whatever has to know gates loops over `GATES`; a new gate is a new row.

Conventions are Qiskit's: `wires[0]` is the least significant bit of a matrix index, controls come before
targets, global phases count. A rotation about the Pauli word P is R_P(a) = exp(-i a P / 2).

A base row *states* three things independently, and the tests hold them against each other: its matrix, its
form as Pauli rotations, and its inverse. A controlled row states its base and its number of controls;
everything else *follows* from the base. `jaxsim.gates` is the door to all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any, Literal

from jaxsim import gate_matrices as m

__all__ = ["GATES", "Affine", "Gate", "Rotation", "Step"]


@dataclass(frozen=True)
class Affine:
    """An angle made from a gate's angles: `sum_k coefficients[k] * angles[k] + offset`, in radians."""

    coefficients: tuple[float, ...]
    offset: float


@dataclass(frozen=True)
class Rotation:
    """One factor `exp(-i/2 (sum_k coefficients[k] * angles[k] + offset) P)` of a gate.

    Attributes:
        label: the Pauli word P; character k acts on the gate's wire k. Nothing but "I" is a global phase.
        coefficients: one per angle of the gate.
        offset: in radians.
    """

    label: str
    coefficients: tuple[float, ...]
    offset: float


@dataclass(frozen=True)
class Step:
    """One of the instructions that undo an instruction.

    A label carries over as it is, an array through `adjoint_operand`.

    Attributes:
        gate: name of a row.
        controls: leading control wires in addition to the row's own.
        wires: positions among the wires of the instruction that is undone; None: all of them, in order.
        angles: one per angle of `gate`, made from the angles of the instruction that is undone.
    """

    gate: str
    controls: int = 0
    wires: tuple[int, ...] | None = None
    angles: tuple[Affine, ...] = ()


@dataclass(frozen=True)
class Gate:
    """A row of the table, or a row with more controls in front (see `controlled`).

    `name` and `extra_controls` are what an instruction stores of it.

    Attributes:
        name: the name here, also of the `Circuit` method.
        num_wires: controls included; None where the instruction decides.
        angles: names of the angles, in Qiskit's order.
        base: the row that acts on the last wires where all controls are 1; the row itself if there are none.
        num_controls: how many of the leading wires are controls, the extra ones included.
        extra_controls: controls on top of those that the row `name` has; 0 in the table.
        any_controls: whether the number of controls is open: rows `mcx` and `mcp`, whose `num_controls` is
            the least. No instruction carries them; `resolve` says what they are on so many wires.
        has_label: whether an instruction carries a Pauli word.
        operand: which array an instruction on k target wires carries: "matrix" (2**k, 2**k) complex,
            "phases" (2**k,) complex of modulus 1, "energies" (2**k,) real, "amplitudes" (2**k,) complex.
        description: what it does, in a line.
        aliases: further names that `gate` understands.
        qasm2: name in OpenQASM 2 (Qiskit's qelib1.inc, meant with Qiskit's global phase), or None.
        qasm3: name in OpenQASM 3 (built in or in stdgates.inc), or None.
        qasm3_phase: OpenQASM 3's gate of that name is exp(i phase) times this one; None: no difference.
        qiskit: `name` of Qiskit's gate, or None.
        formula: of a base row: the matrix or its entries, from (xp, payload if it carries one, *angles).
        rotation_form: of a base row: tuples (label, *coefficients, offset), from (payload if it carries one).
        inverse_steps: of a base row: what undoes it; empty if nothing does.
    """

    name: str
    num_wires: int | None
    angles: tuple[str, ...]
    base: str
    num_controls: int = 0
    extra_controls: int = 0
    any_controls: bool = False
    has_label: bool = False
    operand: Literal["matrix", "phases", "energies", "amplitudes"] | None = None
    description: str = ""
    aliases: tuple[str, ...] = ()
    qasm2: str | None = None
    qasm3: str | None = None
    qasm3_phase: Affine | None = None
    qiskit: str | None = None
    formula: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    rotation_form: Callable[..., Iterable[tuple[Any, ...]]] | None = field(
        default=None, compare=False, repr=False
    )
    inverse_steps: tuple[Step, ...] = field(default=(), compare=False, repr=False)

    @property
    def title(self) -> str:
        """The name to print: that of the row, or "mcx", "mcp", "c2_ry" with extra controls."""
        if not self.extra_controls:
            return self.name
        return f"mc{self.name}" if f"mc{self.name}" in GATES else f"c{self.extra_controls}_{self.name}"


# how rows are written ---------------------------------------------------------------------------------------
# An angle made from angles is written as one coefficient for each and then the offset.


def _affine(*numbers: float) -> Affine:
    return Affine(numbers[:-1], numbers[-1])


def _step(gate: str, *angles: tuple[float, ...], wires: tuple[int, ...] | None = None) -> Step:
    return Step(gate, wires=wires, angles=tuple(_affine(*numbers) for numbers in angles))


def _names(name: str, known: str, others: dict[str, Any]) -> dict[str, Any]:
    languages = {"2": "qasm2", "3": "qasm3", "q": "qiskit"}
    return {languages[letter]: name for letter in known} | others


def _row(
    name: str,
    known: str,
    num_wires: int | None,
    angles: str,
    description: str,
    matrix: Callable[..., Any] | list[Any] | None,
    rotations: Callable[..., Any] | list[Any] | None,
    inverse: list[Step] | None = None,
    **others: Any,
) -> Gate:
    return Gate(
        name,
        num_wires,
        tuple(angles.split()),
        base=name,
        description=description,
        formula=(lambda xp: matrix) if isinstance(matrix, list) else matrix,
        rotation_form=(lambda: rotations) if isinstance(rotations, list) else rotations,
        inverse_steps=(_step(name),) if inverse is None else tuple(inverse),
        **_names(name, known, others),
    )


def _controlled(name: str, known: str, base: Gate, num_controls: int, **others: Any) -> Gate:
    wires = None if base.num_wires is None or others.get("any_controls") else base.num_wires + num_controls
    condition = "where all controls are 1" if wires is None or num_controls > 1 else "where the control is 1"
    return Gate(
        name,
        wires,
        base.angles,
        base=base.name,
        num_controls=num_controls,
        description=f"{base.description}, {condition}",
        **_names(name, known, others),
    )


# the table --------------------------------------------------------------------------------------------------

_R = 1 / sqrt(2)

# name | known to OpenQASM 2, OpenQASM 3, Qiskit by this name: 2, 3, q | wires | angles | description
#     matrix
#     rotations, first to last in time
#     inverse, first to last in time; none: the gate is its own
# fmt: off
_BASES = {row.name: row for row in (
    _row("id", "23q", 1, "", "identity",
         [[1, 0], [0, 1]],
         [], aliases=("i",)),
    _row("x", "23q", 1, "", "Pauli X",
         [[0, 1], [1, 0]],
         [("X", pi), ("I", -pi)]),
    _row("y", "23q", 1, "", "Pauli Y",
         [[0, -1j], [1j, 0]],
         [("Y", pi), ("I", -pi)]),
    _row("z", "23q", 1, "", "Pauli Z",
         [[1, 0], [0, -1]],
         [("Z", pi), ("I", -pi)]),
    _row("h", "23q", 1, "", "Hadamard gate",
         [[_R, _R], [_R, -_R]],
         [("Z", pi), ("Y", pi / 2), ("I", -pi)]),
    _row("s", "23q", 1, "", "square root of Z",
         [[1, 0], [0, 1j]],
         [("Z", pi / 2), ("I", -pi / 2)],
         [_step("sdg")]),
    _row("sdg", "23q", 1, "", "inverse square root of Z",
         [[1, 0], [0, -1j]],
         [("Z", -pi / 2), ("I", pi / 2)],
         [_step("s")]),
    _row("t", "23q", 1, "", "fourth root of Z",
         [[1, 0], [0, _R + _R * 1j]],
         [("Z", pi / 4), ("I", -pi / 4)],
         [_step("tdg")]),
    _row("tdg", "23q", 1, "", "inverse fourth root of Z",
         [[1, 0], [0, _R - _R * 1j]],
         [("Z", -pi / 4), ("I", pi / 4)],
         [_step("t")]),
    _row("sx", "23q", 1, "", "square root of X",
         [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
         [("X", pi / 2), ("I", -pi / 2)],
         [_step("sxdg")]),
    _row("sxdg", "2q", 1, "", "inverse square root of X",
         [[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]],
         [("X", -pi / 2), ("I", pi / 2)],
         [_step("sx")]),

    _row("rx", "23q", 1, "theta", "exp(-i theta X / 2)", m.rx, [("X", 1, 0)], [_step("rx", (-1, 0))]),
    _row("ry", "23q", 1, "theta", "exp(-i theta Y / 2)", m.ry, [("Y", 1, 0)], [_step("ry", (-1, 0))]),
    _row("rz", "23q", 1, "theta", "exp(-i theta Z / 2)", m.rz, [("Z", 1, 0)], [_step("rz", (-1, 0))]),
    _row("r", "q", 1, "theta phi", "exp(-i theta (cos(phi) X + sin(phi) Y) / 2)", m.r,
         [("Z", 0, -1, 0), ("X", 1, 0, 0), ("Z", 0, 1, 0)],
         [_step("r", (-1, 0, 0), (0, 1, 0))]),
    _row("p", "23q", 1, "lam", "the phase exp(i lam) on 1", m.p,
         [("Z", 1, 0), ("I", -1, 0)],
         [_step("p", (-1, 0))], aliases=("phase",)),
    _row("u", "2q", 1, "theta phi lam", "the matrix product exp(i (phi + lam) / 2) rz(phi) ry(theta) rz(lam)",
         m.u,
         [("Z", 0, 0, 1, 0), ("Y", 1, 0, 0, 0), ("Z", 0, 1, 0, 0), ("I", 0, -1, -1, 0)],
         [_step("u", (-1, 0, 0, 0), (0, 0, -1, 0), (0, -1, 0, 0))],
         qasm3="U", qasm3_phase=_affine(1 / 2, 0, 0, 0)),
    _row("u1", "23q", 1, "lam", "an older name of p(lam)", m.p,
         [("Z", 1, 0), ("I", -1, 0)],
         [_step("u1", (-1, 0))]),
    _row("u2", "23q", 1, "phi lam", "u(pi/2, phi, lam)", m.u2,
         [("Z", 0, 1, 0), ("Y", 0, 0, pi / 2), ("Z", 1, 0, 0), ("I", -1, -1, 0)],
         [_step("u2", (0, -1, -pi), (-1, 0, pi))],
         qasm3_phase=_affine(-1 / 2, -1 / 2, 0)),
    _row("u3", "23q", 1, "theta phi lam", "an older name of u(theta, phi, lam)", m.u,
         [("Z", 0, 0, 1, 0), ("Y", 1, 0, 0, 0), ("Z", 0, 1, 0, 0), ("I", 0, -1, -1, 0)],
         [_step("u3", (-1, 0, 0, 0), (0, 0, -1, 0), (0, -1, 0, 0))],
         qasm3_phase=_affine(0, -1 / 2, -1 / 2, 0)),
    _row("u_phase", "", 1, "theta phi lam gamma", "exp(i gamma) u(theta, phi, lam)", m.u_phase,
         [("Z", 0, 0, 1, 0, 0), ("Y", 1, 0, 0, 0, 0), ("Z", 0, 1, 0, 0, 0), ("I", 0, -1, -1, -2, 0)],
         [_step("u_phase", (-1, 0, 0, 0, 0), (0, 0, -1, 0, 0), (0, -1, 0, 0, 0), (0, 0, 0, -1, 0))]),
    _row("global_phase", "q", 0, "theta", "the factor exp(i theta)", m.global_phase,
         [("", -2, 0)],
         [_step("global_phase", (-1, 0))], qasm3="gphase", aliases=("gphase",)),

    _row("swap", "23q", 2, "", "exchange of two wires",
         m.identity_but(4, {(1, 1): 0, (1, 2): 1, (2, 1): 1, (2, 2): 0}),
         [("XX", pi / 2), ("YY", pi / 2), ("ZZ", pi / 2), ("II", -pi / 2)]),
    _row("iswap", "q", 2, "", "exchange of two wires, with a factor i where they differ",
         m.identity_but(4, {(1, 1): 0, (1, 2): 1j, (2, 1): 1j, (2, 2): 0}),
         [("XX", -pi / 2), ("YY", -pi / 2)],
         [_step("xx_plus_yy", (pi,), (0,))]),
    _row("dcx", "q", 2, "", "cx(0, 1), then cx(1, 0)",
         [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]],
         [("ZI", pi / 2), ("IX", pi / 2), ("ZX", -pi / 2),
          ("IZ", pi / 2), ("XI", pi / 2), ("XZ", -pi / 2), ("II", -pi)],
         [_step("dcx", wires=(1, 0))]),
    _row("ecr", "q", 2, "", "echoed cross-resonance gate: rzx(pi/2), then x on the first wire",
         [[0, _R, 0, 1j * _R], [_R, 0, -1j * _R, 0], [0, 1j * _R, 0, _R], [-1j * _R, 0, _R, 0]],
         [("ZX", pi / 2), ("XI", pi), ("II", -pi)]),
    _row("rxx", "2q", 2, "theta", "exp(-i theta XX / 2)", m.rxx, [("XX", 1, 0)], [_step("rxx", (-1, 0))]),
    _row("ryy", "q", 2, "theta", "exp(-i theta YY / 2)", m.ryy, [("YY", 1, 0)], [_step("ryy", (-1, 0))]),
    _row("rzz", "2q", 2, "theta", "exp(-i theta ZZ / 2)", m.rzz, [("ZZ", 1, 0)], [_step("rzz", (-1, 0))]),
    _row("rzx", "q", 2, "theta", "exp(-i theta ZX / 2), Z on the first wire", m.rzx,
         [("ZX", 1, 0)],
         [_step("rzx", (-1, 0))]),
    _row("xx_plus_yy", "q", 2, "theta beta",
         "exp(-i theta (XX + YY) / 4) between rz(beta) and rz(-beta) on the first wire", m.xx_plus_yy,
         [("ZI", 0, 1, 0), ("XX", 1 / 2, 0, 0), ("YY", 1 / 2, 0, 0), ("ZI", 0, -1, 0)],
         [_step("xx_plus_yy", (-1, 0, 0), (0, 1, 0))]),
    _row("xx_minus_yy", "q", 2, "theta beta",
         "exp(-i theta (XX - YY) / 4) between rz(-beta) and rz(beta) on the second wire", m.xx_minus_yy,
         [("IZ", 0, -1, 0), ("XX", 1 / 2, 0, 0), ("YY", -1 / 2, 0, 0), ("IZ", 0, 1, 0)],
         [_step("xx_minus_yy", (-1, 0, 0), (0, 1, 0))]),

    # Maslov, Phys. Rev. A 93, 022311 (2016). The rotations are the T gates of the circuits given there, all
    # Clifford gates moved behind them; those leave cz(0, 2) in the first circuit and nothing in the second.
    _row("rccx", "2q", 3, "", "ccx up to relative phases",
         m.identity_but(8, {(3, 3): 0, (3, 7): -1j, (5, 5): -1, (7, 3): 1j, (7, 7): 0}),
         [("IIX", pi / 4), ("IZX", -pi / 4), ("ZZX", pi / 4), ("ZIX", -pi / 4),
          ("ZII", pi / 2), ("IIZ", pi / 2), ("ZIZ", -pi / 2), ("III", -pi / 2)]),
    _row("rc3x", "2", 4, "", "c3x up to relative phases",
         m.identity_but(16, {(3, 3): 1j, (7, 7): 0, (7, 15): 1, (11, 11): -1j, (15, 7): -1, (15, 15): 0}),
         [("IIIX", pi / 4), ("IIZX", -pi / 4), ("ZIIZ", pi / 4), ("ZZIZ", -pi / 4),
          ("IZIZ", pi / 4), ("IIIZ", -pi / 4), ("IIZX", pi / 4), ("IIIX", -pi / 4)],
         [_step("x", wires=(3,)), _step("rc3x"), _step("x", wires=(3,))], qiskit="rcccx", aliases=("rcccx",)),

    _row("unitary", "q", None, "", "a unitary given as a matrix", m.unitary, None, operand="matrix"),
    _row("diagonal", "q", None, "", "a diagonal unitary given by its entries",
         m.diagonal, m.rotations_of_phases, operand="phases"),
    _row("pauli_rotation", "", None, "theta", "exp(-i theta P / 2) for a Pauli word P",
         m.pauli_rotation, m.rotation_of_word, [_step("pauli_rotation", (-1, 0))],
         has_label=True, qiskit="pauli_product_rotation"),
    _row("evolve_diagonal", "", None, "theta", "exp(-i theta D) for a real diagonal D given by its entries",
         m.evolve_diagonal, m.rotations_of_energies, [_step("evolve_diagonal", (-1, 0))], operand="energies"),
    _row("initialize", "q", None, "", "a state given by its amplitudes, in place of |0...0>",
         None, None, [], operand="amplitudes"),
)}

# name | known to OpenQASM 2, OpenQASM 3, Qiskit by this name | base | controls
_CONTROLLED = {row.name: row for row in (
    _controlled("cx", "23q", _BASES["x"], 1, aliases=("cnot",)),
    _controlled("cy", "23q", _BASES["y"], 1),
    _controlled("cz", "23q", _BASES["z"], 1),
    _controlled("ch", "23q", _BASES["h"], 1),
    _controlled("cs", "q", _BASES["s"], 1),
    _controlled("csdg", "q", _BASES["sdg"], 1),
    _controlled("csx", "2q", _BASES["sx"], 1),
    _controlled("cp", "23q", _BASES["p"], 1, aliases=("cphase",)),
    _controlled("crx", "23q", _BASES["rx"], 1),
    _controlled("cry", "23q", _BASES["ry"], 1),
    _controlled("crz", "23q", _BASES["rz"], 1),
    _controlled("cu", "23q", _BASES["u_phase"], 1),
    _controlled("cu1", "2q", _BASES["u1"], 1),
    _controlled("cu3", "2q", _BASES["u3"], 1),
    _controlled("cswap", "23q", _BASES["swap"], 1, aliases=("fredkin",)),
    _controlled("ccx", "23q", _BASES["x"], 2, aliases=("toffoli",)),
    _controlled("ccz", "q", _BASES["z"], 2),
    _controlled("c3x", "2", _BASES["x"], 3, qiskit="mcx"),
    _controlled("c4x", "2", _BASES["x"], 4, qiskit="mcx"),
    _controlled("c3sx", "q", _BASES["sx"], 3, qasm2="c3sqrtx", aliases=("c3sqrtx",)),
    _controlled("mcx", "q", _BASES["x"], 1, any_controls=True),
    _controlled("mcp", "", _BASES["p"], 1, any_controls=True, qiskit="mcphase", aliases=("mcphase",)),
)}
# fmt: on

GATES: dict[str, Gate] = _BASES | _CONTROLLED
"""Every row, by name."""
