"""Parameters and their expressions, against the same arithmetic done on plain floats."""
# Errors are provoked on purpose:
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import json
import math
import operator
import os
import pickle
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsim.parameters import FUNCTIONS, Expression, Linear, Parameter, ParameterVector, from_json, to_json

A, B, C = (Parameter(name) for name in "abc")
VALUES = {A: 0.7, B: -1.3, C: 2.1}

# arithmetic -------------------------------------------------------------------------------------------------

Pair = tuple[Any, Any]  # an expression or number, and the float it should be

NUMBERS = st.one_of(st.integers(-3, 3), st.floats(-3, 3)).map(lambda x: (x, float(x)))
LEAVES = st.one_of(st.sampled_from(list(VALUES.items())), NUMBERS)
BINARY = st.sampled_from([operator.add, operator.sub, operator.mul, np.add, np.subtract, np.multiply])
UNARY = st.sampled_from([operator.neg, operator.pos, abs, np.sin, np.cos, np.arctan, np.negative])


def combine(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def binary(f: Any, x: Pair, y: Pair) -> Pair:
        return f(x[0], y[0]), f(x[1], y[1])

    def unary(f: Any, x: Pair) -> Pair:
        return f(x[0]), f(x[1])

    return st.one_of(st.builds(binary, BINARY, children, children), st.builds(unary, UNARY, children))


EXPRESSIONS = st.recursive(LEAVES, combine, max_leaves=12)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_arithmetic_against_floats(pair: Pair):
    expression, expected = pair
    if not isinstance(expression, Expression):
        return
    # 12 factors of at most 3 may cancel.
    assert float(expression.evaluate(VALUES)) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    assert float(expression.evaluate(VALUES, np)) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    assert set(expression.parameters) <= set(VALUES)
    read = from_json(json.loads(json.dumps(to_json(expression))))
    assert read == expression and hash(read) == hash(expression)
    assert pickle.loads(pickle.dumps(expression)) == expression


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_with_numpy_jax_and_as_method(name: str):
    row = FUNCTIONS[name]
    points = (0.4, 0.9)[: row.arity]
    symbols = (A, B)[: row.arity]
    expression = row.ufunc(*symbols)
    values = dict(zip(symbols, points))
    expected = row.ufunc(*points)
    assert isinstance(expression, Expression)
    assert expression.evaluate(values) == pytest.approx(expected, rel=1e-15)
    traced = jax.jit(lambda *v: expression.evaluate(dict(zip(symbols, v)), jnp))(*points)
    assert float(traced) == pytest.approx(expected, rel=1e-6)
    if row.arity == 1:
        assert getattr(A, name)() == expression
        # NumPy calls the method where expressions sit in arrays; of sign it wants comparisons.
        if name != "sign":
            assert row.ufunc(np.array([A, B], dtype=object))[0] == expression


def test_gradients_pass_through_expressions():
    expression = np.sin(A) * B**2 + 2 * A / B

    def f(a: Any, b: Any) -> Any:
        return expression.evaluate({A: a, B: b}, jnp)

    a, b = 0.3, -0.8
    slope_a, slope_b = jax.grad(f, (0, 1))(a, b)
    assert float(slope_a) == pytest.approx(math.cos(a) * b**2 + 2 / b, rel=1e-6)
    assert float(slope_b) == pytest.approx(2 * math.sin(a) * b - 2 * a / b**2, rel=1e-6)
    assert float(jax.grad(lambda a: (A**2).evaluate({A: a}, jnp))(0.0)) == 0


# the normal form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left, right",
    [
        (A + B, B + A),
        (2 * (A + B), A * 2 + 2 * B),
        (A + A, 2 * A),
        (A - A + B, B),
        (A + 0, A),
        (1 * A, A),
        (-1 * -A, A),
        ((A + 1) - 1, A),
        (A / 4, 0.25 * A),
        (3 - A, -1 * A + 3),
        (0 * A, B - B),
        ((A + B) * (C - C), 0 * A),
        ((A - A + 2) * B, 2 * B),
        ((4 * A) / (B - B + 2), 2 * A),
        (np.sin(A) + B, B + np.sin(A)),
        (
            np.sin(1.000000001 * A) + np.sin(1.000000002 * A),
            np.sin(1.000000002 * A) + np.sin(1.000000001 * A),
        ),
        (Parameter("a"), A),
    ],
    ids=str,
)
def test_equal_expressions_are_equal_and_hash_equal(left: Expression, right: Expression):
    assert left == right
    assert hash(left) == hash(right)
    assert {left: 1}[right] == 1


@pytest.mark.parametrize("other", [B, 2 * A, A + 1, np.sin(A), A**2, 1.0, "a", Linear((), 0.0)], ids=str)
def test_different_expressions_are_unequal(other: Any):
    assert other != A


def test_products_are_not_expanded_and_sums_are_affine():
    affine = 3 * (A - 2 * (B + 1)) / 2
    assert isinstance(affine, Linear)
    assert affine.terms == ((A, 1.5), (B, -3.0)) and affine.constant == -3.0


@pytest.mark.parametrize(
    "expression, text",
    [
        (2 * A + 0.5, "2*a + 0.5"),
        (-A - B / 2 - 1, "-a - 0.5*b - 1"),
        (A - A, "0"),
        ((A + 1) * B, "(a + 1)*b"),
        (A / (B * C), "a/(b*c)"),
        (2 * A**2, "2*a**2"),
        (2**-A, "2**(-a)"),
        (A**-2, "a**(-2)"),
        (np.sin(A + B) * 3, "3*sin(a + b)"),
        (abs(A), "abs(a)"),
    ],
)
def test_repr_reads_like_mathematics(expression: Expression, text: str):
    assert repr(expression) == text
    if text != "0":
        again = eval(text, {"a": A, "b": B, "c": C, "sin": np.sin, "abs": abs})
        assert again == expression


# arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
@pytest.mark.parametrize(
    "array", [np.array([1.0, 2.0, 4.0]), np.array([[1, 2], [3, 4]]), np.array([0.5], np.float32)]
)
def test_arrays_on_either_side(f: Any, array: np.ndarray):
    for made, scalars in (
        (f(A, array), [f(A, float(x)) for x in array.flat]),
        (f(array, A), [f(float(x), A) for x in array.flat]),
    ):
        assert isinstance(made, np.ndarray) and made.dtype == object and made.shape == array.shape
        assert list(made.flat) == scalars


@pytest.mark.parametrize("scalar", [np.float64(2), np.float32(2), np.int64(2), np.array(2.0), 2])
def test_numpy_scalars_on_either_side(scalar: Any):
    assert scalar * A == A * scalar == 2 * A
    assert scalar + A == A + scalar == A + 2
    assert A - scalar == A - 2 and scalar - A == 2 - A
    assert A / scalar == A / 2 and scalar / A == 2 / A
    assert A**scalar == A**2 == np.square(A) and scalar**A == 2**A


def test_vectors_are_arrays_in_arithmetic():
    t = ParameterVector("t", 3)
    assert list(2 * t + 1) == [2 * p + 1 for p in t]
    assert list(A * t) == [A * p for p in t] and list(t * A) == [p * A for p in t]
    assert list(np.ones(3) * t) == list(t) == list(+t)
    assert list(t - t) == [0 * A] * 3
    assert list(np.sin(t)) == [np.sin(p) for p in t]
    assert list(np.array([[0, 1, 0], [2, 0, 0]]) @ t) == [t[1], 2 * t[0]]
    assert np.sum(t) == t[0] + t[1] + t[2] and np.mean(t) == (t[0] + t[1] + t[2]) / 3


def test_vector_indexing_slices_and_shapes():
    t = ParameterVector("t", 6)
    assert len(t) == 6 and t[2] == Parameter("t[2]") and t[-1].name == "t[5]" and next(iter(t)) is t[0]
    assert [p.name for p in t[1:4]] == ["t[1]", "t[2]", "t[3]"]
    assert t.reshape(2, 3)[1, 0] == t[3] and t.reshape((3, -1)).shape == (3, 2)
    assert np.asarray(t).shape == (6,) and np.ndim(t) == 1
    with pytest.raises(IndexError):
        t[6]
    for view in (t[:3], t.reshape(2, 3)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = A
    assert len(ParameterVector("t", 0)) == 0
    assert repr(t) == "ParameterVector('t', 6)"


def test_vectors_of_one_name_and_length_are_equal():
    t = ParameterVector("t", 3)
    assert t == ParameterVector("t", 3) and hash(t) == hash(ParameterVector("t", 3))
    assert t != ParameterVector("t", 4) and t != ParameterVector("s", 3) and t != [t[0], t[1], t[2]]
    copied = pickle.loads(pickle.dumps(t))
    assert copied == t and list(copied) == list(t)


# order ------------------------------------------------------------------------------------------------------


def test_elements_sort_by_index_names_by_name():
    t = ParameterVector("t", 12)
    mixed = B + t[10] + t[2] + A + Parameter("t") + Parameter("s[1]") + Parameter("t[02]")
    assert [p.name for p in mixed.parameters] == ["a", "b", "s[1]", "t", "t[2]", "t[10]", "t[02]"]


@pytest.mark.parametrize(
    "name, key",
    [
        ("t[3]", ("t", 3)),
        ("t", ("t", -1)),
        ("t[03]", ("t[03]", -1)),
        ("t[٣]", ("t[٣]", -1)),
        ("m[1][2]", ("m[1]", 2)),
        ("[1]", ("[1]", -1)),
    ],
)
def test_sort_key_tells_all_names_apart(name: str, key: tuple[str, int]):
    assert Parameter(name).sort_key == key


def test_order_and_text_do_not_depend_on_the_hash_seed():
    code = (
        "import numpy as np; from jaxsim.parameters import Parameter as P, to_json\n"
        "e = sum(P(n) for n in ('t[10]', 'b', 't[2]', 'zeta', 'a')) + np.sin(P('x')) + np.cos(P('y')) * P('w')\n"
        "print(e, e.parameters, to_json(e))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


# errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Parameter(3), TypeError, "a parameter's name is a string, but 3 is a int"),
        (lambda: Parameter(""), ValueError, "must not be empty"),
        (lambda: ParameterVector("t", 2.0), TypeError, "length of a ParameterVector is an integer, but 2.0"),
        (
            lambda: ParameterVector("t", True),
            TypeError,
            "length of a ParameterVector is an integer, but True",
        ),
        (lambda: ParameterVector("t", -1), ValueError, "at least 0, but -1"),
        (lambda: ParameterVector("", 1), ValueError, "must not be empty"),
        (lambda: A * 1j, TypeError, "takes real numbers, but 1j is a complex"),
        (lambda: A + "b", TypeError, "takes real numbers, but 'b' is a str"),
        (lambda: A * True, TypeError, "takes real numbers, but True is a bool"),
        (lambda: A * [1, 2], TypeError, "takes real numbers"),
        (lambda: A + float("nan"), ValueError, "takes finite numbers, but nan"),
        (lambda: np.float64("inf") * A, ValueError, "takes finite numbers"),
        (
            lambda: A * jnp.float32(2),
            TypeError,
            r"Values computed by JAX go in as angles of their own, or through bind\(\)",
        ),
        (lambda: jnp.ones(2) * A, TypeError, "Values computed by JAX"),
        (lambda: A / 0, ZeroDivisionError, "cannot divide the expression a by zero"),
        (lambda: A * 1e200 * 1e200, OverflowError, "coefficient .* became infinite"),
        (lambda: float(A + 1), TypeError, r"a \+ 1 has no value yet: bind its parameters first"),
        (lambda: math.sin(A), TypeError, "has no value yet"),
        (lambda: np.tanh(A), TypeError, "tanh"),
        (lambda: np.add(A, B, dtype=float), TypeError, "NotImplemented"),
        (lambda: A < B, TypeError, "not supported"),
    ],
)
def test_errors(make: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "a",
        ["parameter", 3],
        ["parameter", ""],
        ["linear", [], "x"],
        ["linear", [["parameter", "a"]], 0.0],
        ["linear", [[["parameter", "a"], float("nan")]], 0.0],
        ["linear", [[["parameter", "a"], True]], 0.0],
        ["call", "sin", []],
        ["call", "sin", [["parameter", "a"], ["parameter", "b"]]],
        ["call", "system", [["parameter", "a"]]],
        ["call", "sin", [["call", "sin", 1]]],
    ],
    ids=repr,
)
def test_foreign_json_is_refused(data: Any):
    with pytest.raises(ValueError, match="does not describe an expression of parameters"):
        from_json(data)


def test_json_comes_back_in_normal_form():
    untidy = [
        "linear",
        [[["linear", [[["parameter", "b"], 2.0]], 1.0], 3.0], [["parameter", "a"], 0.0]],
        -3.0,
    ]
    assert from_json(untidy) == 6 * B
