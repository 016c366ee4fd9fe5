"""PauliSum against dense NumPy matrices, Qiskit's SparsePauliOp and closed forms."""

from __future__ import annotations

import copy
import json
import pickle
import time
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from jaxsim import observables
from jaxsim.observables import I, PauliSum, X, Y, Z, anticommutator, commutator

SINGLE = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}
WIRES = 3
EXACT = {"rtol": 0, "atol": 1e-12}


def kron_sum(terms: list[tuple[str, complex]]) -> np.ndarray:
    """The truth: Kronecker products, the leftmost character the most significant qubit."""
    return sum(c * reduce(np.kron, [SINGLE[letter] for letter in label], np.eye(1)) for label, c in terms)


labels = st.text("IXYZ", min_size=WIRES, max_size=WIRES)
reals = st.floats(-4, 4).map(lambda c: round(c, 3))
numbers = st.builds(complex, reals, reals)
term_lists = st.lists(st.tuples(labels, numbers), min_size=1, max_size=5)
sums = term_lists.map(PauliSum.from_list)
some = settings(max_examples=40, deadline=None, derandomize=True)


# ------------------------------------------------------------------ words and phases


@pytest.mark.parametrize("letter", "IXYZ")
@pytest.mark.parametrize("wire", [0, 1, 2])
def test_single_words_are_little_endian(letter, wire):
    label = "".join(letter if q == wire else "I" for q in reversed(range(WIRES)))
    word = getattr(observables, letter)(wire)
    np.testing.assert_array_equal(word.to_matrix(WIRES), kron_sum([(label, 1)]))
    assert word.x_mask.dtype == word.z_mask.dtype == np.int32
    assert word.coefficients.dtype == np.float64


@pytest.mark.parametrize("a", "IXYZ")
@pytest.mark.parametrize("b", "IXYZ")
def test_products_on_one_wire_have_exact_phases(a, b):
    product = getattr(observables, a)(0) @ getattr(observables, b)(0)
    np.testing.assert_array_equal(product.to_matrix(1), SINGLE[a] @ SINGLE[b])


def test_named_products():
    assert X(0) @ Y(0) == 1j * Z(0)
    assert Y(0) @ X(0) == -1j * Z(0)
    assert Z(3) @ Z(3) == I()
    assert X(0) * Z(1) == X(0) @ Z(1)


def test_real_products_stay_real():
    assert ((Z(0) + Z(1)) @ (Z(0) + X(2))).coefficients.dtype == np.float64
    assert ((X(0) @ X(1)) @ (Y(0) @ Y(1))).coefficients.dtype == np.float64
    assert (X(0) @ Y(0)).coefficients.dtype == np.complex128


# ------------------------------------------------------------------ algebra against matrices


@some
@given(term_lists, term_lists, numbers)
def test_algebra_is_that_of_matrices(a_terms, b_terms, c):
    a, b = PauliSum.from_list(a_terms), PauliSum.from_list(b_terms)
    A, B = kron_sum(a_terms), kron_sum(b_terms)
    one = np.eye(2**WIRES)
    cases = {
        "add": (a + b, A + B),
        "subtract": (a - b, A - B),
        "number": (a + c, A + c * one),
        "number first": (c - a, c * one - A),
        "scale": (c * a, c * A),
        "scale right": (a * c, c * A),
        "divide": (a / (2 + 1j), A / (2 + 1j)),
        "negative": (-a, -A),
        "product": (a @ b, A @ B),
        "power": (a**3, A @ A @ A),
        "no power": (a**0, one),
        "commutator": (commutator(a, b), A @ B - B @ A),
        "anticommutator": (anticommutator(a, b), A @ B + B @ A),
        "adjoint": (a.adjoint(), A.conj().T),
        "transpose": (a.transpose(), A.T),
        "conjugate": (a.conjugate(), A.conj()),
        "simplify": (a.simplify(), A),
    }
    for name, (ours, truth) in cases.items():
        np.testing.assert_allclose(ours.to_matrix(WIRES), truth, rtol=1e-12, atol=1e-10, err_msg=name)


@some
@given(sums, sums, sums)
def test_laws(a, b, c):
    assert ((a @ b) @ c).equivalent(a @ (b @ c), tolerance=1e-9)
    assert (a @ (b + c)).equivalent(a @ b + a @ c, tolerance=1e-9)
    assert (a @ b).adjoint().equivalent(b.adjoint() @ a.adjoint(), tolerance=1e-9)
    assert a.adjoint().adjoint() == a
    jacobi = (
        commutator(a, commutator(b, c)) + commutator(b, commutator(c, a)) + commutator(c, commutator(a, b))
    )
    assert jacobi.equivalent(0 * I(), tolerance=1e-8)
    assert (a + a.adjoint()).is_hermitian


def test_sum_starts_from_zero():
    H = sum(0.3 * X(q) for q in range(4))
    assert H.num_terms == 4
    np.testing.assert_array_equal(H.coefficients, [0.3] * 4)
    assert (X(0) + 0.0).num_terms == 2  # a zero that could have been another number is a term


def test_commutators_of_nothing():
    assert commutator(Z(0), Z(1)) == 0 * I()
    assert anticommutator(X(0), Z(0)) == 0 * I()
    assert commutator(X(0), Y(0)) == 2j * Z(0)


@pytest.mark.parametrize(
    "scalar", [2, 2.0, True, np.float32(2), np.int64(2), np.array(2.0), jnp.float32(2), 2 + 0j]
)
def test_numbers_from_either_side(scalar):
    left, right = scalar * X(0), X(0) * scalar
    assert left == right == float(np.real(scalar)) * X(0)
    assert isinstance(left.coefficients, np.ndarray)
    assert (scalar + X(0)).num_terms == 2


# ------------------------------------------------------------------ merging


def test_simplify_keeps_the_order_and_zeros():
    H = Z(1) + X(0) + 2 * Z(1) + I() - X(0)
    merged = H.simplify()
    assert merged.words == ("Z1", "X0", "I")
    np.testing.assert_array_equal(merged.coefficients, [3, 0, 1])
    assert H.simplify(drop_zeros=True).words == ("Z1", "I")
    assert (X(0) + 1e-13 * Z(0)).simplify(drop_zeros=True, tolerance=1e-12) == X(0)
    assert (X(0) - X(0)).simplify(drop_zeros=True) == 0 * I()


def test_simplify_sums_large_groups():
    values = np.random.default_rng(3).normal(size=1001)
    H = PauliSum(np.zeros(1001, int), np.arange(1001) % 3, values)
    truth = [values[k::3].sum() for k in range(3)]
    np.testing.assert_allclose(H.simplify().coefficients, truth, **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_qiskit(seed):
    rng = np.random.default_rng(seed)

    def pair(count):
        terms = [("".join(rng.choice(list("IXYZ"), 4)), complex(*rng.normal(size=2))) for _ in range(count)]
        return PauliSum.from_list(terms), SparsePauliOp.from_list(terms)

    (a, qa), (b, qb) = pair(30), pair(7)
    np.testing.assert_allclose(a.to_matrix(4), qa.to_matrix(), **EXACT)
    np.testing.assert_allclose((a @ b).to_matrix(4), (qa @ qb).to_matrix(), **EXACT)
    np.testing.assert_allclose(commutator(a, b).to_matrix(4), (qa @ qb - qb @ qa).to_matrix(), **EXACT)
    ours = dict(a.simplify().to_list(4))
    theirs = dict(qa.simplify().to_list())
    assert ours.keys() == theirs.keys()
    assert all(abs(ours[label] - theirs[label]) < 1e-12 for label in ours)
    assert a.to_list(4) == qa.to_list()
    assert SparsePauliOp.from_list(a.to_list(4)) == qa


def test_sparse_labels_are_qiskits():
    terms = [("ZX", [0, 3], 0.5), ("Y", [2], -1.0), ("", [], 2.0)]
    truth = SparsePauliOp.from_sparse_list(terms, num_qubits=4)
    np.testing.assert_allclose(PauliSum.from_sparse(terms).to_matrix(4), truth.to_matrix(), **EXACT)
    assert PauliSum.from_sparse([("XY", np.array([1, 0]), 1)]) == X(1) @ Y(0)


def test_from_terms():
    H = PauliSum.from_terms({"Z0 Z3": 0.5, "I": 1, "": 2, "Y12": 1j})
    assert 0.5 * Z(0) @ Z(3) + I() + 2 * I() + 1j * Y(12) == H
    assert PauliSum.from_terms(zip(H.words, H.coefficients)) == H


# ------------------------------------------------------------------ asking


def test_counts_and_kinds():
    H = Z(0) @ Z(4) + 0.5 * X(2)
    assert (H.num_terms, len(H), H.num_wires) == (2, 2, 5)
    assert I().num_wires == I(7).num_wires == 0
    assert not H.is_diagonal
    assert (Z(0) @ Z(1) + 2).is_diagonal
    assert H.is_hermitian
    assert not (1j * H).is_hermitian
    assert ((X(0) + Y(0)) @ (X(0) + Y(0))).is_hermitian  # 1j Z and -1j Z cancel


def test_terms_and_slices():
    H = Z(0) + 2 * X(1) + 3 * Y(2)
    assert list(H) == [Z(0), 2 * X(1), 3 * Y(2)]
    assert H[-1] == 3 * Y(2)
    assert H[1:] == 2 * X(1) + 3 * Y(2)
    assert H[H.coefficients > 1.5] == H[1:]
    with pytest.raises(IndexError):
        H[3]
    with pytest.raises(ValueError, match="picks none of 3 terms"):
        H[3:]


def test_real_coefficients():
    H = PauliSum([0], [1], [2 + 1e-12j])
    assert H.real_coefficients().dtype == np.float64
    assert H.require_real() == PauliSum([0], [1], [2.0])
    squared = (X(0) + Y(0)) @ (X(0) + Y(0))
    assert squared.simplify().require_real().simplify(drop_zeros=True) == 2 * I()
    with pytest.raises(ValueError, match=r"term 1 \(Z0\) has 1j\. Merge equal words with simplify"):
        squared.real_coefficients()


def test_equality_and_hash():
    a, b = Z(0) + X(1), Z(0) + (1 + 0j) * X(1)
    assert a == b
    assert hash(a) == hash(b)
    assert a != X(1) + Z(0)
    assert a.equivalent(X(1) + Z(0))
    assert a != "Z0"
    assert hash(0.0 * X(0)) == hash(-0.0 * X(0))
    assert len({a, b, X(0)}) == 2


@pytest.mark.parametrize(
    "H, text",
    [
        (0.5 * Z(0) @ Z(1) + X(2), "0.5*Z0 Z1 + 1.0*X2"),
        (X(0) - 0.25 * Y(11) - 1j * Z(0), "1.0*X0 - 0.25*Y11 - 1j*Z0"),
        ((1 - 0.5j) * X(0), "(1.0-0.5j)*X0"),
        (sum(X(q) for q in range(12)), " + ".join(f"1.0*X{q}" for q in range(8)) + " + ... (12 terms)"),
        (I() / 3, "0.333333*I"),
    ],
)
def test_repr(H, text):
    assert repr(H) == str(H) == text


def test_immutable():
    H = Z(0) + X(1)
    with pytest.raises(AttributeError, match="immutable"):
        H.coefficients = np.zeros(2)
    for array in (H.x_mask, H.z_mask, H.coefficients):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    mine = np.array([1.0, 2.0])
    H.with_coefficients(mine)
    mine[0] = 7  # still ours to write


# ------------------------------------------------------------------ saving


@pytest.mark.parametrize("H", [0.1 * Z(0) @ Z(29) + I() / 3 - 1e-30 * Y(4), (0.1 + 0.2j) * X(0) + Z(1)])
def test_round_trips(H):
    for again in (pickle.loads(pickle.dumps(H)), PauliSum.from_json(H.to_json()), copy.deepcopy(H)):
        assert again == H
        assert again.coefficients.dtype == H.coefficients.dtype
        assert not again.coefficients.flags.writeable
    assert PauliSum.from_json(json.loads(H.to_json())) == H


@pytest.mark.parametrize(
    "data, message",
    [
        ("[]", "not a PauliSum as to_json writes it"),
        ({"type": "jaxsim.PauliSum", "version": 2}, "not a PauliSum as to_json writes it"),
        ({"type": "jaxsim.PauliSum", "version": 1, "words": ["X0"]}, "has no 'coefficients'"),
        (
            {"type": "jaxsim.PauliSum", "version": 1, "words": ["X0"], "coefficients": [1, 2]},
            "every word needs one",
        ),
    ],
)
def test_bad_json(data, message):
    with pytest.raises(ValueError, match=message):
        PauliSum.from_json(data)


# ------------------------------------------------------------------ errors


def traced(function):
    """Runs `function` on a sum whose leaves are all traced."""
    return lambda: jax.jit(lambda H: function(H) and 0)(X(0) + Z(1))


def traced_coefficients(function, dtype=jnp.float32):
    return lambda: jax.jit(lambda c: function((X(0) + Z(1)).with_coefficients(c)) and 0)(jnp.ones(2, dtype))


ERRORS = {
    "wire 30": (lambda: X(30), ValueError, r"X: wire 30 is out of range.* 0 to 29"),
    "wire -1": (lambda: Z(-1), ValueError, r"Z: wire -1 is out of range"),
    "bool wire": (
        lambda: Y(True),
        TypeError,
        r"Y: a wire must be an integer from 0 to 29, but True of type bool",
    ),
    "float wire": (lambda: X(1.0), TypeError, "but 1.0 of type float was given"),
    "traced wire": (lambda: jax.jit(lambda q: X(q).coefficients)(1), TypeError, "a wire must be an integer"),
    "nan": (lambda: PauliSum.from_list([("XI", 1), ("ZZ", np.nan)]), ValueError, r"term 1 \(Z0 Z1\) is nan"),
    "nan scalar": (lambda: float("nan") * X(0), ValueError, r"term 0 \(X0\) is nan"),
    "inf": (lambda: X(0).with_coefficients([np.inf]), ValueError, r"term 0 \(X0\) is inf"),
    "nan jax": (
        lambda: (X(0) + Y(1)).with_coefficients(jnp.array([1, jnp.nan])),
        ValueError,
        r"term 1 \(Y1\) is nan",
    ),
    "text coefficient": (
        lambda: PauliSum.from_list([("X", "1")]),
        TypeError,
        "must be numbers or JAX values",
    ),
    "none coefficient": (
        lambda: PauliSum.from_list([("X", None)]),
        TypeError,
        "must be numbers or JAX values",
    ),
    "lengths": (
        lambda: PauliSum.from_list([("XX", 1), ("X", 1)]),
        ValueError,
        r"label 1 \('X'\) has 1 and label 0",
    ),
    "letters": (
        lambda: PauliSum.from_list([("XX", 1), ("xI", 1)]),
        ValueError,
        r"label 1 \('xI'\) has characters other",
    ),
    "unicode": (lambda: PauliSum.from_list([("Xé", 1)]), ValueError, "characters other than I, X, Y, Z"),
    "long label": (lambda: PauliSum.from_list([("X" * 31, 1)]), ValueError, "at most 30 characters"),
    "label type": (lambda: PauliSum.from_list([(3, 1)]), TypeError, "label 0 must be a string"),
    "no pair": (lambda: PauliSum.from_list(["XX"]), ValueError, r"every term must be \(label, coefficient\)"),
    "no terms": (lambda: PauliSum.from_list([]), ValueError, r"at least one term.* 0 \* I\(\)"),
    "no terms, masks": (lambda: PauliSum([], [], []), ValueError, "at least one term is needed"),
    "wires of a label": (
        lambda: PauliSum.from_sparse([("XY", [0], 1)]),
        ValueError,
        "one character for each wire",
    ),
    "wire twice": (
        lambda: PauliSum.from_sparse([("XY", [2, 2], 1)]),
        ValueError,
        "term 0 names wire 2 twice",
    ),
    "sparse letter": (
        lambda: PauliSum.from_sparse([("Q", [2], 1)]),
        ValueError,
        "term 0 has the character 'Q'",
    ),
    "sparse wire": (
        lambda: PauliSum.from_sparse([("X", [31], 1)]),
        ValueError,
        "from_sparse, term 0: wire 31",
    ),
    "word": (lambda: PauliSum.from_terms({"Z0*Z1": 1}), ValueError, r"'Z0\*Z1' is not a Pauli word"),
    "word twice": (lambda: PauliSum.from_terms({"Z0 X0": 1}), ValueError, "names wire 0 twice"),
    "mask dtype": (lambda: PauliSum([0.5], [1], [1]), TypeError, "x_mask must hold integers"),
    "mask size": (
        lambda: PauliSum([0], [2**30], [1]),
        ValueError,
        "z_mask must hold bit masks of at most 30 qubits",
    ),
    "shapes": (lambda: PauliSum([0, 1], [1, 2], [1]), ValueError, r"one shape \(terms,\)"),
    "coefficients": (
        lambda: X(0).with_coefficients([1, 2]),
        ValueError,
        r"shape \(1,\), but the shape is \(2,\)",
    ),
    "array": (
        lambda: np.ones(2) * X(0),
        ValueError,
        r"one number is needed, shape \(\), but the shape is \(2,\)",
    ),
    "foreign": (
        lambda: "a" * X(0),
        TypeError,
        "multiplied by a number, a JAX scalar or a PauliSum, but not by str",
    ),
    "add": (lambda: X(0) + "a", TypeError, "unsupported operand"),
    "as array": (lambda: np.asarray(X(0)), TypeError, "A PauliSum is not an array"),
    "divide": (lambda: X(0) / 0, ZeroDivisionError, "division by zero"),
    "power": (lambda: X(0) ** -1, ValueError, "an exponent must be an integer >= 0, but -1"),
    "power type": (lambda: X(0) ** 0.5, ValueError, "an exponent must be an integer >= 0"),
    "tolerance": (lambda: X(0).simplify(tolerance=1.0), ValueError, "drop_zeros"),
    "commutator": (lambda: commutator(X(0), 2), TypeError, "two PauliSums are needed"),
    "check": (
        lambda: X(5).check_wires(4),
        ValueError,
        r"observable acts on wire 5 but the circuit has 4 qubits \(0 to 3\)",
    ),
    "check 1": (lambda: X(1).check_wires(1), ValueError, r"the circuit has 1 qubit \(0\)"),
    "width": (lambda: X(5).to_matrix(4), ValueError, r"to_matrix: num_wires must be from 6 .* to 30, but 4"),
    "width type": (lambda: X(5).to_matrix(7.0), TypeError, "num_wires must be an integer, but 7.0"),
    "dense": (lambda: X(0).to_matrix(14), ValueError, "at most 13 qubits.* Use to_sparse"),
    "sparse": (
        lambda: X(0).to_sparse(30),
        ValueError,
        "30 qubits and 1 different flip masks need about 24 GiB",
    ),
    "diagonal": (lambda: (Z(0) + X(1)).diagonal(), ValueError, "not diagonal; term 1 is X1"),
    "diagonal complex": (lambda: (1j * Z(0)).diagonal(), ValueError, r"term 0 \(Z0\) has 1j"),
    "ground": (lambda: (1j * Z(0)).ground_energy(), ValueError, "need real coefficients"),
    "traced words": (traced(lambda H: H @ H), TypeError, "@: the words .* are traced.*with_coefficients"),
    "traced simplify": (traced(lambda H: H.simplify()), TypeError, "simplify: the words"),
    "traced diagonal": (traced(lambda H: H.is_diagonal), TypeError, "is_diagonal: the words"),
    "traced wires": (traced(lambda H: H.num_wires), TypeError, "num_wires: the words"),
    "traced equality": (traced(lambda H: X(0) == H), TypeError, "traced observables cannot be compared"),
    "traced matrix": (
        traced_coefficients(lambda H: H.to_matrix().any()),
        TypeError,
        "to_matrix: concrete coefficients",
    ),
    "traced drop": (
        traced_coefficients(lambda H: H.simplify(drop_zeros=True)),
        TypeError,
        "concrete coefficients",
    ),
    "traced hash": (traced_coefficients(hash), TypeError, "hash: concrete coefficients"),
    "traced complex": (
        traced_coefficients(lambda H: H.require_real(), jnp.complex64),
        TypeError,
        "real coefficients, but these are traced and complex",
    ),
    "stack": (
        lambda: jax.tree.map(lambda *leaves: np.stack(leaves), X(0), Z(0)).num_wires,
        TypeError,
        r"a stack of shape \(2, 1\)",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_check_wires_passes():
    X(3).check_wires(4)
    I().check_wires(0)
    jax.jit(lambda H: H.check_wires(1))(X(3))  # traced masks cannot be checked


# ------------------------------------------------------------------ as JAX values


def test_pytree_round_trip():
    H = Z(0) @ Z(1) + 0.5 * X(2)
    leaves, structure = jax.tree.flatten(H)
    assert [leaf.shape for leaf in leaves] == [(2,)] * 3
    assert jax.tree.unflatten(structure, leaves) == H
    assert structure == jax.tree.structure(X(5) + X(6))  # all sums share one structure
    assert jax.tree.map(lambda leaf: leaf, H) == H
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(H)]
    assert paths == [".x_mask", ".z_mask", ".coefficients"]


def test_unflatten_takes_anything():
    structure = jax.tree.structure(X(0))
    for leaves in ([object()] * 3, [None] * 3, [jax.ShapeDtypeStruct((2,), jnp.float32)] * 3):
        assert repr(jax.tree.unflatten(structure, leaves)).startswith("PauliSum(")
    shapes = jax.eval_shape(lambda H: 2 * H, X(0))
    assert shapes.coefficients.shape == (1,)


def test_through_jit():
    H = Z(0) @ Z(1) + 0.5 * X(2)
    doubled = jax.jit(lambda H: 2 * H + H / 2 - H)(H)
    assert doubled.equivalent(1.5 * H)
    assert repr(doubled[:2]) == "2.0*Z0 Z1 + 1.0*X2"
    assert isinstance((-doubled).coefficients, np.ndarray)  # back on the host at the first operation
    assert hash(jax.jit(lambda H: H)(H)) == hash(H)


def weighted(theta):
    """A sum of traced coefficients that uses the whole algebra."""
    H = theta[0] * Z(0) + X(1) * theta[1] + 2.0
    return (H @ H - commutator(H, Y(1)) / 2 + jnp.cos(theta[0]) * Z(0)).simplify()


def test_traced_coefficients_are_those_of_numpy():
    theta = np.array([0.3, -0.7], np.float32)
    eager, compiled = weighted(theta), jax.jit(weighted)(theta)
    assert eager.words == compiled.words
    assert compiled.coefficients.dtype == jnp.complex64
    np.testing.assert_allclose(compiled.coefficients, eager.coefficients, rtol=1e-6, atol=1e-6)
    H = kron_sum([("IZ", 0.3), ("XI", -0.7), ("II", 2)])
    Y1 = kron_sum([("YI", 1)])
    truth = H @ H - (H @ Y1 - Y1 @ H) / 2 + np.cos(0.3) * kron_sum([("IZ", 1)])
    np.testing.assert_allclose(compiled.to_matrix(2), truth, atol=1e-5)


def test_masks_stay_on_the_host():
    def build(theta):
        H = (theta * X(0) + Z(1) @ Z(2)).simplify()
        assert isinstance(H.x_mask, np.ndarray)
        assert isinstance(H.coefficients, jax.core.Tracer)
        assert H.coefficients.dtype == jnp.float32
        assert repr(H) == "?*X0 + ?*Z1 Z2"
        return H.real_coefficients()

    np.testing.assert_allclose(jax.jit(build)(0.5), [0.5, 1])


def test_known_numbers_take_the_traced_precision():
    build = jax.jit(lambda t: (t * X(0) + 0.5 * Z(0)).coefficients)
    with jax.enable_x64(True):
        assert build(jnp.float32(1)).dtype == jnp.float32
        assert build(jnp.float64(1)).dtype == jnp.float64
        assert jax.jit(lambda t: (t * (X(0) @ Y(0))).coefficients)(jnp.float32(1)).dtype == jnp.complex64
    assert build(jnp.int32(1)).dtype == jnp.float32


def test_lists_may_mix_numbers_and_tracers():
    build = jax.jit(lambda t: PauliSum.from_list([("XI", t), ("ZZ", 0.5)]).coefficients)
    np.testing.assert_allclose(build(2.0), [2, 0.5])
    spread = jax.jit(lambda t: [c for _, c in PauliSum.from_terms({"X0": t, "Z0": 0.5}).to_list()])
    np.testing.assert_allclose(spread(2.0), [2, 0.5])


def test_gradients_through_coefficients():
    H = X(0) + Z(1) + X(0)

    def loss(c):
        return jnp.sum(H.with_coefficients(c).simplify().real_coefficients() ** 2)

    c = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(jax.grad(loss)(c), [8, 4, 8])  # d/dc (c0 + c2)^2 + c1^2
    np.testing.assert_allclose(jax.hessian(loss)(c), [[2, 0, 2], [0, 2, 0], [2, 0, 2]])
    np.testing.assert_allclose(jax.vmap(jax.grad(loss))(jnp.stack([c, 2 * c])), [[8, 4, 8], [16, 8, 16]])


def test_gradient_of_a_built_sum():
    def loss(theta):
        return jnp.sum(jnp.abs(weighted(theta).coefficients) ** 2)

    theta = np.array([0.3, -0.7])
    step = 1e-5
    differences = [
        (
            np.sum(np.abs(weighted(theta + d).coefficients) ** 2)
            - np.sum(np.abs(weighted(theta - d).coefficients) ** 2)
        )
        / (2 * step)
        for d in step * np.eye(2)
    ]
    np.testing.assert_allclose(jax.grad(loss)(theta.astype(np.float32)), differences, rtol=1e-4)


def test_vmap_over_sums():
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), X(0) + 2.0, 3 * Z(1) + 4.0)
    assert stack.num_terms == 2
    totals = jax.vmap(lambda H: (2 * H).coefficients.sum())(stack)
    np.testing.assert_allclose(totals, [6, 14])


def test_masks_have_no_gradient():
    with pytest.raises(TypeError, match="int32"):
        jax.grad(lambda H: H.coefficients.sum())(X(0))
    gradient = jax.grad(lambda H: H.coefficients.sum(), allow_int=True)(X(0))
    np.testing.assert_array_equal(gradient.coefficients, [1])
    assert repr(gradient).startswith("PauliSum(x_mask=")


def test_no_hidden_broadcasts():
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(weighted, np.array([0.3, -0.7], np.float32))


# ------------------------------------------------------------------ matrices and spectra


@some
@given(term_lists)
def test_matrices(terms):
    H = PauliSum.from_list(terms)
    truth = kron_sum(terms)
    np.testing.assert_allclose(H.to_matrix(WIRES), truth, **EXACT)
    sparse = H.to_sparse(WIRES)
    assert sparse.format == "csr"
    assert sparse.dtype == np.complex128
    np.testing.assert_allclose(sparse.toarray(), truth, **EXACT)


@some
@given(st.lists(st.tuples(st.text("IZ", min_size=WIRES, max_size=WIRES), reals), min_size=1, max_size=6))
def test_diagonals(terms):
    H = PauliSum.from_list(terms)
    assert H.is_diagonal
    diagonal = H.diagonal(WIRES)
    assert diagonal.dtype == np.float64
    np.testing.assert_allclose(diagonal, np.diag(kron_sum(terms)).real, **EXACT)
    assert H.ground_energy(WIRES) == pytest.approx(np.diag(kron_sum(terms)).real.min(), abs=1e-12)


def test_small_operators():
    np.testing.assert_array_equal(I().to_matrix(), [[1]])
    assert I().to_sparse(2).nnz == 4
    assert (X(0) @ X(1) + Y(0) @ Y(1)).to_sparse().nnz == 2  # stored zeros are removed
    assert (2 * I()).diagonal().tolist() == [2]
    assert (3 * I()).ground_energy() == 3


@pytest.mark.parametrize("a, b, c", [(1.0, 1.0, 0.0), (0.3, -0.4, 1.2)])
def test_ground_energy_of_one_qubit(a, b, c):
    # eigenvalues of a X + b Y + c Z are +-|(a, b, c)|
    assert (a * X(0) + b * Y(0) + c * Z(0)).ground_energy() == pytest.approx(
        -np.hypot(np.hypot(a, b), c), abs=1e-12
    )


def chain(n, h):
    return -sum(Z(q) @ Z(q + 1) for q in range(n - 1)) - h * sum(X(q) for q in range(n))


def test_ground_energy_of_a_chain():
    n, h = 6, 0.8
    couplings = [("".join("Z" if k in (q, q + 1) else "I" for k in range(n)), -1) for q in range(n - 1)]
    fields = [("".join("X" if k == q else "I" for k in range(n)), -h) for q in range(n)]
    truth = kron_sum(couplings + fields)
    H = chain(n, h)
    energy, state = H.ground_state()
    assert energy == pytest.approx(np.linalg.eigvalsh(truth)[0], abs=1e-10)
    np.testing.assert_allclose(truth @ state, energy * state, atol=1e-9)


def test_ground_energy_by_the_sparse_solver():
    # Critical open chain: E = 1 - 1 / sin(pi / (4 n + 2)), Pfeuty, Ann. Phys. 57, 79 (1970).
    n = 10
    H = chain(n, 1.0)
    energy, state = H.ground_state()
    assert energy == pytest.approx(1 - 1 / np.sin(np.pi / (4 * n + 2)), abs=1e-10)
    np.testing.assert_allclose(H.to_sparse() @ state, energy * state, atol=1e-8)
    assert H.ground_energy() == energy  # the start of the iteration is fixed


@pytest.mark.parametrize(
    "H, energy",
    [(X(0), -1), (0 * X(0), 0), (X(0) + X(3) @ Y(1) + Z(8), -3), (Y(0) - 5, -6), (X(0) - X(0) + Z(2), -1)],
)
def test_sparse_solver_on_degenerate_spectra(H, energy):
    assert H.ground_energy(9) == pytest.approx(energy, abs=1e-10)


# ------------------------------------------------------------------ many terms


def test_many_terms_are_fast():
    rng = np.random.default_rng(0)
    terms = [("".join(row), 1.0) for row in rng.choice(list("IXYZ"), (10_000, 20))]
    start = time.perf_counter()
    H = PauliSum.from_list(terms).simplify()
    assert time.perf_counter() - start < 2.0
    assert H.num_wires == 20
    start = time.perf_counter()
    assert sum(0.3 * X(q % 30) for q in range(2000)).num_terms == 2000
    assert time.perf_counter() - start < 2.0
