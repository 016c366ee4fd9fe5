"""Training on shots: the same histories alone and in any company, and a gradient that leads down."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pytest

import jaxsim as js
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    BatchMode,
    HostedProgram,
    Program,
    ProgramEnsemble,
    adam,
    scipy_minimize,
    sgd,
)
from ensembles.problems import MaxCut
from ensembles.rules import spsa
from ensembles.sampled_loss import SAMPLED_ENERGY, SampledSubject
from ensembles.subjects import Hosting
from jaxsim import Circuit, Parameter, X, Y, Z, ansatz
from jaxsim.parameter_shift import lower_sampled, sampled_gradient_rows

A, B = Parameter("a"), Parameter("b")
STEPS = 6


def ising(n, field):
    return sum(-1.0 * Z(q) @ Z(q + 1) for q in range(n - 1)) + sum(-field * X(q) for q in range(n))


def sampled_row(program):
    return program.row("any").data


def vqe(field=0.5, shots=100, entangler="cx", optimizer=None, steps=STEPS, n=3, **options):
    circuit = ansatz.hardware_efficient(n, 1, entangler=entangler)
    optimizer = adam(0.1) if optimizer is None else optimizer
    return VQE(circuit, ising(n, field), optimizer=optimizer, steps=steps, shots=shots, **options)


def run(programs, mode=BatchMode.MERGED, seed=5):
    return ProgramEnsemble(programs).run(BatchConfig(mode=mode), progress=False, seed=seed)


def same(a, b):
    assert np.array_equal(a.history, b.history)
    assert np.array_equal(a.parameters, b.parameters)
    assert a.value == b.value
    assert a.evaluations == b.evaluations


# compiled ---------------------------------------------------------------------------------------------------


def mixed():
    """Circuits, coefficients, shots and rules that share calls, and some that do not."""
    atoms = (
        Circuit(3).h(range(3)).rx(A * B, 0).cry(A, 0, 1).evolve_diagonal(A, np.sqrt(np.arange(8.0))).ry(B, 2)
    )
    edges = [(0, 1), (1, 2), (2, 3)]
    programs = {f"chain {k}": vqe(0.1 + k, 50 + 70 * k, ["cx", "cz"][k % 2]) for k in range(6)}
    programs |= {
        f"cut {k}": QAOA(
            MaxCut([*edges[:k], (0, 3), *edges[k + 1 :]]),
            layers=1,
            optimizer=adam(0.1),
            steps=STEPS,
            shots=64 + k,
        )
        for k in range(3)
    }
    for k in range(2):
        programs[f"atoms {k}"] = VQE(
            atoms, X(0) @ Y(1) + (k + 1.0) * Z(2), optimizer=sgd(0.1), steps=STEPS, shots=90
        )
    return programs


@pytest.mark.slow
def test_histories_do_not_depend_on_company():
    programs = mixed()
    merged, off = run(programs), run(programs, BatchMode.OFF)
    for name, program in programs.items():
        same(merged[name], off[name])
        if name[-1] in "01":
            same(merged[name], run({name: program})[name])


@pytest.fixture(scope="module")
def merged():
    return run({k: vqe(0.3 + k, 100 + 30 * k) for k in range(5)})


def test_programs_with_other_shots_share_a_call(merged):
    assert len(ProgramEnsemble({k: vqe(0.3 + k, 100 + 30 * k) for k in range(5)}).plan().groups) == 1
    for k in (0, 4):
        same(merged[k], run({k: vqe(0.3 + k, 100 + 30 * k)})[k])


def test_engines_draw_the_same_shots():
    # Counts are integers: states that differ by rounding give the same ones, unless it decides a shot, which takes
    # some 10**6 shots to happen. Here are 3,000.
    results = {}
    for engine in ("layered", "rotations", "fused"):
        program = vqe(0.5, 40, steps=3, engine=engine)
        assert sampled_row(program).engine == engine
        results[engine] = run({"chain": program})["chain"]
    assert np.array_equal(results["rotations"].history, results["layered"].history)
    assert np.array_equal(results["fused"].history, results["layered"].history)


def test_seed_and_name_decide(merged):
    programs = {0: vqe(0.3, 100), "other": vqe(0.3, 100)}
    again, seed = run(programs), run(programs, seed=6)
    same(again[0], merged[0])
    histories = [again[0].history, again["other"].history, seed[0].history]
    assert len({tuple(history.tolist()) for history in histories}) == 3


def test_evaluations_count_states(merged):
    # ry and rz on 3 qubits: 6 rotations; the last evaluation is of the loss alone.
    assert int(sampled_gradient_rows(sampled_row(vqe()))) == 13
    assert merged[0].evaluations == STEPS * 13 + 1


def test_rules_without_gradients_need_no_rotations():
    programs = {k: vqe(0.5, 80 + k, optimizer=spsa(0.1), steps=4) for k in range(3)}
    found = run(programs)
    same(found[1], run({1: programs[1]})[1])
    assert found[1].evaluations == 4 * 3 + 1


def test_it_leads_to_the_ground_state():
    program = vqe(0.5, 500, n=2, optimizer=adam(0.15), steps=60, initial_parameters=[0.1, 0.2, 0.3, 0.4])
    result = run({"chain": program})["chain"]
    circuit = program.ansatz.bind(result.final_parameters)
    exact = float(js.expectation(circuit, program.hamiltonian))
    assert exact < program.hamiltonian.ground_energy() + 0.15


def test_broken_rows_fail_alone():
    programs = {k: vqe(0.3 + k, 100 + 30 * k) for k in range(5)}
    programs[2] = vqe(3e38, 100)  # what it is worth overflows
    found = ProgramEnsemble(programs).run(progress=False, seed=5, on_error="collect")
    assert found[2].status == "failed"
    same(found[4], run({4: programs[4]})[4])


def test_jax_finds_no_derivative():
    row = sampled_row(vqe())
    with pytest.raises(TypeError, match="parameter shift"):
        jax.grad(SAMPLED_ENERGY)(np.zeros(6, np.float32), row, jax.random.key(0))


def test_a_pickled_loss_is_the_same_object():
    assert pickle.loads(pickle.dumps(SAMPLED_ENERGY)) is SAMPLED_ENERGY


def test_parameters_are_one_array():
    row = lower_sampled(Circuit(1).ry(A, 0), Z(0), 10, gradient=True)
    with pytest.raises(ValueError, match="one array"):
        run({"a": Program(SAMPLED_ENERGY, [0.5], data=row, optimizer=adam(0.1), steps=1)})


# hosted -----------------------------------------------------------------------------------------------------


class Asks(HostedProgram):
    """Values, gradients and probabilities at fixed parameters."""

    def __init__(self, circuit, observable, shots):
        super().__init__(circuit, observable)
        self.subject = SampledSubject(
            lower_sampled(circuit, observable, shots, gradient=True), circuit.parameters
        )

    def hosting(self):
        return Hosting(self.subject, None)

    def run(self, evaluate):
        sets = [[0.3, 0.1], [0.3, 0.1], [-1.0, 2.0]]
        values, gradients = evaluate(sets, gradient=True)
        alone = evaluate(sets[0])
        found = {"values": values, "gradients": gradients, "alone": alone}
        return found | {"probabilities": evaluate.probabilities(sets[0])}


def test_hosted_programs_draw_shots_too():
    circuits = [Circuit(2).ry(A, 0).crx(B, 0, 1), Circuit(2).ry(B, 0).crx(A, 1, 0)]
    programs = {k: Asks(circuits[k], Z(0) + X(1), shots=200 + k) for k in range(2)}
    merged, off = run(programs), run(programs, BatchMode.OFF)
    for k in range(2):
        for field in ("values", "gradients", "alone", "probabilities"):
            assert np.array_equal(getattr(merged[k], field), getattr(off[k], field))
    first = merged[0]
    assert first.values[0] != first.values[1]  # shots of their own
    exact, slopes = js.compile(circuits[0], Z(0) + X(1)).value_and_grad([0.3, 0.1])
    assert first.alone == pytest.approx(float(exact), abs=0.4)
    np.testing.assert_allclose(first.gradients[0], slopes, atol=0.4)
    expected = js.probabilities(circuits[0].bind([0.3, 0.1]))
    np.testing.assert_allclose(first.probabilities, expected, atol=1e-6)


@pytest.mark.slow
def test_scipy_on_shots():
    programs = {
        k: vqe(0.2 + k, 100 + k, optimizer=scipy_minimize("COBYLA", maxiter=12), steps=None) for k in range(3)
    }
    merged = run(programs)
    same(merged[1], run({1: programs[1]})[1])
