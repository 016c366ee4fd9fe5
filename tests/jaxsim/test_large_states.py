"""Values and gradients where states have 2^14 to 2^17 amplitudes, of every engine, against a few lines of NumPy.

Faulty builds of JAX go wrong from 2^14 numbers on; states from 2^16 amplitudes on run in other blocks and parts.
"""

from __future__ import annotations

from functools import cache

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, ParameterVector, X, Z

TOLERANCE = {"complex64": 1e-5, "complex128": 1e-10}


def circuit(num_wires: int) -> Circuit:
    """RY, a CX chain, RZZ; then the same with RX."""
    theta, c = ParameterVector("t", 2 * num_wires + 2), Circuit(num_wires)
    for layer, gate in enumerate((c.ry, c.rx)):
        first = layer * (num_wires + 1)
        gate([theta[first + q] for q in range(num_wires)], range(num_wires))
        c.cx(range(num_wires - 1), range(1, num_wires)).rzz(theta[first + num_wires], 0, num_wires - 1)
    return c


def energy(num_wires: int, values: np.ndarray) -> float:
    """<Z0 Z(n-1) + X(n-1) / 2> in the circuit's state."""
    index, last = np.arange(2**num_wires), num_wires - 1
    zz = (1 - 2 * (index & 1)) * (1 - 2 * (index >> last & 1))
    psi, angles = np.eye(1, 2**num_wires, dtype=complex)[0], iter(values)
    for axis in "yx":
        for q in range(num_wires):
            c, s = np.cos(half := next(angles) / 2), np.sin(half)
            u = np.array([[c, -s], [s, c]] if axis == "y" else [[c, -1j * s], [-1j * s, c]])
            psi = np.einsum("ij,ajb->aib", u, psi.reshape(-1, 2, 2**q)).reshape(-1)
        for q in range(last):
            psi = psi[index ^ (index >> q & 1) << (q + 1)]
        psi = psi * np.exp(-0.5j * next(angles) * zz)
    return float((np.abs(psi) ** 2 * zz).sum() + 0.5 * np.vdot(psi, psi[index ^ 1 << last]).real)


@cache
def truth(num_wires: int) -> tuple[np.ndarray, float, list[int], list[float]]:
    """Values of the parameters, the energy, some parameters and the derivatives by them, by shifts."""
    values = np.random.default_rng(num_wires).uniform(-3, 3, 2 * num_wires + 2)
    some = [0, num_wires - 1, num_wires, 2 * num_wires, 2 * num_wires + 1]
    shifts = np.pi / 2 * np.eye(len(values))
    slopes = [
        (energy(num_wires, values + shifts[k]) - energy(num_wires, values - shifts[k])) / 2 for k in some
    ]
    return values, energy(num_wires, values), some, slopes


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(
    ("engine", "diff"),
    [(e, "adjoint") for e in ("layered", "rotations", "fused")]
    + [("layered", "backprop"), ("fused", "backprop")],
)
def test_values_and_gradients(engine, diff, dtype):
    with jax.enable_x64(dtype == "complex128"):
        for num_wires in (14, 15, 16, 17):
            values, expected, some, slopes = truth(num_wires)
            observable = Z(0) @ Z(num_wires - 1) + 0.5 * X(num_wires - 1)
            f = js.compile(circuit(num_wires), observable, engine=engine, diff=diff, dtype=dtype)
            value, gradient = f.value_and_grad(values)
            assert float(value) == pytest.approx(expected, abs=TOLERANCE[dtype])
            np.testing.assert_allclose(np.asarray(gradient)[some], slopes, atol=TOLERANCE[dtype])
