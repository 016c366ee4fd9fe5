"""Hosted programs: what `evaluate` answers, who shares a call, the contract, failures, results."""

from __future__ import annotations

import re
import runpy
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxsim as js
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    EnsembleError,
    HostedProgram,
    Program,
    ProgramEnsemble,
    adam,
    scipy_minimize,
)
from ensembles.calls import Calls
from ensembles.measurement import draw_bits
from ensembles.problems import MaxCut, tfim
from ensembles.subjects import CircuitSubject, Family
from jaxsim import Circuit, ParameterVector, X, Z

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
FIELD = Z(0) @ Z(1) + 0.5 * X(0)
PLACES = np.array([[0.3, -1.2], [2.0, 0.4], [-0.7, 0.9]])


class Steps(HostedProgram):
    """Evaluates `steps` times, each time at as many places as `rows` says."""

    def __init__(self, steps=1, rows=1, observable=FIELD, circuit=PAIR, **options):
        super().__init__(circuit, observable, **options)
        self.steps_to_do, self.rows = steps, rows

    def run(self, evaluate):
        x = np.tile(evaluate.initial_parameters, (self.rows, 1))
        for _ in range(self.steps_to_do):
            x = x - 0.1 * evaluate(x)[:, None]
        return {"parameters": x[0]}


class Does(HostedProgram):
    """Runs a function of `evaluate`."""

    def __init__(self, function, circuit=PAIR, observable=FIELD, **options):
        super().__init__(circuit, observable, **options)
        self.function = function

    def run(self, evaluate):
        return self.function(evaluate)


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **{"seed": 7, **options})


def answer(function, **options):
    """What a function of `evaluate` returns, in an ensemble of one."""
    return run([Does(function, **options)])[0].returned


def exact_state(circuit, parameters):
    """The state by dense matrices of the gates, from the definition; complex128."""
    a, b = parameters
    ry = np.array([[np.cos(a / 2), -np.sin(a / 2)], [np.sin(a / 2), np.cos(a / 2)]])
    rx = np.array([[np.cos(b / 2), -1j * np.sin(b / 2)], [-1j * np.sin(b / 2), np.cos(b / 2)]])
    state = np.kron(rx[:, 0], ry[:, 0])  # qubit 1 is the left factor
    return state[[0, 3, 2, 1]]  # control 0, target 1: exchanges 01 and 11


def exact_energy(parameters):
    state = exact_state(PAIR, parameters)
    matrix = np.diag([1.0, -1, -1, 1]).astype(complex)
    matrix += 0.5 * np.kron(np.eye(2), [[0, 1], [1, 0]])
    return (state.conj() @ matrix @ state).real


def exact_gradient(parameters):
    shifts = np.pi / 2 * np.eye(2)
    return [(exact_energy(parameters + s) - exact_energy(parameters - s)) / 2 for s in shifts]


@pytest.fixture
def calls_made(monkeypatch):
    """The values (rows, parameters) of every call, in order; the answers are zeros and nothing is compiled."""
    made = []

    def evaluate(rows, values, want="value"):
        made.append(np.array(values))
        if want == "probabilities":
            return np.full((len(values), 4), 0.25, np.float32)
        zeros = np.zeros(len(values), np.float32)
        return (zeros, np.zeros(np.shape(values), np.float32)) if want == "value_and_grad" else zeros

    monkeypatch.setattr(js, "evaluate", evaluate)
    return made


# what evaluate answers --------------------------------------------------------------------------------------


def test_values_and_derivatives_are_those_of_dense_matrices():
    one = answer(lambda evaluate: evaluate(PLACES[0]))
    assert isinstance(one, float)
    assert one == pytest.approx(exact_energy(PLACES[0]), abs=1e-6)
    several = answer(lambda evaluate: evaluate(PLACES))
    np.testing.assert_allclose(several, [exact_energy(x) for x in PLACES], atol=1e-6)
    value, gradient = answer(lambda evaluate: evaluate(PLACES[1], gradient=True))
    assert (type(value), gradient.shape, gradient.dtype) == (float, (2,), np.float64)
    np.testing.assert_allclose(gradient, exact_gradient(PLACES[1]), atol=1e-6)
    values, gradients = answer(lambda evaluate: evaluate(PLACES, gradient=True))
    assert (values.shape, gradients.shape) == ((3,), (3, 2))
    np.testing.assert_allclose(gradients, [exact_gradient(x) for x in PLACES], atol=1e-6)


def test_parameters_may_come_by_name_as_lists_and_as_jax_arrays():
    def forms(evaluate):
        x = PLACES[0]
        return [evaluate(x), evaluate(list(x)), evaluate(jnp.asarray(x)), evaluate({A: x})]

    assert len(set(answer(forms))) == 1


def test_states_probabilities_and_other_circuits():
    def ask(evaluate):
        flipped = Circuit(2).x(0)
        return (
            evaluate.statevector(PLACES[0]),
            evaluate.probabilities(PLACES),
            evaluate(PLACES[0], observable=[Z(0), Z(1)]),
            evaluate(PLACES, observable=[Z(0), Z(1)], gradient=True)[1].shape,
            evaluate([], circuit=flipped, observable=Z(0) + 3 * Z(1)),
            evaluate.probabilities([], circuit=flipped),
        )

    state, probabilities, two, shape, flipped, where = answer(ask)
    np.testing.assert_allclose(state, exact_state(PAIR, PLACES[0]), atol=1e-6)
    np.testing.assert_allclose(probabilities, [abs(exact_state(PAIR, x)) ** 2 for x in PLACES], atol=1e-6)
    diagonal = abs(exact_state(PAIR, PLACES[0])) ** 2
    np.testing.assert_allclose(two, [diagonal @ [1, -1, 1, -1], diagonal @ [1, 1, -1, -1]], atol=1e-6)
    assert shape == (3, 2, 2)
    assert flipped == pytest.approx(2.0)
    np.testing.assert_allclose(where, [0, 1, 0, 0], atol=1e-6)


def test_samples_have_the_probabilities_of_the_state():
    samples = answer(lambda evaluate: evaluate.sample(PLACES, 4000))
    assert (samples.shape, samples.dtype) == ((3, 4000, 2), np.uint8)
    for own, x in zip(samples, PLACES, strict=True):
        counts = np.bincount(own @ [1, 2], minlength=4)
        expected = abs(exact_state(PAIR, x)) ** 2
        np.testing.assert_allclose(counts / 4000, expected, atol=5 * 0.5 / np.sqrt(4000))
    assert answer(lambda evaluate: evaluate.sample(PLACES[0], 7)).shape == (7, 2)


def test_numbers_of_shots_share_a_call_and_compile_nothing(calls_made):
    result = run([Does(lambda evaluate, k=k: evaluate.sample(PLACES, 2 + k)) for k in range(3)])
    assert [r.returned.shape for r in result.values()] == [(3, 2 + k, 2) for k in range(3)]
    assert [len(values) for values in calls_made] == [9]


def test_more_shots_begin_with_the_same_ones():
    odds = np.array([0.1, 0.0, 0.5, 0.4])
    key = np.array([3, 4], np.uint32)
    many = draw_bits(odds, key, 5000)
    np.testing.assert_array_equal(many[:17], draw_bits(odds, key, 17))
    counts = np.bincount(many @ [1, 2], minlength=4)
    np.testing.assert_allclose(counts / 5000, odds, atol=0.04)
    assert counts[1] == 0
    with pytest.raises(FloatingPointError, match="add up to nan"):
        draw_bits(np.full(4, np.nan), key, 1)


def test_no_rows_are_answered_at_once_with_the_right_shapes(calls_made):
    none = np.zeros((0, 2))

    def ask(evaluate):
        value, gradient = evaluate(none, gradient=True)
        many = evaluate(none, observable=[Z(0), Z(1), X(0)])
        bits, odds = evaluate.sample(none, 5), evaluate.probabilities(none)
        state = evaluate.statevector(none)
        return [a.shape for a in (evaluate(none), value, gradient, many, bits, odds, state)]

    assert answer(ask) == [(0,), (0,), (0, 2), (0, 3), (0, 5, 2), (0, 4), (0, 4)]
    assert calls_made == []


def test_losses_of_ones_own_have_vectors_data_and_keys():
    def loss(parameters, data, key):
        noise = jax.random.normal(key) * data["noise"]
        return jnp.sum((parameters["w"] - data["target"]) ** 2) + parameters["b"] ** 2 + noise

    start = {"b": np.float32(3.0), "w": np.array([[1.0, 2.0]], np.float32)}

    class Look(Program):
        def run(self, evaluate):
            assert evaluate.initial_parameters.tolist() == [3.0, 1.0, 2.0]
            value, gradient = evaluate(evaluate.initial_parameters, gradient=True)
            batch = evaluate(np.arange(60.0).reshape(20, 3) / 20)
            noisy = [evaluate(evaluate.initial_parameters) for _ in range(2)]
            return {"gradient": gradient, "batch": batch, "noisy": noisy, "first": value}

    def program(noise):
        return Look(loss, start, data={"target": np.float32(0.5), "noise": np.float32(noise)}, optimizer=None)

    result = run({"plain": program(0.0), "noisy": program(1.0)})
    plain, noisy = result["plain"], result["noisy"]
    assert plain.first == pytest.approx(9 + 0.25 + 2.25)
    np.testing.assert_allclose(plain.gradient, [6.0, 1.0, 3.0], rtol=1e-6)
    x = np.arange(60.0).reshape(20, 3) / 20
    np.testing.assert_allclose(plain.batch, x[:, 0] ** 2 + ((x[:, 1:] - 0.5) ** 2).sum(1), rtol=1e-5)
    assert plain.noisy[0] == plain.noisy[1]
    assert noisy.noisy[0] != noisy.noisy[1]
    assert jax.tree.structure(plain.parameters) == jax.tree.structure(start)
    assert plain.parameters["w"].shape == (1, 2)
    assert result.stats.groups == 1
    again = run({"noisy": program(1.0)}, BatchConfig("off"))["noisy"]
    assert again.noisy == noisy.noisy
    assert run({"noisy": program(1.0)}, seed=8)["noisy"].noisy != noisy.noisy


def test_double_precision_is_kept():
    with jax.enable_x64(True):
        program = Does(lambda evaluate: evaluate(PLACES[0]), dtype=np.complex128)
        value = run([program])[0].returned
    assert value == pytest.approx(exact_energy(PLACES[0]), abs=1e-13)
    with pytest.raises(ValueError, match="double precision"):
        run([program])


def test_a_program_without_a_circuit_brings_its_own():
    class Grow(HostedProgram):
        def run(self, evaluate):
            circuit = Circuit(1)
            found = []
            for angle in (0.2, 0.4):
                circuit.rx(angle, 0)
                found.append(evaluate([], circuit=circuit, observable=Z(0)))
            return {"found": found, "value": min(found), "parameters": []}

    result = run([Grow()])[0]
    np.testing.assert_allclose(result.found, np.cos([0.2, 0.6]), atol=1e-6)
    assert result.value == min(result.found)
    assert result.evaluations == 2


# who shares a call ------------------------------------------------------------------------------------------


def test_programs_in_step_share_every_call(calls_made):
    result = run([Steps(5) for _ in range(3)])
    assert [len(values) for values in calls_made] == [3] * 5
    stats = result.stats
    assert (stats.flushes, stats.calls, stats.rows, stats.largest_call, stats.groups) == (5, 5, 15, 3, 1)
    assert [r.evaluations for r in result.values()] == [5] * 3


def test_the_trigger_cuts_32_rows_into_four_calls_of_eight(calls_made):
    config = BatchConfig(max_batch_size=8, max_concurrent_programs=32)
    result = run([Steps(1) for _ in range(32)], config)
    assert [len(values) for values in calls_made] == [8] * 4
    assert result.stats.flushes == 4


def test_several_rows_of_a_program_stay_together(calls_made):
    config = BatchConfig(max_batch_size=12, max_concurrent_programs=8)
    run([Steps(1, rows=5) for _ in range(8)], config)
    sizes = [len(values) for values in calls_made]
    assert sum(sizes) == 40
    assert all(size % 5 == 0 for size in sizes)
    assert max(sizes) > 12


def test_lanes_follow_the_trigger(calls_made):
    run([Steps(2) for _ in range(20)], BatchConfig(max_batch_size=4))
    assert {len(values) for values in calls_made} == {4}
    assert len(calls_made) == 10


def test_off_runs_every_program_alone(calls_made):
    result = run([Steps(2, rows=3) for _ in range(6)], BatchConfig("off"))
    assert [len(values) for values in calls_made] == [3] * 12
    assert (result.stats.flushes, result.stats.largest_call) == (12, 3)


@pytest.mark.parametrize("mode", ["merged", "off"])
def test_no_call_exceeds_the_hard_cap(calls_made, mode):
    result = run([Steps(1, rows=k + 1) for k in range(6)], BatchConfig(mode, max_rows_per_call=4))
    assert max(len(values) for values in calls_made) == 4
    assert sum(len(values) for values in calls_made) == 21
    assert result.stats.largest_call == 4
    if mode == "merged":
        assert len(calls_made) == 6  # 21 rows, 4 each
        assert result.stats.flushes == 1


def test_rows_leave_memory_within_its_limit(calls_made):
    """Parts of a call, not calls; and the shape of a block stays as it is."""
    block = js.rows_per_block(js.lower(PAIR, FIELD))
    result = run([Steps(1, rows=3 * block)], BatchConfig(memory_limit=1))
    assert [len(values) for values in calls_made] == [block] * 3
    assert (result.stats.calls, result.stats.largest_call) == (1, 3 * block)


class Marked(HostedProgram):
    """Evaluates at its own mark, so that calls show in which order rows entered; waits a while before."""

    def __init__(self, mark, seconds=0.0):
        super().__init__(PAIR, FIELD)
        self.mark, self.seconds = mark, seconds

    def run(self, evaluate):
        time.sleep(self.seconds)
        evaluate([self.mark, 0.0])


@pytest.mark.parametrize("repetition", range(20))
def test_sorting_puts_rows_in_the_natural_order_of_names(calls_made, repetition):
    rng = np.random.default_rng(repetition)
    numbers = rng.permutation(12)
    programs = {f"p{n}": Marked(float(n), rng.uniform(0, 0.002)) for n in numbers}
    run(programs, BatchConfig(_sort_programs=True))
    assert calls_made[0][:, 0].tolist() == list(range(12))


def test_without_sorting_rows_enter_in_order_of_arrival(calls_made):
    programs = {"p10": Marked(10.0, 0.3), "p2": Marked(2.0, 0.0), "p1": Marked(1.0, 0.6)}
    run(programs)
    assert calls_made[0][:, 0].tolist() == [2.0, 10.0, 1.0]


def test_what_can_share_a_call_shares_it(calls_made):
    """Circuits of equal keys share whatever they are; another number of qubits or shots, another want does not."""
    other = Circuit(2).rx(A[1], 1).ry(A[0], 0)
    larger = Circuit(3).ry(A[0], 0).ry(A[1], 2)

    def both(evaluate):
        evaluate(PLACES[0])
        evaluate.sample(PLACES[0], evaluate.name)

    programs = {
        5: Does(both),
        6: Does(both, circuit=other),
        7: Does(lambda evaluate: evaluate(PLACES[0], gradient=True)),
        8: Does(lambda evaluate: evaluate(PLACES[0]), circuit=larger, observable=FIELD),
    }
    same = js.lower(PAIR, FIELD).key == js.lower(other, FIELD).key
    run(programs)
    first = 3 if same else 4
    assert len(calls_made) == first + 2
    assert sum(len(values) for values in calls_made) == 6


def test_more_programs_than_lanes(calls_made):
    result = run([Steps(2) for _ in range(300)])
    assert {r.status for r in result.values()} == {"completed"}
    assert result.stats.largest_call == 256
    assert max(len(values) for values in calls_made) == 256


@pytest.mark.parametrize("lanes", [-1, 300])
def test_as_many_lanes_as_are_asked_for(calls_made, lanes):
    result = run([Steps(1) for _ in range(300)], BatchConfig(max_concurrent_programs=lanes))
    assert result.stats.largest_call == 300
    assert result.stats.calls == 1


def test_what_is_left_over_goes_when_the_others_have_left(calls_made):
    """Three of four rows trigger a flush; the fourth waits until they are back, and goes with them or after them."""
    programs = [Marked(float(k), 0.15 * k) for k in range(4)]
    run(programs, BatchConfig(max_batch_size=3, max_concurrent_programs=4))
    assert [values[:, 0].tolist() for values in calls_made] == [[0.0, 1.0, 2.0], [3.0]]


def test_programs_with_fewer_parameters_get_as_many_derivatives():
    """Circuits of nine and of twelve parameters in one call; derivatives against differences."""
    angles = ParameterVector("b", 12)

    def circuit(size):
        made = Circuit(3)
        for k in range(24):
            made.ry(angles[k % size], k % 3)
            if k % 3 == 2:
                made.cx([0, 1], [1, 2])
        return made

    def look(evaluate):
        x = np.linspace(0.2, 0.9, evaluate.num_parameters)
        shifts = 1e-2 * np.eye(len(x))
        _, gradient = evaluate(x, gradient=True)
        return gradient, (evaluate(x + shifts) - evaluate(x - shifts)) / 2e-2

    result = run({n: Does(look, circuit=circuit(n), engine="layered") for n in (9, 12)})
    assert result.stats.groups == 1
    assert result.stats.calls == 3
    for size, r in result.items():
        gradient, differences = r.returned
        assert gradient.shape == differences.shape == (size,)
        np.testing.assert_allclose(gradient, differences, atol=2e-3)
        assert np.abs(gradient).max() > 0.1


def test_a_family_stacks_what_it_is_asked_for_and_reuses_places():
    def subject(k):
        return CircuitSubject(js.lower(PAIR, k * FIELD), PAIR.parameters)

    def expected(members, counts):
        rows = [member.row for member, count in zip(members, counts) for _ in range(count)]
        return js.evaluate(js.stack(rows), values[: len(rows)])

    values = np.random.default_rng(1).uniform(-3, 3, (15, len(PAIR.parameters)))
    rng = np.random.default_rng(0)
    subjects = [subject(k) for k in range(1, 8)]
    family = Family(subjects[0])
    for step in range(60):
        chosen = rng.choice(len(subjects), rng.integers(1, 6), replace=False)
        members, counts = [subjects[k] for k in chosen], rng.integers(1, 4, len(chosen)).tolist()
        for _ in range(3):  # the second time they are kept, the third time from what was kept
            mine = js.evaluate(family.rows(members, counts), values[: sum(counts)])
            np.testing.assert_array_equal(mine, expected(members, counts))
        gone = int(rng.integers(len(subjects)))
        family.forget(subjects[gone])
        subjects[gone] = subject(step + 10)
    assert len(family._store[0]) <= 16
    family.forget(subject(1))  # a stranger


def test_different_observables_share_a_call_and_get_their_own_answers():
    fields = [k * Z(0) @ Z(1) + 0.5 * X(0) for k in (1.0, 2.0, 3.0)]
    result = run([Does(lambda evaluate: evaluate(PLACES[0]), observable=field) for field in fields])
    assert (result.stats.calls, result.stats.largest_call) == (1, 3)
    state = exact_state(PAIR, PLACES[0])
    flip = 0.5 * np.kron(np.eye(2), [[0, 1], [1, 0]])
    for k, r in enumerate(result.values()):
        matrix = (k + 1) * np.diag([1.0, -1, -1, 1]) + flip
        assert r.returned == pytest.approx((state.conj() @ matrix @ state).real, abs=2e-6)


def test_lanes_are_threads_and_end(calls_made):
    most, lock = [0, 0], threading.Lock()

    def watch(evaluate):
        with lock:
            most[0] += 1
            most[1] = max(most)
        evaluate(PLACES[0])
        with lock:
            most[0] -= 1

    before = threading.active_count()
    run([Does(watch) for _ in range(40)], BatchConfig(max_concurrent_programs=7))
    assert most == [0, 7]
    assert threading.active_count() == before


def test_sleepers_do_not_wait_for_each_other(calls_made):
    """Programs that wait for something else than `evaluate` do so at the same time."""
    started = time.perf_counter()
    run([Marked(float(k), seconds=0.5) for k in range(64)])
    assert time.perf_counter() - started < 16  # one after the other: 32 s


# the contract -----------------------------------------------------------------------------------------------


def drawn_programs(sizes, seeds):
    """Programs of several kinds, from small numbers."""
    made = {}
    for k, (size, seed) in enumerate(zip(sizes, seeds, strict=True)):
        if size == 0:
            made[f"walk {k}"] = Walk(seed)
        elif size == 1:
            made["cobyla", k] = VQE(
                PAIR, (1 + 0.1 * seed) * FIELD, optimizer=scipy_minimize("COBYLA", maxiter=8)
            )
        elif size == 2:
            start = np.array([0.1 * seed, 0.5])
            optimizer = scipy_minimize("L-BFGS-B", maxiter=3)
            made[k] = VQE(PAIR, FIELD, initial_parameters=start, optimizer=optimizer)
        else:
            made[f"adam {k}"] = VQE(PAIR, FIELD, optimizer=adam(0.1), steps=3 + seed)
    return made


class Walk(HostedProgram):
    """Values, derivatives, samples and draws in one."""

    def __init__(self, turns):
        super().__init__(PAIR, FIELD)
        self.turns = turns

    def run(self, evaluate):
        x = evaluate.initial_parameters
        bits = []
        for k in range(1 + self.turns % 3):
            _, slope = evaluate(x, gradient=True)
            batch = x + evaluate.random.normal(size=(k + 2, 2))
            x = batch[np.argmin(evaluate(batch))] - 0.1 * slope
            bits.append(evaluate.sample(x, 20))
        return {"parameters": x, "bits": np.concatenate(bits)}


def bits_of(result):
    """Everything a program found, as bytes."""
    found = {}
    for name, r in result.items():
        arrays = [r.history, r.value, r.final_value, r.parameters, r.final_parameters]
        arrays += [entry for key, entry in r.extra.items() if key != "message"]
        found[name] = (r.status, r.evaluations, *(np.asarray(a).tobytes() for a in arrays))
    return found


CONFIGS = st.builds(
    lambda batch, lanes, ordered, rows: BatchConfig(
        max_batch_size=batch, max_concurrent_programs=lanes, _sort_programs=ordered, max_rows_per_call=rows
    ),
    st.none() | st.integers(1, 6),
    st.sampled_from([None, -1, 1, 2, 5]),
    st.booleans(),
    st.none() | st.integers(1, 5),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=4),
    CONFIGS,
    st.integers(0, 2**40),
    st.randoms(use_true_random=False),
)
def test_merged_off_and_alone_are_the_same_bits(kinds, config, seed, shuffle):
    programs = drawn_programs(*zip(*kinds))
    reference = bits_of(run(programs, BatchConfig("off"), seed=seed))
    assert bits_of(run(programs, seed=seed)) == reference
    shuffled = list(programs.items())
    shuffle.shuffle(shuffled)
    assert bits_of(run(dict(shuffled), config, seed=seed)) == reference
    name = shuffled[0][0]
    assert bits_of(run({name: programs[name]}, config, seed=seed)) == {name: reference[name]}


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12),
    CONFIGS,
    st.integers(0, 2**64 - 1),
)
def test_merged_off_and_alone_are_the_same_bits_in_many_ensembles(kinds, config, seed):
    programs = drawn_programs(*zip(*kinds))
    reference = bits_of(run(programs, BatchConfig("off"), seed=seed))
    assert bits_of(run(dict(reversed(programs.items())), config, seed=seed)) == reference


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("engine", ["layered", "rotations", "fused"])
def test_every_engine_keeps_its_bits(engine, dtype):
    circuits = [js.ansatz.hardware_efficient(n, 2) for n in (3, 3, 5)]

    def program(k, circuit):
        optimizer = scipy_minimize("L-BFGS-B", maxiter=3) if k % 2 else scipy_minimize("COBYLA", maxiter=30)
        return VQE(circuit, tfim(circuit.num_wires), optimizer=optimizer, engine=engine, dtype=dtype)

    with jax.enable_x64(True):
        programs = {("vqe", k): program(k, c) for k, c in enumerate(circuits)} | {"walk": Walk(2)}
        programs["own"] = Does(lambda e: e.sample(e.initial_parameters, 30), engine=engine, dtype=dtype)
        reference = bits_of(run(programs, BatchConfig("off")))
        assert bits_of(run(programs)) == reference
        assert bits_of(run(dict(reversed(programs.items())), BatchConfig(max_batch_size=3))) == reference
        for name, program in programs.items():
            assert bits_of(run({name: program}, BatchConfig(max_rows_per_call=1)))[name] == reference[name]


def test_seeds_and_names_decide_and_nothing_else():
    walks = {name: Walk(2) for name in ("a", "b", ("a", 1))}
    first = bits_of(run(walks))
    assert bits_of(run(walks)) == first
    assert first["a"] != first["b"]
    assert bits_of(run({"new": Walk(1), **walks}))["b"] == first["b"]
    assert bits_of(run(walks, seed=8))["a"] != first["a"]
    # not only the start differs, but every draw
    again = run({"a": Does(lambda evaluate: [evaluate.sample(PLACES[0], 40).tobytes() for _ in range(2)])})
    assert len(set(again["a"].returned)) == 2


def test_rows_of_a_batch_are_those_of_single_evaluations():
    singles = answer(lambda evaluate: [evaluate(x, gradient=True) for x in PLACES])
    values, gradients = answer(lambda evaluate: evaluate(PLACES, gradient=True))
    assert values.tolist() == [value for value, _ in singles]
    assert gradients.tobytes() == np.stack([gradient for _, gradient in singles]).tobytes()


# mixed ensembles, plan and statistics -----------------------------------------------------------------------


def mixed():
    graph = MaxCut(nx.cycle_graph(4))
    return {
        "adam": VQE(PAIR, FIELD, optimizer=adam(0.1), steps=5),
        "cobyla": VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA", maxiter=9)),
        "own": Steps(4, rows=2),
        "qaoa": QAOA(graph, layers=1, optimizer=scipy_minimize("Nelder-Mead", maxiter=4)),
        "compiled qaoa": QAOA(graph, layers=1, optimizer=adam(0.1), steps=3),
    }


def test_a_mixed_ensemble_runs_both_drivers():
    programs = mixed()
    ensemble = ProgramEnsemble(programs)
    plan = ensemble.plan()
    assert (plan.programs, plan.hosted) == (5, 3)
    assert plan.hosted_rows is None  # one has a `run` of its own
    named = {group.names: group.hosted for group in plan.groups}
    assert named == {("adam",): False, ("compiled qaoa",): False, ("cobyla", "own"): True, ("qaoa",): True}
    for group in plan.groups:
        assert [list(programs)[p] for p in group.programs] == list(group.names)
    assert "3 hosted programs in 2 groups" in str(plan)
    result = ensemble.run(progress=False, seed=7)
    assert list(result) == list(programs)
    assert result["adam"].steps == 5
    assert result["cobyla"].evaluations == len(result["cobyla"].history) == 9
    assert result["own"].evaluations == 8
    assert result["qaoa"].solution in ("0101", "1010")
    assert result["compiled qaoa"].steps == 3
    stats = result.stats
    assert stats.groups == len(plan.groups) == 4
    assert stats.evaluations == sum(r.evaluations for r in result.values())
    hosted_rows = sum(result[name].evaluations for name in ("cobyla", "own", "qaoa"))
    assert stats.rows == plan.rows + hosted_rows
    alone = {name: run({name: program})[name] for name, program in programs.items()}
    assert bits_of(alone) == bits_of(result)


def test_what_results_need_is_rehearsed_once(calls_made):
    """The second time, in the same process, everything is compiled; and a rehearsal that fails is nobody's failure."""
    played = []

    class Kind(VQE):
        @classmethod
        def extras(cls, programs, values, parameters):
            played.append((len(programs), threading.current_thread().name))
            if "rehearsal" in played[-1][1]:
                raise RuntimeError("not ready")
            return [{"length": len(own)} for own in parameters]

    def programs():
        return [Kind(PAIR, k * FIELD, optimizer=scipy_minimize("COBYLA", maxiter=5)) for k in (1, 2, 3)]

    for _ in range(2):
        assert {r.length for r in run(programs()).values()} == {2}
    here = threading.current_thread().name
    assert played == [(2, "ensembles rehearsal"), (3, here)] * 2
    played.clear()
    Kind.extras = classmethod(lambda cls, *rest: played.append(rest) or [{} for _ in rest[0]])
    for _ in range(2):
        run(programs())
    assert [len(rest[0]) for rest in played] == [2, 3, 3]


def test_a_plan_bounds_the_rows_of_hosted_optimisers(calls_made):
    ensemble = ProgramEnsemble(
        [VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA", maxiter=k)) for k in (5, 7)]
    )
    plan = ensemble.plan()
    assert plan.hosted_rows == 12
    assert "at most 12 rows" in str(plan)
    assert "COBYLA" in str(plan)
    stats = ensemble.run(progress=False).stats
    assert 0 < stats.rows <= 12
    assert not calls_made or sum(len(values) for values in calls_made) == stats.rows


def test_counts_are_those_of_one_run(calls_made):
    ensemble = ProgramEnsemble([Steps(3) for _ in range(4)])
    merged = [ensemble.run(progress=False).stats for _ in range(2)]
    off = ensemble.run(BatchConfig("off"), progress=False).stats
    for stats in merged:
        assert (stats.calls, stats.rows, stats.evaluations) == (3, 12, 12)
    assert (off.calls, off.rows, off.evaluations) == (12, 12, 12)


def test_one_compilation_serves_all_programs_of_a_kind():
    circuit = js.ansatz.hardware_efficient(4, 1)
    jax.clear_caches()
    programs = [VQE(circuit, tfim(4, h=k), optimizer=scipy_minimize("COBYLA", maxiter=12)) for k in (1, 2, 3)]
    assert run(programs).stats.compilations == 1
    assert run(programs).stats.compilations == 0


# results ----------------------------------------------------------------------------------------------------


def test_results_say_what_was_found():
    def look(evaluate):
        evaluate(PLACES)
        evaluate(PLACES[0], observable=Z(0))  # another observable is not the loss
        evaluate.sample(PLACES[0], 3)
        last = evaluate(PLACES[0])
        return {"parameters": PLACES[2], "value": 0.25, "note": "done", "last": last}

    result = run([Does(look)])[0]
    energies = [exact_energy(x) for x in PLACES]
    np.testing.assert_allclose(result.history, [*energies, energies[0]], atol=1e-6)
    assert result.value == pytest.approx(min(energies), abs=1e-6)
    np.testing.assert_allclose(result.parameters, PLACES[np.argmin(energies)], rtol=1e-6)
    assert (result.status, result.steps, result.evaluations) == ("completed", 4, 6)
    assert result.final_value == 0.25
    np.testing.assert_allclose(result.final_parameters, PLACES[2], rtol=1e-6)
    assert (result.note, result.last) == ("done", result.history[-1])


def test_without_a_return_value_the_last_evaluation_is_the_final_one():
    result = run([Does(lambda evaluate: [evaluate(x) for x in PLACES] and None)])[0]
    assert result.final_value == result.history[-1] == pytest.approx(exact_energy(PLACES[2]), abs=1e-6)
    np.testing.assert_allclose(result.final_parameters, PLACES[2], rtol=1e-6)
    assert result.extra == {}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"value": "low"}, "run returned 'low' as \"value\", which is one real number"),
        ({"value": 1j}, '1j as "value"'),
        ({"value": np.zeros(2)}, 'as "value"'),
        ({"converged": "no"}, "run returned 'no' as \"converged\", which is True or False"),
        (
            {"parameters": np.zeros(99)},
            r"\"parameters\" of shape \(99,\), but the program has 2: shape \(2,\)",
        ),
        ({"status": "done"}, "the entry 'status'"),
    ],
)
def test_what_run_returns_is_checked(returned, message):
    result = run([Does(lambda evaluate: returned)], on_error="collect")[0]
    assert result.status == "failed"
    assert re.search(message, str(result.error)), result.error


def test_the_share_of_the_time_that_calls_took():
    result = run([Steps(3, rows=1), Steps(3, rows=9)])
    first, second = (r.seconds for r in result.values())
    assert first > 0
    assert second == pytest.approx(9 * first)  # a row of a call counts like any other
    assert result.stats.call_seconds == pytest.approx(first + second)


def test_the_final_value_is_that_of_the_parameters_returned():
    def returns(which):
        return Does(lambda evaluate: [evaluate(x) for x in PLACES] and {"parameters": which})

    energies = [exact_energy(x) for x in PLACES]
    result = run([returns(PLACES[2]), returns(PLACES[np.argmin(energies)]), returns([9.0, 9.0])])
    assert result[0].final_value == pytest.approx(energies[2], abs=1e-6)
    assert result[1].final_value == pytest.approx(min(energies), abs=1e-6)
    assert np.isnan(result[2].final_value)  # it was not evaluated there


def test_a_program_that_evaluates_nothing_has_no_value():
    result = run([Does(lambda evaluate: 42)])[0]
    assert (result.status, result.returned, result.evaluations) == ("completed", 42, 0)
    assert np.isnan(result.value)
    assert result.parameters is None


def test_a_program_may_say_that_it_has_converged(calls_made):
    assert run([Does(lambda evaluate: {"converged": True})])[0].status == "converged"
    assert run([Does(lambda evaluate: {"converged": False})])[0].status == "completed"


# failures ---------------------------------------------------------------------------------------------------


def fails(error):
    def function(evaluate):
        evaluate(PLACES[0])
        raise error

    return Does(function)


FAILURES = {
    "exception": (lambda: fails(KeyError("lost")), KeyError, "lost"),
    "exit": (lambda: fails(SystemExit(3)), RuntimeError, "SystemExit: 3"),
    "interrupt": (lambda: fails(KeyboardInterrupt()), RuntimeError, "KeyboardInterrupt"),
    "shape": (lambda: Does(lambda e: e([1.0, 2.0, 3.0])), ValueError, r"shape \(2,\), or \(k, 2\)"),
    "deep": (lambda: Does(lambda e: e(np.zeros((1, 1, 2)))), ValueError, r"\(1, 1, 2\)"),
    "nan": (lambda: Does(lambda e: e([np.nan, 0.0])), ValueError, "finite"),
    "complex": (lambda: Does(lambda e: e([1j, 0.0])), TypeError, "real numbers"),
    "text": (lambda: Does(lambda e: e(["a", "b"])), TypeError, "real numbers"),
    "name": (lambda: Does(lambda e: e({"b": [1.0, 2.0]})), ValueError, "b"),
    "shots": (lambda: Does(lambda e: e.sample(PLACES[0], 0)), ValueError, "at least 1"),
    "half shots": (lambda: Does(lambda e: e.sample(PLACES[0], 1.5)), TypeError, "integer"),
    "true shots": (lambda: Does(lambda e: e.sample(PLACES[0], True)), ValueError, "integer"),
    "no observable": (
        lambda: Does(lambda e: e(PLACES[0]), observable=None),
        ValueError,
        "need an observable",
    ),
    "no circuit": (lambda: Does(lambda e: e([]), None, None), ValueError, "without a circuit"),
    "only observable": (lambda: Does(lambda e: e([], observable=Z(0)), None, None), ValueError, "no circuit"),
    "not a circuit": (lambda: Does(lambda e: e([], circuit="qasm")), TypeError, "must be a Circuit"),
    "wrong wire": (lambda: Does(lambda e: e(PLACES[0], observable=Z(7))), ValueError, "wire 7"),
    "reserved": (lambda: Does(lambda e: {"history": 3}), ValueError, "history"),
    "not a name": (lambda: Does(lambda e: {3: 3}), ValueError, "strings"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_a_programs_own(calls_made, kind):
    make, error, words = FAILURES[kind]
    programs = {"good": Steps(3), "bad": make(), "fine": Steps(2)}
    with pytest.raises(EnsembleError, match="'bad'") as caught:
        run(programs)
    result = caught.value.result
    assert list(result.failed()) == ["bad"]
    assert isinstance(result["bad"].error, error)
    with pytest.raises(error, match=words):
        raise result["bad"].error
    assert [result[name].status for name in ("good", "fine")] == ["completed"] * 2
    assert result["good"].evaluations == 3
    collected = run(programs, on_error="collect")
    assert [r.status for r in collected.values()] == ["completed", "failed", "completed"]


def test_losses_on_their_own_have_no_samples():
    def loss(x, data, key):
        return jnp.sum(x**2)

    class Sampler(Program):
        def run(self, evaluate):
            evaluate.sample([1.0], 3)

    result = run([Sampler(loss, np.ones(1), optimizer=None)], on_error="collect")[0]
    assert "loss of its own" in str(result.error)


def test_a_value_that_is_not_finite_fails_its_program_alone():
    huge = 3e38
    programs = {
        "good": Steps(2),
        "inf": Does(
            lambda evaluate: evaluate(PLACES), observable=huge * Z(0) + huge * Z(1) + huge * Z(0) @ Z(1)
        ),
    }

    def overflow(x, data, key):
        return jnp.exp(x[0] * data)

    def program(scale):
        optimizer = scipy_minimize("Nelder-Mead", maxiter=2)
        return Program(overflow, np.ones(1), data=np.float32(scale), optimizer=optimizer)

    programs |= {"overflow": program(1e3), "small": program(1.0)}
    result = run(programs, on_error="collect")
    assert [r.status for r in result.values()] == ["completed", "failed", "failed", "completed"]
    for name in ("inf", "overflow"):
        assert isinstance(result[name].error, FloatingPointError)
        assert "not finite" in str(result[name].error)
    assert bits_of({"good": result["good"]}) == bits_of(run({"good": programs["good"]}))
    assert np.isfinite(result["small"].value)


def test_a_program_may_catch_the_error_of_a_bad_value_and_go_on():
    def careful(evaluate):
        try:
            evaluate([np.inf, 0.0])
        except ValueError:
            return evaluate(PLACES[0])

    assert answer(careful) == pytest.approx(exact_energy(PLACES[0]), abs=1e-6)


def test_what_fails_in_company_is_tried_alone(monkeypatch):
    """Memory that suffices for one program but not for all, say."""
    real = js.evaluate

    def evaluate(rows, values, *rest, **options):
        if len(values) > 2 or values[0, 0] == 99.0:
            raise MemoryError("out of memory")
        return real(rows, values, *rest, **options)

    monkeypatch.setattr(js, "evaluate", evaluate)
    programs = {k: Does(lambda e, k=k: e(PLACES[k])) for k in range(3)}
    programs["never"] = Does(lambda e: e([99.0, 0.0]))
    result = run(programs, on_error="collect")
    assert [r.status for r in result.values()] == ["completed"] * 3 + ["failed"]
    assert isinstance(result["never"].error, MemoryError)
    for k in range(3):
        assert result[k].returned == pytest.approx(exact_energy(PLACES[k]), abs=1e-6)


def test_a_call_that_fails_leaves_the_others_of_its_flush(monkeypatch):
    real = js.evaluate

    def evaluate(rows, values, want="value"):
        if want == "value_and_grad":
            raise RuntimeError("no derivatives today")
        return real(rows, values, want)

    monkeypatch.setattr(js, "evaluate", evaluate)
    programs = {
        "value": Does(lambda evaluate: evaluate(PLACES[0])),
        "gradient": Does(lambda evaluate: evaluate(PLACES[0], gradient=True)),
    }
    result = run(programs, on_error="collect")
    assert [r.status for r in result.values()] == ["completed", "failed"]
    assert result.stats.flushes == 1


def test_an_engine_that_fails_fails_everybody_and_leaves_the_ensemble_usable(monkeypatch, calls_made):
    ensemble = ProgramEnsemble({name: Steps(2) for name in "abc"})
    with monkeypatch.context() as patch:

        def broken(*_, **__):
            raise RuntimeError("no device")

        patch.setattr(js, "evaluate", broken)
        with pytest.raises(EnsembleError, match="3 programs of 3 failed") as caught:
            ensemble.run(progress=False)
    assert "no device" in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert {r.status for r in ensemble.run(progress=False).values()} == {"completed"}


def test_what_is_no_exception_releases_everybody(monkeypatch):
    def broken(self, requests):
        raise SystemExit("torn down")

    monkeypatch.setattr(Calls, "_groups", broken)
    result = run([Steps(2) for _ in range(4)], on_error="collect")
    assert {r.status for r in result.values()} == {"failed"}
    assert "torn down" in str(result[0].error)


# bad input --------------------------------------------------------------------------------------------------


class NoRun(HostedProgram):
    pass


class Coroutine(HostedProgram):
    async def run(self, evaluate):
        pass


class Generator(HostedProgram):
    def run(self, evaluate):
        yield evaluate([0.0, 0.0])


class TooFew(HostedProgram):
    def run(self):
        pass


class TooMany(VQE):
    def run(self, evaluate, more):
        pass


class NotSetUp(HostedProgram):
    def __init__(self):
        pass

    def run(self, evaluate):
        pass


def twice():
    program = Steps(1)
    return ProgramEnsemble({"a": program, "b": program})


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: NoRun(PAIR, FIELD), TypeError, r"NoRun: write a method run\(self, evaluate\)"),
        (lambda: Coroutine(PAIR, FIELD), TypeError, "coroutine"),
        (lambda: Generator(PAIR, FIELD), TypeError, "generator"),
        (lambda: TooFew(PAIR, FIELD), TypeError, "takes one argument"),
        (lambda: TooMany(PAIR, FIELD, optimizer=None), TypeError, "takes one argument"),
        (lambda: ProgramEnsemble([NotSetUp()]), TypeError, r"super\(\).__init__"),
        (lambda: Steps(1, circuit="qasm"), TypeError, "the circuit is a Circuit"),
        (lambda: Steps(1, observable="Z"), TypeError, "PauliSum"),
        (lambda: Steps(1, observable=Z(5)), ValueError, "wire 5"),
        (lambda: Steps(1, engine="quick"), ValueError, "engine must be"),
        (lambda: Steps(1, dtype=np.complex128), ValueError, "64-bit mode"),
        (lambda: Does(len, None, None, engine="quick"), ValueError, "engine must be"),
        (lambda: Steps(1, initial_parameters=[1.0]), ValueError, r"shape \(2,\)"),
        (lambda: Steps(1, initial_parameters=[1.0, np.nan]), ValueError, "finite"),
        (lambda: Does(len, None, None, initial_parameters=[1.0]), ValueError, "need a circuit"),
        (twice, ValueError, "'a' and 'b' are the same Steps object"),
        (lambda: VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA"), steps=3), ValueError, "maxiter=200"),
        (lambda: ProgramEnsemble([Steps(1)]).run("merged"), TypeError, "BatchConfig"),
        (lambda: ProgramEnsemble([Steps(1)]).start(seed=-1), ValueError, "seed"),
        (lambda: ProgramEnsemble([Steps(1)]).start(on_error="ignore"), ValueError, "'raise' or 'collect'"),
        (lambda: VQE(PAIR, FIELD, optimizer=adam(0.1), steps=1).run(None), TypeError, "no hosted optimiser"),
        (
            lambda: ProgramEnsemble([Program(lambda x, d, k: x, np.zeros(2), optimizer=scipy_minimize())]).plan(),
            ValueError,
            "real scalar",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_one_vqe_may_stand_under_several_names(calls_made):
    """Unlike a program with a `run` of its own it keeps nothing in itself: restarts from several starts."""
    program = VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA", maxiter=4))
    run({"a": program, "b": program})
    assert not np.array_equal(calls_made[0][0], calls_made[0][1])


def test_threads_that_can_not_be_started_are_done_without(monkeypatch, calls_made):
    real, started = threading.Thread.start, []

    def start(self):
        if self.name.startswith("ensembles lane"):
            started.append(self)
            if len(started) > limit:
                raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    limit = 3
    result = run([Steps(2) for _ in range(8)])
    assert {r.status for r in result.values()} == {"completed"}
    assert result.stats.largest_call == 3
    limit, started = 0, []
    ensemble = ProgramEnsemble([Steps(2) for _ in range(8)])
    with pytest.raises(RuntimeError, match="no thread could be started"):
        ensemble.run(progress=False)
    limit = 100
    assert len(ensemble.run(progress=False)) == 8


def test_the_clock_lets_others_go(monkeypatch, calls_made):
    """Without it, programs behind one that sleeps would wait for it to wake up."""
    order = []
    programs = {
        "sleeper": Does(lambda evaluate: (time.sleep(1.0), order.append("sleeper"))),
        "quick": Does(lambda evaluate: order.append("quick")),
    }
    run(programs)
    assert order == ["quick", "sleeper"]


@pytest.mark.slow
def test_the_example_runs(capsys):
    example = Path(__file__).parents[2] / "examples" / "scipy_program.py"
    runpy.run_path(str(example))["main"](small=True)
    assert "7 programs" in capsys.readouterr().out
