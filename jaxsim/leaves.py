"""Leaves of an observable: NumPy arrays where the values are known, JAX values where they are not.

Known values stay off the device: a thousand Hamiltonians are built and stacked without one JAX operation.
"""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim.pauli_words import MAX_WIRES

# Imaginary parts up to this, relative to the largest coefficient, are rounding.
REAL_TOLERANCE = 1e-10


class Aligned(NamedTuple):
    """Arrays of one array module, and the module."""

    values: tuple[Any, ...]
    xp: Any


def known(leaf: Any) -> np.ndarray | None:
    """The values of a leaf; None where it has none yet (a tracer, a shape, a placeholder of JAX).

    >>> known(jax.numpy.arange(2))
    array([0, 1], dtype=int32)
    """
    if isinstance(leaf, np.ndarray):
        return leaf
    return np.asarray(leaf) if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer) else None


def aligned(*arrays: Any) -> Aligned:
    """The arrays as NumPy arrays if all are known, else as JAX values of one dtype.

    Next to a JAX value known ones count as Python numbers do: they take its precision.

    >>> aligned(np.ones(2), np.zeros(1)).xp.__name__
    'numpy'
    """
    hosts = [known(array) for array in arrays]
    traced = [array for array, host in zip(arrays, hosts) if host is None]
    if not traced:
        return Aligned(tuple(hosts), np)
    dtype = jnp.result_type(*traced)
    if any(host is not None and np.iscomplexobj(host) for host in hosts):
        dtype = jnp.result_type(dtype, 1j)
    values = (array if host is None else host for array, host in zip(arrays, hosts))
    return Aligned(tuple(value.astype(dtype) for value in values), jnp)


def frozen(array: Any) -> Any:
    """The array, read-only if it is NumPy's.

    >>> frozen(np.ones(2)).flags.writeable
    False
    """
    if isinstance(array, np.ndarray):
        array.setflags(write=False)
    return array


def mask_leaf(mask: Any, name: str) -> Any:
    """Bit masks as a read-only int32 copy; traced ones as they are.

    Errors: TypeError for values that are not integers, ValueError for masks of more than 30 bits.

    >>> mask_leaf([1, 5], "x_mask")
    array([1, 5], dtype=int32)
    """
    if isinstance(mask, Tracer):
        return mask
    values = np.asarray(mask)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError(f"PauliSum: {name} must hold integers, but has dtype {values.dtype}.")
    if values.size and not 0 <= values.min() <= values.max() < 2**MAX_WIRES:
        raise ValueError(
            f"PauliSum: {name} must hold bit masks of at most {MAX_WIRES} qubits, 0 to {2**MAX_WIRES - 1}, "
            f"but holds {values.min()} to {values.max()}."
        )
    return frozen(values.astype(np.int32))


def coefficient_leaf(values: Any) -> Any:
    """Coefficients as a read-only float64 or complex128 copy; traced ones as an inexact JAX value.

    Errors: TypeError for what is no number.

    >>> coefficient_leaf([1, 2])
    array([1., 2.])
    """
    if isinstance(values, (list, tuple)) and any(isinstance(value, Tracer) for value in values):
        values = jnp.stack(aligned(*map(coefficient_leaf, values)).values)
    if isinstance(values, Tracer):
        return values if jnp.issubdtype(values.dtype, jnp.inexact) else values.astype(float)
    host = np.asarray(values)
    if jnp.issubdtype(host.dtype, np.complexfloating):
        return frozen(host.astype(np.complex128))
    if not (jnp.issubdtype(host.dtype, np.number) or host.dtype == bool):
        raise TypeError(f"PauliSum: coefficients must be numbers or JAX values, but {values!r} was given.")
    return frozen(host.astype(np.float64))


def scalar_leaf(value: Any, sign: str) -> Any:
    """A number as an array of shape (), NumPy or traced; None for what is no number.

    Errors: ValueError for arrays of another shape.

    >>> scalar_leaf(2, "*"), scalar_leaf("2", "*")
    (array(2.), None)
    """
    if isinstance(value, numbers.Complex):
        return np.asarray(float(value) if isinstance(value, numbers.Real) else complex(value))
    if not isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return None
    leaf = coefficient_leaf(value)
    if leaf.shape:
        raise ValueError(
            f"PauliSum {sign} array: one number is needed, shape (), but the shape is {leaf.shape}. "
            f"For one coefficient a term use with_coefficients."
        )
    return leaf


def is_real(coefficients: Any) -> bool:
    """True if the dtype is real.

    >>> is_real(np.ones(2)), is_real(1j * np.ones(2))
    (True, False)
    """
    return not jnp.issubdtype(coefficients.dtype, np.complexfloating)


def first_complex(values: np.ndarray) -> int | None:
    """Index of the first coefficient whose imaginary part is more than rounding.

    >>> first_complex(np.array([1.0, 1e-12j])), first_complex(np.array([1.0, 0.5j]))
    (None, 1)
    """
    wrong = np.abs(np.imag(values)) > REAL_TOLERANCE * np.abs(values).max()
    return int(np.argmax(wrong)) if wrong.any() else None
