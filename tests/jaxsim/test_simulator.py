"""`Simulator`: options, checks in run(), outputs against Qiskit and NumPy, broadcasting, seeds."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ProcessPoolExecutor

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy import stats

import jaxsim as js
from jaxsim import Circuit, Parameter, ParameterVector, X, Y, Z, draws, memory
from jaxsim.counts_keys import Layout, bits_of_codes, codes_of_bits, keys
from jaxsim.dynamic import split_terminal
from jaxsim.job_options import JobInputError
from jaxsim.simulator import Simulator

THETA = ParameterVector("t", 3)


def ansatz() -> Circuit:
    return Circuit(3).ry(THETA, range(3)).cx([0, 1], [1, 2]).rx(0.3, 1)


def ansatz_qiskit(values) -> QuantumCircuit:
    qc = QuantumCircuit(3)
    for k in range(3):
        qc.ry(values[k], k)
    qc.cx(0, 1)
    qc.cx(1, 2)
    qc.rx(0.3, 1)
    return qc


OPERATORS = {
    "ZZ": (Z(0) @ Z(1), SparsePauliOp("IZZ")),
    "X + 2Y": (X(2) + 2 * Y(0), SparsePauliOp(["XII", "IIY"], [1, 2])),
}


def expected_value(values, name) -> float:
    return Statevector(ansatz_qiskit(values)).expectation_value(OPERATORS[name][1]).real


# options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shot": 3}, r"no option 'shot'. Did you mean 'shots'"),
        ({"max_jobs_size": 3}, r"Did you mean 'max_job_size'"),
        ({"frobnicate": 3}, r"no option 'frobnicate'. There are: shots, seed"),
        ({"shots": 0}, "shots must be an integer >= 1"),
        ({"shots": -1}, "shots must be an integer >= 1"),
        ({"shots": 2.0}, "shots must be an integer >= 1"),
        ({"shots": True}, "shots must be an integer >= 1"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": "7"}, "seed must be an integer >= 0"),
        ({"max_job_size": 0}, "max_job_size must be an integer >= 1"),
        ({"max_job_size": -2}, "max_job_size must be an integer >= 1"),
        ({"max_job_size": 1.5}, "max_job_size must be an integer >= 1"),
        ({"max_job_size": True}, "max_job_size must be an integer >= 1"),
        ({"executor": 4}, r"submit\(function"),
        ({"executor": ProcessPoolExecutor}, r"submit\(function"),
        ({"engine": "fast"}, "engine must be one of"),
        ({"dtype": "float32"}, "dtype must be complex64 or complex128"),
        ({"shots": 10**14}, "shots must be an integer >= 1 and <= 4294967296"),
        ({"seed_simulator": 3}, "no option 'seed_simulator'. It is called seed here"),
        ({"memory": True}, r"no option 'memory'. For the bits of every shot .*outputs=\('memory',\)"),
        ({"max_shot_size": 3}, "no option 'max_shot_size'. Shots of a circuit are not split"),
        ({"precision": "double"}, "Give dtype='complex64' or"),
    ],
)
def test_options_are_checked_wherever_they_are_given(options, message):
    sim = Simulator()
    for give in (
        lambda: Simulator(**options),
        lambda: sim.set_options(**options),
        lambda: sim.run(Circuit(1).h(0), **options),
    ):
        with pytest.raises(JobInputError, match=message) as caught:
            give()
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, TypeError)


def test_options_of_run_count_for_that_job_alone():
    sim = Simulator(shots=10, seed=1)
    assert sim.run(Circuit(1).h(0), shots=25).result().shots() == 25
    assert sim.run(Circuit(1).h(0)).result().shots() == 10
    assert repr(sim) == "Simulator(shots=10, seed=1)"


@pytest.mark.parametrize("wrong, right", [("output", "outputs"), ("observable", "observables")])
def test_arguments_of_run_that_are_misspelt(wrong, right):
    with pytest.raises(JobInputError, match=f"run has no option '{wrong}'. Did you mean '{right}'"):
        Simulator().run(Circuit(1).h(0), **{wrong: None})
    with pytest.raises(JobInputError, match=f"Simulator has no option '{right}'. It is an argument of run"):
        Simulator(**{right: None})


def test_numpy_integers_are_integers():
    result = Simulator(shots=np.int64(5), seed=np.uint32(3)).run(Circuit(1).x(0)).result()
    assert result.counts() == {"1": 5} and result.metadata["seed"] == 3


def test_pools_that_fork_are_refused():
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(JobInputError, match=r"hangs in forked ones.*spawn"),
    ):
        Simulator(executor=pool)


# what run() is called with --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (([],), {}, "at least one circuit"),
        (("bell",), {}, "circuit 0: a str was given, not a Circuit"),
        ((Circuit(1).rx(THETA[0], 0),), {}, r"circuit 0: its parameters have no values: t\[0\]"),
        ((ansatz(), [0.1, 0.2]), {}, r"must have shape \(..., 3\)"),
        ((ansatz(), {"t": [0.1, 0.2]}), {}, r"'t' is a vector.*t\[2\] is used"),
        ((ansatz(), {"t[0]": 0.1, "t[1]": 0.1}), {}, r"missing for: t\[2\]"),
        ((ansatz(), {"t": [0.1] * 3, "t[0]": 0.1}), {}, r"t\[0\] is given two values"),
        ((ansatz(), {"u": [0.1] * 3}), {}, r"'u' is no parameter of the circuit, which has: t\[0\]"),
        ((ansatz(), {"t[0]": [1, 2], "t[1]": [1, 2, 3], "t[2]": 0}), {}, "do not broadcast"),
        ((ansatz(), [0.1, 0.2, np.nan]), {}, "finite"),
        ((ansatz(), [0.1, 0.2, 1j]), {}, "real numbers"),
        (([ansatz()], {"t": [0.1] * 3}), {}, "list with an entry for each"),
        (([ansatz()] * 2, [[0.1] * 3]), {}, "entry for each of 2 circuits, but has 1"),
        ((Circuit(1).h(0),), {"shots": [1, 2]}, "one for each of 1 circuits, but 2"),
        ((Circuit(1).h(0), None, Z(0)), {}, "asks for no values"),
        ((Circuit(1).h(0),), {"outputs": ("values",)}, "has no observable"),
        ((Circuit(1).h(0), None, Z(3)), {"outputs": ("values",)}, "circuit 0: .*3"),
        ((Circuit(1).h(0), None, 1j * Z(0)), {"outputs": ("values",)}, "circuit 0: .*real"),
        ((Circuit(1).h(0), None, "ZQ"), {"outputs": ("values",)}, "circuit 0: "),
        ((Circuit(1).h(0), None, []), {"outputs": ("values",)}, "empty list of observables"),
        ((Circuit(1).h(0), None, [Z(0), [Z(0)]]), {"outputs": ("values",)}, "one depth and length"),
        ((ansatz(), np.zeros((2, 3)), [Z(0)] * 3), {"outputs": ("values",)}, "do not broadcast"),
        ((Circuit(1).h(0),), {"outputs": ("count",)}, "Did you mean 'counts'"),
        ((Circuit(1).h(0),), {"outputs": ()}, "outputs are some of"),
        ((Circuit(1).h(0),), {"outputs": 5}, "outputs are some of .*but 5 was given"),
        ((Circuit(1).h(0),), {"outputs": None}, "outputs are some of .*but None was given"),
        ((iter([Circuit(1)]),), {}, "not a Circuit; several circuits are given as a list"),
        ((np.array([Circuit(1)], object),), {}, "a ndarray was given.*several circuits are given as a list"),
        ((None,), {}, "a NoneType was given.*several circuits are given as a list"),
        ((Circuit(1).h(0), 100), {}, r"must have shape \(..., 0\).*shots are given by name"),
        (
            (Circuit(1).h(0), ("counts",)),
            {},
            r"numbers, but \('counts',\).*Outputs and shots are given by name",
        ),
        (
            ([Circuit(1)] * 2, ("counts",)),
            {},
            "for each of 2 circuits, but has 1. Outputs .* are given by name",
        ),
        (([Circuit(1)] * 2, ("counts", "memory")), {}, "circuit 1: .*but 'memory' was given. Outputs"),
        (([Circuit(1)] * 2, 100), {}, "list with an entry for each.*Outputs and shots are given by name"),
        ((Circuit(3), None, "ZZ"), {"outputs": "values"}, "'ZZ' is one of 2 qubits, but the circuit has 3"),
        ((Circuit(1), None, "IZ"), {"outputs": "values"}, "'IZ' is one of 2 qubits, but the circuit has 1"),
        ((Circuit(3), None, SparsePauliOp("ZZ")), {"outputs": "values"}, "2 qubits, but the circuit has 3"),
        ((Circuit(1).h(0).measure(0).h(0),), {"outputs": "statevector"}, "in the middle.*no single state"),
        (
            (Circuit(3).unitary(np.eye(8), range(3)),),
            {"engine": "layered"},
            "circuit 0: engine='layered' cannot take it",
        ),
    ],
)
def test_run_refuses_in_words(arguments, options, message):
    with pytest.raises(JobInputError, match=message):
        Simulator().run(*arguments, **options)


def test_run_inside_jit_is_refused():
    def traced(angle):
        Simulator().run(Circuit(1).rx(angle, 0))

    with pytest.raises(JobInputError, match="traced values"):
        jax.jit(traced)(0.3)


def test_jax_angles_are_taken_as_numbers():
    result = Simulator(dtype="complex64").run(Circuit(1).ry(jax.numpy.array(0.8), 0), outputs="statevector")
    np.testing.assert_allclose(result.result().statevector(), [np.cos(0.4), np.sin(0.4)], atol=1e-6)


def test_memory_that_does_not_fit_is_refused_before_anything_is_submitted():
    class Never:
        def submit(self, *_):
            raise AssertionError("nothing may be submitted")

    sim = Simulator(executor=Never(), memory_limit=2**20)
    wide = Circuit(20).h(range(20))
    with pytest.raises(
        JobInputError, match=r"circuit 1: 20 qubits need 24.0 MiB.*there are 1.0 MiB"
    ) as caught:
        sim.run([Circuit(2).h(0), wide])
    assert caught.value.indices == (1,)
    with pytest.raises(JobInputError, match="results need"):
        sim.run([Circuit(10).h(range(10))] * 200, outputs=("statevector",))


def test_shots_of_measurements_in_the_middle_need_memory():
    c = Circuit(2).h(0).measure(0).h(0).measure(0)
    sim = Simulator(memory_limit=2**20)
    with pytest.raises(
        JobInputError, match=r"circuit 0: 2 qubits and 100000 shots of measurements.*need 6.\d MiB"
    ):
        sim.run(c, shots=100_000)
    assert sum(sim.run(c, shots=1000).result().counts().values()) == 1000
    assert sum(sim.run(Circuit(2).h(0), shots=100_000).result().counts().values()) == 100_000


def test_states_of_idle_qubits_need_memory():
    c = Circuit(26).x(20)
    with pytest.raises(JobInputError, match=r"results need 512.0 MiB"):
        Simulator(memory_limit=2**22).run(c, outputs="statevector")


def test_memory_of_this_machine_counts_by_default(monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: 2**30)
    with pytest.raises(JobInputError, match=r"30 qubits need 24.0 GiB.*there are 1.0 GiB"):
        Simulator().run(Circuit(30).h(range(30)))


# outputs --------------------------------------------------------------------------------------------------


def test_states_and_probabilities_are_qiskits(random_circuit):
    drawn = [random_circuit(seed, 4, 12, extra_controls=False) for seed in range(6)]
    result = Simulator().run([d.circuit() for d in drawn], outputs=("statevector", "probabilities")).result()
    for k, own in enumerate(drawn):
        expected = own.statevector()
        np.testing.assert_allclose(result.statevector(k), expected, atol=2e-6)
        np.testing.assert_allclose(result.probabilities(k), np.abs(expected) ** 2, atol=2e-6)
        assert result.statevector(k).dtype == np.complex64


def test_double_precision(random_circuit):
    own = random_circuit(3, 4, 12, extra_controls=False)
    with jax.enable_x64(True):
        job = Simulator(dtype="complex128").run(own.circuit(), outputs="statevector")
    # The context is over, and the job still runs as it was asked to.
    np.testing.assert_allclose(job.result().statevector(), own.statevector(), atol=1e-13)


@pytest.mark.parametrize("engine", ["layered", "rotations", "fused"])
def test_engines_agree(engine, random_circuit):
    own = random_circuit(5, 4, 8, extra_controls=False)
    result = Simulator(engine=engine).run(own.circuit(), outputs="statevector").result()
    np.testing.assert_allclose(result.statevector(), own.statevector(), atol=2e-6)


@pytest.mark.parametrize("wires", [4, 13])
def test_counts_follow_the_distribution(wires):
    c = Circuit(wires).ry([0.4, 1.1, 2.0], [0, 1, wires - 1]).cx(0, 1).h(2)
    qc = QuantumCircuit(4)
    qc.ry(0.4, 0), qc.ry(1.1, 1), qc.ry(2.0, 3), qc.cx(0, 1), qc.h(2)
    p = np.abs(Statevector(qc).data) ** 2
    shots = 20_000
    counts = Simulator(shots=shots, seed=11).run(c).result().counts()
    assert sum(counts.values()) == shots
    short = {key[0] + key[-3:]: number for key, number in counts.items()}
    observed = np.array([short.get(f"{k:04b}", 0) for k in range(16)])
    assert stats.chisquare(observed, p / p.sum() * shots).pvalue > 1e-3


def test_memory_and_counts_are_the_same_shots():
    result = Simulator(shots=200, seed=2).run(Circuit(3).h(range(3)), outputs=("counts", "memory")).result()
    bits = result.memory()
    assert bits.shape == (200, 3) and bits.dtype == np.uint8
    strings = ["".join(map(str, row[::-1])) for row in bits]
    assert strings == result.bitstrings()
    found, numbers = np.unique(strings, return_counts=True)
    assert result.counts() == dict(zip(found.tolist(), numbers.tolist()))
    assert list(result.counts().values()) == sorted(result.counts().values(), reverse=True)


def test_values_and_gradients_broadcast_as_in_pubs():
    rng = np.random.default_rng(4)
    values = rng.uniform(-3, 3, (4, 1, 3))
    (zz, _), (xy, _) = OPERATORS.values()
    result = (
        Simulator()
        .run(ansatz(), values, [zz, xy], outputs=("values", "gradients", "counts"), shots=5)
        .result()
    )
    assert result.value().shape == (4, 2) and result.gradient().shape == (4, 2, 3)
    assert np.shape(result.counts()) == (4, 1)  # of parameter sets alone
    for k in range(4):
        for j, name in enumerate(OPERATORS):
            own = values[k, 0]
            assert result.value()[k, j] == pytest.approx(expected_value(own, name), abs=3e-6)
            for i, step in enumerate(1e-4 * np.eye(3)):
                slope = (expected_value(own + step, name) - expected_value(own - step, name)) / 2e-4
                assert result.gradient()[k, j, i] == pytest.approx(slope, abs=1e-5)


def test_sets_and_observables_pair_by_pair():
    rng = np.random.default_rng(5)
    values = rng.uniform(-3, 3, (2, 3))
    result = Simulator().run(ansatz(), values, [o for o, _ in OPERATORS.values()], outputs="values").result()
    expected = [expected_value(v, name) for v, name in zip(values, OPERATORS)]
    np.testing.assert_allclose(result.value(), expected, atol=3e-6)


def test_many_observables_on_one_circuit():
    observables = [
        Z(0) @ Z(1),
        *(X(q) for q in range(3)),
        *(Y(q) @ Z((q + 1) % 3) for q in range(3)),
        *(Z(q) for q in range(3)),
    ]
    values = np.array([0.3, 1.2, -0.7])
    state = Statevector(ansatz_qiskit(values))
    words = ["IZZ", "IIX", "IXI", "XII", "IZY", "ZYI", "YIZ", "IIZ", "IZI", "ZII"]
    result = Simulator().run(ansatz(), values, observables, outputs="values").result()
    expected = [state.expectation_value(SparsePauliOp(w)).real for w in words]
    np.testing.assert_allclose(result.value(), expected, atol=3e-6)


def test_different_circuits_with_their_own_shots_sets_and_observables():
    a, fixed = Parameter("a"), Circuit(2).x(1)
    one = Circuit(1).ry(a, 0)
    result = (
        Simulator(seed=1)
        .run(
            [one, fixed, ansatz()],
            [[0.0, np.pi], None, {"t": np.zeros((2, 2, 3))}],
            [Z(0), Z(1), [X(1), Z(0)]],
            outputs=("counts", "values"),
            shots=[3, 4, 5],
        )
        .result()
    )
    assert result.counts(0) == [{"0": 3}, {"1": 3}]
    assert result.counts(1) == {"10": 4}
    np.testing.assert_allclose(result.value(0), [1, -1], atol=1e-6)
    assert result.value(1) == pytest.approx(-1)
    assert result.value(2).shape == (2, 2)
    np.testing.assert_allclose(result.value(2), [[0, 1], [0, 1]], atol=1e-6)
    assert [result.shots(k) for k in range(3)] == [3, 4, 5]


@pytest.mark.parametrize(
    "given",
    [
        np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]),
        {"t": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]},
        {THETA: [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]},
        {"t[0]": [0.1, 0.4], "t[1]": [0.2, 0.5], THETA[2]: [0.3, 0.6]},
        {("t[2]", "t[0]"): [[0.3, 0.1], [0.6, 0.4]], "t[1]": [0.2, 0.5]},
    ],
    ids=["array", "vector name", "vector", "names", "tuple of names"],
)
def test_parameter_values_in_every_form(given):
    result = Simulator().run(ansatz(), given, Z(0) @ Z(1), outputs="values").result()
    expected = [expected_value(v, "ZZ") for v in ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])]
    np.testing.assert_allclose(result.value(), expected, atol=3e-6)


def test_different_circuits_with_parameters_share_kernels(compilations):
    """Gradients of a list of different circuits are a few calls, and so a few compilations."""
    circuits = []
    for k in range(60):
        rng, c = np.random.default_rng(k), Circuit(3).ry(THETA, range(3))
        for _ in range(6):
            a, b = map(int, rng.permutation(3)[:2])
            c.ry(THETA[int(rng.integers(3))], a).cx(a, b)
        circuits.append(c)
    assert len({c.structure for c in circuits}) == 60
    ask = {"observables": Z(0) @ Z(1) + X(2), "outputs": ("values", "gradients")}
    with compilations() as count:
        told = Simulator().run(circuits, [np.ones(3)] * 60, **ask).result().metadata
    assert count.total == told["compilations"] <= 4
    assert sum(told["rows_per_call"]) == 60 and len(told["rows_per_call"]) <= 4


def test_no_parameter_sets_give_nothing():
    result = (
        Simulator().run(
            ansatz(), np.zeros((0, 3)), Z(0), outputs=("values", "gradients", "counts", "statevector")
        )
    ).result()
    assert result.value().shape == (0,) and result.gradient().shape == (0, 3)
    assert result.counts() == [] and result.statevector().shape == (0, 8)


def test_gradients_of_a_circuit_without_parameters_are_empty():
    result = Simulator().run(Circuit(1).h(0), None, X(0), outputs=("values", "gradients")).result()
    assert result.gradient().shape == (0,) and result.value() == pytest.approx(1)


def test_reading_what_is_not_there():
    result = Simulator(shots=5).run([Circuit(1).h(0)] * 2).result()
    with pytest.raises(ValueError, match=r"'statevector' was not asked for.*outputs=\('statevector'"):
        result.statevector(0)
    with pytest.raises(IndexError, match=r"circuit 2 is out of range: the job had 2 circuits \(0 to 1\)"):
        result.counts(2)
    with pytest.raises(TypeError, match="say which"):
        result.counts()
    with pytest.raises(TypeError, match="position"):
        result.counts("0")
    assert result.counts(-1) == result.counts(1)
    with pytest.raises(
        AttributeError, match=r"no 'get_counts': it has counts\(i\), see 'Coming from Qiskit Aer'"
    ):
        result.get_counts(0)
    with pytest.raises(AttributeError, match="Result has no 'color'"):
        _ = result.color
    assert pickle.loads(pickle.dumps(copy.copy(result))).counts(0) == result.counts(0)


# measurement ----------------------------------------------------------------------------------------------


def test_keys_of_registers():
    c = Circuit(3)
    a, b = c.register("a", 2), c.register("b", 3)
    c.x(0).measure(0, b[1]).measure(1, a[0]).measure(0, a[1])
    result = Simulator(shots=3).run(c, outputs=("counts", "memory")).result()
    assert result.counts() == {"010 10": 3}
    assert result.memory()[0].tolist() == [0, 1, 0, 1, 0]


def test_states_are_those_before_terminal_measurements():
    result = (
        Simulator().run(Circuit(1).h(0).measure_all(), None, X(0), outputs=("statevector", "values")).result()
    )
    np.testing.assert_allclose(result.statevector(), [np.sqrt(0.5)] * 2, atol=1e-6)
    assert result.value() == pytest.approx(1, abs=1e-6)


def test_circuits_that_measure_in_the_middle_are_sampled():
    c = Circuit(2)
    bits = c.register("c", 2)
    c.h(0).measure(0, bits[0])
    with c.if_(bits[0]):
        c.x(1)
    c.measure(1, bits[1])
    sim = Simulator(shots=2000, seed=4)
    first = sim.run([c, Circuit(2).x(0), c], outputs=("counts", "memory"), max_job_size=2).result()
    assert set(first.counts(0)) == {"00", "11"} and first.counts(1) == {"01": 2000}
    assert abs(first.counts(0)["11"] - 1000) < 200
    assert first.counts(0) != first.counts(2) or not np.array_equal(first.memory(0), first.memory(2))
    again = sim.run([c, Circuit(2).x(0), c], outputs=("counts", "memory")).result()
    for k in range(3):
        np.testing.assert_array_equal(first.memory(k), again.memory(k))


def test_parameters_of_circuits_that_measure_in_the_middle():
    a = Parameter("a")
    c = Circuit(1)
    bits = c.register("c", 2)
    c.ry(a, 0).measure(0, bits[0]).x(0).measure(0, bits[1])
    assert Simulator(shots=4).run(c, [0.0, np.pi]).result().counts() == [{"10": 4}, {"01": 4}]


def test_circuits_that_measure_in_the_middle_on_no_parameter_sets():
    c = Circuit(1).ry(THETA[0], 0).measure(0).h(0).measure(0)
    result = Simulator(shots=4).run(c, np.zeros((0, 1)), outputs=("counts", "memory")).result()
    assert result.counts() == [] and result.memory().shape == (0, 4, 2)
    several = Simulator(shots=4).run([c, Circuit(1).x(0)], [np.zeros((0, 1)), None]).result()
    assert several.counts(0) == [] and several.counts(1) == {"1": 4}


def test_loops_that_come_to_their_bound_are_told_by_result():
    c = Circuit(1).h(0)
    m = c.register("m", 1)
    with c.measure(0, m).while_(m == 0, max_iterations=1):
        c.h(0).measure(0, m)
    job = Simulator(shots=100, seed=1).run([Circuit(1), c])
    with pytest.warns(UserWarning, match=r"circuit 1: \d+ shots left `while_\(m == 0\)`") as caught:
        result = job.result()
    assert caught[0].filename == __file__
    assert result.metadata["warnings"] == result.metadata["chunks"][0]["warnings"] == [str(caught[0].message)]
    assert str(caught[0].message).split()[2] == str(result.counts(1)["0"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert job.result() is result  # once


def test_resets_without_measurements_measure_every_qubit():
    assert Simulator(shots=5).run(Circuit(2).h(0).reset(0).x(1)).result().counts() == {"10": 5}


# idle qubits ----------------------------------------------------------------------------------------------


def test_idle_qubits_cost_nothing_and_are_zero():
    c = Circuit(26).x(20).h(3).cx(3, 17)
    assert split_terminal(c) is not None
    result = Simulator(shots=50, memory_limit=2**20).run(
        c, None, Z(20) + X(3) @ X(17), outputs=("counts", "values")
    )
    counts = result.result().counts()
    on, off = "000001" + "0" * 20, "000001001" + "0" * 13 + "1000"
    assert set(counts) == {on, off}
    assert result.result().value() == pytest.approx(0, abs=1e-6)
    state = Simulator().run(Circuit(12).x(11).h(2), outputs="statevector").result().statevector()
    assert state.shape == (4096,)
    np.testing.assert_allclose(state[[2048, 2052]], [np.sqrt(0.5)] * 2, atol=1e-6)
    assert np.count_nonzero(state) == 2


def test_circuits_without_gates():
    result = Simulator(shots=2).run([Circuit(1), Circuit(12)], outputs=("counts", "statevector")).result()
    assert result.counts(0) == {"0": 2} and result.counts(1) == {"0" * 12: 2}
    assert result.statevector(1)[0] == 1


# seeds ----------------------------------------------------------------------------------------------------


def shots_of(seed, circuits=3, shots=400, **options):
    result = Simulator(shots=shots, seed=seed, **options).run(
        [Circuit(6).h(range(6))] * circuits, outputs="memory"
    )
    return [result.result().memory(k) for k in range(circuits)], result.result()


def test_seed_zero_is_a_seed():
    (first, *_), told = shots_of(0)
    (again, *_), _ = shots_of(0)
    np.testing.assert_array_equal(first, again)
    assert told.metadata["seed"] == 0


def test_no_seed_is_a_fresh_one_that_is_told():
    (a, *_), told = shots_of(None)
    (b, *_), other = shots_of(None)
    assert not np.array_equal(a, b) and told.metadata["seed"] != other.metadata["seed"]
    (c, *_), _ = shots_of(told.metadata["seed"])
    np.testing.assert_array_equal(a, c)


def test_streams_of_circuits_sets_and_seeds_differ():
    p = Circuit(6).h(range(6)).rz(THETA[0], 0)
    memory = Simulator(shots=400, seed=7).run([p, p], [np.zeros((3, 1))] * 2, outputs="memory").result()
    streams = [*memory.memory(0), *memory.memory(1), *shots_of(7)[0][1:], *shots_of(8)[0]]
    seen = {stream.tobytes() for stream in streams}
    assert len(seen) == len(streams) - 1  # circuit 1 of both jobs with seed 7 is the same
    flat = [stream.astype(float).ravel() for stream in streams[:6]]
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 5 / np.sqrt(2400)


def test_no_two_shots_of_different_circuits_share_a_stream():
    # Shot 2113 of circuit i is shot 0 of circuit i + 1 where seeds are added up.
    (a, b, c), _ = shots_of(3, shots=5000)
    windows = {a[k : k + 12].tobytes() for k in range(len(a) - 11)}
    assert not any(other[k : k + 12].tobytes() in windows for other in (b, c) for k in range(len(b) - 11))


def test_more_shots_begin_with_the_same():
    few, _ = shots_of(5, shots=100)
    many, _ = shots_of(5, shots=1000)
    for a, b in zip(few, many):
        np.testing.assert_array_equal(a, b[:100])


def test_labels_are_observables():
    result = Simulator().run(Circuit(2).x(1), None, ["ZI", "IZ"], outputs="values").result()
    np.testing.assert_allclose(result.value(), [-1, 1], atol=1e-6)


@pytest.mark.parametrize("shots", [999, 1000, 1001, 2500])
def test_shots_in_pieces_are_the_same_shots(shots, monkeypatch):
    whole, _ = shots_of(6, circuits=1, shots=shots)
    monkeypatch.setattr(draws, "PIECE", 1000)
    pieces, _ = shots_of(6, circuits=1, shots=shots)
    np.testing.assert_array_equal(whole[0], pieces[0])
    assert len(pieces[0]) == shots
    result = Simulator(shots=shots, seed=6).run([Circuit(6).h(range(6))]).result()
    assert sum(result.counts().values()) == shots


def test_rare_outcomes_of_large_states_keep_their_odds(monkeypatch):
    # Two stages, and one: both follow the distribution.
    p = np.random.default_rng(0).exponential(size=2**13)
    p[100:5000] = 0
    for whole_bits in (16, 12):
        monkeypatch.setattr(draws, "WHOLE_BITS", whole_bits)
        (codes,) = draws.draw(p, draws.stream_key(1, 2, 3), 100_000)
        assert p[codes].all()
        groups = np.bincount(codes // 64, minlength=128)
        expected = p.reshape(128, 64).sum(1) / p.sum() * 100_000
        kept = expected > 5
        pvalue = stats.chisquare(
            groups[kept], expected[kept] * groups[kept].sum() / expected[kept].sum()
        ).pvalue
        assert pvalue > 1e-3


def test_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(FloatingPointError, match="add up to nan"):
        list(draws.draw(np.array([np.nan, 1.0]), b"0" * 16, 3))


# keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [3, 13, 70])
def test_keys_and_bits_of_wide_registers(width):
    bits = np.random.default_rng(width).integers(0, 2, (5, width)).astype(np.uint8)
    layout = Layout(tuple((k, k) for k in range(width)), (2, width - 2))
    codes = codes_of_bits(bits)
    np.testing.assert_array_equal(bits_of_codes(layout, codes), bits)
    expected = ["".join(map(str, row[:1:-1])) + " " + "".join(map(str, row[1::-1])) for row in bits]
    assert keys(layout, codes) == expected


# devices --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_chunks_go_round_all_devices():
    program = """
        import jax
        jax.config.update("jax_num_cpu_devices", 4)
        import numpy as np
        from concurrent.futures import ThreadPoolExecutor
        from jaxsim import Circuit, Z
        from jaxsim.simulator import Simulator
        circuits = [Circuit(5).ry(0.1 * k + 0.1, range(5)).cx(0, 1) for k in range(8)]
        ask = dict(observables=Z(0) @ Z(1), outputs=("memory", "values"))
        one = Simulator(seed=1, shots=50).run(circuits, **ask).result()
        own = Simulator(seed=1, shots=50, max_job_size=1).run(circuits, **ask).result()
        with ThreadPoolExecutor(2) as pool:
            theirs = Simulator(seed=1, shots=50, max_job_size=1, executor=pool).run(circuits, **ask).result()
        for result in (own, theirs):
            devices = [chunk["device"] for chunk in result.metadata["chunks"]]
            assert devices == [str(d) for d in jax.local_devices()] * 2, devices
            for k in range(8):
                np.testing.assert_array_equal(one.memory(k), result.memory(k))
                assert one.value(k) == result.value(k)
        with jax.default_device(jax.local_devices()[2]):
            pinned = Simulator(max_job_size=4).run(circuits)
        assert [c["device"] for c in pinned.result().metadata["chunks"]] == [str(jax.local_devices()[2])] * 2
        print("fine", len(set(devices)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout.startswith("fine 4"), done.stderr


@pytest.mark.slow
def test_a_forked_process_says_so_instead_of_hanging():
    program = """
        import os, warnings
        from jaxsim import Circuit
        from jaxsim.simulator import Simulator
        warnings.simplefilter("ignore")
        Simulator().run(Circuit(1).h(0)).result()
        child = os.fork()
        if not child:
            try:
                Simulator().run(Circuit(1).h(0))
            except RuntimeError as error:
                os._exit(7 if "spawn" in str(error) else 1)
            os._exit(2)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "7", done.stderr


@pytest.mark.slow
def test_importing_starts_nothing():
    program = "import threading, jaxsim, jaxsim.simulator; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("wires, shots", [(1, 10), (3, 1000), (8, 1000), (12, 1000), (12, 5000), (14, 300)])
def test_counting_is_drawing(wires, shots):
    rng = np.random.default_rng(wires)
    p = rng.exponential(size=2**wires).astype(np.float32) * (rng.random(2**wires) < 0.6)
    p[1] += 1
    for k in range(20):
        key = draws.stream_key(5, k, 0)
        expected = draws.added([draws.tally(codes) for codes in draws.draw(p, key, shots)])
        for one, other in zip(draws.draw_counts(p, key, shots), expected):
            np.testing.assert_array_equal(one, other)


def test_a_product_that_rounds_to_the_total_is_the_last_outcome_that_can_occur(monkeypatch):
    monkeypatch.setattr(draws, "_uniforms", lambda stream, count: np.array([0.0, 0.999999, 1.0])[:count])
    p = np.array([0.25, 0.0, 0.75, 0.0])
    (codes,) = draws.draw(p, b"0" * 16, 3)
    assert codes.tolist() == [0, 2, 2]
    assert [part.tolist() for part in draws.draw_counts(p, b"0" * 16, 3)] == [[0, 2], [1, 2]]


# circuits with registers that measure nothing -------------------------------------------------------------


def _with_register() -> Circuit:
    circuit = Circuit(3).x(0).h(2)
    circuit.register("a", 5)
    return circuit


def _reset() -> Circuit:
    circuit = Circuit(3).x(1).reset(1).x(0).h(2)
    circuit.register("a", 1)
    return circuit


def _conditional() -> Circuit:
    circuit = Circuit(3).x(0).h(2)
    bits = circuit.register("a", 2)
    with circuit.if_(bits[0]):
        circuit.x(1)
    return circuit


@pytest.mark.parametrize("make", [_with_register, _reset, _conditional])
def test_registers_without_measurements_change_nothing(make):
    """All qubits are measured, here as in `js.counts`, `js.sample` and `js.probabilities`."""
    circuit, key, plain = make(), jax.random.key(0), Circuit(3).x(0).h(2)
    found = Simulator(shots=1000, seed=0).run(circuit).result().counts()
    drawn = js.counts(circuit, key, 1000)
    assert set(found) == set(drawn) == set(js.counts(plain, key, 1000)) == {"001", "101"}
    assert sum(found.values()) == sum(drawn.values()) == 1000
    assert js.sample(circuit, key, 10).shape == (10, 3)
    np.testing.assert_allclose(js.probabilities(circuit), js.probabilities(plain), atol=1e-6)


def test_one_measurement_makes_all_registers_count():
    circuit = _with_register()
    circuit.measure(0, circuit.registers[0][1])
    assert Simulator(shots=9, seed=0).run(circuit).result().counts() == {"00010": 9}
    assert js.counts(circuit, jax.random.key(0), 9) == {"00010": 9}
    assert js.probabilities(circuit).shape == (32,)
