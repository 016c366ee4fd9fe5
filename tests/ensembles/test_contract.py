"""The contract: MERGED = OFF = alone, bit for bit, over drawn ensembles and configurations of both drivers.

What is compared is all that a result holds: values, parameters, histories, statuses, errors, counts, entries of its
kind. Structures come from a small table, so that few kernels are compiled; numbers, names, company, order and
configurations are drawn.
"""

from __future__ import annotations

import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import ensembles
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    EarlyStopping,
    HostedProgram,
    Program,
    ProgramEnsemble,
    QNNRegressor,
    adam,
    clipped,
    differential_evolution,
    lbfgs,
    natural_gradient,
    random_search,
    rmsprop,
    rotosolve,
    schedules,
    scipy_minimize,
    sgd,
    spsa,
)
from ensembles.optimizers import RULES
from ensembles.problems import MaxCut, tfim
from jaxsim import Circuit, ParameterVector, X, Z, ansatz

A = ParameterVector("a", 2)
B = ParameterVector("x", 1)
W = ParameterVector("w", 3)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
SINGLE = Circuit(1).ry(A[0], 0).rz(A[1], 0)
CLASSIFIER = Circuit(2).ry(B[0], [0, 1]).ry(W[:2], [0, 1]).cx(0, 1).rx(W[2], 0)
INPUTS = np.linspace(-1, 1, 5)[:, None]
DOUBLE = np.complex128


class Numbers(NamedTuple):
    """What differs between programs of one species."""

    rate: float
    scale: float
    steps: int
    start: float | None
    patience: int | None

    def at(self, *shape):
        """Where to start: drawn by the program if None."""
        return None if self.start is None else self.start * np.cos(np.arange(np.prod(shape))).reshape(shape)

    @property
    def stopping(self):
        return None if self.patience is None else EarlyStopping(patience=self.patience, min_delta=0.02)

    @property
    def target(self):
        """The other rules: a loss that is good enough, a slope that is small enough."""
        if self.patience is None:
            return None
        return EarlyStopping(target=-self.scale, gradient_norm=0.1 * self.patience)

    @property
    def shots(self):
        return 17 + 40 * self.steps


def noisy(parameters, data, key):
    """Products and sums over a pytree, with draws of its own."""
    noise = 0.1 * jax.random.normal(key, (3, 3), data.dtype)
    return jnp.sum((parameters["a"] @ data - noise) ** 2) + jnp.prod(jnp.cos(parameters["b"]))


def breaks(parameters, data, key):
    """Not a number from some step on."""
    return jnp.sum(jnp.log(parameters)) * data


class Walk(HostedProgram):
    """All that `evaluate` can be asked for."""

    def __init__(self, numbers, **options):
        super().__init__(
            PAIR, Z(0) @ Z(1) + numbers.scale * X(0), initial_parameters=numbers.at(2), **options
        )
        self.numbers = numbers

    def run(self, evaluate):
        x, found = evaluate.initial_parameters, []
        for k in range(self.numbers.steps % 4):
            _, slope = evaluate(x, gradient=True)
            places = x + evaluate.random.normal(size=(k + 2, 2))
            x = places[np.argmin(evaluate(places))] - self.numbers.rate * slope
            found.append(evaluate.sample(x, 7 + self.numbers.steps))
        if self.numbers.steps == 5:
            raise ValueError("at the fifth")
        found.append(evaluate.probabilities(x))
        found.append(evaluate(x, circuit=SINGLE, observable=[Z(0), self.numbers.scale * X(0)]))
        return {"parameters": x, **{f"found {k}": array for k, array in enumerate(found)}}


def graph(n, nodes):
    made = nx.circulant_graph(nodes, [1])
    nx.set_edge_attributes(made, {edge: n.scale + 0.1 * k for k, edge in enumerate(made.edges)}, "weight")
    return MaxCut(made)


def pytree(n):
    return {"a": np.full((3, 2), n.scale, np.float32), "b": np.arange(2, dtype=np.float32)}


def chain(n, size):
    return tfim(size, h=n.scale)


COBYLA = scipy_minimize("COBYLA", maxiter=9)
ADAM = {"layered": adam, "rotations": sgd, "fused": rmsprop}


def pair(n, **options):
    """Two qubits whose kernels most species share."""
    return VQE(
        PAIR, n.scale * Z(0) @ Z(1) + X(0), **{"steps": n.steps, "initial_parameters": n.at(2), **options}
    )


SEARCHES = {
    "line search": lambda n: lbfgs(0.5 + n.rate, memory_size=3),
    "stochastic line search": lambda n: lbfgs(memory_size=2, stochastic=True),
    "simultaneous": lambda n: spsa(n.rate, n.scale),
    "simultaneous, scheduled": lambda n: clipped(
        spsa(schedules.cosine_decay(n.rate, 5), resamplings=2), norm=n.scale
    ),
    "natural": lambda n: natural_gradient(n.rate),
    "natural, in blocks": lambda n: clipped(
        natural_gradient(n.rate, approximation="block_diagonal"), norm=n.scale
    ),
    "natural, diagonal": lambda n: natural_gradient(n.rate, approximation="diagonal"),
    "rotation by rotation": lambda n: rotosolve(),
    "scheduled": lambda n: clipped(
        adam(schedules.warmup_cosine_decay(0.0, n.rate, 2, 5)), norm=n.scale, value=0.3
    ),
}
"""Rules that ask for more than a gradient, or follow something made of it."""

FEW = {
    "one qubit, double": lambda n: VQE(
        SINGLE, n.scale * Z(0) + X(0), optimizer=adam(n.rate), steps=n.steps, dtype=DOUBLE, initial_parameters=n.at(2)
    ),
    "layered": lambda n: VQE(
        PAIR, n.scale * Z(1), optimizer=adam(n.rate, b1=0.8), steps=n.steps, stopping=n.stopping, engine="layered"
    ),
    "fused": lambda n: VQE(
        PAIR, n.scale * X(1), optimizer=rmsprop(n.rate), steps=n.steps, initial_parameters=n.at(2), engine="fused"
    ),
    "ring": lambda n: QAOA(graph(n, 4), layers=1, optimizer=sgd(n.rate, momentum=0.9), steps=n.steps),
    "ring, hosted": lambda n: QAOA(graph(n, 3), layers=1, optimizer=COBYLA),
    "hosted": lambda n: VQE(
        ansatz.hardware_efficient(3, 1), chain(n, 3), optimizer=scipy_minimize("L-BFGS-B", maxiter=n.steps + 1),
        engine="rotations",
    ),
    "noisy": lambda n: Program(
        noisy, pytree(n), data=np.full((2, 3), n.rate, np.float32), optimizer=adam(n.rate), steps=n.steps
    ),
    "noisy, hosted": lambda n: Program(
        noisy, pytree(n), data=np.full((2, 3), n.rate, np.float32), optimizer=random_search(n.steps + 1)
    ),
    "breaks": lambda n: Program(
        breaks, np.full(2, n.scale, np.float32), data=np.float32(1), optimizer=sgd(n.rate), steps=n.steps
    ),
    "walk": lambda n: Walk(n, dtype=[np.complex64, DOUBLE][n.steps % 2]),
    "line search": lambda n: pair(n, optimizer=lbfgs(0.5 + n.rate, memory_size=3), stopping=n.target),
    "shots": lambda n: pair(n, optimizer=adam(n.rate), shots=n.shots, stopping=n.stopping),
}  # fmt: skip
"""The species of the quick test."""

MANY = FEW | {
    f"{engine}, {np.dtype(dtype).name}, {size} qubits": lambda n, engine=engine, dtype=dtype, size=size: VQE(
        ansatz.hardware_efficient(size, 1), chain(n, size), optimizer=ADAM[engine](n.rate), steps=n.steps,
        stopping=n.stopping, dtype=dtype, engine=engine,
    )
    for engine in ADAM
    for dtype, size in [(np.complex64, 5), (DOUBLE, 4)]
} | {
    "walk, fused": lambda n: Walk(n, engine="fused"),
    "population": lambda n: VQE(
        PAIR, n.scale * Z(0), optimizer=differential_evolution(maxiter=2, popsize=3), engine="layered"
    ),
    "simplex": lambda n: QAOA(graph(n, 5), layers=2, optimizer=scipy_minimize("Nelder-Mead", maxiter=4), dtype=DOUBLE),
    "ring of five": lambda n: QAOA(graph(n, 5), layers=2, optimizer=adam(n.rate), steps=n.steps, stopping=n.stopping),
    "samples": lambda n: QNNRegressor(
        CLASSIFIER, n.scale * Z(0), INPUTS, np.tanh(INPUTS[:, 0]), batch_size=3, optimizer=adam(n.rate), steps=n.steps
    ),
    "samples, hosted": lambda n: QNNRegressor(CLASSIFIER, n.scale * Z(0), INPUTS, INPUTS[:, 0], optimizer=COBYLA),
    "samples, line search": lambda n: QNNRegressor(
        CLASSIFIER, n.scale * Z(0), INPUTS, np.tanh(INPUTS[:, 0]), batch_size=3, steps=n.steps,
        optimizer=lbfgs(memory_size=2, stochastic=True), stopping=n.target,
    ),
    "noisy, simultaneous": lambda n: Program(
        noisy, pytree(n), data=np.full((2, 3), n.rate, np.float32), optimizer=spsa(n.rate), steps=n.steps,
        stopping=n.stopping,
    ),
    "ring, shots": lambda n: QAOA(
        graph(n, 4), layers=1, optimizer=sgd(n.rate), steps=n.steps, shots=n.shots, stopping=n.target
    ),
    "ring, shots, double": lambda n: QAOA(
        graph(n, 4), layers=1, optimizer=spsa(n.rate), steps=n.steps, shots=n.shots, stopping=n.stopping, dtype=DOUBLE
    ),
    "ring, line search": lambda n: QAOA(graph(n, 5), layers=2, optimizer=lbfgs(), steps=n.steps, stopping=n.stopping),
    "shots, simultaneous": lambda n: pair(n, optimizer=spsa(n.rate), shots=n.shots, engine="fused"),
    "shots, stochastic line search": lambda n: pair(
        n, optimizer=lbfgs(memory_size=2, stochastic=True), shots=n.shots, engine="rotations"
    ),
    "shots, hosted": lambda n: pair(n, optimizer=COBYLA, steps=None, shots=n.shots),
    "shots, hosted, slopes": lambda n: pair(
        n, optimizer=scipy_minimize("L-BFGS-B", maxiter=n.steps + 1), steps=None, shots=n.shots, dtype=DOUBLE
    ),
} | {
    f"{kind}, {engine}": lambda n, rule=rule, engine=engine: pair(
        n, optimizer=rule(n), engine=engine, stopping=n.target if rule(n).has_gradient else None
    )
    for (kind, rule), engine in zip(SEARCHES.items(), 3 * list(ADAM))
} | {
    f"{kind}, double": lambda n, rule=rule: pair(n, optimizer=rule(n), dtype=DOUBLE, stopping=n.stopping)
    for kind, rule in SEARCHES.items()
}  # fmt: skip
"""The species of the long test."""


def ensembles_of(species, most):
    """Mappings from names of all kinds to (species, numbers); of few species, so that calls are shared."""
    simple = st.text("ab1é ", min_size=1, max_size=3) | st.integers(-3, 10**20)
    names = st.recursive(simple, lambda inner: st.tuples(inner, inner) | st.tuples(inner), max_leaves=3)
    numbers = st.builds(
        Numbers,
        rate=st.sampled_from([0.0, 0.05, 0.3, 1.7]),
        scale=st.sampled_from([0.25, 0.6180339887, 1.0]),
        steps=st.integers(0, 6),
        start=st.none() | st.sampled_from([0.0, 0.3]),
        patience=st.none() | st.integers(1, 3),
    )
    some = st.lists(st.sampled_from(sorted(species)), min_size=1, max_size=3, unique=True)
    return some.flatmap(
        lambda kinds: st.dictionaries(
            names, st.tuples(st.sampled_from(kinds), numbers), min_size=min(4, most), max_size=most
        )
    )


MEMORY = {
    "max_rows_per_call": st.none() | st.integers(1, 5),
    "memory_limit": st.none() | st.sampled_from([1, 10**4, 10**9]),
}
CONFIGS = st.builds(BatchConfig, st.sampled_from(["off"]), **MEMORY) | st.builds(
    BatchConfig,
    max_batch_size=st.none() | st.integers(1, 6),
    max_concurrent_programs=st.sampled_from([None, -1, 1, 2, 3, 40]),
    _sort_programs=st.booleans(),
    **MEMORY,
)
SEEDS = st.integers(0, 2**64 - 1)

# No shrinking: every trial of a smaller ensemble may compile.
BOUNDED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def run(programs, config, seed):
    return ProgramEnsemble(programs).run(config, seed=seed, on_error="collect", progress=False)


def check(drawn, species, config, seed):
    """All ways to run the drawn programs give equal results; the programs are made anew for each."""

    def made(names):
        return {name: species[kind](numbers) for name in names for kind, numbers in [drawn[name]]}

    merged = run(made(drawn), BatchConfig(), seed)
    assert list(merged) == list(drawn)
    others = {
        "off": run(made(drawn), BatchConfig("off"), seed),
        "configured": run(made(drawn), config, seed),
        "other way round": run(made(reversed(drawn)), config, seed),
        **{("alone", name): run(made([name]), config, seed) for name in drawn},
    }
    for way, result in others.items():
        for name in result:
            assert result[name] == merged[name], (way, drawn[name], vars(result[name]), vars(merged[name]))
    return merged


@settings(BOUNDED, max_examples=8)
@given(ensembles_of(FEW, 6), CONFIGS, SEEDS)
def test_merged_off_and_alone_are_equal(drawn, config, seed):
    with jax.enable_x64(True):
        check(drawn, FEW, config, seed)


def test_every_species_has_its_results():
    """What is compared above is something: values that are numbers, failures where they belong, samples, histories."""
    numbers = Numbers(rate=0.3, scale=0.6180339887, steps=6, start=0.3, patience=None)
    with jax.enable_x64(True):
        merged = check({kind: (kind, numbers) for kind in FEW}, FEW, BatchConfig(max_batch_size=3), 5)
    assert {name for name, r in merged.items() if r.status == "failed"} == {"breaks"}
    assert all(np.isfinite(r.value) and r.evaluations for r in merged.values())
    assert merged["one qubit, double"].history.dtype == np.float64
    assert merged["layered"].history.dtype == np.float32
    assert len({r.value for r in merged.values()}) == len(merged)


@pytest.mark.slow
@settings(BOUNDED, max_examples=60)
@given(ensembles_of(MANY, 9), CONFIGS, SEEDS)
def test_many_ensembles(forget_kernels, drawn, config, seed):
    forget_kernels()
    with jax.enable_x64(True):
        check(drawn, MANY, config, seed)


SINGLE_PRECISION = sorted(
    kind
    for kind in MANY
    if "double" not in kind and "128" not in kind and kind not in ("walk", "simplex", "shots, hosted, slopes")
)


@pytest.mark.slow
@settings(BOUNDED, max_examples=30)
@given(ensembles_of(SINGLE_PRECISION, 9), CONFIGS, SEEDS)
def test_many_ensembles_without_64_bits(forget_kernels, drawn, config, seed):
    forget_kernels()
    check(drawn, MANY, config, seed)


# every rule of the table ------------------------------------------------------------------------------------


def rule_of(name, rate):
    """A rule with its defaults and a learning rate, if it has one."""
    make = RULES[name].make
    needs = [p for p in inspect.signature(make).parameters.values() if p.default is p.empty]
    return make(*([rate] if needs else []))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_keeps_its_bits(name):
    assert getattr(ensembles, name, None) is RULES[name].make
    kinds = {
        "plain": lambda n: VQE(PAIR, Z(0) + n.scale * X(1), optimizer=rule_of(name, n.rate), steps=n.steps),
        "stops": lambda n: VQE(
            PAIR, Z(0) + n.scale * X(1), optimizer=rule_of(name, n.rate), steps=n.steps, stopping=n.stopping
        ),
    }
    drawn = {
        k: ("stops" if k % 2 else "plain", Numbers(rate, 0.3 * k, k % 7, None, 2))
        for k, rate in enumerate([0.05, 0.3, 0.01, 1.1, 0.2])
    }
    for config in (
        BatchConfig(max_batch_size=2),
        BatchConfig(max_rows_per_call=3),
        BatchConfig("off", memory_limit=1),
    ):
        check(drawn, kinds, config, 11)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(MANY.keys() - FEW.keys()))
def test_every_species_keeps_its_bits(kind):
    drawn = {
        k: (kind, Numbers(rate, [0.25, 0.6180339887][k % 2], (3 * k + 2) % 7, [None, 0.3][k % 2], patience))
        for k, (rate, patience) in enumerate([(0.05, None), (0.3, 1), (1.7, 2), (0.0, 3), (0.2, None)])
    }
    with jax.enable_x64(True):
        check(drawn, MANY, BatchConfig(max_batch_size=2, max_rows_per_call=3), 11)
