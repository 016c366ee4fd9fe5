"""Circuits: how they are built, taken apart, bound, saved, and what JAX sees of them.

What a circuit *does* is checked here by dense matrices made from the gate table with NumPy, without an engine.
"""
# Errors are provoked on purpose:
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from jaxsim import circuit as circuits
from jaxsim import gates
from jaxsim.circuit import Circuit
from jaxsim.gates import GATES, controlled
from jaxsim.parameters import Parameter, ParameterVector
from jaxsim.structure import Instruction, Structure

A, B = Parameter("a"), Parameter("b")
FIXED = [row for row in GATES.values() if row.num_wires is not None]
by_row = pytest.mark.parametrize("row", FIXED, ids=lambda row: row.name)

# random circuits over the whole table -----------------------------------------------------------------------


def random_unitary(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]


def append_random_gate(c: Circuit, row: gates.Gate, rng: np.random.Generator) -> None:
    """Appends a gate of this row on random wires, with random angles and, if there is room, a random control."""
    angles = list(rng.uniform(-4, 4, len(row.angles)))
    wires = rng.permutation(c.num_wires).tolist()
    if row.any_controls:
        last = rng.integers(1, c.num_wires)
        getattr(c, row.name)(*angles, wires[:last], wires[last])
    elif row.operand or row.has_label:
        k = int(rng.integers(1, min(3, c.num_wires) + 1))
        payload = {
            "matrix": lambda: random_unitary(2**k, rng),
            "phases": lambda: np.exp(1j * rng.uniform(-4, 4, 2**k)),
            "energies": lambda: rng.normal(size=2**k),
            None: lambda: "".join(rng.choice(list("IXYZ"), k)),
        }[row.operand]()
        getattr(c, row.name)(*angles, payload, wires[:k], controls=wires[k : k + int(rng.integers(2))])
    else:
        assert row.num_wires is not None
        controls = int(rng.integers(2)) if row.num_wires < c.num_wires else 0
        if row.num_wires + controls <= c.num_wires:
            c.append(row, angles, wires[: row.num_wires + controls], controls=controls)


def random_circuit(num_wires: int, num_gates: int, seed: int) -> Circuit:
    rng = np.random.default_rng(seed)
    rows = [row for row in GATES.values() if row.operand != "amplitudes"]
    c = Circuit(num_wires)
    for _ in range(num_gates):
        append_random_gate(c, rows[rng.integers(len(rows))], rng)
    return c


def dense(c: Circuit) -> np.ndarray:
    """The matrix of a circuit without open parameters: every gate as kron(identity, gate), wires permuted."""
    n = c.num_wires
    total = np.eye(2**n, dtype=complex)
    for i in c.instructions:
        row = gates.resolve(i.gate, len(i.wires), i.controls)
        payload = i.label or (None if i.operand is None else c.operands[i.operand])
        small = gates.matrix(row, [np.float64(c.angles[s]) for s in i.slots], payload=payload)
        order = [*i.wires, *(w for w in range(n) if w not in i.wires)]  # order[k] becomes bit k
        index = sum(((np.arange(2**n) >> w & 1) << k) for k, w in enumerate(order))
        whole = np.kron(np.eye(2 ** (n - len(i.wires))), small)
        total = whole[np.ix_(index, index)] @ total
    return total


SIZES = [(1, 12, 1), (2, 15, 2), (3, 25, 3), (4, 40, 4), (5, 60, 5), (5, 60, 6)]
random_circuits = pytest.mark.parametrize("num_wires, num_gates, seed", SIZES)


def equal_up_to_rounding(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() < 1e-12)


# appending: every row of the table ----------------------------------------------------------------------------


@by_row
def test_method_of_every_row(row: gates.Gate):
    wires = list(range(row.num_wires or 0))[::-1]
    angles = [0.1 * (k + 1) for k in range(len(row.angles))]
    names = (*row.angles, *gates.wire_names(row))
    c = Circuit(5)
    assert getattr(c, row.name)(*angles, *wires) is c
    by_name = getattr(Circuit(5), row.name)(**dict(zip(names, [*angles, *wires])))
    appended = Circuit(5).append(row.name, angles, wires)
    assert c == by_name == appended
    slots = tuple(range(len(angles)))
    assert c.instructions == (Instruction(row.name, tuple(wires), slots),)
    assert c.angles.tolist() == angles
    for alias in row.aliases:
        assert getattr(Circuit(5), alias)(*angles, *wires) == c == Circuit(5).append(alias, angles, wires)


@by_row
def test_method_of_every_row_broadcasts(row: gates.Gate):
    num_wires = row.num_wires or 0
    columns = [[k, k + 5, k + 10] for k in range(num_wires)]
    angles = [np.array([0.1, 0.2, 0.3]) + k for k in range(len(row.angles))]
    angles[1:] = [0.5] * len(angles[1:])  # the others are shared
    c = getattr(Circuit(15), row.name)(*angles, *columns)
    one_by_one = Circuit(15)
    for b in range(3 if num_wires or angles else 1):
        getattr(one_by_one, row.name)(
            *(float(a[b]) if isinstance(a, np.ndarray) else a for a in angles),
            *(column[b] for column in columns),
        )
    assert c == one_by_one


@by_row
def test_signature_and_documentation_of_every_row(row: gates.Gate):
    method = getattr(Circuit, row.name)
    names = (*row.angles, *gates.wire_names(row))
    assert tuple(inspect.signature(method).parameters) == ("self", *names)
    assert row.description in method.__doc__
    with pytest.raises(
        TypeError, match=rf"{row.name} is called as c\.{row.name}\({', '.join(names)}\), but got"
    ):
        getattr(Circuit(5), row.name)(*[0] * (len(names) + 1))
    with pytest.raises(TypeError, match="colour"):
        getattr(Circuit(5), row.name)(*[0] * len(names), colour=1)


def test_every_row_and_alias_has_a_method():
    for row in GATES.values():
        for name in (row.name, *row.aliases):
            assert callable(getattr(Circuit, name)), name


def test_append_takes_rows_aliases_and_controls():
    c = Circuit(6)
    c.append("toffoli", (), [0, 1, 2]).append(controlled("ry", 2), 0.3, [0, 1, 2]).append("x", wires=3)
    c.append("x", (), [0, 1], controls=1).append("cx", (), range(6), controls=4)
    c.append("rx", [[0.1, 0.2]], [range(2)]).append("global_phase", 0.7).append(
        "global_phase", 0.7, 4, controls=1
    )
    assert c.count_gates() == {
        **{"ccx": 1, "c2_ry": 1, "x": 1, "cx": 1, "mcx": 1, "rx": 2, "global_phase": 1, "p": 1},
    }
    assert c.instructions[4] == Instruction("x", tuple(range(6)), (), controls=5)


@pytest.mark.parametrize("make", [list, tuple, np.array, jnp.array, lambda a: jnp.array(a)])
def test_append_takes_angles_as_any_sequence(make: Any):
    c = Circuit(1).append("u", make([0.25, 0.5, 0.75]), [0])
    assert [float(a) for a in c.angles] == [0.25, 0.5, 0.75] and len(c) == 1


def test_multi_controlled_gates_are_the_rows_where_there_are_rows():
    c = Circuit(7)
    for k in range(6):
        c.mcx(list(range(k)), 6).mcp(0.1, list(range(k)), 6)
    assert list(c.count_gates()) == ["x", "p", "cx", "cp", "ccx", "mcp", "c3x", "c4x", "mcx"]


def test_wires_of_any_integer_kind():
    expected = Circuit(3).cx([0, 1], [1, 2])
    for zero_one, one_two in [
        (range(2), range(1, 3)),
        (np.arange(2), np.arange(1, 3, dtype=np.uint8)),
        (jnp.arange(2), (1, 2)),
        ((w for w in (0, 1)), [np.int64(1), np.int16(2)]),
    ]:
        assert Circuit(3).cx(zero_one, one_two) == expected
    assert Circuit(3).cx(0, np.int64(2)) == Circuit(3).cx(jnp.int32(0), np.array(2))
    assert all(type(w) is int for w in Circuit(3).cx(np.int64(0), np.int64(2)).instructions[0].wires)


def test_no_wires_no_gates():
    assert len(Circuit(1).h([]).cx(range(0), range(1, 1)).rx(0.1, []).rx(jnp.zeros(0), [])) == 0


# appending: errors ------------------------------------------------------------------------------------------

RANGE = r"is out of range for a circuit of 4 qubits \(0 to 3\)\."
REAL = r"angles are real numbers in radians, but"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda c: c.cx(0, 5), ValueError, rf"^cx: wire 5 {RANGE}$"),
        (lambda c: c.h(-1), ValueError, rf"^h: wire -1 {RANGE}$"),
        (lambda c: c.h([0, 1, 4]), ValueError, rf"^h: wire 4 {RANGE}$"),
        (lambda c: c.mcx(range(4), 7), ValueError, rf"^c4x: wire 7 {RANGE}$"),
        (
            lambda c: c.cx(2, 2),
            ValueError,
            r"^cx: wire 2 occurs twice in \(2, 2\); a gate acts on different wires",
        ),
        (lambda c: c.ccx(0, [1, 2], [2, 0]), ValueError, r"^ccx: wire 0 occurs twice in \(0, 2, 0\)"),
        (lambda c: c.mcx([0, 1, 0], 2), ValueError, "wire 0 occurs twice"),
        (lambda c: c.unitary(np.eye(4), [1, 1]), ValueError, "^unitary: wire 1 occurs twice"),
        (lambda c: c.h(True), TypeError, "^h: a wire is an integer, but True was given"),
        (lambda c: c.h([0, True]), TypeError, "^h: a wire is an integer, but True"),
        (lambda c: c.h(1.0), TypeError, "^h: a wire is an integer or a sequence of integers, but 1.0"),
        (lambda c: c.h([0.0]), TypeError, "^h: a wire is an integer, but 0.0"),
        (lambda c: c.h(np.array([0.5])), TypeError, "^h: a wire is an integer, but 0.5"),
        (lambda c: c.h("0"), TypeError, "^h: a wire is an integer or a sequence of integers, but '0'"),
        (lambda c: c.h(None), TypeError, "^h: a wire is an integer or a sequence"),
        (lambda c: c.h([[0, 1]]), TypeError, r"^h: a wire is an integer, but \[0, 1\]"),
        (lambda c: jax.jit(lambda w: c.h(w).angles)(1), TypeError, "wires are part of a circuit's structure"),
        (
            lambda c: c.append("rx", [0.1, 0.2], [0]),
            ValueError,
            r"^rx takes 1 angle \(theta\), but 2 were given",
        ),
        (lambda c: c.append("u", [0.1], [0]), ValueError, r"^u takes 3 angles \(theta, phi, lam\), but 1"),
        (lambda c: c.append("h", [0.1], [0]), ValueError, r"^h takes 0 angles, but 1 were given"),
        (lambda c: c.append("cx", (), [0]), ValueError, "^cx acts on 2 wires, but 1 were given"),
        (lambda c: c.append("h"), ValueError, "^h acts on 1 wire, but 0 were given"),
        (lambda c: c.append("ry", 0.1, [0], controls=2), ValueError, "^c2_ry acts on 3 wires, but 1"),
        (lambda c: c.append("ry", 0.1, [0], controls=-1), ValueError, "give 0 or more"),
        (lambda c: c.append("ry", 0.1, [0, 1], controls=1.0), TypeError, "controls as an integer, but 1.0"),
        (lambda c: c.append("cxx", (), [0, 1]), ValueError, "There is no gate called 'cxx'. Did you mean"),
        (
            lambda c: c.append("mcx", (), [0, 1]),
            ValueError,
            r"mcx needs more than angles and wires: use Circuit.mcx",
        ),
        (lambda c: c.append("unitary", (), [0, 1]), ValueError, r"use Circuit.unitary\(...\)"),
        (lambda c: c.rx(1j, 0), TypeError, rf"^rx \(theta\): {REAL} 1j is complex"),
        (lambda c: c.rx(np.array([1j]), 0), TypeError, rf"^rx \(theta\): {REAL} .* is complex"),
        (lambda c: c.rx(jnp.array(1j), 0), TypeError, rf"^rx \(theta\): {REAL} a complex complex64 array"),
        (lambda c: c.rx([0.1, jnp.array(1j)], [0, 1]), TypeError, rf"{REAL} a complex complex64 array"),
        (
            lambda c: c.rx(float("nan"), 0),
            ValueError,
            r"^rx \(theta\): angles must be finite numbers, but nan",
        ),
        (lambda c: c.rx([0.1, np.inf], [0, 1]), ValueError, "angles must be finite numbers"),
        (lambda c: c.rx(jnp.array(jnp.nan), 0), ValueError, "angles must be finite numbers"),
        (lambda c: c.u(0.1, 0.2, "0.3", 0), TypeError, rf"^u \(lam\): {REAL} '0.3' was given"),
        (lambda c: c.rx(True, 0), TypeError, rf"{REAL} True was given"),
        (lambda c: c.rx(jnp.array(True), 0), TypeError, rf"{REAL} a bool array was given"),
        (lambda c: c.rx(None, 0), TypeError, rf"{REAL} None was given"),
        (lambda c: c.rx([None, A], [0, 1]), TypeError, rf"{REAL} None was given"),
        (lambda c: c.rx([A, 1j], [0, 1]), TypeError, rf"{REAL} 1j is complex"),
        (lambda c: c.rx([[0.1], [0.2, 0.3]], [0, 1]), TypeError, REAL),
        (lambda c: c.rx([A, [0.1, 0.2]], [0, 1]), ValueError, "an entry of a list of angles is a scalar"),
        (lambda c: c.rx([jnp.zeros(1), 0.2], [0, 1]), ValueError, "an entry of a list of angles is a scalar"),
        (lambda c: c.rx(np.zeros((2, 2)), 0), ValueError, r"a scalar or a 1-D array, but has shape \(2, 2\)"),
        (
            lambda c: c.rx(jnp.zeros((2, 2)), 0),
            ValueError,
            r"a scalar or a 1-D array, but has shape \(2, 2\)",
        ),
        (lambda c: c.rx(ParameterVector("t", 4).reshape(2, 2), 0), ValueError, r"but has shape \(2, 2\)"),
        (
            lambda c: c.rx([0.1, 0.2], [0, 1, 2]),
            ValueError,
            r"^rx: angles and wires of lengths \[3, 2\] do not broadcast",
        ),
        (
            lambda c: c.cx([0, 1], [1, 2, 3]),
            ValueError,
            "do not broadcast; each must have length 1 or the same",
        ),
        (lambda c: c.rx(1 / (B - B + 0.0), 0), ZeroDivisionError, "cannot divide"),
        (
            lambda c: c.mcx([0], [1, 2]),
            ValueError,
            r"^mcx takes one target, but 2 wires were given: \[1, 2\]",
        ),
        (lambda c: c.mcp([0.1, 0.2], [0], 1), ValueError, "^mcp is one gate with one angle"),
        (
            lambda c: c.pauli_rotation([0.1], "X", [0]),
            ValueError,
            "^pauli_rotation is one gate with one angle",
        ),
        (
            lambda c: c.pauli_rotation(0.1, "xy", [0, 1]),
            ValueError,
            "label made of I, X, Y and Z, such as 'XYZ', but 'xy'",
        ),
        (lambda c: c.pauli_rotation(0.1, "", []), ValueError, "label made of I, X, Y and Z"),
        (
            lambda c: c.pauli_rotation(0.1, "XY", [0]),
            ValueError,
            "has 2 characters for 1 wire; character k acts on",
        ),
        (lambda c: c.swap_all(0), AttributeError, "swap_all"),
    ],
)
def test_errors_of_appending_leave_the_circuit_as_it_was(call: Any, error: type[Exception], message: str):
    c = Circuit(4).rx(A, 0).unitary(np.eye(2), 1)
    before = c.structure
    with pytest.raises(error, match=message):
        call(c)
    assert c.structure is before and c == Circuit(4).rx(A, 0).unitary(np.eye(2), 1)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda c: c.unitary(np.eye(2), [0, 1]),
            ValueError,
            r"must have shape \(4, 4\) for 2 wires, but has shape \(2, 2\)",
        ),
        (
            lambda c: c.unitary([[1, 1], [0, 1]], 0),
            ValueError,
            r"not unitary \(the largest entry of U U\^dagger - 1 is 1.0e",
        ),
        (lambda c: c.unitary([[1, 0], [0]], 0), ValueError, "its rows differ in length"),
        (lambda c: c.unitary([["a", "b"], ["c", "d"]], 0), TypeError, "must hold numbers, but its dtype is"),
        (lambda c: c.unitary(np.full((2, 2), np.nan), 0), ValueError, "NaN or infinite"),
        (lambda c: c.unitary([[1]], []), ValueError, "unitary acts on at least one wire"),
        (lambda c: c.unitary(np.eye(2), 0, controls=0), ValueError, "wire 0 occurs twice"),
        (
            lambda c: c.diagonal([1, 2], 0),
            ValueError,
            r"modulus 1, but one differs .* 1.0e\+00. .* use evolve_diagonal",
        ),
        (lambda c: c.diagonal([1, 1, 1], 0), ValueError, r"shape \(2,\) for 1 wire, but has shape \(3,\)"),
        (
            lambda c: c.evolve_diagonal(0.1, [1j, 0], 0),
            TypeError,
            "the diagonal must be real, but its dtype is complex128",
        ),
        (lambda c: c.evolve_diagonal(0.1, [np.inf, 0], 0), ValueError, "NaN or infinite"),
        (lambda c: c.evolve_diagonal([0.1], [1, 0], 0), ValueError, "one gate with one angle"),
        (
            lambda c: c.evolve_diagonal(0.1, np.zeros(4)),
            ValueError,
            r"shape \(8,\) for 3 wires, but has shape \(4,\)",
        ),
        (
            lambda c: c.initialize([1, 1], 0),
            ValueError,
            "norm of the state differs from 1 by 4.1e-01; divide",
        ),
        (lambda c: c.initialize([1, 0, 0], 0), ValueError, r"shape \(2,\)"),
        (lambda c: c.initialize(np.eye(8)[0]), ValueError, "^initialize: wire 2 has been acted on already"),
        (lambda c: c.initialize([1, 0], 2), ValueError, "prepare a state before any gate on its wires"),
        (
            lambda c: c.compose(Circuit(1).initialize([1, 0]), [2]),
            ValueError,
            "wire 2 has been acted on already",
        ),
        (lambda c: Circuit(1).initialize([1, 0]).repeat(2), ValueError, "wire 0 has been acted on already"),
        (
            lambda c: Circuit(1).initialize([1, 0]).inverse(),
            ValueError,
            "initialize replaces the state .* no inverse",
        ),
    ],
)
def test_errors_of_arrays(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call(Circuit(3).h(2))


def test_initialize_is_fine_beside_gates():
    c = Circuit(3).h(2).initialize([0.6, 0.8j], 0).initialize([1, 0], 1)
    assert (Circuit(3).h(0) + Circuit(3).initialize([1, 0], 1)).count_gates() == {"h": 1, "initialize": 1}
    assert c.remap([2, 1, 0]).instructions[1].wires == (2,)


def test_unitarity_is_checked_to_five_digits_and_not_of_tracers():
    Circuit(1).unitary(np.eye(2) + 1e-6, 0)
    with pytest.raises(ValueError, match="not unitary"):
        Circuit(1).unitary(np.eye(2) + 1e-4, 0)
    assert jax.eval_shape(lambda u: Circuit(1).unitary(u, 0), jnp.ones((2, 2))).operands[0].shape == (2, 2)


# angles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "angle", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2), [0.5], (0.5,), A * 0 + 0.5]
)
def test_angles_of_any_real_kind(angle: Any):
    c = Circuit(1).rx(angle, 0)
    assert c.angles.tolist() == [0.5] and c.angles.dtype == np.float64 and c.parameters == ()


@pytest.mark.parametrize(
    "angle", [1, np.uint8(1), np.array([1]), range(1, 2), jnp.array([1]), jnp.bfloat16(1)]
)
def test_integer_angles_become_floats(angle: Any):
    c = Circuit(1).rx(angle, 0)
    assert np.asarray(c.angles).tolist() == [1.0] and c.angles.dtype in (np.float32, np.float64)


def test_numbers_parameters_and_jax_values_mix():
    t = ParameterVector("t", 2)

    def build(x: Any) -> Circuit:
        c = Circuit(3).rx(0.25, 0).ry(t, [0, 1]).u(x[0], A, 0.5, 2)
        return c.rz([x[1], 2 * B, 0.75], range(3)).rx(x, [0, 1]).rx([0.1, B], [0, 1]).h(0)

    expected = [0.25, 0, 0, 1, 0, 0.5, 2, 0, 0.75, 1, 2, 0.1, 0]
    for c in (build(jnp.array([1.0, 2.0])), jax.jit(build)(jnp.array([1.0, 2.0]))):
        np.testing.assert_allclose(c.angles, expected, rtol=1e-7)
        assert [slot for slot, _ in c.structure.expressions] == [1, 2, 4, 7, 12]
        assert c.parameters == (A, B, t[0], t[1])
        assert isinstance(c.angles, jax.Array)


def test_parameters_are_sorted_and_counted_once():
    t = ParameterVector("t", 11)
    c = Circuit(1).rx(t[10], 0).rx(t[2] + B, 0).rx(2 * t[2], 0).rx(A, 0)
    assert c.parameters == (A, B, t[2], t[10]) and c.num_parameters == 4
    assert repr(c) == "Circuit(1 qubit, 4 gates: rx 4, 4 parameters)"


def test_the_angle_vector_cannot_be_written_to():
    c = Circuit(2).rx([0.1, 0.2], range(2))
    for made in (c, c.copy(), c.repeat(2), c.inverse(), c.bind({})):
        with pytest.raises(ValueError, match="read-only"):
            made.angles[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        Circuit(1).unitary(np.eye(2), 0).operands[0][0, 0] = 2


def test_reading_and_appending_may_alternate():
    c = Circuit(1)
    for k in range(5):
        c.rx(0.1 * k, 0)
        assert len(c.angles) == k + 1
        c.structure  # noqa: B018
    np.testing.assert_allclose(c.angles, 0.1 * np.arange(5))


# arrays that gates carry --------------------------------------------------------------------------------------


def test_one_array_in_several_gates_is_stored_once():
    cut, u = np.arange(4.0), np.eye(2)
    c = Circuit(2).evolve_diagonal(0.1, cut).unitary(u, 0).evolve_diagonal(0.2, cut).unitary(u, 1)
    assert [i.operand for i in c.instructions] == [0, 1, 0, 1]
    assert len(c.compose(c).operands) == 2
    assert len(Circuit(2).evolve_diagonal(A, cut).compose(c).operands) == 2
    assert len(c.inverse().operands) == len(c.repeat(3).operands) == len(c.copy().unitary(u, 0).operands) == 2
    nested = [[0, 1], [1, 0]]
    assert len(Circuit(1).unitary(nested, 0).unitary(nested, 0).operands) == 1
    traced = jax.eval_shape(lambda u: Circuit(1).unitary(u, 0).unitary(u, 0), u)
    assert len(traced.operands) == 1


def test_an_array_that_was_written_to_is_another_one():
    u = np.eye(2)
    c = Circuit(1).unitary(u, 0)
    u[:] = [[0, 1], [1, 0]]
    c.unitary(u, 0)
    assert c.operands[0].real.tolist() == [[1, 0], [0, 1]] and c.operands[1].real.tolist() == [[0, 1], [1, 0]]


def test_one_array_as_phases_and_as_energies_is_two():
    ones = np.ones(2)
    c = Circuit(1).diagonal(ones, 0).evolve_diagonal(0.1, ones)
    assert [o.dtype for o in c.operands] == [np.complex128, np.float64]


# circuits from circuits ---------------------------------------------------------------------------------------


@random_circuits
def test_inverse_undoes(num_wires: int, num_gates: int, seed: int):
    c = random_circuit(num_wires, num_gates, seed)
    identity = np.eye(2**num_wires)
    assert equal_up_to_rounding(dense(c.inverse()) @ dense(c), identity)
    assert equal_up_to_rounding(dense(c + c.inverse()), identity)
    assert equal_up_to_rounding(dense(c.inverse().inverse()), dense(c))


@pytest.mark.parametrize(
    "row", [r for r in GATES.values() if r.operand != "amplitudes"], ids=lambda row: row.name
)
def test_inverse_of_every_row(row: gates.Gate):
    c = Circuit(5)
    while not len(c):
        append_random_gate(c, row, np.random.default_rng(list(row.name.encode())))
    assert equal_up_to_rounding(dense(c.compose(c.inverse())), np.eye(32))


def test_inverse_with_parameters_and_with_jax_values():
    t = ParameterVector("t", 4)
    named = Circuit(2).u2(t[0], 0.3, 0).cu(t[1] + 1, 0.1, np.sin(t[2]), t[3], 0, 1).rx(0.7, 1).iswap(0, 1)
    values = [0.1, 0.2, 0.3, 0.4]
    bound = named.bind(values)
    expected = dense(bound).conj().T
    assert named.inverse().parameters == named.parameters
    assert equal_up_to_rounding(dense(named.inverse().bind(values)), expected)

    traced = jax.jit(lambda v: named.bind(v).inverse())(jnp.array(values))
    assert traced.structure is bound.inverse().structure
    np.testing.assert_allclose(traced.angles, bound.inverse().angles, atol=1e-6)


def test_inverse_structure():
    c = Circuit(3).s(0).rx(0.25, 1).cx(0, 2).append("ry", 0.5, [0, 1, 2], controls=2)
    inverse = c.inverse()
    assert [(i.gate, i.wires, i.controls) for i in inverse.instructions] == [
        ("ry", (0, 1, 2), 2),
        ("cx", (0, 2), 0),
        ("rx", (1,), 0),
        ("sdg", (0,), 0),
    ]
    assert inverse.angles.tolist() == [-0.5, -0.25]
    assert inverse.inverse() == c


@random_circuits
def test_compose_remap_repeat_power_do_what_matrices_do(num_wires: int, num_gates: int, seed: int):
    c, d = (random_circuit(num_wires, num_gates // 2, s) for s in (seed, seed + 100))
    u, v = dense(c), dense(d)
    assert equal_up_to_rounding(dense(c + d), v @ u)
    assert equal_up_to_rounding(dense(c.repeat(3)), u @ u @ u)
    assert equal_up_to_rounding(dense(c.power(-2)), np.linalg.inv(u @ u))
    assert equal_up_to_rounding(dense(c.power(0)), np.eye(2**num_wires))
    order = np.random.default_rng(seed).permutation(num_wires)
    index = sum(((np.arange(2**num_wires) >> int(w) & 1) << k) for k, w in enumerate(order))
    assert equal_up_to_rounding(dense(c.remap(order)), u[np.ix_(index, index)])
    assert c == random_circuit(num_wires, num_gates // 2, seed)  # none of it changed c


def test_compose_on_other_wires():
    small = Circuit(2).cx(0, 1).rx(A, 1).unitary(np.eye(2), 0)
    c = Circuit(5).h(0).rz(0.5, 3).compose(small, [4, 2]).compose(small, (1, 0))
    assert [i.wires for i in c.instructions] == [(0,), (3,), (4, 2), (2,), (4,), (1, 0), (0,), (1,)]
    assert [i.slots for i in c.instructions if i.slots] == [(0,), (1,), (2,)]
    assert c.structure.expressions == ((1, A), (2, A)) and len(c.operands) == 1


def test_compose_with_itself():
    c = Circuit(2).rx(A, 0).ry(0.5, 1).cx(0, 1).unitary(np.eye(2), 0)
    assert c.compose(c) is c
    expected = Circuit(2).rx(A, 0).ry(0.5, 1).cx(0, 1).unitary(np.eye(2), 0).repeat(2)
    assert c == expected and len(c) == 8 and c.angles.tolist() == [0, 0.5, 0, 0.5]
    assert len(c.compose(c, [1, 0])) == 16


def test_sums_take_the_wider_circuit():
    assert (Circuit(1).h(0) + Circuit(3).x(2)).num_wires == 3 == (Circuit(3).x(2) + Circuit(1).h(0)).num_wires


def test_copies_are_independent():
    c = Circuit(1).rx(0.1, 0)
    for other in (c.copy(), copy.copy(c), copy.deepcopy(c), c.repeat(1), c.bind({}), c.remap([0])):
        assert other == c and other is not c
        other.h(0)
        assert len(other) == 2 and len(c) == 1


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: Circuit(2).compose(Circuit(3)),
            ValueError,
            "a circuit of 3 qubits does not fit on 2; give wires=...",
        ),
        (lambda: Circuit(2).compose("x"), TypeError, "compose takes a Circuit, but a str"),
        (
            lambda: Circuit(3).compose(Circuit(2), [0]),
            ValueError,
            "compose: 1 wires were given for a circuit of 2 qubits",
        ),
        (lambda: Circuit(3).compose(Circuit(2), [0, 3]), ValueError, r"compose: wire 3 is out of range"),
        (lambda: Circuit(3).compose(Circuit(2), [1, 1]), ValueError, "compose: wire 1 occurs twice"),
        (lambda: Circuit(3) + 1, TypeError, "unsupported operand"),
        (
            lambda: Circuit(3).remap([0, 1]),
            ValueError,
            "remap takes a new wire for each of 3 qubits, but 2 were given",
        ),
        (lambda: Circuit(2).remap({0: 1}), ValueError, "remap takes a new wire for each of 2 qubits, but 1"),
        (
            lambda: Circuit(2).remap([0, 5], 3),
            ValueError,
            r"remap: wire 5 is out of range for a circuit of 3 qubits",
        ),
        (lambda: Circuit(2).remap([1, 1]), ValueError, "remap: wire 1 occurs twice"),
        (lambda: Circuit(2).remap([-1, 1]), ValueError, "remap: wire -1 is out of range"),
        (lambda: Circuit(2).remap(["a", 1]), TypeError, "remap: a wire is an integer, but 'a'"),
        (lambda: Circuit(2).repeat(-1), ValueError, r"repeat takes an integer >= 0, but -1 was given"),
        (
            lambda: Circuit(2).repeat(1.5),
            TypeError,
            "repeat takes the number of times as an integer, but 1.5",
        ),
        (lambda: Circuit(2).power(0.5), TypeError, "power takes the exponent as an integer, but 0.5"),
        (lambda: Circuit(2).power(True), TypeError, "power takes the exponent as an integer, but True"),
        (lambda: Circuit(0), ValueError, "Circuit takes 1 to 30 qubits, but 0 were asked for"),
        (lambda: Circuit(31), ValueError, "Circuit takes 1 to 30 qubits, but 31"),
        (lambda: Circuit(2.0), TypeError, "Circuit takes the number of qubits as an integer, but 2.0"),
        (lambda: Circuit(True), TypeError, "Circuit takes the number of qubits as an integer, but True"),
    ],
)
def test_errors_of_circuits_from_circuits(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()


# counts and depth ---------------------------------------------------------------------------------------------


@random_circuits
def test_depth_and_counts_as_qiskit_counts(num_wires: int, num_gates: int, seed: int):
    c = random_circuit(num_wires, num_gates, seed)
    theirs = QuantumCircuit(num_wires)
    for i in c.instructions:
        if i.wires:
            theirs.unitary(np.eye(2 ** len(i.wires)), i.wires)
    assert c.depth() == theirs.depth()
    assert len(c) == sum(c.count_gates().values())


def test_depth_of_small_circuits():
    assert Circuit(3).depth() == 0
    assert Circuit(2).global_phase(0.1).depth() == 0
    assert Circuit(3).h(range(3)).depth() == 1
    assert Circuit(3).h(0).cx([0, 1], [1, 2]).x(0).depth() == 3


# values for parameters ------------------------------------------------------------------------------------------

T = ParameterVector("t", 3)
NAMED = Circuit(3).rx(T, range(3)).ry(2 * A + T[1], 0).rz(np.sin(B) * A, 1).rx(0.125, 2)
BY_HAND = [0.3, 0.4, 0.5, 2 * 0.1 + 0.4, np.sin(0.2) * 0.1, 0.125]


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.2, 0.3, 0.4, 0.5],
        np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
        {"a": 0.1, "b": 0.2, "t": [0.3, 0.4, 0.5]},
        {A: 0.1, B: np.float32(0.2), T: np.array([0.3, 0.4, 0.5])},
        {"a": 0.1, B: np.array(0.2), "t[0]": 0.3, T[1]: 0.4, "t[2]": 0.5},
        {"a": 0.1, "b": 0.2, "t": [0.3, 0.4, 0.5, 0.6]},
        {"a": jnp.float32(0.1), "b": 0.2, "t": jnp.array([0.3, 0.4, 0.5])},
        jnp.array([0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
    ids=lambda v: type(v).__name__,
)
def test_bind(values: Any):
    bound = NAMED.bind(values)
    np.testing.assert_allclose(bound.angles, BY_HAND, rtol=1e-6)
    assert bound.parameters == () and bound.structure.expressions == () and len(NAMED.parameters) == 5
    assert bound.structure is Circuit(3).rx(BY_HAND[:3], range(3)).ry(1, 0).rz(1, 1).rx(1, 2).structure


def test_bind_under_jit_grad_and_vmap():
    values = jnp.array([0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(jax.jit(lambda v: NAMED.bind(v).angles)(values), BY_HAND, rtol=1e-6)
    by_name = jax.jit(lambda a, t: NAMED.bind({"a": a, "b": 0.2, "t": t}).angles)
    np.testing.assert_allclose(by_name(values[0], values[2:]), BY_HAND, rtol=1e-6)
    in_list = jax.jit(lambda a: NAMED.bind([a, 0.2, 0.3, 0.4, 0.5]).angles)
    np.testing.assert_allclose(in_list(0.1), BY_HAND, rtol=1e-6)

    jacobian = jax.jacobian(lambda v: NAMED.bind(v).angles)(values)
    expected = np.zeros((6, 5))
    expected[[0, 1, 2], [2, 3, 4]] = 1
    expected[3, [0, 3]] = 2, 1
    expected[4, :2] = np.sin(0.2), 0.1 * np.cos(0.2)
    np.testing.assert_allclose(jacobian, expected, atol=1e-6)

    batch = jax.vmap(NAMED.bind)(jnp.stack([values, 2 * values]))
    assert batch.angles.shape == (2, 6) and batch.structure is NAMED.bind(values).structure


def test_partial_bind():
    c = NAMED.bind({"a": 0.1})
    assert c.parameters == (B, *T)
    np.testing.assert_allclose(c.bind([0.2, 0.3, 0.4, 0.5]).angles, BY_HAND)
    assert NAMED.bind({T[1]: 0.4}).bind({"t[0]": 0.3, "t[2]": 0.5}).bind({A: 0.1, B: 0.2}) == NAMED.bind(
        [0.1, 0.2, 0.3, 0.4, 0.5]
    )
    assert NAMED.bind({}) == NAMED
    traced = jax.jit(lambda t: NAMED.bind({T[0]: t}))(0.3)
    assert traced.parameters == (A, B, T[1], T[2]) and float(traced.angles[0]) == pytest.approx(0.3)


def test_bind_that_makes_an_expression_constant():
    c = Circuit(1).rx(A * B, 0).ry(B, 0).bind({"a": 0.0})
    assert c.parameters == (B,) and [slot for slot, _ in c.structure.expressions] == [1]


@pytest.mark.parametrize(
    "values, error, message",
    [
        (
            [0.1],
            ValueError,
            r"must have shape \(5,\), one for each parameter \(a, b, t\[0\], t\[1\], t\[2\]\), but have shape \(1,\)",
        ),
        (0.1, ValueError, r"have shape \(\)"),
        (np.zeros((2, 5)), ValueError, r"have shape \(2, 5\)"),
        ({"c": 1.0}, ValueError, r"'c' is no parameter of this circuit, which has: a, b, t\[0\]"),
        ({2 * A: 1.0}, ValueError, r"2\*a is no parameter"),
        ({"a": [1.0]}, ValueError, r"'a' takes one number, but has shape \(1,\)"),
        ({"t": 1.0}, ValueError, r"'t' takes a 1-D array with an entry for each element, but has shape \(\)"),
        ({"t": [1.0, 2.0]}, ValueError, r"2 values were given for 't', but t\[2\] is used"),
        ({"a": 1.0, A: 2.0}, ValueError, "a is given two values"),
        ({"t": [1.0, 2.0, 3.0], "t[1]": 2.0}, ValueError, r"t\[1\] is given two values"),
        ({"a": float("nan")}, ValueError, "must be finite numbers, but nan"),
        ({"a": 1j}, TypeError, "real numbers in radians, but 1j is complex"),
        ({"a": "1"}, TypeError, "real numbers in radians, but '1'"),
        ({"a": True}, TypeError, "real numbers in radians, but True"),
        (jnp.zeros(5, complex), TypeError, "a complex complex64 array was given"),
        (
            {"a": 1e308, "b": 0.0, "t": [0, 1e308, 0]},
            ValueError,
            r"the angle 2\*a \+ t\[1\] has the value inf; it must be finite",
        ),
    ],
    ids=str,
)
def test_errors_of_bind(values: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        NAMED.bind(values)


def test_expressions_are_not_half_bound_to_jax_values():
    with pytest.raises(ValueError, match=r"2\*a \+ t\[1\] would be left with some parameters open"):
        jax.jit(lambda a: NAMED.bind({"a": a}))(0.1)


# equality, hash, interning, pickles -----------------------------------------------------------------------------


def test_equality_is_structure_and_angles_and_hash_is_structure():
    c, same, other = (Circuit(2).rx(x, 0).cx(0, 1) for x in (0.1, 0.1, 0.2))
    assert c == same and c != other and hash(c) == hash(same) == hash(other)
    assert c.structure is same.structure is other.structure
    assert c != Circuit(3).rx(0.1, 0).cx(0, 1) and c != Circuit(2).rx(0.1, 0).cx(1, 0) and c != "c"
    assert Circuit(1).rx(A, 0) != Circuit(1).rx(B, 0) and Circuit(1).rx(A, 0) != Circuit(1).rx(0.0, 0)
    u, v = Circuit(1).unitary(np.eye(2), 0), Circuit(1).unitary(np.diag([1, -1]), 0)
    assert u != v and u == Circuit(1).unitary(np.eye(2), 0) and hash(u) == hash(v)


def test_structures_are_interned_and_forgotten():
    c = Circuit(2).rx(2 * A, 0).pauli_rotation(0.1, "XY", [0, 1])
    rebuilt = Structure(2, tuple(c.instructions), ((0, A * 2),), 2, 0)
    assert rebuilt is c.structure
    assert {c.structure: 1}[rebuilt] == 1
    before = c.structure
    assert c.h(0).structure is not before


@random_circuits
def test_pickles(num_wires: int, num_gates: int, seed: int):
    c = random_circuit(num_wires, num_gates, seed).rx(np.sin(A) + 2 * T[0], 0)
    loaded = pickle.loads(pickle.dumps(c))
    assert loaded == c and loaded.structure is c.structure
    assert loaded.h(0) == c.h(0)


def test_pickles_cross_processes_with_other_hash_seeds():
    code = (
        "import pickle, sys, numpy as np\n"
        "from jaxsim.circuit import Circuit\n"
        "from jaxsim.parameters import Parameter, ParameterVector\n"
        "t = ParameterVector('t', 11)\n"
        "c = Circuit(3).rx(t[:3], range(3)).ry(Parameter('a') + t[10] * np.sin(t[2]), 0).crz(0.1, 0, 1)\n"
        "c.evolve_diagonal(Parameter('b'), np.arange(8.0)).mcx([0, 1], 2)\n"
        "if len(sys.argv) > 1:\n"
        "    other = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "    assert other == c and other.structure is c.structure and other.parameters == c.parameters\n"
        "    assert {c.structure: 1}[other.structure] == 1\n"
        "print(pickle.dumps(c).hex())"
    )

    def run(seed: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    written = run("1")
    assert pickle.loads(bytes.fromhex(written)).num_parameters == 6
    assert run("2", written) == written


# the pytree -----------------------------------------------------------------------------------------------------


def test_leaves_are_one_vector_and_the_operands():
    c = (
        Circuit(4)
        .rx(np.linspace(0, 1, 80), [0] * 80)
        .unitary(np.eye(4), [0, 1])
        .evolve_diagonal(A, np.zeros(16))
    )
    leaves, treedef = jax.tree.flatten(c)
    assert [np.shape(leaf) for leaf in leaves] == [(81,), (4, 4), (16,)]
    assert jax.tree.unflatten(treedef, leaves) == c
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(c)[0]] == [
        ".angles",
        ".operands[0]",
        ".operands[1]",
    ]
    assert jax.tree.leaves(Circuit(1).h(0))[0].shape == (0,)


def test_the_same_gates_given_by_other_arrays():
    first, other = np.array([0.0, 1.0]), [2.0, 3.0]
    swap = np.eye(4)[[0, 2, 1, 3]]
    c = Circuit(3).unitary(np.eye(4), [0, 1]).evolve_diagonal(A, first, [0], controls=[2]).h(1)
    c.evolve_diagonal(B, first, [1])
    changed = c.with_operands([swap, other])
    assert changed.structure is c.structure and changed.angles is c.angles
    assert [o.dtype for o in changed.operands] == [np.complex128, np.float64]
    np.testing.assert_array_equal(changed.operands[1], other)
    assert not changed.operands[1].flags.writeable
    np.testing.assert_array_equal(c.operands[1], first)
    changed.h(0)
    assert len(changed) == len(c) + 1
    # An array that is given again is stored once, as ever.
    again = c.with_operands([swap, first]).evolve_diagonal(A, first, [2])
    assert len(again.operands) == 2
    values = jax.vmap(lambda d: c.with_operands([swap, d]).bind([0.3, 0.4]).operands[1].sum())
    assert values(jnp.array([[0.0, 1.0], [2.0, 3.0]])).tolist() == [1.0, 5.0]


@pytest.mark.parametrize(
    "operands, message",
    [
        ([np.eye(4)], "with_operands takes 2 arrays for this circuit, but 1 were given"),
        ([np.eye(4), [1.0, 2.0, 3.0]], r"evolve_diagonal: the array must have shape \(2,\) for 1 wire"),
        ([np.ones((4, 4)), [0.0, 1.0]], "unitary: the matrix is not unitary"),
        ([np.eye(4), [0.0, np.nan]], "evolve_diagonal: the array must hold finite numbers"),
    ],
)
def test_arrays_that_do_not_fit_the_gates(operands, message):
    c = Circuit(2).unitary(np.eye(4), [0, 1]).evolve_diagonal(A, [0.0, 1.0], [0])
    with pytest.raises(ValueError, match=message):
        c.with_operands(operands)


def test_an_array_of_many_gates_is_taken_once(monkeypatch):
    taken, real = [], circuits.array_operand
    monkeypatch.setattr(circuits, "array_operand", lambda *a: taken.append(a) or real(*a))
    energies = np.array([0.0, 1.0])
    c = Circuit(1)
    for k in range(1, 6):
        c.evolve_diagonal(k * A, energies)
    assert len(c.with_operands([[2.0, 3.0]]).operands) == 1
    assert len(taken) == 1


@pytest.mark.parametrize(
    "given", [None, {"a": [0.0, 1.0]}, {0.5}, np.array([0.0, 1.0]), (x for x in "a"), "a", 3]
)
def test_arrays_come_as_a_list(given):
    with pytest.raises(
        TypeError, match=r"with_operands takes a list of arrays.*with_operands\(\[array, ...\]\)"
    ):
        Circuit(1).evolve_diagonal(A, [0.0, 1.0]).with_operands(given)


def test_unflatten_takes_anything():
    c = Circuit(1).rx(0.1, 0)
    treedef = jax.tree.structure(c)
    for leaf in (None, object(), jax.ShapeDtypeStruct((1,), np.float32), "x"):
        assert repr(jax.tree.unflatten(treedef, [leaf])) == repr(c)


def test_equal_structures_trace_once():
    traced = []

    @jax.jit
    def total(c: Circuit) -> Any:
        traced.append(c)
        return c.angles.sum()

    for x in (0.1, 0.2, 0.3):
        assert float(total(Circuit(2).rx(x, 0).ry(2 * x, 1).cx(0, 1))) == pytest.approx(3 * x, rel=1e-6)
    assert len(traced) == 1
    total(Circuit(2).rx(0.1, 0).ry(0.2, 0).cx(0, 1))
    assert len(traced) == 2


def test_through_jit_vmap_and_grad():
    def build(x: Any) -> Circuit:
        return Circuit(2).rx(x, 0).ry([0.5, 2 * x], range(2)).cx(0, 1)

    made = jax.jit(build)(0.25)
    assert made.structure is build(0.25).structure
    assert made == build(0.25)

    batch = jax.jit(jax.vmap(build))(jnp.arange(3.0))
    np.testing.assert_allclose(batch.angles, [[x, 0.5, 2 * x] for x in range(3)])
    sums = jax.vmap(lambda c: c.inverse().angles.sum())(batch)
    np.testing.assert_allclose(sums, [-3 * x - 0.5 for x in range(3)])

    slope = jax.grad(lambda c: (c.angles**2).sum())(build(0.25))
    assert isinstance(slope, Circuit)
    np.testing.assert_allclose(slope.angles, 2 * build(0.25).angles)
    assert float(jax.grad(lambda x: build(x).angles.sum())(0.1)) == pytest.approx(3)


def test_a_batch_of_circuits_takes_no_more_angles():
    batch = jax.vmap(lambda x: Circuit(2).rx(x, 0))(jnp.arange(3.0))
    message = r"angles have shape \(3, 1\): this is a batch of circuits"
    for change in (
        lambda c: c.rx(0.1, 0),
        lambda c: c.inverse(),
        lambda c: (c + c).angles,
        lambda c: c.rx(A, 0),
    ):
        with pytest.raises(ValueError, match=message):
            change(jax.tree.map(jnp.copy, batch))
    with pytest.raises(ValueError, match=r"shape \(3, 1\)"):
        batch.to_json()


def test_appending_to_numbers_runs_nothing_in_jax():
    with jax.transfer_guard("disallow"):
        c = random_circuit(4, 30, 0).rx(A, 0).inverse().bind([0.3]).repeat(2)
    assert isinstance(c.angles, np.ndarray) and all(isinstance(o, np.ndarray) for o in c.operands)


# JSON -------------------------------------------------------------------------------------------------------------


@random_circuits
def test_json_round_trip_is_exact(num_wires: int, num_gates: int, seed: int):
    c = random_circuit(num_wires, num_gates, seed).rx(np.sin(A) / 3 + 0.1 * T[0] ** B, 0)
    for text in (c.to_json(), c.inverse().to_json()):
        read = Circuit.from_json(text)
        assert read.to_json() == text
    read = Circuit.from_json(c.to_json())
    assert read == c and read.structure is c.structure
    for ours, theirs in zip(jax.tree.leaves(read), jax.tree.leaves(c)):
        assert ours.tobytes() == theirs.tobytes() and ours.dtype == theirs.dtype


def test_json_of_states_files_and_jax_values(tmp_path: Any):
    c = Circuit(2).initialize([0.6, -0.8j], 1).h(0).rx([-0.0, 1e-310, 1 / 3], 0)
    c.save(tmp_path / "c.json")
    read = Circuit.load(str(tmp_path / "c.json"))
    assert read == c and np.signbit(read.angles[0])
    assert Circuit.from_json(Circuit(3).to_json()) == Circuit(3)
    concrete = jax.jit(lambda x: Circuit(1).rx(x, 0).unitary(jnp.eye(2), 0))(0.1)
    assert Circuit.from_json(concrete.to_json()) == concrete


def test_json_of_traced_angles():
    with pytest.raises(
        TypeError, match="holds values that JAX is tracing, which have no numbers yet; save it outside of jit"
    ):
        jax.jit(lambda x: Circuit(1).rx(x, 0).to_json())(0.1)


GOOD = {
    "type": "jaxsim.Circuit",
    "version": 1,
    "num_wires": 2,
    "gates": [
        {"gate": "rx", "wires": [0], "angles": [0.5]},
        {"gate": "unitary", "wires": [1], "operand": 0},
        {"gate": "evolve_diagonal", "wires": [0], "angles": [["parameter", "a"]], "operand": 1},
        {"gate": "pauli_rotation", "wires": [0, 1], "angles": [1], "controls": 1, "label": "X"},
    ],
    "operands": [[[[0, 0], [1, 0]], [[1, 0], [0, 0]]], [0.5, 1]],
}


def changed(path: tuple[Any, ...], value: Any) -> Any:
    data = copy.deepcopy(GOOD)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def test_json_by_hand():
    c = Circuit.from_json(json.dumps(GOOD))
    by_hand = Circuit(2).rx(0.5, 0).unitary([[0, 1], [1, 0]], 1).evolve_diagonal(A, [0.5, 1], 0)
    assert c == by_hand.pauli_rotation(1, "X", 1, controls=0)


@pytest.mark.parametrize(
    "data, message",
    [
        ("{", "the text is not JSON"),
        ("[" * 100_000, "the text is not JSON"),
        ("[]", "the text is no circuit"),
        ('{"type": "jaxsim.PauliSum", "version": 1}', 'should be an object with "type": "jaxsim.Circuit"'),
        (
            changed(("version",), 3),
            "written in version 3 of the format, but this jaxsim reads up to version 2; a newer",
        ),
        (changed(("version",), "1"), "written in version '1'"),
        (changed(("version",), True), "written in version True"),
        (changed(("num_wires",), 31), "damaged: Circuit takes 1 to 30 qubits, but 31"),
        (
            changed(("num_wires",), None),
            "damaged: Circuit takes the number of qubits as an integer, but None",
        ),
        (changed(("gates",), {}), '"gates" and "operands" must be lists'),
        (changed(("gates", 0), "rx"), "damaged at gate 0: a gate is an object with gate, wires"),
        (changed(("gates", 0), {"gate": "h"}), "damaged at gate 0: a gate is an object"),
        (changed(("gates", 0, "power"), 2), "damaged at gate 0: a gate is an object"),
        (changed(("gates", 0, "gate"), "rxx2"), "gate 0: There is no gate called 'rxx2'"),
        (changed(("gates", 0, "gate"), 3), "'gate' must be of type str, but is 3"),
        (changed(("gates", 0, "gate"), "mcx"), "mcx needs more than angles and wires"),
        (
            changed(("gates", 0, "wires"), [2]),
            r"gate 0: rx: wire 2 is out of range for a circuit of 2 qubits",
        ),
        (changed(("gates", 0, "wires"), [[0, 1]]), r"wires must be integers, but are \[\[0, 1\]\]"),
        (changed(("gates", 0, "wires"), [True]), "wires must be integers"),
        (changed(("gates", 0, "wires"), 0), "'wires' must be of type list, but is 0"),
        (changed(("gates", 0, "wires"), [0, 1]), "rx acts on 1 wire, but 2 were given"),
        (changed(("gates", 0, "angles"), []), r"rx takes 1 angle \(theta\), but 0 were given"),
        (
            changed(("gates", 0, "angles"), ["0.5"]),
            "an angle is a number or an expression of parameters, but '0.5'",
        ),
        (changed(("gates", 0, "angles"), [None]), "an angle is a number"),
        (changed(("gates", 0, "angles"), [float("nan")]), "angles must be finite"),
        (changed(("gates", 0, "angles"), [10**400]), "angles are real numbers"),
        (changed(("gates", 0, "angles"), [[0.5, 0.6]]), "does not describe an expression"),
        (changed(("gates", 0, "controls"), 5), "acts on 6 wires, but 1"),
        (changed(("gates", 0, "controls"), -1), "give 0 or more"),
        (
            changed(("gates", 0, "label"), "X"),
            "rx carries neither label nor operand, but has gate, wires, angles, label",
        ),
        (changed(("gates", 0, "operand"), 0), "rx carries neither label nor operand"),
        (changed(("gates", 1, "operand"), 2), "gate 1: operand 2 is none of the 2 arrays"),
        (changed(("gates", 1, "operand"), -1), "operand -1 is none of the 2 arrays"),
        (changed(("gates", 1, "operand"), 1), r"operand 1 is no array of pairs \[re, im\]"),
        (changed(("gates", 1), {"gate": "unitary", "wires": [1]}), "unitary carries an operand"),
        (changed(("gates", 1, "controls"), 2), "unitary has 1 wires, but 2 of them are controls"),
        (changed(("gates", 1, "controls"), 1), "unitary acts on at least one wire"),
        (changed(("gates", 1, "angles"), [0.1]), "unitary takes 0 angles, but 1 are given"),
        (changed(("gates", 2, "angles"), []), "evolve_diagonal takes 1 angles, but 0"),
        (changed(("gates", 3, "label"), "Q"), "label made of I, X, Y and Z"),
        (changed(("gates", 3, "label"), "XX"), "has 2 characters for 1 wire"),
        (
            changed(("operands", 0), [[[0, 0], [1, 0]], [[1, 0], [0, 1]]]),
            "gate 1: unitary: the matrix is not unitary",
        ),
        (changed(("operands", 0), [[[0, 0], [1, 0]], [[1, 0]]]), "operand 0 is no array of pairs"),
        (changed(("operands", 0), "u"), "operand 0 is no array of pairs"),
        (changed(("operands", 1), [0.5, None]), "operand 1 is no array of numbers"),
        (changed(("operands", 1), [0.5]), r"must have shape \(2,\)"),
        (changed(("operands",), [*GOOD["operands"], [1.0]]), "has 3 operands, but its gates use 2"),
    ],
)
def test_damaged_json_is_refused(data: Any, message: str):
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(ValueError, match=message):
        Circuit.from_json(text)


def test_json_takes_text():
    with pytest.raises(TypeError, match="takes the text that to_json wrote, but a dict was given"):
        Circuit.from_json(GOOD)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_json_with_a_piece_replaced_is_refused_or_consistent(data: st.DataObject):
    """Whatever is in a text: `from_json` raises ValueError or makes a circuit that its own checks accept."""
    place: Any = copy.deepcopy(GOOD)
    whole = place
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if data.draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = data.draw(
                st.recursive(
                    st.none()
                    | st.booleans()
                    | st.integers(-3, 3)
                    | st.floats()
                    | st.sampled_from(["x", "cx", "parameter"]),
                    lambda inner: st.lists(inner, max_size=3),
                    max_leaves=4,
                )
            )
            break
        place = place[key]
    try:
        c = Circuit.from_json(json.dumps(whole))
    except ValueError:
        return
    assert Circuit.from_json(c.to_json()) == c
    assert all(0 <= wire < c.num_wires for i in c.instructions for wire in i.wires)
    assert [s for i in c.instructions for s in i.slots] == list(range(len(c.angles)))
