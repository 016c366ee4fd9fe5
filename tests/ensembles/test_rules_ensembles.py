"""Update rules on circuits, through the whole of an ensemble."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from ensembles import QAOA, VQE, BatchConfig, BatchMode, Program, ProgramEnsemble, adam, schedules
from ensembles.optimizers import clipped
from ensembles.problems import MaxCut, molecule, tfim
from ensembles.rules import lbfgs, natural_gradient, rotosolve, spsa
from jaxsim import ansatz

RULES = {
    "lbfgs": (lambda k: lbfgs(0.5 + 0.1 * k), 8),
    "spsa": (lambda k: spsa(0.1 + 0.02 * k), 12),
    "natural_gradient": (lambda k: natural_gradient(0.1 + 0.02 * k), 8),
    "natural_gradient blocks": (lambda k: natural_gradient(0.1, approximation="block_diagonal"), 8),
    "natural_gradient diagonal": (lambda k: natural_gradient(0.1, approximation="diagonal"), 8),
    "rotosolve": (lambda k: rotosolve(), 3),
    "adam clipped and scheduled": (
        lambda k: clipped(adam(schedules.cosine_decay(0.1 + 0.02 * k, 12)), norm=0.5),
        12,
    ),
}


@pytest.fixture(scope="module")
def h2():
    return molecule("H2", bond_length=0.735)


def assert_equal_bits(one, other):
    for field in ("history", "parameters", "final_parameters"):
        assert np.asarray(getattr(one, field)).tobytes() == np.asarray(getattr(other, field)).tobytes()
    assert one.value == other.value and one.evaluations == other.evaluations


@pytest.mark.slow
@pytest.mark.parametrize("form", ["layered", "rotations"])
@pytest.mark.parametrize("name", RULES)
def test_no_bit_depends_on_company(name, form, h2):
    make, steps = RULES[name]
    circuit, hamiltonian = (
        (ansatz.hardware_efficient(3, 1), tfim(3))
        if form == "layered"
        else (ansatz.uccsd(4, 2), h2.hamiltonian)
    )
    programs = {
        k: VQE(circuit, hamiltonian, optimizer=make(k), steps=steps - k % 2, engine=form) for k in range(6)
    }
    merged = ProgramEnsemble(programs).run(progress=False, seed=3)
    off = ProgramEnsemble(programs).run(batch_config=BatchConfig(mode=BatchMode.OFF), progress=False, seed=3)
    for k in programs:
        assert merged[k].status == "completed"
        assert_equal_bits(merged[k], off[k])
    assert_equal_bits(ProgramEnsemble({4: programs[4]}).run(progress=False, seed=3)[4], merged[4])
    assert len({merged[k].value for k in programs}) > 1


@pytest.mark.parametrize(
    ("optimizer", "steps", "most"),
    [
        (lbfgs(), 5, 12),
        (natural_gradient(0.5), 15, 16 * 4),
        (rotosolve(), 2, 2 * 13 + 1),
    ],
)
def test_few_evaluations_find_the_energy_of_hydrogen(optimizer, steps, most, h2):
    program = VQE(
        ansatz.uccsd(4, 2), h2.hamiltonian, optimizer=optimizer, steps=steps, initial_parameters=np.zeros(3)
    )
    result = ProgramEnsemble([program]).run(progress=False)[0]
    assert result.value == pytest.approx(h2.exact_energy, abs=2e-6)
    assert result.evaluations <= most


@pytest.mark.slow
def test_lithium_hydride_in_fewer_evaluations_than_adam():
    lih = molecule("LiH", bond_length=1.6)
    circuit = ansatz.uccsd(lih.n_qubits, lih.n_electrons)
    start = np.zeros(len(circuit.parameters))
    programs = {
        name: VQE(circuit, lih.hamiltonian, optimizer=optimizer, steps=steps, initial_parameters=start)
        for name, optimizer, steps in (("lbfgs", lbfgs(), 10), ("adam", adam(0.02), 40))
    }
    result = ProgramEnsemble(programs).run(progress=False)
    assert result["lbfgs"].evaluations < 25
    assert result["lbfgs"].value < lih.exact_energy + 1.6e-3
    assert result["lbfgs"].value < result["adam"].value


def test_rotosolve_of_qaoa():
    problem = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
    result = ProgramEnsemble([QAOA(problem, layers=2, optimizer=rotosolve(), steps=8)]).run(progress=False)[0]
    assert (np.diff(result.history) < 1e-5).all()
    assert result.ratio > 0.9


def test_blocks_lie_between_the_diagonal_and_all(h2):
    circuit = ansatz.hardware_efficient(4, 1)
    start = np.random.default_rng(0).uniform(-1, 1, len(circuit.parameters))
    ends = {
        approximation: ProgramEnsemble(
            [
                VQE(
                    circuit,
                    h2.hamiltonian,
                    optimizer=natural_gradient(0.05, approximation=approximation),
                    steps=1,
                    initial_parameters=start,
                )
            ]
        )
        .run(progress=False)[0]
        .final_parameters
        for approximation in ("full", "block_diagonal", "diagonal")
    }
    from jaxsim.fisher import fisher_information

    _, gradient = js.compile(circuit, h2.hamiltonian).value_and_grad(start)
    for approximation, end in ends.items():
        fisher = np.asarray(fisher_information(circuit, start, approximation=approximation), np.float64)
        expected = start - 0.05 * np.linalg.solve(
            fisher / 4 + 1e-3 * np.eye(len(start)), np.asarray(gradient)
        )
        np.testing.assert_allclose(end, expected, atol=2e-4)


def test_losses_that_know_too_little():
    def loss(x, data, key):
        return jnp.sum(x**2)

    for optimizer in (natural_gradient(0.1), rotosolve()):
        with pytest.raises(TypeError, match=rf"Program: {optimizer.kind} needs"):
            Program(loss, np.zeros(2), optimizer=optimizer, steps=3)
    a = js.Parameter("a")
    with pytest.raises(ValueError, match="parameter 'a' is in an expression that is not affine"):
        VQE(js.Circuit(1).rx(a.sin(), 0), js.Z(0), optimizer=rotosolve(), steps=3)
