"""Samples of what programs found, against closed forms, and never depending on company."""

from __future__ import annotations

import numpy as np
import pytest

from ensembles import QAOA, QNN, VQE, HostedProgram, Program, TimeEvolution, adam, sgd
from ensembles.problems import QUBO, MaxCut, MaxIndependentSet
from ensembles.result import EnsembleResult, ProgramResult
from ensembles.sampling import Outcome, sample
from jaxsim import Circuit, ParameterVector, X, Z

THETA = ParameterVector("theta", 3)
TRIPLE = Circuit(3).ry(THETA[0], 0).ry(THETA[1], 1).ry(THETA[2], 2)


def vqe(observable=None):
    return VQE(TRIPLE, Z(0) if observable is None else observable, optimizer=adam(0.1), steps=1)


def found(angles):
    """A result at given parameters, without running anything."""
    return EnsembleResult(
        [
            ProgramResult(name, 0.0, np.float32(own), final_parameters=np.zeros_like(own, np.float32))
            for name, own in angles.items()
        ]
    )


def test_bits_of_a_product_state():
    """Qubit q is 1 with probability sin(theta_q / 2)**2; qubit 0 is the rightmost character."""
    samples = sample({"a": vqe()}, found({"a": [np.pi, 0.0, np.pi / 3]}), shots=4000)
    assert samples["a"].counts.keys() == {"001", "101"}
    assert samples["a"].counts["101"] == pytest.approx(1000, abs=5 * np.sqrt(4000 * 0.25 * 0.75))
    first, second = samples["a"].top(2)
    assert first == Outcome("001", samples["a"].counts["001"], samples["a"].counts["001"] / 4000)
    assert second.bitstring == "101" and first.count + second.count == 4000
    assert samples["a"].top(50) == [first, second]
    final = sample({"a": vqe()}, found({"a": [np.pi, 0.0, 1.0]}), shots=10, at="final")
    assert final["a"].counts == {"000": 10}


def test_frequencies_follow_the_probabilities():
    """A chi-square test against probabilities in closed form, 7 degrees of freedom."""
    angles = np.array([0.7, 1.9, 2.4])
    samples = sample({"a": vqe()}, found({"a": angles}), shots=20_000, seed=3)
    ones = np.sin(angles / 2) ** 2
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    expected = 20_000 * np.prod(np.where(bits == 1, ones, 1 - ones), axis=1)
    counts = np.array([samples["a"].counts.get(f"{k:03b}", 0) for k in range(8)])
    assert np.sum((counts - expected) ** 2 / expected) < 24.3  # 99.9 %


def test_company_order_and_further_shots_change_nothing():
    rng = np.random.default_rng(0)
    programs = {k: vqe(Z(0) if k % 2 else Z(0) + 0.5 * X(1) + X(2)) for k in range(40)}
    result = found({k: rng.normal(size=3) for k in programs})
    everything = sample(programs, result, 200, seed=5)
    assert everything.calls == 1  # what they minimise does not matter
    for k in (0, 7, 39):
        assert sample(programs, result, 200, seed=5, names=[k])[k] == everything[k]
        assert sample({k: programs[k]}, {k: result[k]}, 200, seed=5)[k] == everything[k]
    backwards = sample(programs, result, 200, seed=5, names=reversed(list(programs)))
    assert list(backwards) == list(programs)[::-1] and all(backwards[k] == everything[k] for k in programs)
    fewer = sample(programs, result, 50, seed=5)
    for k in programs:
        assert all(count <= everything[k].counts[bits] for bits, count in fewer[k].counts.items())
    other = sample(programs, result, 200, seed=6)
    assert sum(other[k] != everything[k] for k in programs) > 35
    same = found({k: [0.5, 1.0, 1.5] for k in programs})
    assert len({str(own.counts) for own in sample(programs, same, 200).values()}) > 35  # names count


def test_memory_is_bounded(monkeypatch):
    programs = {k: vqe() for k in range(5)}
    result = found({k: [0.1 * k, 1.0, 2.0] for k in programs})
    whole = sample(programs, result, 100)
    monkeypatch.setattr("ensembles.sampling._MOST_BYTES", 2 * 8 * 4)  # two rows of 8 float32
    parts = sample(programs, result, 100)
    assert (whole.calls, parts.calls) == (1, 3)
    assert all(parts[k] == whole[k] for k in programs)


def test_programs_on_bitstrings_say_what_each_is_worth():
    """At beta = pi / 4 and gamma = pi / 2 one layer of QAOA solves a single edge; here from amplitudes."""
    graph = MaxCut([("a", "b", 2.0), ("b", "c", 0.5)])
    qaoa = QAOA(graph, layers=1, optimizer=adam(0.1), steps=1)
    samples = sample({"g": qaoa}, found({"g": [0.0, 0.0]}), shots=4000)["g"]  # still |+++>
    assert set(samples.counts) == {f"{k:03b}" for k in range(8)}
    cuts = {"000": 0.0, "001": 2.0, "011": 0.5, "010": 2.5, "100": 0.5, "101": 2.5, "110": 2.0, "111": 0.0}
    assert {o.bitstring: o.objective for o in samples.top(8)} == cuts
    assert all(o.feasible is None for o in samples.top(8))
    best = samples.best()
    assert best.objective == 2.5 and best.bitstring in ("010", "101")
    assert str(samples).splitlines()[0].split() == ["bitstring", "count", "share", "cut"]


def test_best_prefers_what_is_feasible_and_minimises_where_due():
    path = MaxIndependentSet([(0, 1), (1, 2)])
    samples = sample(
        {"s": QAOA(path, layers=1, optimizer=adam(0.1), steps=1)}, found({"s": [0.0, 0.0]}), 500
    )["s"]
    outcomes = {o.bitstring: o for o in samples.top(8)}
    assert outcomes["101"].feasible is True and outcomes["111"].feasible is False
    assert samples.best().bitstring == "101"
    assert "feasible" in str(samples).splitlines()[0]
    qubo = QUBO({(0, 0): 1.0, (1, 1): -2.0, (0, 1): 0.5})  # least at x1 = 1, x0 = 0
    best = sample({"q": QAOA(qubo, layers=1, optimizer=adam(0.1), steps=1)}, found({"q": [0.0, 0.0]}), 500)[
        "q"
    ].best()
    assert (best.bitstring, best.objective) == ("10", -2.0)


def test_time_evolutions_and_hosted_programs_have_circuits():
    rabi = TimeEvolution(X(0), 0.0, Z(0))
    samples = sample({"t": rabi}, found({"t": [np.pi / 2]}), 100)  # a pi pulse
    assert samples["t"].counts == {"1": 100}

    class Still(HostedProgram):
        def run(self, evaluate):
            return None

    programs = {"h": Still(TRIPLE, Z(0)), "none": Still()}
    assert sample(programs, found({"h": [0.0, np.pi, 0.0]}), 10)["h"].counts == {"010": 10}
    with pytest.raises(TypeError, match="program 'none', a Still, has no circuit"):
        sample(programs, found({"none": [0.0]}), 10)


def test_tables():
    samples = sample({"a": vqe(), ("b", 1): vqe()}, found({"a": [0.0] * 3, ("b", 1): [np.pi] * 3}), 100)
    lines = str(samples).splitlines()
    assert lines[2].split() == ["a", "000", "100", "1.0000", "1"]
    assert lines[3].split() == ["b,", "1", "111", "100", "1.0000", "1"]
    assert lines[-1] == "2 programs, 100 shots each, in 1 call"
    assert "<td>111</td>" in samples._repr_html_() and "<td>000</td>" in samples["a"]._repr_html_()
    assert repr(samples["a"]) == "ProgramSamples(a: 100 shots of 3 qubits, 1 different bitstring)"
    assert samples.top() == {"a": [Outcome("000", 100, 1.0)], ("b", 1): [Outcome("111", 100, 1.0)]}
    with pytest.raises(KeyError, match=r"No program 'z' was sampled\. Names are for example 'a'"):
        samples["z"]
    with pytest.raises(TypeError, match="optimises an expectation value, so no bitstring is the best"):
        samples["a"].best()
    for n, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="top: n "):
            samples["a"].top(n)


def a_loss(x, data, key):
    return (x**2).sum()


PROGRAMS = {
    "a": vqe(),
    "generic": Program(a_loss, np.zeros(3), optimizer=sgd(0.1), steps=1),
    "qnn": QNN(TRIPLE, Z(0), [0.0], [0.0], features=["theta[0]"], optimizer=sgd(0.1), steps=1),
}
RESULT = EnsembleResult(
    [
        ProgramResult("a", 0.0, np.zeros(3)),
        ProgramResult("generic", 0.0, np.zeros(3)),
        ProgramResult("qnn", 0.0, np.zeros(2)),
    ]
)
FAILED = EnsembleResult([ProgramResult("a", float("nan"), None, status="failed", error=ValueError("x"))])
LATE = EnsembleResult([ProgramResult("a", float("nan"), None, status="cancelled")])
SHORT, NAN = found({"a": [0.0]}), found({"a": [0.0, np.nan, 0.0]})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sample(PROGRAMS, RESULT, 10), TypeError, r"program 'generic', a Program, has no circuit .* names="),
        (lambda: sample(PROGRAMS, RESULT, 10, names=["qnn"]), TypeError, "program 'qnn', a QNN, has no circuit"),
        (lambda: sample(PROGRAMS, None, 10), TypeError, "the result is what run gave, a mapping .* but a NoneType was"),
        (lambda: sample(PROGRAMS, RESULT["a"], 10), TypeError, "but a ProgramResult was given; .* result"),
        (lambda: sample([vqe()], RESULT, 10), TypeError, "programs are a mapping by name, but a list was given"),
        (lambda: sample(PROGRAMS, RESULT, 0, names="a"), ValueError, "shots must be at least 1, but 0 was given"),
        (lambda: sample(PROGRAMS, RESULT, -3, names="a"), ValueError, "shots must be at least 1"),
        (lambda: sample(PROGRAMS, RESULT, 10.0, names="a"), TypeError, "shots is an integer, but 10.0"),
        (lambda: sample(PROGRAMS, RESULT, True, names="a"), TypeError, "shots is an integer, but True"),
        (lambda: sample(PROGRAMS, RESULT, 10, seed=-1), ValueError, "seed must be from 0 to"),
        (lambda: sample(PROGRAMS, RESULT, 10, seed=1.5), TypeError, "seed is an integer"),
        (lambda: sample(PROGRAMS, RESULT, 10, at="worst"), ValueError, "at must be 'best' or 'final', but 'worst'"),
        (lambda: sample(PROGRAMS, RESULT, 10, names=["b"]), ValueError, "the ensemble has no program 'b'"),
        (lambda: sample(PROGRAMS, FAILED, 10, names=["qnn"]), ValueError, "the result has no program 'qnn'"),
        (lambda: sample(PROGRAMS, RESULT, 10, names=[]), ValueError, "there is no program to sample"),
        (lambda: sample(PROGRAMS, FAILED, 10), ValueError, r"program 'a' failed \(x\), so there is no state .* names="),
        (lambda: sample(PROGRAMS, LATE, 10), ValueError, "no parameters to sample at, as its status is 'cancelled'"),
        (lambda: sample(PROGRAMS, SHORT, 10), ValueError, r"must be 3 finite numbers, .* have shape \(1,\)"),
        (lambda: sample(PROGRAMS, NAN, 10), ValueError, "parameters of program 'a' are not finite"),
    ],
)  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
