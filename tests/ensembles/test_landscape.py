"""Landscapes against closed forms and single evaluations."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
import pytest

from ensembles import QAOA, VQE, Program, adam, sgd
from ensembles.compilations import count_compilations
from ensembles.problems import MaxCut
from ensembles.programs.landscape import landscape
from ensembles.result import ProgramResult
from jaxsim import Circuit, ParameterVector, X, Z

THETA = ParameterVector("theta", 2)
BOTH = VQE(Circuit(2).ry(THETA[0], 0).ry(THETA[1], 1), Z(0) + 2 * Z(1), optimizer=adam(0.1), steps=20)


def test_a_line_and_a_plane_with_a_closed_form():
    """<Z0 + 2 Z1> = cos(a) + 2 cos(b)."""
    line = landscape(BOTH, "theta[1]", center=[0.3, 0.0], points=21)
    np.testing.assert_allclose(line.values, np.cos(0.3) + 2 * np.cos(line.axes[0]), atol=1e-5)
    plane = landscape(BOTH, 0, THETA[1], span=(-1, 2), points=(7, 11), center=np.zeros(2))
    a, b = np.meshgrid(*plane.axes, indexing="ij")
    assert plane.values.shape == (7, 11)
    np.testing.assert_allclose(plane.values, np.cos(a) + 2 * np.cos(b), atol=1e-5)
    assert plane.labels == ("theta[0]", "theta[1]")
    value, where = landscape(BOTH, 0, 1, points=5).lowest()
    assert value == pytest.approx(-3.0, abs=1e-5)
    np.testing.assert_allclose(np.abs(where), np.pi)


def test_rows_with_room_for_more_parameters():
    """How many parameters a row has room for can not be seen."""
    scans = [
        landscape(
            VQE(BOTH.ansatz, BOTH.hamiltonian, optimizer=how, steps=1, initial_parameters=[0.4, 0.7]),
            1,
            points=5,
        )
        for how in (adam(0.1), sgd(0.1), optax.sgd(0.1))
    ]
    for scan in scans:
        np.testing.assert_allclose(scan.values, np.cos(0.4) + 2 * np.cos(0.7 + scan.axes[0]), atol=1e-5)
        assert scan.center.shape == (2,) and scan.directions.shape == (1, 2)
        assert scan.lowest()[1].shape == (2,)


def test_any_direction_from_any_center():
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=(2, 2))
    scan = landscape(BOTH, end - start, center=start, span=(0, 1), points=5)
    for k, s in enumerate(np.linspace(0, 1, 5)):
        a, b = start + s * (end - start)
        assert scan.values[k] == pytest.approx(np.cos(a) + 2 * np.cos(b), abs=1e-5)
    random = landscape(BOTH, "random", "random", center=start, points=3, seed=4)
    np.testing.assert_allclose(np.linalg.norm(random.directions, axis=1), 1.0)
    again = landscape(BOTH, "random", "random", center=start, points=3, seed=4)
    np.testing.assert_array_equal(random.values, again.values)
    assert not np.array_equal(
        random.values, landscape(BOTH, "random", "random", center=start, points=3).values
    )


def test_another_grid_and_another_graph_compile_nothing():
    programs = [
        QAOA(MaxCut(nx.random_regular_graph(3, 6, seed=k)), layers=1, optimizer=adam(0.1), steps=1)
        for k in range(2)
    ]
    first = landscape(programs[0], "gamma[0]", "beta[0]", points=9)
    with count_compilations() as compiled:
        scan = landscape(programs[1], "gamma[0]", "beta[0]", points=(13, 17))
        landscape(programs[0], 0, points=40)
    assert compiled.count == 0
    assert scan.values.min() >= -programs[1].problem.best().value - 1e-4
    np.testing.assert_allclose(first.center, programs[0].initial_parameters)


def test_losses_of_ones_own_with_pytrees():
    def loss(x, data, key):
        return jnp.sum(x["a"] ** 2) + data * x["b"][0, 0]

    program = Program(loss, {"a": np.zeros(2), "b": np.ones((1, 1))}, data=3.0, optimizer=sgd(0.1), steps=1)
    scan = landscape(program, 0, 2, points=5, span=2)
    a, b = np.meshgrid(*scan.axes, indexing="ij")
    np.testing.assert_allclose(scan.values, a**2 + 3 * (1 + b), atol=1e-5)
    assert scan.labels == ("parameter 0", "parameter 2")


def test_pictures(tmp_path):
    line, plane = landscape(BOTH, 0, points=5), landscape(BOTH, 0, 1, points=5)
    for scan, name in ((line, "line.png"), (plane, "plane.svg")):
        figure = scan.plot(tmp_path / name, title="loss")
        assert (tmp_path / name).stat().st_size > 1000
        assert figure.axes[0].get_xlabel() == "theta[0]"
    assert figure.axes[0].get_ylabel() == "theta[1]" and figure.axes[0].get_title() == "loss"
    assert figure._repr_png_().startswith(b"\x89PNG")  # notebooks show it


def test_around_a_result():
    found = ProgramResult("a", -3.0, np.float32([0.5, np.pi]))
    scan = landscape(BOTH, 0, center=found, points=5)
    np.testing.assert_allclose(scan.values, np.cos(scan.axes[0] + 0.5) - 2, atol=1e-5)
    with pytest.raises(
        ValueError, match="the result of 'a' has no parameters to be the center, as it failed"
    ):
        landscape(BOTH, 0, center=ProgramResult("a", np.nan, None, status="failed"))


def test_pictures_need_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'jaxsim-ensembles\[viz\]'"):
        landscape(BOTH, 0, points=5).plot()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: landscape(X(0), 0), TypeError, r"a program such as VQE\(\.\.\.\) is needed"),
        (
            lambda: landscape(BOTH, "phi"),
            ValueError,
            r"no parameter 'phi'; the program has theta\[0\], theta\[1\]",
        ),
        (lambda: landscape(BOTH, 2), ValueError, r"there are parameters 0 to 1, but 2"),
        (
            lambda: landscape(BOTH, [1.0]),
            ValueError,
            r"a direction must be 2 finite numbers, .* has shape \(1,\)",
        ),
        (lambda: landscape(BOTH, [0.0, 0.0]), ValueError, r"of length 0 leads nowhere"),
        (lambda: landscape(BOTH, [0.0, np.nan]), ValueError, r"must be finite"),
        (lambda: landscape(BOTH, {"a": "b"}), TypeError, r"a direction must be real numbers"),
        (lambda: landscape(BOTH, 0, center=[1.0]), ValueError, r"center must be 2 finite numbers"),
        (lambda: landscape(BOTH, 0, span=(1, -1)), ValueError, r"a pair \(from, to\) in ascending order"),
        (lambda: landscape(BOTH, 0, span=0.0), ValueError, r"span is a number above 0"),
        (lambda: landscape(BOTH, 0, points=1), ValueError, r"points is an integer, 2 or more"),
        (lambda: landscape(BOTH, 0, points=(3, 3)), ValueError, r"one for each of 1 directions"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
