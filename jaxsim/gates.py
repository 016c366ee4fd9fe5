"""What one can ask of the gate table: names, controls, matrices, rotation forms, inverses.

The rows are in `jaxsim.gate_table`. A gate is given by its name, an alias, or a `Gate` (a row, or what
`controlled` and `resolve` make of one).
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from math import pi
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.gate_matrices import PAULI, stacked, under_controls
from jaxsim.gate_table import GATES, Affine, Gate, Rotation, Step

if TYPE_CHECKING:
    from jaxtyping import Complex

__all__ = [
    "GATES",
    "Affine",
    "Gate",
    "Rotation",
    "Step",
    "adjoint_operand",
    "affine",
    "controlled",
    "gate",
    "inverse",
    "is_clifford",
    "is_diagonal",
    "matrix",
    "resolve",
    "rotations",
    "wire_names",
]

_BY_NAME = {name: row for row in GATES.values() for name in (row.name, *row.aliases)}
_BY_BASE = {(row.base, row.num_controls): row for row in GATES.values() if not row.any_controls}


# which gate -------------------------------------------------------------------------------------------------


def gate(name: str | Gate) -> Gate:
    """The row of this name or alias; a `Gate` is returned as it is.

    Raises:
        ValueError: if no gate is called that; the message names close ones.

    Example:
        >>> from jaxsim import gates
        >>> gates.gate("toffoli").name, gates.gate("crx").base, gates.gate("crx").num_controls
        ('ccx', 'rx', 1)
    """
    if isinstance(name, Gate):
        return name
    row = _BY_NAME.get(name)
    if row is None:
        close = difflib.get_close_matches(str(name).lower(), _BY_NAME)
        hint = (
            f"Did you mean {' or '.join(map(repr, close))}?"
            if close
            else "jaxsim.gates.GATES has all of them."
        )
        raise ValueError(f"There is no gate called {name!r}. {hint}")
    return row


def controlled(name: str | Gate, controls: int = 1) -> Gate:
    """The gate with more controls in front, spelled in the one canonical way.

    That is the row for it if there is one, else its base with all controls as extra ones. An instruction
    stores the answer's `name` and `extra_controls`.

    Args:
        name: the gate.
        controls: how many more, 0 or more.

    Raises:
        ValueError: for a negative number; for `initialize`; for `mcx` and `mcp`, of open number already.

    Example:
        >>> from jaxsim import gates
        >>> [gates.controlled("x", k).title for k in range(6)]
        ['x', 'cx', 'ccx', 'c3x', 'c4x', 'mcx']
        >>> g = gates.controlled("crz", 2)
        >>> g.name, g.extra_controls, g.num_wires
        ('rz', 3, 4)
    """
    row = closed(name)
    if controls < 0:
        raise ValueError(f"{row.title}: {controls} more controls were asked for; give 0 or more.")
    if controls and row.operand == "amplitudes":
        raise ValueError(f"{row.title} sets a state and is no unitary gate, so it takes no controls.")
    base, total = row.base, row.num_controls + controls
    if base == "global_phase" and total:
        base, total = "p", total - 1  # a phase where a control is 1 is a phase gate on that control
    wires = None if row.num_wires is None else row.num_wires + controls
    known = _BY_BASE.get((base, total))
    if known is not None:
        return known if known.num_wires == wires else replace(known, num_wires=wires)
    names_elsewhere = {"aliases": (), "qasm2": None, "qasm3": None, "qasm3_phase": None, "qiskit": None}
    return replace(GATES[base], num_wires=wires, num_controls=total, extra_controls=total, **names_elsewhere)


def resolve(name: str | Gate, num_wires: int, controls: int = 0) -> Gate:
    """The gate that an instruction stands for, nothing left open: its base, all its controls, all its wires.

    Args:
        name: the gate, which may be `mcx` or `mcp`.
        num_wires: how many wires the instruction has, controls included.
        controls: controls in addition to the gate's own; they are among the wires.

    Raises:
        ValueError: for an unknown name, or a number of wires that the gate cannot have.

    Example:
        >>> from jaxsim import gates
        >>> g = gates.resolve("mcp", 6)
        >>> g.name, g.extra_controls, g.title
        ('p', 5, 'mcp')
        >>> gates.resolve("unitary", 3, controls=1).num_controls
        1
    """
    row = gate(name)
    if row.any_controls:
        least = row.num_controls + controls + 1
        if num_wires < least:
            raise ValueError(
                f"{row.name} acts on {least} wires or more, controls first, but is given {num_wires}."
            )
        return controlled(row.base, num_wires - 1)
    whole = controlled(row, controls)
    if whole.num_wires is None:
        return replace(whole, num_wires=num_wires)
    if whole.num_wires != num_wires:
        raise ValueError(f"{whole.title} acts on {whole.num_wires} wires, but is given {num_wires}.")
    return whole


def wire_names(name: str | Gate) -> tuple[str, ...]:
    """Names of the gate's wires, for signatures and messages.

    Raises:
        ValueError: if the number of wires is open.

    Example:
        >>> from jaxsim import gates
        >>> gates.wire_names("h"), gates.wire_names("cx"), gates.wire_names("cswap")
        (('wire',), ('control', 'target'), ('control', 'target0', 'target1'))
    """
    row = closed(name)
    if row.num_wires is None:
        raise ValueError(f"{row.title} acts on any number of wires, which have no names.")
    targets = _numbered("target" if row.num_controls else "wire", row.num_wires - row.num_controls)
    return (*_numbered("control", row.num_controls), *targets)


# what it does -----------------------------------------------------------------------------------------------


def matrix(
    name: str | Gate, angles: Sequence[Any] = (), xp: ModuleType = np, *, payload: Any = None
) -> Complex[Any, "... size size"]:
    """The gate's matrix; wires[0] is the least significant bit of an index.

    With `jax.numpy` this is a function to trace. The matrix of a gate without angles is NumPy complex128
    whatever `xp` is, so that constants can be multiplied up in double precision before they are rounded.

    Args:
        name: the gate.
        angles: one array per angle, in radians, which broadcast to a common shape (...).
        xp: `numpy` or `jax.numpy`.
        payload: the Pauli word or the array, for gates that carry one.

    Returns:
        Shape (..., 2**k, 2**k); complex64 for float32 angles, complex128 for float64.

    Raises:
        ValueError: for a wrong number of angles, a missing payload; for `initialize`, `mcx` and `mcp`.

    Example:
        >>> from jaxsim import gates
        >>> gates.matrix("cx").real.astype(int).tolist()
        [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    """
    row = closed(name)
    formula = GATES[row.base].formula
    if formula is None:
        raise ValueError(f"{row.title} sets a state and is no unitary gate, so it has no matrix.")
    if len(angles) != len(row.angles):
        expected = f"{len(row.angles)} angles ({', '.join(row.angles)})" if row.angles else "no angles"
        raise ValueError(f"{row.title} takes {expected}, but {len(angles)} are given.")
    carried = _carried(row, payload)
    if not angles and not carried:
        return under_controls(np, np.array(formula(np), dtype=np.complex128), row.num_controls)
    arrays = [xp.asarray(angle) for angle in angles]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    block = formula(xp, *carried, *(xp.broadcast_to(array, shape) for array in arrays))
    if isinstance(block, list):
        block = stacked(xp, block, shape, xp.result_type(np.complex64, *(array.dtype for array in arrays)))
    return under_controls(xp, block, row.num_controls)


def rotations(name: str | Gate, controls: int = 0, *, payload: Any = None) -> tuple[Rotation, ...]:
    """The gate as Pauli rotations, first to last in time; exact, global phase included.

    With k controls a rotation becomes 2**k commuting ones: the projector on all controls being 1 is
    Pi = prod_c (1 - Z_c)/2, so exp(-i a/2 P Pi) is the product, over the subsets S of the controls, of
    exp(-i/2 a (-1)**|S| / 2**k Z_S P).

    Args:
        name: the gate.
        controls: controls in addition to the gate's own, in front of its wires.
        payload: the Pauli word or the (concrete) array, for gates that carry one. A `diagonal` or an
            `evolve_diagonal` on k wires has up to 2**k rotations.

    Raises:
        ValueError: for a missing payload; for `unitary`, `initialize`, `mcx` and `mcp`.

    Example:
        >>> from jaxsim import gates
        >>> [(rotation.label, rotation.coefficients) for rotation in gates.rotations("cp")]
        [('IZ', (0.5,)), ('ZZ', (-0.5,)), ('II', (-0.5,)), ('ZI', (0.5,))]
    """
    row = controlled(name, controls)
    form = GATES[row.base].rotation_form
    if form is None:
        raise ValueError(
            f"{row.title} has no rotation form in the gate table: its array alone says what it does."
        )
    shares = [
        ("".join(letters), (-1) ** letters.count("Z") / 2**row.num_controls)
        for letters in itertools.product("IZ", repeat=row.num_controls)
    ]
    return tuple(
        Rotation(letters + word, tuple(share * c for c in coefficients), share * offset)
        for word, *coefficients, offset in form(*_carried(row, payload))
        for letters, share in shares
    )


def inverse(name: str | Gate, controls: int = 0) -> tuple[Step, ...]:
    """The instructions, first to last in time, that undo an instruction of this gate.

    Their angles come from `affine`, their arrays from `adjoint_operand`; a label carries over.

    Args:
        name: the gate.
        controls: controls in addition to the gate's own, in front of its wires.

    Raises:
        ValueError: for `initialize`, which nothing undoes; for `mcx` and `mcp`.

    Example:
        >>> from jaxsim import gates
        >>> gates.inverse("csx")
        (Step(gate='sxdg', controls=1, wires=None, angles=()),)
        >>> [step.wires for step in gates.inverse("dcx", controls=1)]
        [(0, 2, 1)]
    """
    row = controlled(name, controls)
    steps = GATES[row.base].inverse_steps
    if not steps:
        raise ValueError(
            f"{row.title} replaces the state it finds, which no gate brings back: it has no inverse."
        )
    k = row.num_controls
    undoing = []
    for step in steps:
        whole = controlled(step.gate, k)
        wires = None if step.wires is None else (*range(k), *(k + wire for wire in step.wires))
        undoing.append(replace(step, gate=whole.name, controls=whole.extra_controls, wires=wires))
    return tuple(undoing)


def affine(angles: Sequence[Any], made: Affine | Rotation) -> Any:
    """The angle `sum_k coefficients[k] * angles[k] + offset`, with no more arithmetic than it takes.

    Args:
        angles: numbers, arrays, tracers or symbolic expressions; one that passes unchanged comes back itself.
        made: an angle of a `Step`, or a `Rotation`.

    Example:
        >>> from jaxsim import gates
        >>> gates.affine([0.25, 0.5], gates.inverse("u2")[0].angles[0])
        -3.641592653589793
    """
    terms = [a if c == 1 else -a if c == -1 else c * a for c, a in zip(made.coefficients, angles) if c]
    if made.offset or not terms:
        terms.append(made.offset)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def adjoint_operand(name: str | Gate, operand: Any) -> Any:
    """The array that the inverse of an instruction carries: of a matrix the adjoint, of phases the conjugate.

    Energies stay as they are, since the inverse negates the angle. Leading batch axes and tracers are fine.

    Example:
        >>> import numpy as np
        >>> from jaxsim import gates
        >>> gates.adjoint_operand("diagonal", np.array([1, 1j]))
        array([1.-0.j, 0.-1.j])
    """
    kind = gate(name).operand
    if kind == "energies":
        return operand
    return operand.conj().swapaxes(-1, -2) if kind == "matrix" else operand.conj()


def is_clifford(name: str | Gate) -> bool:
    """Whether the gate maps Pauli words to Pauli words, whatever its angles, payload and open controls.

    Read off the rotation form: no angles, and a multiple of pi/2 about every word but the identity.

    Example:
        >>> from jaxsim import gates
        >>> gates.is_clifford("ecr"), gates.is_clifford("ccx"), gates.is_clifford("rz")
        (True, False, False)
    """
    row = gate(name)
    if row.angles or row.operand or row.any_controls:
        return False
    turns = [rotation.offset / (pi / 2) for rotation in rotations(row) if rotation.label.strip("I")]
    return all(abs(turn - round(turn)) < 1e-12 for turn in turns)


def is_diagonal(name: str | Gate) -> bool:
    """Whether the gate's matrix is diagonal, whatever its angles and payload; read off the rotation form.

    Example:
        >>> from jaxsim import gates
        >>> gates.is_diagonal("crz"), gates.is_diagonal("mcp"), gates.is_diagonal("swap")
        (True, True, False)
    """
    base = GATES[gate(name).base]
    if base.operand or base.has_label:
        return base.operand in ("phases", "energies")
    return all(set(rotation.label) <= set("IZ") for rotation in rotations(base))


# inside -----------------------------------------------------------------------------------------------------


def closed(name: str | Gate) -> Gate:
    row = gate(name)
    if row.any_controls:
        raise ValueError(
            f"{row.name} stands for any number of controls: say how many, "
            f"as in controlled({row.base!r}, 5) or resolve({row.name!r}, 6)."
        )
    return row


def _carried(row: Gate, payload: Any) -> tuple[Any, ...]:
    """What the formulas of the base take before angles: the payload, if the gate has one."""
    if not (row.operand or row.has_label):
        return ()
    if payload is None:
        what = "a Pauli word" if row.has_label else f"an array ({row.operand})"
        raise ValueError(f"{row.title} carries {what}: give it as `payload`.")
    if row.has_label and (strange := set(payload) - set(PAULI)):
        raise ValueError(f"{row.title}: {payload!r} has {min(strange)!r}; the letters are I, X, Y and Z.")
    return (payload,)


def _numbered(noun: str, count: int) -> list[str]:
    return [noun] if count == 1 else [f"{noun}{k}" for k in range(count)]
