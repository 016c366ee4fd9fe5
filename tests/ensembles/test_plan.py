"""What the plan says of groups, and that it is of the rows that will run."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np
import pytest

from ensembles import QAOA, VQE, HostedProgram, Program, ProgramEnsemble, TimeEvolution, adam, scipy_minimize
from ensembles.problems import MaxCut, tfim
from ensembles.programs import QNN
from jaxsim import Circuit, Parameter, X, Z, ansatz
from jaxsim.batch import choice

DENSE, SPARSE = ansatz.hardware_efficient(12, 2), ansatz.uccsd(4, 2)
SMALL = Circuit(1).ry(Parameter("w"), 0).rx(Parameter("x"), 0)


def vqe(circuit=DENSE, **options):
    return VQE(circuit, Z(0), **{"optimizer": adam(0.1), "steps": 3, **options})


def square(x, data, key):
    return jnp.sum(x**2)


class Steps(HostedProgram):
    def run(self, evaluate):
        return None


@pytest.mark.parametrize(
    "program, engine, reason",
    [
        (lambda: vqe(), "layered", r"\d+ layers cost less than \d+ steps"),
        (lambda: vqe(SPARSE), "rotations", r"\d+ steps cost less than \d+ layers?"),
        (lambda: vqe(engine="rotations"), "rotations", "asked for by engine='rotations'"),
        (lambda: vqe(shots=10), "layered", r"\d+ layers cost less than \d+ steps"),
        (
            lambda: vqe(optimizer=scipy_minimize("COBYLA", maxiter=60), steps=None),
            "layered",
            r"\d+ layers cost less than \d+ steps",
        ),
        (
            lambda: QAOA(MaxCut([(0, 1)]), layers=1, optimizer=adam(0.1), steps=1),
            "layered",
            r"2 layers .room for 12., 6 passes over the state: 2 layers cost less than \d+ steps, compiled in",
        ),
        (
            lambda: QNN(SMALL, Z(0), [0.1], [1.0], optimizer=adam(0.1), steps=1, engine="fused"),
            "fused",
            "asked for by engine='fused'",
        ),
        (
            lambda: TimeEvolution(X(0), 0.1, Z(0), method="qdrift", samples=3),
            "rotations",
            "so that draws can share calls",
        ),
        (lambda: Steps(SPARSE, Z(0)), "rotations", r"\d+ steps cost less than \d+ layers?"),
    ],
    ids=["dense", "sparse", "asked", "shots", "hosted", "qaoa", "qnn", "qdrift", "own run"],
)
def test_the_plan_says_which_engine_was_chosen_and_why(program, engine, reason):
    plan = ProgramEnsemble([program()]).plan()
    (group,) = plan.groups
    assert f"engine {engine!r}" in group.description
    assert re.search(reason, group.reason)
    assert f"{group.description}: {group.reason}" in " ".join(str(plan).split())
    assert group.reason in plan._repr_html_().replace("&#x27;", "'")


def test_the_engine_that_is_named_costs_least():
    for circuit, engine in ((DENSE, "layered"), (SPARSE, "rotations")):
        found = choice(circuit)
        assert found.engine == engine == min(found.costs, key=found.costs.__getitem__)


def test_programs_without_a_circuit_have_no_engine():
    plan = ProgramEnsemble([Program(square, np.ones(2), optimizer=adam(0.1), steps=1), vqe()]).plan()
    assert [bool(group.reason) for group in plan.groups] == [False, True]
    assert "square:" not in str(plan)


def test_of_many_groups_the_first_reasons_are_shown():
    plan = ProgramEnsemble([vqe(ansatz.hardware_efficient(n, 1)) for n in range(2, 11)]).plan()
    assert len(plan.groups) == 9 and str(plan).count("cost less") == 6
    assert "(3 more are in plan.groups[k].reason)" in str(plan)


def test_the_plan_is_of_the_rows_that_run():
    program = VQE(ansatz.hardware_efficient(2, 1), tfim(2), optimizer=adam(0.1), steps=3)
    ensemble = ProgramEnsemble([program])
    assert ensemble.plan().evaluations == 4
    program.steps = 10  # once it is planned it is what it is
    plan, result = ensemble.plan(), ensemble.run(progress=False)
    assert plan.evaluations == result.stats.evaluations == 4
    assert plan.groups[0].steps == (3,)
