"""The seam: keys, stacks, and results that are the same to the last bit in any company."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, ParameterVector, X, Y, Z, batch, kernels, sampling, threads

BATCHES = (1, 2, 5, 16, 64)
MODELS = ("ry cx", "rx cz", "rz ry swap")


ENGINES = ("layered", "rotations")
every_engine = pytest.mark.parametrize("engine", ENGINES)


GATES = {
    "layered": [("ry", "rx", "cx"), ("rx", "ry", "dcx"), ("rz", "rx", "cy")],
    "rotations": [("ry", "rz", "cx"), ("rx", "ry", "cz"), ("rz", "rx", "cy")],
}


def ansatz(num_wires: int, kind: int, engine: str = "layered") -> Circuit:
    """Different circuits of one key: other gates, other wires, one layer or a few."""
    t = ParameterVector("t", 2 * num_wires)
    wires = list(np.random.default_rng(kind).permutation(num_wires))
    circuit = Circuit(num_wires)
    first, second, coupling = GATES[engine][kind % 3]
    getattr(circuit, first)(t[:num_wires], wires)
    getattr(circuit, coupling)(wires[:-1], wires[1:])
    getattr(circuit, second)(t[num_wires:], wires)
    return circuit


def observable(num_wires: int, kind: int):
    rng = np.random.default_rng([kind, num_wires])
    weights = rng.normal(size=2 * num_wires - 1)
    terms = [w * Z(q) @ Z(q + 1) for q, w in enumerate(weights[: num_wires - 1])]
    return sum([*terms, *(w * X(q) for q, w in enumerate(weights[num_wires - 1 :]))])


def program(num_wires: int, kind: int, dtype="complex64", engine="layered") -> batch.Lowered:
    circuit = ansatz(num_wires, kind, engine)
    return js.lower(circuit, observable(num_wires, kind), dtype=dtype, engine=engine)


def values_of(num_wires: int, kind: int) -> np.ndarray:
    return np.random.default_rng([7, kind]).uniform(-np.pi, np.pi, 2 * num_wires)


# keys and stacks --------------------------------------------------------------------------------------------


def test_circuits_of_one_size_have_one_key():
    assert len({program(4, kind).key for kind in range(6)}) == 1
    assert len({program(4, kind).key for kind in range(3)} | {program(5, 0).key}) == 2
    longer = ansatz(4, 0).cx(0, 1).ry(0.3, 1).cx(1, 2).ry(0.1, 2)
    row = js.lower(longer, observable(4, 0), engine="layered")
    assert row.key == program(4, 0).key and row.data.count > program(4, 0).data.count


def test_what_is_compiled_is_in_the_key():
    row = program(4, 0)
    others = [
        js.lower(ansatz(4, 0), observable(4, 0), diff="backprop"),
        js.lower(ansatz(4, 0), [observable(4, 0)]),
        js.lower(ansatz(4, 0)),
        js.lower(ansatz(4, 0), observable(4, 0) + Y(0)),
        js.lower(ansatz(4, 0), observable(4, 0), engine="rotations"),
        js.lower(ansatz(4, 0).cz(0, 1), observable(4, 0), engine="layered"),
    ]
    assert len({row.key, *(other.key for other in others)}) == 7
    with jax.enable_x64(True):
        assert program(4, 0, "complex128").key != row.key


def test_stack_takes_equal_keys():
    with pytest.raises(ValueError, match="at least one row"):
        batch.stack([])
    with pytest.raises(ValueError, match="equal keys, but their structures differ"):
        batch.stack([program(4, 0), program(5, 0)])
    with pytest.raises(ValueError, match="equal keys, but the shapes or dtypes of their arrays differ"):
        batch.stack(
            [
                program(4, 0),
                js.lower(ansatz(4, 0), observable(4, 0) + Z(0) + Z(1) + Z(2) + Z(3), engine="layered"),
            ]
        )
    with jax.enable_x64(True):
        wide = program(4, 0, "complex128")
    with pytest.raises(ValueError, match="equal keys, but their structures differ"):
        batch.stack([program(4, 0), wide])


def test_rows_and_stacks_are_numpy():
    row = program(3, 0)
    for leaf in jax.tree.leaves((row, batch.stack([row, row]))):
        assert isinstance(leaf, np.ndarray | np.generic)


ROWS = batch.stack([program(3, 0), program(3, 1)])
REFUSED = {
    "values": (
        lambda: js.evaluate(ROWS, np.zeros((2, 5))),
        r"values must have shape \(2, 6\): rows, parameters; but have shape \(2, 5\)",
    ),
    "want": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "energy"),
        "want must be one of 'value', 'value_and_grad', .*, 'samples', but 'energy' was given",
    ),
    "no observable": (
        lambda: js.evaluate(batch.stack([js.lower(ansatz(3, 0))]), np.zeros((1, 6))),
        r"want='value' needs an observable: give one to lower\(\)",
    ),
    "keys": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "samples", shots=3), "want='samples' needs keys and shots"
    ),
    "number of keys": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "samples", shots=3, keys=np.zeros((3, 2), np.uint32)),
        r"keys must have shape \(2, 2\), .*; but have shape \(3, 2\)",
    ),
    "real keys": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "samples", shots=3, keys=np.zeros((2, 2))), "dtype float64"
    ),
    "no shots": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "samples", shots=0, keys=np.zeros((2, 2), np.uint32)),
        "shots must be at least 1, but 0 was given",
    ),
    "a row": (
        lambda: js.evaluate(program(3, 0), np.zeros(6)), r"rows come as stack\(\[row, \.\.\.\]\).* a row by itself"
    ),
    "too long a row": (
        lambda: js.evaluate(ROWS, [[0.1] * 7, [0.1] * 6]), r"but have shape \(2, 7\)"
    ),
}  # fmt: skip
WRONG_TYPES = {
    "rows": (lambda: js.evaluate([program(3, 0)], np.zeros((1, 6))), "rows come as stack.* but a list was given"),
    "complex": (lambda: js.evaluate(ROWS, np.zeros((2, 6), complex)), "real angles in radians, but a complex128"),
    "shots": (
        lambda: js.evaluate(ROWS, np.zeros((2, 6)), "samples", shots=2.5, keys=np.zeros((2, 2), np.uint32)),
        "evaluate takes shots as an integer, but 2.5 was given",
    ),
    "one row to stack": (lambda: js.stack(program(3, 0)), "stack takes a list of rows, but a Lowered was given"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_evaluate_refuses(what):
    call, sentence = REFUSED[what]
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize("what", WRONG_TYPES)
def test_evaluate_refuses_types(what):
    call, sentence = WRONG_TYPES[what]
    with pytest.raises(TypeError, match=sentence):
        call()


def test_keys_with_a_type():
    keys = jax.random.split(jax.random.key(3), 2)
    sampled = [
        js.evaluate(ROWS, np.ones((2, 6)), "samples", shots=5, keys=own)
        for own in (keys, jax.random.key_data(keys), np.asarray(jax.random.key_data(keys)))
    ]
    for other in sampled[1:]:
        np.testing.assert_array_equal(other, sampled[0])


BLOCKS = {
    "cpu": {2: 32, 9: 32, 10: 16, 13: 2, 14: 1, 20: 1},
    "gpu": {2: 1024, 10: 1024, 13: 128, 19: 2, 20: 1, 24: 1},
}


@pytest.mark.parametrize("platform", BLOCKS)
def test_blocks_depend_on_the_platform(platform, monkeypatch):
    """Small for the cache of a core, large for a card: 4096 sets of 10 qubits are 256 calls or 4."""
    monkeypatch.setattr(threads, "_platform", lambda: platform)
    assert {n: threads.rows_of_states(n) for n in BLOCKS[platform]} == BLOCKS[platform]
    row = program(10, 0)
    assert len(batch.Blocks(batch.stack([row] * 300), keep=False).parts) == {"cpu": 19, "gpu": 1}[platform]
    assert batch.rows_per_block(js.lower(ansatz(3, 0), engine="fused")) == 1


def test_the_platform_is_that_of_the_device_in_use():
    with jax.default_device(jax.devices("cpu")[0]):
        assert threads.rows_of_states(10) == 16


def test_blocks_cover_all_rows_once():
    for count in (1, 2, 63, 64, 65, 130):
        for row in (program(2, 0), program(10, 0), program(14, 0)):
            covered = [
                k for part in batch.blocks(count, batch.rows_per_block(row)) for k in range(count)[part]
            ]
            assert covered == list(range(count))


# against the functional face --------------------------------------------------------------------------------


def test_results_are_those_of_the_single_circuit(dense):
    """Against dense matrices for values, against single calls for the rest."""
    kinds = range(5)
    rows = batch.stack([program(3, kind) for kind in kinds])
    values = np.stack([values_of(3, kind) for kind in kinds])
    states = js.evaluate(rows, values, "statevector")
    energies = js.evaluate(rows, values)
    assert energies.shape == (5,)
    for kind in kinds:
        bound = ansatz(3, kind).bind(values[kind])
        np.testing.assert_allclose(states[kind], js.statevector(bound), atol=1e-6)
        psi = states[kind].astype(complex)
        expected = np.vdot(psi, dense(observable(3, kind), 3) @ psi).real
        assert energies[kind] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(
        js.evaluate(rows, values, "probabilities"), np.abs(states.astype(complex)) ** 2, atol=1e-6
    )


def test_several_observables():
    operators = [Z(0), X(1), Z(0) @ Y(2)]
    rows = batch.stack([js.lower(ansatz(3, kind), operators, engine="layered") for kind in range(3)])
    values = np.stack([values_of(3, kind) for kind in range(3)])
    energies, gradients = js.evaluate(rows, values, "value_and_grad")
    assert (energies.shape, gradients.shape) == ((3, 3), (3, 3, 6))
    for kind in range(3):
        value, gradient = js.compile(ansatz(3, kind), X(1)).value_and_grad(values[kind])
        assert energies[kind, 1] == pytest.approx(float(value), abs=1e-6)
        np.testing.assert_allclose(gradients[kind, 1], gradient, atol=1e-6)


# to the last bit --------------------------------------------------------------------------------------------


def assert_same_bits(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        # tobytes: 0.0 and -0.0 are different bits
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), abs(x - y).max()


def pick(tree, index):
    return jax.tree.map(lambda leaf: leaf[np.asarray(index)], tree)


def check_company(rows, values, want, keys, batches, **options) -> None:
    """Rows in batches of any size, order and company give the bits that they give alone."""

    def evaluate(index):
        extra = {"keys": keys[np.asarray(index)]} if want == "samples" else {}
        return js.evaluate(pick(rows, index), values[np.asarray(index)], want, **extra, **options)

    count = len(values)
    together = evaluate(range(count))
    for size in batches:
        for start in range(0, min(count, 3 * size), size):
            index = list(range(start, min(start + size, count)))
            assert_same_bits(evaluate(index), pick(together, index))
    order = np.random.default_rng(0).permutation(count)
    assert_same_bits(evaluate(order), pick(together, order))
    twins = [3 % count] * 7  # a row in the company of itself
    assert_same_bits(evaluate(twins), pick(together, twins))


WANTS = ("value", "value_and_grad", "statevector", "probabilities", "samples")


@every_engine
@pytest.mark.parametrize(
    ("num_wires", "want"),
    [(2, want) for want in WANTS]
    + [(4, "value_and_grad"), (6, "value_and_grad")]
    + [(10, want) for want in WANTS],
)
def test_bits_do_not_depend_on_company(num_wires, want, engine):
    """Ten qubits have caught XLA sums whose last bits depended on the batch."""
    rows = batch.stack([program(num_wires, kind, engine=engine) for kind in range(70)])
    values = np.stack([values_of(num_wires, kind) for kind in range(70)])
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(3), 70)))
    options = {"shots": 9} if want == "samples" else {}
    check_company(rows, values, want, keys, BATCHES, **options)


@every_engine
@pytest.mark.parametrize("num_wires", [2, 10])
def test_bits_in_complex128(num_wires, engine):
    with jax.enable_x64(True):
        rows = batch.stack([program(num_wires, kind, "complex128", engine) for kind in range(66)])
        values = np.stack([values_of(num_wires, kind) for kind in range(66)])
        check_company(rows, values, "value_and_grad", None, (1, 5, 64))


def everything(kind: int) -> Circuit:
    """A circuit with gates given by arrays, expressions, controls and a repeated layer; other data for each kind."""
    rng = np.random.default_rng(kind)
    a, b = Parameter("a"), Parameter("b")
    unitary = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    cost = rng.normal(size=32)
    state = rng.normal(size=4) + 1j * rng.normal(size=4)
    circuit = Circuit(5).initialize(state / np.linalg.norm(state), [1, 3]).h([0, 2, 4])
    for _ in range(3):
        circuit.evolve_diagonal(a, cost).rx(2 * b, range(5))
    circuit.unitary(unitary, [3, 0]).diagonal(np.exp(1j * rng.normal(size=4)), [4, 2], controls=1)
    return circuit.cu(a, np.sin(b), a * b, 0.3, 0, 4).rz(float(rng.normal()), 3).mcp(b, [0, 1], 2)


def test_bits_of_circuits_with_arrays():
    operator = Z(0) @ Y(1) @ X(4) + 0.3 * Y(2) + Z(3)
    rows = batch.stack([js.lower(everything(kind), operator) for kind in range(20)])
    values = np.random.default_rng(1).normal(size=(20, 2))
    check_company(rows, values, "value_and_grad", None, (1, 2, 5, 16))


def test_bits_of_qaoa():
    """Rows alone and in blocks: the derivative by a cost's angle is a sum over all amplitudes."""
    gammas, betas = ParameterVector("g", 2), ParameterVector("b", 2)
    rows = []
    for kind in range(20):
        cost = np.random.default_rng(kind).normal(size=64)
        circuit = Circuit(6).h(range(6))
        for gamma, beta in zip(gammas, betas):
            circuit.evolve_diagonal(gamma, cost).rx(2 * beta, range(6))
        rows.append(js.lower(circuit, observable(6, kind)))
    assert batch.block_size(1, rows[0]) == 2
    values = np.random.default_rng(1).normal(size=(20, 4))
    check_company(batch.stack(rows), values, "value_and_grad", None, (1, 5, 16))


def test_bits_of_backprop():
    rows = batch.stack(
        [
            js.lower(ansatz(6, kind, "rotations"), observable(6, kind), diff="backprop", engine="rotations")
            for kind in range(20)
        ]
    )
    values = np.stack([values_of(6, kind) for kind in range(20)])
    check_company(rows, values, "value_and_grad", None, (1, 2, 5, 16))


def test_the_compiled_function_and_the_batch_agree_to_the_last_bit():
    kinds = range(5)
    rows = batch.stack([program(6, kind) for kind in kinds])
    values = np.stack([values_of(6, kind) for kind in kinds])
    energies, gradients = js.evaluate(rows, values, "value_and_grad")
    for kind in kinds:
        alone = js.compile(ansatz(6, kind), observable(6, kind), engine="layered").value_and_grad(
            values[kind]
        )
        assert_same_bits((energies[kind], gradients[kind]), tuple(map(np.asarray, alone)))


# compilations -----------------------------------------------------------------------------------------------


def test_new_rows_and_new_batch_sizes_compile_nothing(compilations):
    """One kernel for a row alone, one for a block, whatever comes."""
    rows = batch.stack([program(6, kind) for kind in range(9)])
    values = np.stack([values_of(6, kind) for kind in range(9)])
    with compilations() as count:
        js.evaluate(pick(rows, [0]), values[:1], "value_and_grad")
        js.evaluate(pick(rows, [0, 1]), values[:2], "value_and_grad")
    assert count.total <= 2
    fresh = batch.stack([program(6, kind) for kind in range(100, 170)])
    with compilations() as count:
        for size in (1, 2, 3, 5, 9, 64, 70):
            angles = np.random.default_rng(size).normal(size=(size, 12))
            js.evaluate(pick(fresh, range(size)), angles, "value_and_grad")
    assert count.total == 0


def test_circuits_compile_per_size_and_not_per_circuit(compilations):
    js.compile(ansatz(6, 0), observable(6, 0)).value_and_grad(values_of(6, 0))
    with compilations() as count:
        for kind in range(1, 30):
            f = js.compile(ansatz(6, kind), observable(6, kind))
            f.value_and_grad(values_of(6, kind))
            f.value_and_grad(values_of(6, kind + 1))
    assert count.total == 0


# shapes -----------------------------------------------------------------------------------------------------


def ranks(jaxpr) -> set[int]:
    """Ranks of all values in a jaxpr and those inside it."""
    found = {
        v.aval.ndim for v in (*jaxpr.invars, *jaxpr.constvars, *jaxpr.outvars) if hasattr(v.aval, "ndim")
    }
    for equation in jaxpr.eqns:
        found |= {v.aval.ndim for v in equation.outvars if hasattr(v.aval, "ndim")}
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                found |= ranks(inner)
    return found


@pytest.mark.parametrize("want", ["value", "value_and_grad", "statevector", "probabilities"])
def test_no_value_has_more_than_six_axes(want):
    rows = batch.stack([js.lower(everything(kind), [observable(5, 0), Y(1) + Z(2)]) for kind in range(2)])
    function = jax.vmap(batch.ROW_FUNCTIONS[want])
    jaxpr = jax.make_jaxpr(function)(rows, np.zeros((2, 2), np.float32))
    found = ranks(jaxpr.jaxpr)
    assert max(found) <= 6
    assert 2 in found  # the walk did go inside


def test_kernels_of_measurement_have_no_more_than_six_axes():
    f = jax.vmap(lambda p, key: (kernels.marginal(p, (3, 1), 5), sampling.sample_bits(key, p, 7)))
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 2))
    assert max(ranks(jax.make_jaxpr(f)(jnp.ones((2, 32)), keys).jaxpr)) <= 6


# many amplitudes --------------------------------------------------------------------------------------------


def numpy_state(circuit: Circuit, angles: np.ndarray) -> np.ndarray:
    """ry on every qubit, cx down the chain, ry on every second; by reshapes in complex128."""
    n = circuit.num_wires
    state = np.zeros(2**n, complex)
    state[0] = 1

    def ry(state, a, q):
        c, s = np.cos(a / 2), np.sin(a / 2)
        pairs = state.reshape(-1, 2, 2**q)
        return np.einsum("ij,ajb->aib", np.array([[c, -s], [s, c]]), pairs).reshape(-1)

    for q in range(n):
        state = ry(state, angles[q], q)
    index = np.arange(2**n)
    for q in range(n - 1):
        state = state[index ^ ((index >> q & 1) << (q + 1))]
    for k, q in enumerate(range(0, n, 2)):
        state = ry(state, angles[n + k], q)
    return state


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("num_wires", [14, 15])
def test_large_states(num_wires, dtype):
    """jax 0.10.2 calculates wrongly beyond 2**14 and 2**15 elements, and others may."""
    theta = ParameterVector("t", num_wires + (num_wires + 1) // 2)
    circuit = Circuit(num_wires).ry(theta[:num_wires], range(num_wires))
    circuit.cx(range(num_wires - 1), range(1, num_wires)).ry(theta[num_wires:], range(0, num_wires, 2))
    angles = np.random.default_rng(num_wires).uniform(-np.pi, np.pi, len(theta))
    truth = numpy_state(circuit, angles)
    index = np.arange(2**num_wires)
    top = num_wires - 1
    zz = (np.abs(truth) ** 2 * (1 - 2 * (index >> top & 1)) * (1 - 2 * (index & 1))).sum()
    flipped = np.vdot(truth, truth[index ^ (1 << top)]).real
    with jax.enable_x64(dtype == "complex128"):
        tolerance = 1e-6 if dtype == "complex64" else 1e-12
        operator = Z(0) @ Z(top) + 0.5 * X(top)
        row = js.lower(circuit, operator, dtype=dtype)
        rows = batch.stack([row, row, row])
        values = np.stack([angles, angles[::-1], angles])
        energies, gradients = js.evaluate(rows, values, "value_and_grad")
        np.testing.assert_allclose(energies[[0, 2]], zz + 0.5 * flipped, atol=10 * tolerance)
        states = js.evaluate(rows, values, "statevector")
        np.testing.assert_allclose(states[0], truth, atol=tolerance)
        np.testing.assert_array_equal(states[0], states[2])
        # A derivative by the shift rule, from NumPy.
        shifted = []
        for sign in (1, -1):
            psi = numpy_state(circuit, angles + sign * np.pi / 2 * np.eye(len(angles))[-1])
            p = np.abs(psi) ** 2 * (1 - 2 * (index >> top & 1)) * (1 - 2 * (index & 1))
            shifted.append(p.sum() + 0.5 * np.vdot(psi, psi[index ^ (1 << top)]).real)
        assert gradients[2, -1] == pytest.approx((shifted[0] - shifted[1]) / 2, abs=10 * tolerance)
