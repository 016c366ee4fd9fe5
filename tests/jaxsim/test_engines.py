"""The engines agree: values and gradients, alone and in batches, in both precisions and both ways to differentiate."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, X, Y, Z
from jaxsim.lowering.cost import choose

TOLERANCE = {"complex64": 1e-5, "complex128": 1e-10}
COUNT = 50  # of each number of qubits


def observable(num_wires: int) -> Any:
    last = num_wires - 1
    return 0.7 * Z(0) + 0.3 * X(last) - 0.5 * Y(0) + (X(0) @ Z(last) if last else 0.2 * X(0))


@cache
def circuits(build: Any, num_wires: int) -> list[tuple[Circuit, np.ndarray]]:
    """Gates of the whole table; every second angle a parameter, in an affine expression; with its values."""
    made = []
    for seed in range(COUNT):
        random = build(1000 + seed, num_wires, 12)
        names = [Parameter(f"a{k:03}") for k in range(len(random.angles))]
        circuit = random.circuit(lambda k, value, own=names: 0.5 * own[k] + 0.1 if k % 2 else value)
        values = [2 * (random.angles[int(p.name[1:])] - 0.1) for p in circuit.parameters]
        made.append((circuit, np.array(values)))
    return made


def results(made: Any, num_wires: int, **options: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Value and gradient of every circuit, those of a key in one call."""
    rows = [js.lower(circuit, observable(num_wires), **options) for circuit, _ in made]
    groups: dict[Any, list[int]] = {}
    for k, row in enumerate(rows):
        groups.setdefault((row.key, len(made[k][1])), []).append(k)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for members in groups.values():
        values = np.stack([made[k][1] for k in members])
        energies, gradients = js.evaluate(js.stack([rows[k] for k in members]), values, "value_and_grad")
        found |= {k: (energies[i], gradients[i]) for i, k in enumerate(members)}
    return [found[k] for k in range(len(made))]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("num_wires", range(1, 7))
def test_layers_and_steps_agree(num_wires, dtype, random_circuit):
    """300 circuits in each precision."""
    with jax.enable_x64(dtype == "complex128"):
        made = circuits(random_circuit, num_wires)
        steps = results(made, num_wires, engine="rotations", dtype=dtype)
        layers = results(made, num_wires, engine="layered", dtype=dtype)
        for one, other in zip(steps, layers):
            np.testing.assert_allclose(one[0], other[0], atol=TOLERANCE[dtype])
            np.testing.assert_allclose(one[1], other[1], atol=TOLERANCE[dtype])
        for (circuit, values), (energy, gradient) in list(zip(made, layers))[:10]:
            alone = js.compile(circuit, observable(num_wires), engine="layered", dtype=dtype)
            value, slope = alone.value_and_grad(values)
            np.testing.assert_array_equal(value, energy)
            np.testing.assert_array_equal(slope, gradient)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("diff", ["adjoint", "backprop"])
def test_all_engines_agree_with_qiskit(dtype, diff, random_circuit, dense):
    """A few, since "fused" compiles each circuit; the values against dense matrices, the gradients among each other."""
    with jax.enable_x64(dtype == "complex128"):
        for seed in range(3):
            circuit, values = circuits(random_circuit, 4)[seed]
            found = {}
            for engine in ("layered", "rotations", "fused"):
                f = js.compile(circuit, observable(4), engine=engine, diff=diff, dtype=dtype)
                found[engine] = f.value_and_grad(values)
            state = np.asarray(js.statevector(circuit.bind(values), dtype=dtype)).astype(complex)
            truth = np.vdot(state, dense(observable(4), 4) @ state).real
            for value, gradient in found.values():
                assert float(value) == pytest.approx(truth, abs=TOLERANCE[dtype])
                np.testing.assert_allclose(gradient, found["layered"][1], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("engine", ["layered", "rotations", "fused"])
def test_any_number_of_parameters_with_expressions_after_them(engine):
    """Five parameters have room for six; a product of two comes after that room."""
    a, b, c, d, e = (Parameter(name) for name in "abcde")
    circuit = Circuit(1).ry(a, 0).ry(b + c, 0).ry(d * e, 0)
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    angle = 0.1 + 0.5 + 0.2
    expected = -np.sin(angle) * np.array([1, 1, 1, 0.5, 0.4])
    f = js.compile(circuit, Z(0), engine=engine)
    np.testing.assert_allclose(f.value_and_grad(values)[1], expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(values.astype(np.float32)), expected, atol=1e-6)


# the choice -------------------------------------------------------------------------------------------------


def chosen(circuit: Circuit) -> str:
    return choose(circuit, keep_phase=False).engine


def test_dense_circuits_take_layers_sparse_ones_steps_and_large_ones_blocks():
    words = Circuit(8)
    for k in range(20):
        words.pauli_rotation(Parameter(f"a{k}"), "XYZXYZXY", np.random.default_rng(k).permutation(8).tolist())
    assert chosen(js.ansatz.hardware_efficient(8, 3)) == "layered"
    assert chosen(words) == "rotations"
    assert chosen(js.ansatz.uccsd(8, 4)) == "rotations"
    assert chosen(js.ansatz.hardware_efficient(17, 2)) == "fused"


def test_gates_given_by_arrays_do_not_have_each_structure_compiled():
    """QAOA of any depth shares layers; its steps, faster on few qubits, would be a kernel for each depth."""
    costs = np.arange(16.0)
    circuits = [js.ansatz.qaoa(costs, p) for p in (1, 2, 3)]
    assert [chosen(circuit) for circuit in circuits] == ["layered"] * 3
    assert len({js.lower(circuit, Z(0)).key for circuit in circuits}) == 1
    reason = choose(circuits[0], keep_phase=False).reason
    assert reason == "2 layers cost less than 8 steps, compiled in and so counted 4 times"
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert chosen(Circuit(3).unitary(matrix, range(3))) == "rotations"  # there are no layers of it
    prepared = Circuit(8).initialize(np.eye(256)[15]).compose(js.ansatz.uccsd(8, 4))
    assert chosen(prepared) == "rotations"  # its steps are in one piece
    state = js.mixers.dicke_state(6, 3)
    exchanging = js.ansatz.qaoa(np.arange(64.0), 2, "xy_complete", initial_state=state)
    assert chosen(exchanging) == "rotations"  # layers would cost 24 times as much


def test_the_choice_does_not_depend_on_numbers_or_history():
    """Trained angles of any value; what was compiled or chosen before."""
    circuit = js.ansatz.hardware_efficient(5, 2)
    first = choose(circuit, keep_phase=False)
    js.compile(circuit, Z(0), engine="rotations")(np.zeros(circuit.num_parameters))
    assert choose(circuit.copy(), keep_phase=False) == first


def test_an_engine_that_cannot_take_a_circuit_says_so():
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    with pytest.raises(ValueError, match=r"cannot take this circuit: unitary on 3 wires.* Use engine='auto'"):
        js.compile(Circuit(3).unitary(matrix, range(3)), Z(0), engine="layered")
