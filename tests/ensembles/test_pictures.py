"""Pictures of results: bands of groups and sweep curves, by what is drawn and not by pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ensembles.name_fields import fields_of
from ensembles.result import EnsembleResult, ProgramResult


def result_of(entries):
    """Results from name -> history; the value is the lowest."""
    return EnsembleResult(
        [
            ProgramResult(
                name, min(history, default=float("nan")), None, np.array(history), steps=len(history)
            )
            for name, history in entries.items()
        ]
    )


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def bands(axes):
    return [collection.get_paths()[0].vertices for collection in axes.collections]


# names


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("r=0.74", {"r": 0.74}),
        ("learning_rate=1e-05,seed=-3", {"learning_rate": 1e-5, "seed": -3}),
        ("a=True,b=None,c=text", {"a": True, "b": None, "c": "text"}),
        ("optimizer=sgd(rate=0.1, momentum=0.9),seed=1", {"optimizer": "sgd(rate=0.1, momentum=0.9)", "seed": 1}),
        ("label=a, b,seed=2", {"label": "a, b", "seed": 2}),
        ("x=inf,y=-.5,z=1.", {"x": np.inf, "y": -0.5, "z": 1.0}),
        ("x==,y=a=b", {"x": "=", "y": "a=b"}),
        ("graph 7", {}),
        ("graph,x=1", {}),
        ("a=1,a=2", {}),
        ("1=2", {}),
        (7, {}),
        (("r=0.74", 0), {"r": 0.74, "name[1]": 0}),
        (("H2", ("a", 1)), {"name[0]": "H2", "name[1]": "a, 1"}),
        (("r=1", "r=2"), {"r": 1, "name[1]": "r=2"}),
    ],
)  # fmt: skip
def test_fields_of_names(name, fields):
    found = fields_of(name)
    assert found == fields and list(map(type, found.values())) == list(map(type, fields.values()))


# convergence by groups


SWEPT = {
    f"learning_rate={rate},seed={seed}": [1.0, 1.0 - rate * seed, 1.0 - 2 * rate * seed]
    for rate in (0.5, 0.1)
    for seed in range(11)
}


def test_bands_by_a_field_of_the_names(tmp_path):
    figure = result_of(SWEPT).plot(tmp_path / "bands.png", group_by="learning_rate", title="rates")
    (axes,) = figure.axes
    drawn = lines(axes)
    assert list(drawn) == ["0.1 (11)", "0.5 (11)"]  # numbers ascend, whatever the order of the programs
    # Seeds 0 to 10: the median is seed 5, the 10 and 90 % quantiles seeds 1 and 9.
    np.testing.assert_allclose(drawn["0.5 (11)"], [[0, 1], [1, -1.5], [2, -4]])
    low, high = bands(axes)[1][:, 1].min(), bands(axes)[1][:, 1].max()
    np.testing.assert_allclose([low, high], [1 - 2 * 0.5 * 9, 1.0])
    at_the_end = sorted({round(y, 9) for x, y in bands(axes)[1] if x == 2})
    np.testing.assert_allclose(at_the_end, [-8.0, 0.0])
    assert axes.get_legend().get_title().get_text() == "median, 10 to 90 % (programs)"
    assert axes.get_title() == "rates" and (tmp_path / "bands.png").stat().st_size > 1000
    line_colours = [line.get_color() for line in axes.lines]
    assert len(set(line_colours)) == 2


def test_groups_by_function_and_mapping():
    result = result_of({"a": [1.0, 0.5], "b": [2.0], ("c", 1): [3.0, 1.0], "d": [4.0, 4.0]})
    by_function = result.plot(group_by=lambda name: isinstance(name, tuple)).axes[0]
    assert list(lines(by_function)) == ["False (3)", "True (1)"]
    mapping = {"a": "one", "b": "one", ("c", 1): ("x", 0.25), "d": "_last$"}
    axes = result.plot(group_by=mapping).axes[0]
    assert list(lines(axes)) == ["one (2)", "x, 0.25 (1)", r" _last\$ (1)"]
    np.testing.assert_allclose(lines(axes)["one (2)"], [[0, 1.5], [1, 1.25]])  # b keeps its last loss
    numbers = result.plot(group_by={"a": 1, "b": "1", ("c", 1): 1, "d": "1"}).axes[0]
    assert list(lines(numbers)) == ["1 (2)", "'1' (2)"]


def test_groups_and_the_exact_value():
    axes = result_of(SWEPT).plot(group_by="learning_rate", exact=-10.0).axes[0]
    np.testing.assert_allclose(lines(axes)["0.1 (11)"][:, 1], [11.0, 10.5, 10.0])
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("group_by", "error", "message"),
    [
        ("rate", ValueError, r"has no field 'rate'. Fields of the names are 'learning_rate', 'seed'"),
        (3, TypeError, "group_by is a field of the names such as 'learning_rate', a function"),
        ({"x": 1}, ValueError, r"has no entry for 'learning_rate=0.5,seed=0' \(22 missing in all\)"),
        (lambda name: [1], TypeError, r"is \[1\], which is not hashable"),
        (lambda name: name, ValueError, r"makes 22 groups \(.*, \.\.\.\), but more than 20"),
    ],
)
def test_wrong_groups(group_by, error, message):
    with pytest.raises(error, match=message):
        result_of(SWEPT).plot(group_by=group_by)


def test_names_without_fields_say_so():
    with pytest.raises(ValueError, match=r"No name has fields, as 'r=0\.74,seed=3' would; give a function"):
        result_of({"a": [1.0]}).plot(group_by="seed")


# sweep curves


def curve():
    """y = (r - 1)**2 + seed / 10, for r = 0.5, 1, 2 and seeds 0 to 10."""
    return EnsembleResult(
        [
            ProgramResult(f"r={r},seed={seed}", (r - 1) ** 2 + seed / 10, None, extra={"ratio": r + seed})
            for r in (2.0, 0.5, 1.0)
            for seed in range(11)
        ]
    )


def test_a_curve_with_a_band(tmp_path):
    figure = curve().plot_curve("r", tmp_path / "curve.svg")
    (axes,) = figure.axes
    ((label, points),) = lines(axes).items()
    assert label == "median, 10 to 90 % of 33 programs"
    np.testing.assert_allclose(points, [[0.5, 0.75], [1.0, 0.5], [2.0, 1.5]])
    (band,) = bands(axes)
    np.testing.assert_allclose(sorted({round(y, 9) for x, y in band if x == 1.0}), [0.1, 0.9])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("r", "value")
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(("reduce", "at_one"), [("min", 0.0), ("max", 1.0), ("mean", 0.5)])
def test_other_reductions_have_no_band(reduce, at_one):
    axes = curve().plot_curve("r", reduce=reduce).axes[0]
    assert not axes.collections and lines(axes)[f"{reduce} of 33 programs"][1].tolist() == [1.0, at_one]


def test_a_curve_with_exact_values():
    figure = curve().plot_curve(
        "r",
        reduce="min",
        exact=lambda r: (r - 1) ** 2 - 0.001,
        xlabel="bond length",
        ylabel="energy",
        title="H2",
    )
    upper, lower = figure.axes
    np.testing.assert_allclose(lines(upper)["exact"], [[0.5, 0.249], [1.0, -0.001], [2.0, 0.999]])
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [0.001] * 3, rtol=1e-6)
    assert lower.lines[0].get_color() == upper.lines[1].get_color()
    assert (lower.get_xlabel(), upper.get_ylabel(), lower.get_yscale()) == ("bond length", "energy", "log")
    assert upper.get_title() == "H2"


def test_exact_values_from_mappings_and_numbers():
    result = EnsembleResult([ProgramResult("r=1", 2.0, None), ProgramResult("r=3", 5.0, None)])
    for exact in (
        {"r=1": 1.0, "r=3": 4.0},
        {1.0: 1.0, 3.0: 4.0},
        lambda r: (r + 1) / 2 * (2 if r > 1 else 1),
    ):
        upper, lower = result.plot_curve("r", exact=exact).axes
        np.testing.assert_allclose(lines(upper)["exact"], [[1, 1], [3, 4]])
        np.testing.assert_allclose(lower.lines[0].get_ydata(), [1.0, 1.0])
    assert result.plot_curve("r", exact=2).axes[0].lines[0].get_ydata().tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match=r"exact has no value for 'r=3' or x=3; give one for every"):
        result.plot_curve("r", exact={1.0: 1.0})
    with pytest.raises(TypeError, match="exact is a number, a function of x, or a mapping"):
        result.plot_curve("r", exact="good")  # type: ignore[arg-type]


def test_curves_of_groups_and_other_numbers():
    axes = curve().plot_curve(
        lambda name: float(name.split(",")[0][2:]),
        y="ratio", group_by=lambda name: int(name.split("=")[-1]) % 2, log=True,
    ).axes[0]  # fmt: skip
    drawn = lines(axes)
    assert list(drawn) == ["0", "1"] and axes.get_yscale() == "log" and axes.get_ylabel() == "ratio"
    np.testing.assert_allclose(drawn["0"], [[0.5, 5.5], [1.0, 6.0], [2.0, 7.0]])  # seeds 0, 2, ..., 10
    by_function = curve().plot_curve("r", y=lambda r: r.ratio - r.value).axes[0]
    assert by_function.lines[0].get_ydata()[1] == pytest.approx(6.0 - 0.5)


def test_programs_without_a_value_are_counted():
    results = [
        ProgramResult("r=1", 1.0, None, extra={"ratio": 0.5}),
        ProgramResult("r=2", float("nan"), None, status="failed", error=ValueError("x")),
        ProgramResult("other", float("nan"), None, status="cancelled"),
    ]
    mixed = EnsembleResult([results[0], ProgramResult("of another kind", 3.0, None)])
    assert list(lines(mixed.plot_curve("r", y="ratio").axes[0])) == ["1 program", "1 without a value"]
    for y in ("value", "ratio"):
        axes = EnsembleResult(results).plot_curve("r", y=y).axes[0]
        assert list(lines(axes)) == ["1 program", "2 without a value"]
        assert lines(axes)["1 program"].tolist() == [[1.0, 1.0 if y == "value" else 0.5]]
    with pytest.raises(ValueError, match="no program has a finite number 'value' to draw"):
        EnsembleResult(results[1:]).plot_curve("r")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": "s"}, ValueError, r"x: the name 'r=2.0,seed=0' has no field 's'"),
        ({"x": 3}, TypeError, "x is a field of the names"),
        ({"x": lambda name: name}, ValueError, "it is 'r=2.0,seed=0', but a finite number is needed"),
        ({"x": lambda name: True}, ValueError, "it is True, but a finite number is needed"),
        ({"x": lambda name: np.nan}, ValueError, "it is nan, but a finite number"),
        ({"x": lambda name: None}, ValueError, "it is None, but a finite number"),
        (
            {"x": "r", "reduce": "average"},
            ValueError,
            "reduce='average' is not known; choose one of 'median', 'mean'",
        ),
        (
            {"x": "r", "y": "status"},
            ValueError,
            "'status' of 'r=2.0,seed=0' is 'completed', but a number is needed",
        ),
        ({"x": "r", "y": "history"}, ValueError, "'history' of .* but a number is needed"),
        ({"x": "r", "y": "rato"}, AttributeError, "no attribute 'rato'"),
        ({"x": "r", "y": 3}, TypeError, "y is an attribute of the results such as 'value', or a function"),
        ({"x": "r", "group_by": "s"}, ValueError, "group_by: the name .* has no field 's'"),
    ],
)
def test_wrong_curves(arguments, error, message):
    with pytest.raises(error, match=message):
        curve().plot_curve(**arguments)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"EnsembleResult.plot_curve needs matplotlib: .*\[viz\]"):
        curve().plot_curve("r")


def test_matplotlib_stays_as_it_was():
    code = """
import sys, matplotlib
from ensembles.result import EnsembleResult, ProgramResult
before = matplotlib.rcParams.copy()
result = EnsembleResult([ProgramResult("r=1,k=0", 0.0, None, [1.0, 0.5])])
result.plot_curve("r", exact=1.0), result.plot(group_by="k")
assert "matplotlib.pyplot" not in sys.modules and matplotlib.rcParams.copy() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
