"""The compiled driver against a plain loop, and the batching contract: company never changes a bit."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
import pytest

import jaxsim as js
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    EnsembleError,
    Program,
    ProgramEnsemble,
    adam,
    natural_gradient,
    rmsprop,
    rotosolve,
    sgd,
)
from ensembles.compilations import count_compilations
from ensembles.keys import key_data
from ensembles.names import name_words
from ensembles.problems import MaxCut, bond_lengths, molecule, tfim
from ensembles.schedule import STEPS_PER_CALL
from jaxsim import ansatz

H2 = ansatz.uccsd(4, 2)


def hydrogen(length=0.735, *, learning_rate=0.1, steps=20, **options):
    hamiltonian = molecule("H2", bond_length=length).hamiltonian
    return VQE(H2, hamiltonian, **{"optimizer": adam(learning_rate), "steps": steps, **options})


def graph(seed, *, nodes=6, layers=2, steps=10, **options):
    problem = MaxCut(nx.random_regular_graph(3, nodes, seed=seed))
    return QAOA(problem, layers=layers, optimizer=adam(0.05), steps=steps, **options)


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **{"seed": 7, **options})


def assert_same_bits(a, b):
    assert a.history.tobytes() == b.history.tobytes()
    for field in ("value", "final_value", "status", "steps", "evaluations", "extra"):
        assert getattr(a, field) == getattr(b, field), field
    for field in ("parameters", "final_parameters"):
        for x, y in zip(jax.tree.leaves(getattr(a, field)), jax.tree.leaves(getattr(b, field))):
            assert x.tobytes() == y.tobytes(), field


# what a program computes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adam(0.1), optax.adam(0.1)),
        (sgd(0.2, momentum=0.9), optax.sgd(0.2, momentum=0.9)),
        (rmsprop(0.05), optax.rmsprop(0.05)),
    ],
)
def test_a_run_is_the_loop_one_would_write(ours, theirs):
    """A loop over optax and a dense matrix, in NumPy's complex128 for the energy."""
    steps = 12
    start = np.array([0.3, -0.2, 0.7])
    matrix = molecule("H2", bond_length=1.0).hamiltonian.to_matrix(4)
    program = VQE(
        H2,
        molecule("H2", bond_length=1.0).hamiltonian,
        optimizer=ours,
        steps=steps,
        initial_parameters=start,
    )
    result = run({"one": program})["one"]

    def energy(parameters):
        state = np.asarray(js.statevector(H2.bind(np.asarray(parameters, np.float64))), np.complex128)
        return (state.conj() @ matrix @ state).real

    def gradient(parameters):
        shifts = 1e-2 * np.eye(3)
        return np.array([(energy(parameters + s) - energy(parameters - s)) / 2e-2 for s in shifts])

    parameters, history = jnp.asarray(start, jnp.float32), []
    state = theirs.init(parameters)
    for _ in range(steps):
        history.append(energy(parameters))
        updates, state = theirs.update(jnp.asarray(gradient(parameters), jnp.float32), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    final = energy(parameters)
    np.testing.assert_allclose(result.history, history, atol=2e-4)
    np.testing.assert_allclose(result.final_parameters, parameters, atol=2e-3)
    assert result.final_value == pytest.approx(final, abs=2e-4)
    assert result.value == min([*result.history, result.final_value])
    assert result.evaluations == steps + 1
    assert result.status == "completed"


@pytest.mark.parametrize(
    "steps", [0, 1, STEPS_PER_CALL - 1, STEPS_PER_CALL, STEPS_PER_CALL + 1, 2 * STEPS_PER_CALL]
)
def test_history_has_a_loss_for_every_step(steps):
    result = run({"a": hydrogen(steps=steps), "b": hydrogen(steps=3)})
    assert len(result["a"].history) == result["a"].steps == steps
    assert len(result["b"].history) == 3
    assert result["a"].value <= result["a"].final_value
    assert np.isfinite(result["a"].final_value)


def test_the_best_parameters_give_the_best_value():
    program = hydrogen(learning_rate=1.5, steps=40)  # far too large: the loss goes up and down
    result = run([program])[0]
    assert result.value < result.final_value
    again = js.expectation(H2.bind(result.parameters), molecule("H2", bond_length=0.735).hamiltonian)
    assert float(again) == pytest.approx(result.value, abs=1e-6)


def test_losses_of_ones_own_take_pytrees_data_and_keys():
    def loss(parameters, data, key):
        noise = 0.0 * jax.random.normal(key)
        return jnp.sum((parameters["w"] - data["target"]) ** 2) + parameters["b"] ** 2 + noise

    start = {"w": np.zeros(2), "b": np.float64(1.0)}
    programs = {
        k: Program(loss, start, data={"target": np.float32(k)}, optimizer=sgd(0.25), steps=30) for k in (1, 2)
    }
    result = run(programs)
    assert result.stats.groups == 1
    for k in (1, 2):
        np.testing.assert_allclose(result[k].final_parameters["w"], k, atol=1e-5)
        np.testing.assert_allclose(result[k].final_parameters["b"], 0, atol=1e-5)


def test_keys_of_a_loss_differ_from_step_to_step_and_program_to_program():
    def loss(x, data, key):
        return jax.random.uniform(key) + 0 * jnp.sum(x)

    programs = {name: Program(loss, np.zeros(1), optimizer=sgd(0.1), steps=5) for name in "ab"}
    result = run(programs)
    draws = np.concatenate([result["a"].history, result["b"].history])
    assert len(set(draws.tolist())) == 10
    expected = []
    for t in range(5):
        key = jax.random.wrap_key_data(key_data(np.array([0, 7], np.uint32), name_words("a")))
        expected.append(float(jax.random.uniform(jax.random.fold_in(key, t))))
    np.testing.assert_array_equal(result["a"].history, np.float32(expected))


def test_starts_are_drawn_from_the_name_and_the_seed_alone():
    one = run({"a": hydrogen(steps=0)})["a"].parameters
    two = run({"b": hydrogen(steps=0), "a": hydrogen(steps=0)})
    np.testing.assert_array_equal(one, two["a"].parameters)
    assert not np.array_equal(one, two["b"].parameters)
    assert not np.array_equal(one, run({"a": hydrogen(steps=0)}, seed=8)["a"].parameters)
    many = np.concatenate([r.parameters for r in run([hydrogen(steps=0) for _ in range(300)]).values()])
    assert -np.pi <= many.min() < -3.1
    assert 3.1 < many.max() < np.pi
    assert abs(many.mean()) < 5 * (np.pi / np.sqrt(3)) / np.sqrt(len(many))


def test_qaoa_on_rings_reaches_the_known_fractions():
    """p = 1 cuts 3/4 of the edges of a long even ring, p = 2 cuts 5/6 (Farhi et al., arXiv:1411.4028)."""
    programs = {p: QAOA(MaxCut(nx.cycle_graph(8)), layers=p, optimizer=adam(0.05), steps=300) for p in (1, 2)}
    result = run(programs)
    assert -result[1].value / 8 == pytest.approx(3 / 4, abs=1e-3)
    assert -result[2].value / 8 == pytest.approx(5 / 6, abs=1e-3)
    assert result[2].cut == result[2].optimum == 8
    assert result[2].solution in ("01010101", "10101010")
    assert result[2].ratio == pytest.approx(-result[2].value / 8)


def test_the_hydrogen_curve_is_within_chemical_accuracy():
    programs = {(f"{r}", s): hydrogen(r, steps=150) for r in bond_lengths("H2") for s in range(4)}
    result = run(programs)
    for r in bond_lengths("H2"):
        best = min(result[f"{r}", s].value for s in range(4))
        assert -1e-5 < best - molecule("H2", bond_length=r).exact_energy < 1.6e-3


def test_two_layers_on_random_cubic_graphs_reach_their_mean_ratio():
    programs = {k: graph(k, nodes=10, steps=100) for k in range(16)}
    result = run(programs)
    assert np.mean([r.ratio for r in result.values()]) >= 0.85
    for k, r in result.items():
        assert r.optimum == MaxCut(nx.random_regular_graph(3, 10, seed=k)).best().value
        assert r.cut <= r.optimum


def test_qaoa_reports_cuts_that_hold():
    problem = MaxCut([("a", "b", 2.0), ("b", "c", 1.5), ("c", "a", 0.5), ("c", "d", 1.0)])
    result = run([QAOA(problem, layers=3, optimizer=adam(0.05), steps=60)])[0]
    side = dict(zip(problem.nodes, reversed(result.solution)))
    cut = sum(
        w
        for u, v, w in [("a", "b", 2.0), ("b", "c", 1.5), ("c", "a", 0.5), ("c", "d", 1.0)]
        if side[u] != side[v]
    )
    assert result.cut == pytest.approx(cut)
    assert result.optimum == 4.5
    assert result.value == pytest.approx(-result.expected)


# the batching contract ------------------------------------------------------------------------------------


def mixed():
    """Programs of several structures, sizes, optimisers and lengths."""
    programs = {
        ("H2", k): hydrogen(r, learning_rate=0.02 * (k + 1), steps=9 + k % 3)
        for k, r in enumerate(bond_lengths("H2")[:9])
    }
    programs |= {f"graph {k}": graph(k) for k in range(5)}
    programs |= {
        k: VQE(ansatz.hardware_efficient(3, 1), tfim(3, h=1 + k), optimizer=rmsprop(0.1), steps=7)
        for k in range(3)
    }
    return programs


@pytest.fixture(scope="module")
def reference():
    return run(mixed())


CONFIGS = [
    BatchConfig(max_batch_size=1),
    BatchConfig(max_batch_size=2),
    BatchConfig(max_batch_size=5),
    BatchConfig(max_batch_size=64),
    BatchConfig("off"),
    BatchConfig(max_concurrent_programs=1),
    BatchConfig(max_concurrent_programs=3, max_batch_size=2),
    BatchConfig(max_concurrent_programs=-1),
    BatchConfig(_sort_programs=True),
    BatchConfig(max_rows_per_call=4),
    BatchConfig(memory_limit=1),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_no_configuration_changes_a_bit(reference, config):
    result = run(mixed(), config)
    assert list(result) == list(reference)
    for name in reference:
        assert_same_bits(result[name], reference[name])


def test_order_company_and_being_alone_change_no_bit(reference):
    names = list(mixed())
    random.Random(3).shuffle(names)
    shuffled = run({name: mixed()[name] for name in names})
    for name in names:
        assert_same_bits(shuffled[name], reference[name])
    some = run({name: mixed()[name] for name in names[:6]})
    for name in names[:6]:
        assert_same_bits(some[name], reference[name])
    for name in names[:4]:
        assert_same_bits(run({name: mixed()[name]})[name], reference[name])


@pytest.mark.parametrize("size", [1, 2, 5, 16, 64])
def test_large_states_keep_their_bits_too(size):
    """10 qubits: a block has 2**16 amplitudes, where XLA's own sums change with the batch."""
    programs = {f"graph {k}": graph(k, nodes=10, steps=4) for k in range(20)}
    reference = run(programs)
    result = run(programs, BatchConfig(max_batch_size=size))
    for name in programs:
        assert_same_bits(result[name], reference[name])


def test_double_precision_keeps_its_bits():
    with jax.enable_x64(True):
        programs = {k: hydrogen(0.5 + 0.05 * k, dtype=np.complex128, steps=5) for k in range(5)}
        reference = run(programs)
        assert reference[0].history.dtype == np.float64
        for config in (BatchConfig("off"), BatchConfig(max_batch_size=2)):
            result = run(programs, config)
            for k in programs:
                assert_same_bits(result[k], reference[k])


def test_runs_repeat(reference):
    again = run(mixed())
    for name in reference:
        assert_same_bits(again[name], reference[name])


# groups, calls, compilations ------------------------------------------------------------------------------


def test_a_sweep_over_lengths_and_learning_rates_compiles_once():
    jax.clear_caches()
    programs = {
        (f"r={r}", s): hydrogen(r, learning_rate=0.05 + 0.01 * s, steps=2)
        for r in bond_lengths("H2")
        for s in range(4)
    }
    assert len(programs) == 164
    ensemble = ProgramEnsemble(programs)
    result = ensemble.run(progress=False)
    assert result.stats.compilations == ensemble.plan().compilations == 1
    with count_compilations() as compiled:
        ensemble.run(BatchConfig(max_concurrent_programs=100), progress=False, seed=3)
        ProgramEnsemble(dict(list(programs.items())[:77])).run(progress=False)
    assert compiled.count == 0


def test_graphs_compile_once():
    jax.clear_caches()
    programs = {k: graph(k, nodes=8, steps=2) for k in range(64)}
    ensemble = ProgramEnsemble(programs)
    assert ensemble.plan().compilations == 1
    result = ensemble.run(progress=False)
    # the training step, and the kernel that finds the most probable state
    assert result.stats.compilations == 2


@pytest.mark.parametrize("config", [BatchConfig(), *CONFIGS], ids=str)
def test_the_plan_is_what_happens(config):
    ensemble = ProgramEnsemble(mixed() | {"long": hydrogen(steps=3 * STEPS_PER_CALL)})
    plan = ensemble.plan(config)
    stats = ensemble.run(config, progress=False).stats
    for field in ("flushes", "calls", "blocks", "rows", "padded_rows", "largest_call", "evaluations"):
        assert getattr(stats, field) == getattr(plan, field), field
    assert stats.groups == len(plan.groups) == 3


def test_flushes_follow_the_rule():
    programs = [hydrogen(steps=2) for _ in range(32)]
    assert ProgramEnsemble(programs).plan(BatchConfig(max_batch_size=8)).flushes == 4
    plan = ProgramEnsemble(programs).plan(BatchConfig(max_batch_size=8, max_concurrent_programs=-1))
    assert (plan.lanes, plan.flushes, plan.largest_call) == (8, 4, 8)
    plan = ProgramEnsemble(programs).plan(BatchConfig(max_batch_size=12, max_concurrent_programs=32))
    assert (plan.lanes, plan.flushes, plan.largest_call) == (32, 3, 12)
    plan = ProgramEnsemble(programs).plan(BatchConfig(max_rows_per_call=10))
    assert (plan.flushes, plan.calls, plan.largest_call) == (1, 4, 10)


def test_more_programs_than_lanes_is_no_error():
    result = run([hydrogen(steps=1) for _ in range(300)])
    assert len(result) == 300
    assert result.stats.largest_call == 256
    assert {r.status for r in result.values()} == {"completed"}


def test_equal_optax_transformations_share_only_if_they_are_one_object():
    shared = optax.adam(0.1)
    vqe = [
        VQE(H2, molecule("H2", bond_length=1.0).hamiltonian, optimizer=o, steps=1)
        for o in (shared, shared, optax.adam(0.1))
    ]
    plan = ProgramEnsemble(vqe).plan()
    assert len(plan.groups) == 2
    assert "ensembles.adam" in plan.warnings[0]
    assert "note:" in str(plan)
    assert not ProgramEnsemble(vqe[:2]).plan().warnings


def test_planning_runs_nothing_and_prints():
    ensemble = ProgramEnsemble(mixed())
    jax.clear_caches()
    with count_compilations() as compiled:
        text = str(ensemble.plan(BatchConfig(max_batch_size=4)))
    assert compiled.count == 0
    assert "VQE 4 qubits" in text
    assert "QAOA 6 qubits" in text
    assert "compilations" in text


# failures, interruption -----------------------------------------------------------------------------------


def with_a_failure():
    def loss(x, data, key):
        return jnp.sum(x**2) + jnp.where(x[0] < data, jnp.nan, 0.0)

    def program(threshold):
        return Program(loss, np.ones(2), data=np.float32(threshold), optimizer=sgd(0.1), steps=8)

    return {"good": program(-1.0), "bad": program(0.5), "fine": program(-2.0)}


def test_a_failure_is_a_programs_own():
    programs = with_a_failure()
    alone = run({"good": programs["good"]})["good"]
    with pytest.raises(EnsembleError, match="bad") as caught:
        run(programs)
    result = caught.value.result
    assert list(result.failed()) == ["bad"]
    assert result["bad"].status == "failed"
    assert "the loss is nan after 4 updates" in str(result["bad"].error)
    assert len(result["bad"].history) == result["bad"].steps == 4
    assert np.isfinite(result["bad"].value)
    assert result["bad"].evaluations == 5
    assert_same_bits(result["good"], alone)
    collected = run(programs, on_error="collect")
    assert [r.status for r in collected.values()] == ["completed", "failed", "completed"]
    assert collected.best().name in ("good", "fine")


def test_a_gradient_that_is_not_finite_fails_the_program():
    def loss(x, data, key):
        return jnp.sum(jnp.sqrt(x))

    with pytest.raises(EnsembleError, match="gradient"):
        run([Program(loss, np.zeros(1), optimizer=sgd(0.1), steps=3)])


def test_a_failed_program_gives_its_lane_to_the_next():
    programs = with_a_failure() | {f"more {k}": p for k, p in enumerate([*with_a_failure().values()])}
    result = run(programs, BatchConfig(max_concurrent_programs=1), on_error="collect")
    assert [r.status for r in result.values()] == ["completed", "failed", "completed"] * 2


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_ctrl_c_ends_after_the_call_in_flight(monkeypatch, delay):
    """Sent at once it arrives between two calls, a little later in the middle of one."""
    under_way = threading.Event()
    monkeypatch.setattr(
        "ensembles.progress.ProgressReporter.update", lambda *_, calls, **__: calls > 1 and under_way.set()
    )

    def interrupt():
        under_way.wait(60)
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    result = run([hydrogen(steps=2_000_000) for _ in range(3)])
    sender.join()
    assert len(result) == 3
    for r in result.values():
        assert r.status == "cancelled"
        assert 0 < r.steps < 2_000_000
        assert len(r.history) == r.steps == r.evaluations
        assert np.isfinite(r.value)
        assert np.isfinite(r.history).all()


# bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: ProgramEnsemble({}), ValueError, "at least one program"),
        (lambda: ProgramEnsemble([]), ValueError, "at least one program"),
        (lambda: ProgramEnsemble(hydrogen()), TypeError, r"\[program\]"),
        (lambda: ProgramEnsemble({"a": 3}), TypeError, "'a' is a int, not a program"),
        (lambda: ProgramEnsemble({0.5: hydrogen()}), TypeError, "name"),
        (lambda: ProgramEnsemble({True: hydrogen()}), TypeError, "name"),
        (lambda: ProgramEnsemble([hydrogen()]).run(seed=-1), ValueError, "seed must be from 0"),
        (lambda: ProgramEnsemble([hydrogen()]).run(seed=0.5), TypeError, "seed is an integer"),
        (lambda: ProgramEnsemble([hydrogen()]).run(on_error="ignore"), ValueError, "'raise' or 'collect'"),
        (lambda: ProgramEnsemble([hydrogen()]).run("merged"), TypeError, "BatchConfig"),
        (lambda: ProgramEnsemble([hydrogen()]).run(progress="yes"), TypeError, "progress"),
        (lambda: hydrogen(steps=None), ValueError, "steps=200"),
        (lambda: hydrogen(steps=-1), ValueError, "at least 0"),
        (lambda: hydrogen(steps=2.0), TypeError, "steps is an integer"),
        (lambda: hydrogen(initial_parameters=[0.1]), ValueError, r"shape \(3,\)"),
        (lambda: hydrogen(initial_parameters={"phi": [0.1]}), ValueError, "'phi'"),
        (lambda: hydrogen(initial_parameters=[0.1, np.nan, 0]), ValueError, "finite"),
        (lambda: hydrogen(engine="quick"), ValueError, "engine"),
        (lambda: hydrogen(dtype=np.complex128), ValueError, "enable_x64"),
        (lambda: VQE("circuit", tfim(2), optimizer=adam(0.1), steps=1), TypeError, "ansatz is a Circuit"),
        (lambda: VQE(H2, "H", optimizer=adam(0.1), steps=1), TypeError, "PauliSum"),
        (lambda: VQE(js.Circuit(2).h(0), tfim(2), optimizer=adam(0.1), steps=1), ValueError, "no parameters"),
        (lambda: VQE(H2, tfim(5), optimizer=adam(0.1), steps=1), ValueError, "wire 4"),
        (lambda: VQE(H2, tfim(2), optimizer="adam", steps=1), TypeError, "adam"),
        (lambda: QAOA([(0, 1)], layers=1, optimizer=adam(0.1), steps=1), TypeError, "MaxCut"),
        (lambda: graph(0, layers=0.5), TypeError, "layers"),
        (lambda: graph(0, mixer="y"), ValueError, "mixer"),
        (lambda: Program("loss", np.zeros(1), optimizer=adam(0.1), steps=1), TypeError, "function"),
        (lambda: Program(len, [], optimizer=adam(0.1), steps=1), ValueError, "no array"),
        (lambda: Program(len, np.zeros(1) + 1j, optimizer=adam(0.1), steps=1), TypeError, "real"),
        (lambda: Program(len, [np.inf], optimizer=adam(0.1), steps=1), ValueError, "finite"),
        (
            lambda: ProgramEnsemble([Program(lambda x, d, k: x, np.zeros(2), optimizer=adam(0.1), steps=1)]).plan(),
            ValueError,
            "real scalar",
        ),
        (
            lambda: ProgramEnsemble(
                [Program(lambda x, d, k: x[0] * 1j, np.zeros(2), optimizer=adam(0.1), steps=1)]
            ).plan(),
            ValueError,
            "real scalar",
        ),
        (
            lambda: ProgramEnsemble([Program(lambda x, d, k: x @ d, np.zeros(2), optimizer=adam(0.1), steps=1)]).plan(),
            ValueError,
            "cannot be evaluated",
        ),
        (
            lambda: ProgramEnsemble([Program(lambda x, d, k: 3.0, np.zeros(2), optimizer=adam(0.1), steps=1)]).plan(),
            ValueError,
            r"returns the Python number 3\.0",
        ),
        (lambda: hydrogen(optimizer=natural_gradient(0.1), shots=9), TypeError, "Leave out shots"),
        (lambda: hydrogen(optimizer=rotosolve(), shots=9), TypeError, "Leave out shots"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_two_names_that_are_the_same_are_refused():
    with pytest.raises(ValueError, match="two programs"):
        ProgramEnsemble(_Pairs([(3, hydrogen()), (np.int64(3), hydrogen())]))


class _Pairs(dict):
    """A mapping with two keys that are one name."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs

    def items(self):
        return self.pairs


def test_an_ensemble_runs_once_at_a_time():
    ensemble = ProgramEnsemble([hydrogen(steps=1)])
    ensemble._running = True
    with pytest.raises(RuntimeError, match="running already"):
        ensemble.run(progress=False)
