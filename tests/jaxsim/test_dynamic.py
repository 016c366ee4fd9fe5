"""Circuits that go on after a measurement, against branches enumerated in dense complex128 NumPy, and closed forms."""
# Errors are provoked on purpose:
# pyright: reportArgumentType=false

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

import jaxsim as js
from jaxsim import Circuit, X, Z
from jaxsim.classical import Register, bit_numbers
from jaxsim.dynamic import (
    bit_probabilities,
    branches,
    post_select,
    sample_dynamic,
    split_terminal,
    trajectories,
)
from jaxsim.dynamic.outcomes import shot_words
from jaxsim.structure import walk

KEY = jax.random.key(5)
WORDS = np.array([[0, 5]], np.uint32)
SHOTS = 100_000

# the reference: a script, which our circuit is built from, and whose branches NumPy enumerates -------------------
# ("gate", name, angles, wires), ("measure", wire, bit), ("reset", wire), ("if", condition, then, otherwise),
# ("while", condition, body, limit); a condition is a tuple, too.

_X, _Y, _Z = (
    np.array([[0, 1], [1, 0]], complex),
    np.array([[0, -1j], [1j, 0]]),
    np.diag([1, -1]).astype(complex),
)


def _rotation(word: np.ndarray) -> Callable[[float], np.ndarray]:
    return lambda a: np.cos(a / 2) * np.eye(len(word)) - 1j * np.sin(a / 2) * word


def _controlled(u: np.ndarray) -> np.ndarray:
    whole = np.eye(2 * len(u), dtype=complex)
    whole[1::2, 1::2] = u  # the control is the least significant bit
    return whole


_MATRICES: dict[str, Callable[..., np.ndarray]] = {
    "h": lambda: (_X + _Z) / np.sqrt(2),
    "x": lambda: _X,
    "s": lambda: np.diag([1, 1j]),
    "rx": _rotation(_X),
    "ry": _rotation(_Y),
    "rz": _rotation(_Z),
    "cx": lambda: _controlled(_X),
    "cry": lambda a: _controlled(_rotation(_Y)(a)),
    "ccx": lambda: _controlled(_controlled(_X)),
    "rzz": _rotation(np.kron(_Z, _Z)),
}
_ANGLES = {"rx", "ry", "rz", "cry", "rzz"}
_WIRES = {"cx": 2, "cry": 2, "ccx": 3, "rzz": 2}

Branch = tuple[np.ndarray, tuple[int, ...]]


def _applied(state: np.ndarray, matrix: np.ndarray, wires: tuple[int, ...]) -> np.ndarray:
    new = np.zeros_like(state)
    mask = sum(1 << w for w in wires)
    for j in np.flatnonzero(state):
        column = sum((int(j) >> w & 1) << k for k, w in enumerate(wires))
        for row in range(len(matrix)):
            new[int(j) & ~mask | sum((row >> k & 1) << w for k, w in enumerate(wires))] += (
                matrix[row, column] * state[j]
            )
    return new


def _true(condition: tuple, bits: tuple[int, ...]) -> bool:
    match condition:
        case ("bit", k):
            return bits[k] == 1
        case ("not", a):
            return not _true(a, bits)
        case ("and", a, b):
            return _true(a, bits) and _true(b, bits)
        case ("xor", a, b):
            return _true(a, bits) != _true(b, bits)
        case ("first", sign, k):
            value = bits[0] + 2 * bits[1]
            return {"==": value == k, "<": value < k, ">=": value >= k}[sign]
    raise ValueError(condition)


def _followed(script: list, live: list[Branch]) -> list[Branch]:
    """Unnormalised states with their bits after the script."""
    for item in script:
        after: list[Branch] = []
        for state, bits in live:
            match item:
                case ("gate", name, angles, wires):
                    after.append((_applied(state, _MATRICES[name](*angles), wires), bits))
                case (("measure" | "reset") as what, wire, *bit):
                    for value in (0, 1):
                        kept = np.where(np.arange(len(state)) >> wire & 1 == value, state, 0)
                        if np.linalg.norm(kept) < 1e-14:
                            continue
                        if what == "reset":
                            after.append((_applied(kept, _X, (wire,)) if value else kept, bits))
                        else:
                            after.append((kept, bits[: bit[0]] + (value,) + bits[bit[0] + 1 :]))
                case ("if", condition, then, otherwise):
                    after.extend(_followed(then if _true(condition, bits) else otherwise, [(state, bits)]))
                case ("while", condition, body, limit):
                    inside = [(state, bits)]
                    for _ in range(limit):
                        after.extend(b for b in inside if not _true(condition, b[1]))
                        inside = _followed(body, [b for b in inside if _true(condition, b[1])])
                    after.extend(inside)
        live = after
    return live


def _ours(condition: tuple, registers: tuple[Register, ...]) -> Any:
    first, second = registers
    match condition:
        case ("bit", k):
            return [*first, *second][k]
        case ("not", a):
            return ~_ours(a, registers)
        case ("and", a, b):
            return _ours(a, registers) & _ours(b, registers)
        case ("xor", a, b):
            return _ours(a, registers) ^ _ours(b, registers)
        case ("first", sign, k):
            return {"==": first == k, "<": first < k, ">=": first >= k}[sign]


def _append(circuit: Circuit, script: list, registers: tuple[Register, ...]) -> Circuit:
    for item in script:
        match item:
            case ("gate", name, angles, wires):
                circuit.append(name, angles, wires)
            case ("measure", wire, bit):
                circuit.measure(wire, bit)
            case ("reset", wire):
                circuit.reset(wire)
            case ("if", condition, then, otherwise):
                with circuit.if_(_ours(condition, registers)):
                    _append(circuit, then, registers)
                if otherwise:
                    with circuit.else_():
                        _append(circuit, otherwise, registers)
            case ("while", condition, body, limit):
                with circuit.while_(_ours(condition, registers), max_iterations=limit):
                    _append(circuit, body, registers)
    return circuit


class Random:
    """A random script on 3 qubits and 4 bits."""

    def __init__(self, seed: int, measurements: int, *, plain_end: bool = False) -> None:
        self.rng, self.left = np.random.default_rng(seed), measurements
        self.script = self.items(14, depth=2)
        if plain_end:  # so that no measurement is terminal
            self.script += [("gate", "ry", (0.1 + w,), (w,)) for w in range(3)]
        self.circuit = Circuit(3)
        registers = self.circuit.register("a", 2), self.circuit.register("b", 2)
        _append(self.circuit, self.script, registers)

    def items(self, number: int, depth: int) -> list:
        return [self.item(depth) for _ in range(number)]

    def item(self, depth: int) -> tuple:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.2 and self.left:
            self.left -= 1
            return ("measure", int(rng.integers(3)), int(rng.integers(4)))
        if kind < 0.27 and self.left:
            self.left -= 1
            return ("reset", int(rng.integers(3)))
        if kind < 0.45 and depth:
            then, otherwise = self.items(3, depth - 1), self.items(int(rng.integers(3)), depth - 1)
            if kind < 0.39:
                return ("if", self.condition(), then, otherwise)
            return ("while", self.condition(), then, int(rng.integers(1, 3)))
        name = str(rng.choice(list(_MATRICES)))
        angles = tuple(map(float, rng.uniform(-3, 3, int(name in _ANGLES))))
        return ("gate", name, angles, tuple(map(int, rng.permutation(3)[: _WIRES.get(name, 1)])))

    def condition(self) -> tuple:
        rng = self.rng
        a, b = (("bit", int(k)) for k in rng.integers(4, size=2))
        first = ("first", str(rng.choice(["==", "<", ">="])), int(rng.integers(4)))
        return [a, ("not", a), ("and", a, ("not", b)), ("xor", a, b), first][rng.integers(5)]

    @property
    def branches(self) -> list[Branch]:
        return _followed(self.script, [(np.eye(1, 8, dtype=complex)[0], (0, 0, 0, 0))])

    @property
    def distribution(self) -> np.ndarray:
        p = np.zeros(16)
        for state, bits in self.branches:
            p[sum(bit << k for k, bit in enumerate(bits))] += np.linalg.norm(state) ** 2
        return p

    @property
    def density(self) -> np.ndarray:
        return sum(np.outer(state, state.conj()) for state, _ in self.branches)  # type: ignore[return-value]


def outcomes(bits: Any) -> np.ndarray:
    return np.asarray(bits).astype(np.int64) @ (1 << np.arange(bits.shape[1]))


def p_value(p: np.ndarray, observed: np.ndarray) -> float:
    """Pearson's test, rare outcomes pooled; impossible ones must not occur."""
    shots = observed.sum()
    assert not observed[p < 1e-12].any()
    common = p * shots >= 5
    pooled = [np.append(a[common], a[~common].sum()) for a in (observed, p / p.sum() * shots)]
    kept = pooled[1] > 0
    return float(chisquare(pooled[0][kept], pooled[1][kept]).pvalue) if kept.sum() > 1 else 1.0


def drawn(circuit: Circuit, shots: int = SHOTS) -> np.ndarray:
    return np.bincount(outcomes(js.sample(circuit, KEY, shots)), minlength=2**circuit.num_bits)


@pytest.fixture(autouse=True)
def quiet():
    """Loops that come to their bound are meant to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*left `while_")
        yield


# against branches -----------------------------------------------------------------------------------------------


def test_random_circuits():
    """The exact distribution in both precisions, and shots."""
    fits = []
    for seed in range(25):
        random = Random(seed, measurements=5)
        p = random.distribution
        np.testing.assert_allclose(js.probabilities(random.circuit), p, atol=2e-6, err_msg=str(seed))
        with jax.enable_x64(True):
            exact = js.probabilities(random.circuit, dtype="complex128")
        np.testing.assert_allclose(exact, p, atol=1e-12, err_msg=str(seed))
        fits.append(p_value(p, drawn(random.circuit, 2_000)))
    assert min(fits) > 1e-4 and np.mean(fits) > 0.3


def test_random_circuits_deferred():
    """Same bits, and the same state of the wires that were there before, averaged over outcomes."""
    seen = 0
    for seed in range(30, 60):
        random = Random(seed, measurements=3, plain_end=True)
        deferred = random.circuit.deferred()
        if deferred.num_wires not in (5, 6) or split_terminal(random.circuit):
            continue
        seen += 1
        np.testing.assert_allclose(
            js.probabilities(deferred), random.distribution, atol=2e-6, err_msg=str(seed)
        )
        rho = js.reduced_density_matrix(deferred, range(3))
        np.testing.assert_allclose(rho, random.density, atol=2e-6, err_msg=str(seed))
        energy = js.expectation(random.circuit, X(0) @ Z(2), deferred=True)
        operator = np.kron(_Z, np.kron(np.eye(2), _X))
        np.testing.assert_allclose(energy, np.trace(random.density @ operator).real, atol=2e-6)
    assert seen > 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 11])
def test_trajectories_of_random_circuits(seed):
    circuit = Random(seed, measurements=5).circuit
    bits = jax.jit(lambda key: js.sample(circuit, key, 300))(KEY)
    np.testing.assert_array_equal(bits, js.sample(circuit, KEY, 300))


def test_trajectories_inside_jit_give_the_bits_of_branches(monkeypatch):
    circuit = Circuit(2)
    m = circuit.register("m", 3)
    circuit.ry(1.0, 0).cx(0, 1).measure(0, m[0])
    with circuit.while_((m < 4) & ~m[1], max_iterations=3):
        circuit.rx(0.9, 0).measure(0, m[2]).reset(0)
        with circuit.if_(m[0]):
            circuit.h(1).measure(1, m[1])
    circuit.ry(0.3, 1).measure(1, m[0])
    expected = np.asarray(js.sample(circuit, KEY, 300))
    bits = jax.jit(lambda key: js.sample(circuit, key, 300))(KEY)
    assert bits.dtype == np.uint8
    # Rounding may decide otherwise, once in a million shots.
    np.testing.assert_array_equal(bits, expected)
    monkeypatch.setattr(trajectories, "STATE_BYTES", 4 * 64 * 70)
    np.testing.assert_array_equal(jax.jit(lambda key: js.sample(circuit, key, 300))(KEY), expected)


UNKNOWABLE = ("more than once", "hold one measurement", "never measured", "cannot know")


def test_post_selection_follows_one_branch():
    seen = 0
    for seed in range(60):
        random = Random(seed, measurements=3, plain_end=True)
        state, bits = max(random.branches, key=lambda b: np.linalg.norm(b[0]))
        measured = {bit for i in walk(random.circuit.instructions) for bit in i.bits}
        numbers = bit_numbers(random.circuit.registers)
        try:
            found = post_select(random.circuit, {bit: bits[numbers[bit]] for bit in measured})
        except ValueError as error:
            assert any(words in str(error) for words in UNKNOWABLE)  # noqa: PT017
            continue
        seen += bool(measured)
        weight = np.linalg.norm(state)
        np.testing.assert_allclose(found.probability, weight**2, atol=2e-6)
        np.testing.assert_allclose(found.state, state / weight, atol=2e-6)
    assert seen > 5


# the examples that the literature starts with -----------------------------------------------------------------------


def teleportation(theta: Any, phi: Any) -> Circuit:
    circuit = Circuit(3)
    m, out = circuit.register("m", 2), circuit.register("out", 1)
    circuit.u(theta, phi, 0.0, 0).h(1).cx(1, 2).cx(0, 1).h(0).measure([0, 1], m)
    with circuit.if_(m[1]):
        circuit.x(2)
    with circuit.if_(m[0]):
        circuit.z(2)
    return circuit.u(-theta, 0.0, -phi, 2).rx(0.8, 2).measure(2, out)


def repeat_until_success() -> Circuit:
    """Tosses a coin that shows 0 with probability 1/4 until it does, and tells a second wire how often."""
    circuit = Circuit(2)
    coin, parity = circuit.register("coin", 1), circuit.register("parity", 1)
    circuit.ry(2 * np.pi / 3, 0).measure(0, coin)
    with circuit.while_(coin[0], max_iterations=80):
        circuit.reset(0).ry(2 * np.pi / 3, 0).measure(0, coin).x(1)
    return circuit.measure(1, parity)


def bell_with_reset() -> Circuit:
    circuit = Circuit(2)
    return circuit.h(0).cx(0, 1).reset(0).h(0).cx(1, 0).measure([0, 1], circuit.register("c", 2))


def ghz_by_feed_forward(size: int = 4) -> Circuit:
    """Plus states, parities of neighbours measured with ancillas, corrected by X where the parity so far is odd."""
    circuit = Circuit(2 * size - 1)
    parity, out = circuit.register("parity", size - 1), circuit.register("out", size)
    data, ancillas = range(size), range(size, 2 * size - 1)
    circuit.h(data).cx(range(size - 1), ancillas).cx(range(1, size), ancillas).measure(ancillas, parity)
    odd = parity[0]
    for k in range(1, size):
        with circuit.if_(odd):
            circuit.x(k)
        odd = odd ^ parity[k] if k < size - 1 else odd
    return circuit.measure(data, out)


def _teleported() -> np.ndarray:
    one = np.sin(0.4) ** 2
    return np.kron([1 - one, one], np.full(4, 0.25))


def _tossed() -> np.ndarray:
    """Heads first after k tails: 1/4 (3/4)**k; the parity of k."""
    even = 0.25 / (1 - 9 / 16)
    return np.array([even, 0, 1 - even, 0])


def _ghz() -> np.ndarray:
    p = np.zeros((16, 8))
    p[[0, 15]] = 1 / 16
    return p.reshape(-1)


@pytest.mark.parametrize(
    "circuit, p",
    [
        (teleportation(1.1, 0.4), _teleported()),
        (repeat_until_success(), _tossed()),
        (bell_with_reset(), np.full(4, 0.25)),
        (ghz_by_feed_forward(), _ghz()),
    ],
    ids=["teleportation", "repeat until success", "Bell with reset", "GHZ by feed-forward"],
)
def test_shots_follow_the_exact_distribution(circuit, p):
    assert p_value(p, drawn(circuit)) > 1e-3
    np.testing.assert_allclose(js.probabilities(circuit), p, atol=1e-6)


def test_ghz_made_by_feed_forward_is_coherent():
    """The parity of X on all data wires is 1: not a mixture of 0000 and 1111."""
    circuit = ghz_by_feed_forward()
    word = X(0) @ X(1) @ X(2) @ X(3)
    np.testing.assert_allclose(js.expectation(circuit, word, deferred=True), 1, atol=1e-5)
    selected = post_select(circuit, {circuit.register("parity"): 5})
    kept = abs(selected.state[np.array([0b1010000, 0b1011111])])
    np.testing.assert_allclose(kept, np.sqrt(0.5), atol=1e-5)
    np.testing.assert_allclose(selected.probability, 1 / 8, atol=1e-6)


def test_against_aer():
    aer = pytest.importorskip("qiskit_aer")
    qiskit = pytest.importorskip("qiskit")
    other = qiskit.QuantumCircuit(qiskit.QuantumRegister(2), qiskit.ClassicalRegister(2, "m"))
    circuit = Circuit(2)
    m = circuit.register("m", 2)
    for c in (other, circuit):
        for name, *arguments in [
            ("ry", 1.0, 0),
            ("cx", 0, 1),
            ("rx", 0.5, 0),
            ("measure", 0, 0),
            ("reset", 0),
        ]:
            getattr(c, name)(*arguments)
    with other.if_test((other.cregs[0], 1)) as otherwise:
        other.h(1)
    with otherwise:
        other.ry(0.7, 0)
    with circuit.if_(m == 1):
        circuit.h(1)
    with circuit.else_():
        circuit.ry(0.7, 0)
    for c in (other, circuit):
        for name, *arguments in [("cx", 0, 1), ("measure", 1, 1), ("measure_all",)]:
            getattr(c, name)(*arguments)
    counts = aer.AerSimulator(seed_simulator=1).run(other, shots=20_000).result().get_counts()
    observed = np.zeros(16)
    for key, number in counts.items():
        observed[int(key.replace(" ", ""), 2)] = number
    assert p_value(np.asarray(js.probabilities(circuit), float), observed) > 1e-3
    assert set(js.counts(circuit, KEY, 20_000)) == set(counts)


# what bits depend on --------------------------------------------------------------------------------------------------


def test_bits_of_a_shot_depend_on_its_key_and_number_only(monkeypatch):
    spread = next(r for r in (Random(s, measurements=6) for s in range(99)) if r.distribution.max() < 0.3)
    ours, other = spread.circuit, repeat_until_success()
    (bits,) = sample_dynamic([ours], WORDS, 3_000)
    for shots in (1, 2, 17, 999):
        np.testing.assert_array_equal(sample_dynamic([ours], WORDS, shots)[0], bits[:shots])
    keys = np.array([[9, 9], [0, 5], [0, 6]], np.uint32)
    several = sample_dynamic([other, ours, ours], keys, 3_000)
    np.testing.assert_array_equal(several[1], bits)
    assert not np.array_equal(several[2], bits)
    np.testing.assert_array_equal(js.sample(ours, jax.random.key(5), 3_000), bits)
    # little memory: few branches at a time
    monkeypatch.setattr(branches, "STATE_BYTES", 3 * 64)
    monkeypatch.setattr(branches, "FEW_BYTES", 0)
    np.testing.assert_array_equal(sample_dynamic([ours], WORDS, 3_000)[0], bits)
    exact = bit_probabilities(ours)
    monkeypatch.undo()
    np.testing.assert_array_equal(bit_probabilities(ours), exact)


def test_what_comes_before_the_first_measurement_runs_once(monkeypatch):
    """And what follows once for each outcome, however many shots there are."""
    states = []

    def counted(row, rows):
        states.append(len(rows))
        return evolved(row, rows)

    evolved = branches.evolved
    monkeypatch.setattr(branches, "evolved", counted)
    circuit = Circuit(3)
    m = circuit.register("m", 3)
    for _ in range(5):
        circuit.ry([0.3, 0.4, 0.5], range(3)).cx([0, 1], [1, 2])
    circuit.measure(0, m[0]).ry(0.8, 0).measure(0, m[1]).h(0).measure(0, m[2])
    bits = js.sample(circuit, KEY, 20_000)
    assert states == [1, 2, 4] and len(np.unique(bits, axis=0)) == 8


def test_random_words_are_threefry_in_counter_mode():
    numbers, first = np.array([0, 3, 70_000]), np.array([2, 0, 5])
    words = shot_words(WORDS[0], numbers, first, 6)
    for row, shot, start in zip(words, numbers, first):
        own = jax.random.fold_in(jax.random.key(5), int(shot))
        expected = [int(jax.random.key_data(jax.random.fold_in(own, int(start) + j))[0]) for j in range(6)]
        assert row.tolist() == expected


def test_a_new_circuit_of_a_size_compiles_nothing(compilations):
    def circuit(seed: int) -> Circuit:
        rng = np.random.default_rng(seed)
        result = Circuit(4)
        m = result.register("m", 4)
        for k in range(3):
            result.ry(rng.uniform(0, 6, 4), range(4)).cx(*map(int, rng.permutation(4)[:2])).measure(k, m[k])
            with result.if_(m < int(rng.integers(1, 8))):
                result.rx(float(rng.uniform(0, 6)), int(rng.integers(4)))
        return result.measure(3, m[3])

    sample_dynamic([circuit(0)], WORDS, 2_000)
    with compilations() as count:
        for seed in range(1, 6):
            sample_dynamic([circuit(seed)], WORDS, 1_000 * seed)
    assert count.total == 0


def test_rare_outcomes_keep_their_odds():
    circuit = Circuit(1)
    m = circuit.register("m", 2)
    circuit.ry(2 * np.arcsin(2**-7), 0).measure(0, m[0]).x(0).measure(0, m[1])
    p = np.array([0, 2**-14, 1 - 2**-14, 0])
    assert p_value(p, drawn(circuit)) > 1e-3
    impossible = Circuit(1)
    impossible.measure(0, impossible.register("m", 1)).x(0)
    assert drawn(impossible)[1] == 0


# JAX ------------------------------------------------------------------------------------------------------------------


def branching(t: Any) -> Circuit:
    circuit = Circuit(2)
    m = circuit.register("m", 2)
    circuit.ry(t[0], 0).measure(0, m[0])
    with circuit.if_(m[0]):
        circuit.ry(t[1], 1)
    with circuit.else_():
        circuit.rx(t[2], 1)
    return circuit.measure(1, m[1])


T = np.array([0.3, 1.2, 0.4], np.float32)


def test_deferred_values_have_gradients():
    def exact(t):
        return jnp.cos(t[0] / 2) ** 2 * jnp.cos(t[2]) + jnp.sin(t[0] / 2) ** 2 * jnp.cos(t[1])

    value, gradient = jax.value_and_grad(lambda t: js.expectation(branching(t), Z(1), deferred=True))(
        jnp.array(T)
    )
    np.testing.assert_allclose(value, exact(T), atol=1e-6)
    np.testing.assert_allclose(gradient, jax.grad(exact)(jnp.array(T)), atol=1e-6)
    by_angles = jax.jacobian(lambda t: js.probabilities(branching(t), deferred=True))(jnp.array(T))
    np.testing.assert_allclose(by_angles.sum(0), 0, atol=1e-6)
    np.testing.assert_allclose(by_angles[:2].sum(0) - by_angles[2:].sum(0), gradient, atol=1e-6)
    variance = js.variance(branching(T), Z(1), deferred=True)
    np.testing.assert_allclose(variance, 1 - exact(T) ** 2, atol=1e-6)


def test_post_selection_has_gradients():
    def probability(t):
        circuit = branching(t)
        m = circuit.register("m")
        return post_select(circuit, {m[0]: 1}).probability

    np.testing.assert_allclose(jax.grad(probability)(jnp.array(T)), [np.sin(0.3) / 2, 0, 0], atol=1e-6)


def test_gradients_through_a_measurement_are_refused():
    def mean(t):
        return js.sample(branching(t), KEY, 10).astype(jnp.float32).mean()

    with pytest.raises(TypeError, match=r"have no derivative: .* expectation\(\.\.\., deferred=True\)"):
        jax.grad(mean)(jnp.array(T))
    stopped = jax.grad(lambda t: mean(jax.lax.stop_gradient(t)) + t[0])(jnp.array(T))
    assert stopped.tolist() == [1, 0, 0]
    for function in (
        lambda t: js.expectation(branching(t), Z(1)),
        lambda t: js.probabilities(branching(t))[0],
        lambda t: js.statevector(branching(t))[0].real,
    ):
        with pytest.raises(ValueError, match="what is drawn has no derivative"):
            jax.grad(function)(jnp.array(T))


def test_angles_and_keys_may_be_traced():
    expected = js.sample(branching(T), KEY, 40)
    np.testing.assert_array_equal(js.sample(branching(jnp.array(T)), KEY, 40), expected)
    keys = jnp.stack([jax.random.key(1), KEY])
    bits = jax.jit(jax.vmap(lambda t, key: js.sample(branching(t), key, 40)))(jnp.stack([T, T]), keys)
    np.testing.assert_array_equal(bits[1], expected)
    np.testing.assert_array_equal(jax.jit(lambda: js.sample(branching(T), KEY, 40))(), expected)
    with pytest.raises(TypeError, match="counts gives a Python dictionary"):
        jax.jit(lambda key: js.counts(branching(T), key, 40))(KEY)


# the edges ------------------------------------------------------------------------------------------------------------


def test_a_loop_says_that_it_came_to_its_bound():
    circuit = Circuit(1)
    m = circuit.register("m", 1)
    circuit.h(0).measure(0, m)
    with circuit.while_(m == 0, max_iterations=2):
        circuit.h(0).measure(0, m)
    with pytest.warns(UserWarning, match=r"shots left `while_\(m == 0\)` after max_iterations=2") as caught:
        bits = js.sample(circuit, KEY, 800)
    left = int((np.asarray(bits) == 0).sum())
    assert left > 50 and str(caught[0].message).startswith(f"{left} shots")
    np.testing.assert_allclose(js.probabilities(circuit), [1 / 8, 7 / 8], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        js.sample(repeat_until_success(), KEY, 1_000)


def test_wires_of_a_dynamic_circuit_are_measured_at_its_end():
    circuit = Circuit(2).h(0).cx(0, 1).reset(0)
    bits = js.sample(circuit, KEY, 200)
    np.testing.assert_array_equal(js.sample(circuit, KEY, 200, [1])[:, 0], bits[:, 1])
    assert not bits[:, 0].any() and 50 < bits[:, 1].sum() < 150
    np.testing.assert_allclose(js.probabilities(circuit), [0.5, 0, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(js.probabilities(circuit, [1]), [0.5, 0.5], atol=1e-6)


def test_initial_states():
    circuit, start = Circuit(2).reset(0), np.array([0, 0.6, 0, 0.8])
    for deferred in (False, True):
        p = js.probabilities(circuit, range(2), initial_state=start, deferred=deferred)
        np.testing.assert_allclose(p, [0.36, 0, 0.64, 0], atol=1e-6)
    bits = np.asarray(js.sample(circuit, KEY, 300, initial_state=start))
    assert not bits[:, 0].any() and 150 < bits[:, 1].sum() < 240
    np.testing.assert_array_equal(
        jax.jit(lambda s: js.sample(circuit, KEY, 300, initial_state=s))(start.astype(np.complex64)), bits
    )
    with pytest.raises(ValueError, match=r"initial_state must have shape \(4,\)"):
        js.sample(circuit, KEY, 3, initial_state=start[:2])
    prepared = Circuit(2).h(0).measure(0).initialize([0, 1], 1).cx(1, 0)
    assert set(js.counts(prepared, KEY, 50, [1])) == {"1"}


@pytest.mark.parametrize("engine", ["layered", "rotations", "fused"])
def test_engines(engine):
    circuit = teleportation(1.1, 0.4)
    np.testing.assert_allclose(js.probabilities(circuit, engine=engine), _teleported(), atol=1e-6)


@pytest.mark.parametrize(
    "selected, message",
    [
        ({}, r"gives no outcome for m\[0\], and the state depends on it"),
        ({0: 1}, "outcomes are given for bits or registers, but 0 is neither"),
        ([1], "a mapping from bits to outcomes"),
        ({Register("z", 1)[0]: 1}, r"z\[0\] is no bit of this circuit"),
        ({Register("m", 2): 4}, "an integer from 0 to 3, but 4 was given"),
        ({Register("m", 2)[0]: True}, "but True was given"),
        ({Register("m", 2): 1, Register("m", 2)[1]: 0}, r"m\[1\] is given two outcomes"),
        ({Register("m", 2): 0, Register("idle", 1): 0}, "with these outcomes it is never measured"),
        ({Register("m", 2): 1}, "these outcomes are impossible"),
    ],
)
def test_post_selection_says_what_is_wrong(selected, message):
    circuit = Circuit(2)
    m = circuit.register("m", 2)
    circuit.register("idle", 1)
    circuit.measure(0, m[0]).h(0).measure(0, m[1])
    with circuit.if_(m == 3):
        circuit.x(1)
    with pytest.raises((TypeError, ValueError), match=message):
        post_select(circuit, selected)


def test_what_post_selection_cannot_know():
    with pytest.raises(ValueError, match="cannot know what the reset of wire 0 found"):
        post_select(Circuit(1).h(0).reset(0), {})
    np.testing.assert_allclose(post_select(Circuit(1).h(0).measure_all(), {}).probability, 1, atol=1e-6)
    twice = Circuit(1)
    m = twice.register("m", 1)
    with pytest.raises(ValueError, match=r"m\[0\] is measured more than once"):
        post_select(twice.measure(0, m).x(0).measure(0, m).x(0), {m[0]: 0})


def test_open_parameters():
    circuit = Circuit(1).measure(0).rx(js.Parameter("a"), 0).measure(0)
    for function in (
        lambda: js.sample(circuit, KEY, 10),
        lambda: js.probabilities(circuit),
        lambda: sample_dynamic([circuit], WORDS, 10),
        lambda: post_select(circuit, {circuit.registers[0][0]: 0}),
    ):
        with pytest.raises(ValueError, match="the circuit has unbound parameters: a"):
            function()
    assert js.counts(circuit.bind([np.pi]), KEY, 10) == {"10": 10}
    np.testing.assert_allclose(js.expectation(circuit.deferred().bind([0.3]), Z(0)), np.cos(0.3), atol=1e-6)


def test_what_cannot_be_deferred():
    circuit = Circuit(1)
    m = circuit.register("m", 1)
    with circuit.while_(~m[0], max_iterations=100):
        circuit.h(0).measure(0, m)
    with pytest.raises(ValueError, match="would need more than 30 wires: one for each measurement"):
        circuit.deferred()
    with pytest.raises(ValueError, match=r"keys must have shape \(1, 2\)"):
        sample_dynamic([circuit], WORDS[0], 10)
