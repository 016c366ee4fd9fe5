from __future__ import annotations

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import ansatz
from jaxsim.frequencies import parameter_frequencies

A, B = js.Parameter("a"), js.Parameter("b")


def listed(circuit):
    return [row[row > 0].round(9).tolist() for row in parameter_frequencies(circuit)]


@pytest.mark.parametrize(
    ("circuit", "expected"),
    [
        (js.Circuit(1).rx(A, 0), [[1]]),
        (js.Circuit(1).rx(-3 * A + 0.2, 0), [[3]]),
        (js.Circuit(2).crx(A, 0, 1), [[0.5, 1]]),
        (js.Circuit(2).rx(A, 0).ry(A, 1).rz(2 * A, 0), [[1, 2, 3, 4]]),
        (js.Circuit(2).rx(A / 3, 0).ry(A / 2, 1), [[k / 6 for k in range(1, 6)]]),
        (js.Circuit(2).rx(A, 0).h(1).p(B, 1), [[1], [1]]),
        (js.Circuit(2).h(range(2)).cp(A, 0, 1), [[1]]),
        (js.Circuit(2).h(range(2)).evolve_diagonal(A, [0.0, 1.0, 1.0, 3.0], range(2)), [[1, 2, 3]]),
        (js.Circuit(2).evolve_diagonal(A, [0.5, 2.0, 2.0, 3.5], range(2)), [[1.5, 3]]),
        (js.Circuit(1).global_phase(A).rx(B, 0), [[], [1]]),
    ],
)
def test_known_spectra(circuit, expected):
    for found, wanted in zip(listed(circuit), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_excitations():
    found = listed(ansatz.uccsd(4, 2))
    assert all(len(row) == 2 for row in found), found


@pytest.mark.parametrize(
    "circuit",
    [
        ansatz.uccsd(4, 2),
        js.Circuit(3).h(range(3)).crx(A, 0, 1).ry(2 * A, 2).cx(1, 2).cp(B, 0, 2).rxx(B, 0, 1).h(range(3)),
        ansatz.qaoa(np.array([0.0, 2, 1, 3, 1, 3, 2, 4]), 1),
    ],
)
def test_energies_have_no_other_frequencies(circuit):
    n, count = circuit.num_wires, len(circuit.parameters)
    table = parameter_frequencies(circuit)
    start = np.random.default_rng(0).uniform(-1, 1, count)
    operator = sum((0.3 + q) * js.X(q) @ js.Z((q + 1) % n) for q in range(n)) + js.Y(0) @ js.Y(1)
    with jax.enable_x64(True):
        f = js.compile(circuit, operator, dtype=np.complex128)
        for p, frequencies in enumerate(table):
            base, degree = frequencies[0], int((frequencies > 0).sum())
            points = 4 * degree + 3
            shifts = 2 * np.pi * np.arange(points) / (points * base)
            energies = [float(f(start + s * np.eye(count)[p])) for s in shifts]
            spectrum = np.abs(np.fft.rfft(energies)) / points
            assert spectrum[degree + 1 :].max() < 1e-12


def test_bad_input():
    with pytest.raises(TypeError, match="parameter_frequencies takes a Circuit, but a str was given"):
        parameter_frequencies("rx")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parameter 'a' is in an expression that is not affine"):
        parameter_frequencies(js.Circuit(1).rx(A.sin(), 0))
    weights = np.random.default_rng(0).normal(size=8)
    with pytest.raises(ValueError, match=r"frequencies in parameter 'a', but at most 64 are allowed"):
        parameter_frequencies(js.Circuit(3).evolve_diagonal(A, weights, range(3)))
