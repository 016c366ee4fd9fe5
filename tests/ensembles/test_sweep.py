"""Sweeps: which programs there are, what they are called, and that each is the program one would have written."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
import pytest

from ensembles import (
    QAOA,
    VQE,
    EarlyStopping,
    Program,
    ProgramEnsemble,
    adam,
    clipped,
    rmsprop,
    schedules,
    sgd,
    spsa,
)
from ensembles.compilations import count_compilations
from ensembles.problems import MaxCut, tfim
from ensembles.programs.arguments import arguments_of, rebuilt, remembers_arguments
from ensembles.programs.sweep import sweep
from jaxsim import ansatz

CIRCUIT = ansatz.hardware_efficient(3, 1)
PATTERN = VQE(CIRCUIT, tfim(3), optimizer=adam(0.1), steps=6)
GRAPH = MaxCut(nx.cycle_graph(4))


def quadratic(x, data, key):
    return data["scale"] * ((x - data["center"]) ** 2).sum()


def run(programs):
    return ProgramEnsemble(programs).run(progress=False, seed=5)


def assert_same(a, b):
    assert a.history.tobytes() == b.history.tobytes()
    assert a.parameters.tobytes() == b.parameters.tobytes()


# names and order --------------------------------------------------------------------------------------------


def test_names_and_shape_of_all_combinations():
    programs = sweep(PATTERN, learning_rate=[0.1, 0.2], seed=range(3))
    assert list(programs) == [f"learning_rate={r},seed={s}" for r in (0.1, 0.2) for s in range(3)]
    assert programs.shape == (2, 3)
    assert programs.axes == {"learning_rate": (0.1, 0.2), "seed": (0, 1, 2)}


def test_zipped_fields_go_together():
    programs = sweep(PATTERN, zipped=True, learning_rate=[0.1, 0.2], steps=[3, 4])
    assert list(programs) == ["learning_rate=0.1,steps=3", "learning_rate=0.2,steps=4"]
    assert [p.steps for p in programs.values()] == [3, 4]
    assert programs.shape == (2,)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.linspace(0, 0.3, 4), ["0", "0.1", "0.2", "0.3"]),
        (np.array([1, 2], np.int64), ["1", "2"]),
        ([np.float32(0.1)], ["0.1"]),
        (jnp.array([0.1, 0.5]), ["0.1", "0.5"]),
        ((0.1 + 0.2, 1e-9), ["0.3", "1e-09"]),
    ],
)
def test_numbers_in_names(values, names):
    assert list(sweep(PATTERN, learning_rate=values)) == [f"learning_rate={name}" for name in names]


def test_labels_for_what_has_no_short_text():
    fields = {0.5: tfim(3, h=0.5), 1.0: tfim(3, h=1.0)}
    assert list(sweep(PATTERN, hamiltonian=fields)) == ["hamiltonian=0.5", "hamiltonian=1"]
    assert list(sweep(PATTERN, hamiltonian=list(fields.values()))) == ["hamiltonian=0", "hamiltonian=1"]
    assert list(sweep(PATTERN, optimizer=[sgd(0.1)])) == ["optimizer=sgd(learning_rate=0.1)"]
    assert list(sweep(PATTERN, engine=["layered", "rotations"])) == ["engine=layered", "engine=rotations"]
    rules = [None, EarlyStopping(patience=3, min_delta=0.5), EarlyStopping(target=0.0)]
    assert list(sweep(PATTERN, stopping=rules, shots=[9])) == [
        "stopping=None,shots=9",
        "stopping=EarlyStopping(patience=3, min_delta=0.5),shots=9",
        "stopping=EarlyStopping(target=0.0),shots=9",
    ]
    ramp = schedules.linear(0.5, 0.25, 9)
    assert list(sweep(PATTERN, learning_rate=[ramp])) == [
        "learning_rate=linear(init_value=0.5, end_value=0.25, transition_steps=9.0)"
    ]


def test_no_address_gets_into_a_name():
    # Names decide random numbers, so they must be the same in every process.
    compiled_in = [adam(optax.linear_schedule(0.1, 0.0, 3)), clipped(optax.adam(0.1), norm=1.0)]
    assert list(sweep(PATTERN, optimizer=compiled_in)) == ["optimizer=0", "optimizer=1"]


# each program is what one would have written -------------------------------------------------------------------


def test_leaves_and_hyperparameters_share_one_call():
    programs = sweep(PATTERN, hamiltonian={h: tfim(3, h=h) for h in (0.5, 1.5)}, learning_rate=[0.05, 0.2])
    result = run(programs)
    assert result.stats.groups == 1
    by_hand = {
        f"hamiltonian={h},learning_rate={r}": VQE(CIRCUIT, tfim(3, h=h), optimizer=adam(r), steps=6)
        for h in (0.5, 1.5)
        for r in (0.05, 0.2)
    }
    assert list(by_hand) == list(programs)
    with count_compilations() as compiled:
        written = run(by_hand)
    assert compiled.count == 0
    for name in by_hand:
        assert_same(result[name], written[name])


def test_a_seed_is_a_start_of_its_own():
    result = run(sweep(PATTERN, seed=range(4)))
    starts = {r.history[0].tobytes() for r in result.values()}
    assert len(starts) == 4
    again = run(sweep(PATTERN, seed=[2]))
    assert_same(again["seed=2"], result["seed=2"])


def test_static_fields():
    programs = sweep(QAOA(GRAPH, layers=1, optimizer=adam(0.1), steps=2), layers=[1, 2, 3])
    assert [p.layers for p in programs.values()] == [1, 2, 3]
    assert [len(p.initial_parameters) for p in programs.values()] == [2, 4, 6]
    # Their numbers of parameters differ, but have the same room, and the number of layers is data.
    assert len(ProgramEnsemble(programs).plan().groups) == 1


def test_problems_and_optimisers():
    graphs = {k: MaxCut(nx.random_regular_graph(3, 4, seed=k)) for k in range(2)}
    pattern = QAOA(GRAPH, layers=1, optimizer=adam(0.1), steps=2)
    programs = sweep(pattern, problem=graphs, optimizer=[adam(0.1), rmsprop(0.1)], learning_rate=[0.3])
    assert len(programs) == 4
    assert {p.optimizer.kind for p in programs.values()} == {"adam", "rmsprop"}
    rates = [float(p.optimizer.hyperparameters["learning_rate"]) for p in programs.values()]
    np.testing.assert_allclose(rates, 0.3, rtol=1e-6)


def test_entries_of_data_are_fields():
    pattern = Program(
        quadratic, np.zeros(2), data={"scale": 1.0, "center": 0.5}, optimizer=sgd(0.1), steps=50
    )
    programs = sweep(pattern, center=[1.0, 2.0], scale=[0.5, 1.0])
    result = run(programs)
    assert result.stats.groups == 1
    for name, r in result.items():
        center = float(name.split(",")[0].removeprefix("center="))
        np.testing.assert_allclose(r.final_parameters, center, atol=0.02)
    assert float(pattern.data["center"]) == 0.5


def test_schedules_and_flags():
    schedule = optax.linear_schedule(0.1, 0.01, 5)
    programs = sweep(PATTERN, learning_rate={"ramp": schedule, "flat": 0.1}, nesterov=[True, False])
    assert next(iter(programs)) == "learning_rate=ramp,nesterov=True"
    assert dict(programs["learning_rate=flat,nesterov=True"].optimizer.static)["nesterov"] is True
    assert (
        dict(programs["learning_rate=ramp,nesterov=False"].optimizer.static)["learning_rate"].value
        is schedule
    )


def test_clipping_is_a_field_of_what_is_clipped():
    for optimizer in (clipped(adam(0.1), norm=1.0, value=0.5), clipped(optax.adam(0.1), norm=1.0)):
        pattern = VQE(CIRCUIT, tfim(3), optimizer=optimizer, steps=6)
        programs = sweep(pattern, clip_norm=[0.25, 2.0])
        assert [p.optimizer.hyperparameters["clip_norm"] for p in programs.values()] == [0.25, 2.0]
        same = [jax.tree.structure(p.optimizer) == jax.tree.structure(optimizer) for p in programs.values()]
        assert all(same)
        assert [p.optimizer.hyperparameters.get("clip_value") for p in programs.values()] == [
            optimizer.hyperparameters.get("clip_value")
        ] * 2
    with pytest.raises(ValueError, match=r"has no field 'clip_norm'"):
        sweep(PATTERN, clip_norm=[1.0])


def test_a_function_as_the_pattern():
    def make(h, layers=1):
        return VQE(ansatz.hardware_efficient(3, layers), tfim(3, h=h), optimizer=adam(0.1), steps=6)

    programs = sweep(make, h=[0.5, 1.5], learning_rate=[0.05, 0.2], seed=[0])
    assert list(programs)[:2] == ["h=0.5,learning_rate=0.05,seed=0", "h=0.5,learning_rate=0.2,seed=0"]
    assert programs["h=1.5,learning_rate=0.2,seed=0"].hamiltonian == tfim(3, h=1.5)
    with pytest.raises(ValueError, match=r"the function needs 'h'; give it a list of values\."):
        sweep(make, learning_rate=[0.1])
    with pytest.raises(TypeError, match=r"must return a program such as VQE\(\.\.\.\), but returned a int"):
        sweep(lambda a: a, a=[1])


def test_ten_thousand_programs_are_not_built_one_by_one(monkeypatch):
    built = []
    monkeypatch.setattr("ensembles.programs.vqe.jaxsim.lower", lambda *a, **k: built.append(a) or 1 / 0)
    programs = sweep(PATTERN, learning_rate=np.linspace(0.01, 0.3, 100), seed=range(100))
    assert len(programs) == 10_000
    assert not built


def test_arrays_of_results():
    programs = sweep(PATTERN, learning_rate=[0.1, 0.2], seed=range(3))
    result = run(programs)
    values = programs.array(result)
    assert values.shape == (2, 3)
    assert values[1, 2] == result["learning_rate=0.2,seed=2"].value
    assert programs.array(result, "parameters").shape == (2, 3, 6)
    assert programs.array(result, lambda r: len(r.history)).tolist() == [[6.0] * 3] * 2
    assert np.isnan(programs.array(result, "ratio")).all()


# arguments ------------------------------------------------------------------------------------------------------


def test_programs_of_ones_own_by_attribute_or_decorator():
    class Shifted(Program):
        @remembers_arguments
        def __init__(self, shift, *, optimizer=None, steps=3):
            super().__init__(
                quadratic,
                np.zeros(1),
                data={"center": shift, "scale": 1.0},
                optimizer=optimizer or sgd(0.1),
                steps=steps,
            )

    class Forgetful(Program):
        def __init__(self, shift):
            super().__init__(
                quadratic, np.zeros(1), data={"center": shift, "scale": 1.0}, optimizer=sgd(0.1), steps=3
            )

    programs = sweep(Shifted(1.0), shift=[1.0, 2.0])
    assert [float(p.data["center"]) for p in programs.values()] == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"keep the argument as an attribute, self\.shift = shift"):
        sweep(Forgetful(1.0), shift=[1.0])


def test_arguments_are_those_given():
    program = VQE(CIRCUIT, tfim(3), optimizer=adam(0.1), steps=6, dtype=np.complex64)
    assert arguments_of(program)["dtype"] is np.complex64
    longer = rebuilt(program, {"steps": 9})
    assert (longer.steps, longer.hamiltonian) == (9, tfim(3))
    circuit = CIRCUIT.copy()
    program = VQE(circuit, tfim(3), optimizer=adam(0.1), steps=6)
    circuit.x(0)  # a later change of the user's circuit is not the program's
    assert len(rebuilt(program, {"steps": 9}).ansatz) == len(CIRCUIT)
    assert jax.tree.structure(rebuilt(program, {}).row("a")) == jax.tree.structure(program.row("a"))


def test_misspelt_arguments_are_named():
    with pytest.raises(
        TypeError, match=r"QAOA: there is no argument 'layer'\. Did you mean 'layers'\? It takes problem,"
    ):
        QAOA(GRAPH, layer=1, optimizer=adam(0.1), steps=1)
    with pytest.raises(TypeError, match=r"VQE: missing a required argument: 'hamiltonian'\."):
        VQE(CIRCUIT, optimizer=adam(0.1), steps=1)


def test_seeds_that_change_nothing_warn():
    fixed = VQE(CIRCUIT, tfim(3), optimizer=adam(0.1), steps=6, initial_parameters=np.zeros(6))
    with pytest.warns(UserWarning, match=r"draws nothing at random, so all seeds give the same result"):
        sweep(fixed, seed=range(2))
    draws = VQE(CIRCUIT, tfim(3), optimizer=spsa(0.1), steps=6, initial_parameters=np.zeros(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep(draws, seed=range(2))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"learning_rat": [0.1]},
            ValueError,
            r"has no field 'learning_rat'\. Did you mean 'learning_rate'\?",
        ),
        ({"hamiltonain": [1]}, ValueError, r"Did you mean 'hamiltonian'\?"),
        (
            {"layers": [1]},
            ValueError,
            r"Fields are ansatz, hamiltonian, optimizer, steps, .*of adam: learning_rate, b1",
        ),
        ({"momentum": [0.9]}, ValueError, r"has no field 'momentum'"),
        ({}, ValueError, r"name at least one field to vary"),
        ({"learning_rate": 0.1}, TypeError, r"learning_rate must be several values, .* for one: \[value\]\."),
        ({"hamiltonian": tfim(3)}, TypeError, r"hamiltonian must be several values"),
        ({"engine": "auto"}, TypeError, r"engine must be several values"),
        ({"seed": []}, ValueError, r"seed has no values; give at least one"),
        ({"learning_rate": [0.1, 0.1]}, ValueError, r"two programs would be called 'learning_rate=0.1'"),
        ({"learning_rate": [0.1, -1]}, ValueError, r"adam: learning_rate must be a finite number >= 0"),
        ({"steps": [1.5]}, TypeError, r"VQE: steps is an integer, but 1\.5 was given"),
        ({"hamiltonian": [tfim(5)]}, ValueError, r"acts on wire 4"),
        (
            {"zipped": True, "seed": [1, 2], "b1": [0.9]},
            ValueError,
            r"equally many values, but seed has 2, b1 has 1",
        ),
    ],
)
def test_refused(fields, error, message):
    with pytest.raises(error, match=message):
        sweep(PATTERN, **fields)


def test_refused_patterns():
    with pytest.raises(TypeError, match=r"the pattern is a program such as VQE\(\.\.\.\), or a function"):
        sweep(5, a=[1])
    hidden = VQE(CIRCUIT, tfim(3), optimizer=optax.adam(0.1), steps=6)
    with pytest.raises(ValueError, match=r"Numbers inside an optax transformation are not fields"):
        sweep(hidden, learning_rate=[0.1])


def test_arguments_by_position_only_are_remembered():
    class Odd:
        @remembers_arguments
        def __init__(self, a=0, /, b=1, *, c=2):
            pass

    assert arguments_of(Odd(5)) == {"a": 5, "b": 1, "c": 2}
    assert arguments_of(Odd(5, 6, c=7)) == {"a": 5, "b": 6, "c": 7}
    for wrong in (lambda: Odd(1, 2, 3), lambda: Odd(1, b=2, d=3), lambda: Odd(1, 2, b=3)):
        with pytest.raises(TypeError, match="Odd"):
            wrong()
