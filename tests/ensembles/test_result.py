from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from ensembles.result import EnsembleError, EnsembleResult, ProgramResult, Stats


def program(name="a", value=-1.0, history=(-0.5, -1.0), **others):
    return ProgramResult(name, value, np.array([0.1, 0.2]), history, steps=len(history), **others)


def failed(name, error=None):
    return program(name, float("nan"), (), status="failed", error=error or ValueError("the loss is nan"))


@pytest.fixture
def result():
    return EnsembleResult(
        [
            program("b", -1.0, evaluations=3),
            program("a", -2.0, status="converged", extra={"ratio": 0.875, "solution": np.ones(3)}),
            failed("c"),
            program(("seed", 1), float("nan")),
        ],
        Stats(calls=3, rows=7),
    )


class PickyError(Exception):
    """Pickles, but can not be unpickled: its argument is not the message."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")


# ProgramResult


def test_program_result_fields():
    r = program(history=[-0.5, -1.0])
    assert isinstance(r.history, np.ndarray) and r.history.tolist() == [-0.5, -1.0]
    assert (r.name, r.value, r.status, r.error, r.evaluations, r.steps) == (
        "a",
        -1.0,
        "completed",
        None,
        0,
        2,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        r.value = 0.0  # type: ignore[misc]


def test_extra_entries_are_attributes():
    r = program(extra={"ratio": 0.875, "cut": 7})
    assert (r.ratio, r.cut) == (0.875, 7)
    assert {"ratio", "cut", "value"} <= set(dir(r))
    with pytest.raises(AttributeError, match=r"no attribute 'rato'; it has name, value, .*ratio, cut\."):
        _ = r.rato
    assert not hasattr(r, "_repr_html_")


def test_extra_entries_do_not_hide_fields():
    with pytest.raises(ValueError, match=r"extra entries \['value'\] have the names of fields"):
        program(extra={"value": 1})


def test_status_is_one_of_four():
    with pytest.raises(ValueError, match="completed, converged, failed, cancelled, but 'done' was given"):
        program(status="done")


def test_program_result_repr():
    text = repr(program(evaluations=3, extra={"ratio": 0.875, "solution": np.ones(3)}))
    assert text == "ProgramResult('a', value=-1, status='completed', steps=2, evaluations=3, ratio=0.875)"
    assert "error='ValueError: the loss is nan'" in repr(failed("c"))


@pytest.mark.parametrize(
    "change",
    [
        {"value": np.nextafter(-1.0, 0)},
        {"history": np.array([-0.5, np.nextafter(-1.0, 0)])},
        {"history": np.array([-0.5, -1.0], np.float32)},
        {"parameters": {"x": np.zeros(2)}},
        {"evaluations": 4},
        {"status": "converged"},
        {"extra": {"ratio": 1.0}},
        {"error": ValueError("x")},
    ],
)
def test_equality_is_bitwise(change):
    r = program()
    assert r == program() and r == copy.deepcopy(r)
    assert r != dataclasses.replace(r, **change)
    assert r != "a"


def test_equality_with_nan_and_errors():
    assert failed("c") == failed("c")
    assert failed("c") != failed("c", KeyError("other"))


def test_equality_of_odd_entries():
    odd = {1: 2, "a": None}  # keys that do not compare
    assert program(extra={"x": odd}) == program(extra={"x": dict(odd)})
    assert program(extra={"x": odd}) != program(extra={"x": {1: 2, "b": None}})
    assert program(extra={"x": 2**70}) == program(extra={"x": 2**70})  # no bits of a NumPy number
    assert program(extra={"x": 2**70}) != program(extra={"x": 2**70 + 1})
    assert program(extra={"x": {1, 2}}) == program(extra={"x": {2, 1}})
    assert program(extra={"x": [1]}) != program(extra={"x": (1,)})


@pytest.mark.parametrize("copied", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy, copy.deepcopy])
def test_program_result_pickles(copied):
    r = program(extra={"ratio": 0.875})
    assert copied(r) == r and copied(r).ratio == 0.875


def test_errors_that_do_not_pickle_keep_their_text():
    again = pickle.loads(pickle.dumps(failed("c", PickyError(code=3))))
    assert type(again.error) is RuntimeError and str(again.error) == "PickyError: code 3"
    assert again.status == "failed"


# EnsembleResult


def test_is_a_mapping_in_the_users_order(result):
    assert len(result) == 4 and list(result) == ["b", "a", "c", ("seed", 1)]
    assert result["a"].value == -2.0 and result["seed", 1].name == ("seed", 1)
    assert "a" in result and "z" not in result and result.get("z") is None
    assert dict(result)["b"] is result["b"]
    with pytest.raises(TypeError):
        result["a"] = program()  # type: ignore[index]


def test_unknown_names_get_suggestions():
    result = EnsembleResult([program("r=0.74"), program("r=0.75"), program("other"), program(3)])
    with pytest.raises(KeyError, match=r"No program is named 'r=0\.73'\. Names are for example 'r=0\.7"):
        result["r=0.73"]
    with pytest.raises(KeyError, match=r"No program is named '3'\. Names are for example 3\."):
        result["3"]
    with pytest.raises(KeyError, match="result is empty"):
        EnsembleResult([])["a"]


def test_two_results_of_one_name():
    with pytest.raises(ValueError, match="two results have the name 'a'"):
        EnsembleResult([program("a"), program("b"), program("a")])


def test_best_leaves_out_failed_and_nan(result):
    assert result.best().name == "a"
    low_but_failed = EnsembleResult([program("a", 1.0), program("b", -5.0, status="failed")])
    assert low_but_failed.best().name == "a"
    tie = EnsembleResult([program("x"), program("y")])
    assert tie.best().name == "x"
    with pytest.raises(ValueError, match=r"none of 1 program has a value to compare\. `\.failed\(\)` holds"):
        EnsembleResult([failed("c")]).best()


def test_failed(result):
    assert list(result.failed()) == ["c"]
    assert str(result.failed()["c"].error) == "the loss is nan"


def test_table_on_print(result):
    lines = str(result).splitlines()
    assert lines[0].split() == ["program", "value", "ratio", "status", "steps", "evaluations", "error"]
    assert lines[2].split() == ["b", "-1", "completed", "2", "3"]
    assert lines[3].split() == ["a", "-2", "0.875", "converged", "2", "0"]
    assert "ValueError: the loss is nan" in lines[4]
    assert lines[5].startswith("seed, 1")
    assert lines[6] == "4 programs: 2 completed, 1 converged, 1 failed; best 'a' with -2"
    assert lines[7].startswith("3 calls in 0 flushes for 0 groups: 7 rows in 0 blocks")
    assert str(result).isascii()


@pytest.mark.parametrize("number, lines, gap", [(20, 22, None), (21, 23, 1), (500, 23, 480)])
def test_long_tables_are_cut_in_the_middle(number, lines, gap):
    table = str(EnsembleResult([program(f"p{k}") for k in range(number)])).splitlines()[:-2]
    assert len(table) == lines
    assert table[2].startswith("p0") and table[-1].startswith(f"p{number - 1}")
    assert (table[12] == f"... {gap} more") == (gap is not None)


def test_a_cut_table_says_how_to_see_all():
    result = EnsembleResult([program(f"p{k}") for k in range(2000)])
    assert str(result).splitlines()[-2].endswith("(20 shown; all: result.table())")
    assert len(result.table().splitlines()) == 2002 and "more" not in result.table()
    assert len(result.table(max_rows=6).splitlines()) == 9
    assert "shown" not in str(EnsembleResult([program(f"p{k}") for k in range(20)]))
    for wrong in (1, 0, -5):
        with pytest.raises(ValueError, match=f"max_rows must be at least 2, or None for all, but {wrong}"):
            result.table(max_rows=wrong)
    assert "... 1980 more" in result._repr_html_() and "result.table()" in result._repr_html_()


@pytest.mark.parametrize("number, rows", [(1, 1), (40, 21), (2000, 21)])
def test_rich_shows_a_table(number, rows):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(EnsembleResult([program(f"[red]p{k}", extra={"ratio": 0.5}) for k in range(number)]))
    text = console.file.getvalue()
    assert text.count("[red]p") + text.count(" more ") == rows + 1  # the best is named below
    assert "ratio" in text.splitlines()[1] and "flushes for 0 groups" in text


def test_seconds_are_shown_but_not_compared():
    timed = program("a", seconds=0.125)
    assert timed == program("a")
    heads, row = str(EnsembleResult([timed])).splitlines()[0:3:2]
    assert heads.split()[-1] == "seconds" and row.split()[-1] == "0.125"
    assert "seconds" not in str(EnsembleResult([program("a")])).splitlines()[0]


def test_table_with_long_errors_markup_and_wide_characters():
    result = EnsembleResult([failed("[red]x", ValueError("much\ntext " * 30)), failed("変分")])
    lines = str(result).splitlines()
    assert lines[2].startswith("[red]x") and lines[2].endswith("...")
    assert len(lines[2]) < 130 and len(lines) == 6
    assert lines[3].index("nan") + 2 == lines[2].index("nan")  # two characters that are two columns wide


def test_empty_result_prints():
    assert str(EnsembleResult([])).splitlines()[-2] == "0 programs"


def test_repr_and_html(result):
    assert repr(result) == f"EnsembleResult({result._summary()})"
    page = EnsembleResult([program("<b>")])._repr_html_()
    assert page.startswith("<table>") and "&lt;b&gt;" in page and "<b>" not in page


def test_ensemble_result_equality_and_pickle(result):
    again = pickle.loads(pickle.dumps(result))
    assert again == result and again.stats == result.stats and list(again) == list(result)
    assert again != EnsembleResult([program("b")])


def test_stats_read_well():
    stats = Stats(12, 14, 700, 20, 4, 1, 1, 1.234, 5.678, 64, 700)
    assert str(stats) == (
        "12 calls in 4 flushes for 1 group: 700 rows and 20 of padding in 14 blocks, largest call 64 rows; "
        "700 evaluations; 1 compilation in 1.23 s, run 5.68 s"
    )


# EnsembleError


def test_error_names_every_failed_program(result):
    error = EnsembleError(result)
    lines = str(error).splitlines()
    assert lines[0] == "1 program of 4 failed:"
    assert lines[1] == "  'c': ValueError: the loss is nan"
    assert "`.result`" in lines[2] and 'on_error="collect"' in lines[2]
    assert error.result is result and isinstance(error, RuntimeError)
    assert error.__cause__ is result["c"].error


def test_error_names_at_most_twenty():
    text = str(EnsembleError(EnsembleResult([failed(k) for k in range(23)])))
    assert "  19: ValueError" in text and "  20: ValueError" not in text and "  ... and 3 more" in text


def test_error_pickles():
    error = EnsembleError(EnsembleResult([failed("c", PickyError(code=3)), program("a")]))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is EnsembleError and again.result["a"] == program("a")
    assert "'c': RuntimeError: PickyError: code 3" in str(again)


# plot


def curves(axes):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}


def test_plot_few_programs(result, tmp_path):
    figure = result.plot(tmp_path / "convergence.png", title="H2")
    (axes,) = figure.axes
    lines = curves(axes)
    assert list(lines) == ["b", "a", "seed, 1"]  # the failed program has no history
    np.testing.assert_array_equal(lines["a"], [-0.5, -1.0])
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "loss", "linear")
    assert axes.get_title() == "H2"
    assert (tmp_path / "convergence.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_plot_many_programs_as_a_band():
    results = [program(k, history=[float(k), float(k) / 2]) for k in range(100)]
    results.append(program("short", history=[49.0]))
    (axes,) = EnsembleResult(results).plot().axes
    ((label, median),) = curves(axes).items()
    assert label == "median of 101 programs"
    np.testing.assert_allclose(median, [49.0, 25.0])  # 100 halves and the kept 49
    band = axes.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [5.0, 89.0])


def test_plot_distance_to_the_optimum():
    result = EnsembleResult([program("a", history=[1.0, 0.1]), program("_b", history=[3.0, 2.5])])
    (axes,) = result.plot(exact={"a": 0.0, "_b": 2.0}).axes
    lines = curves(axes)
    np.testing.assert_allclose(lines["a"], [1.0, 0.1])
    np.testing.assert_allclose(
        lines[" _b"], [1.0, 0.5]
    )  # matplotlib hides labels that start with an underscore
    assert (axes.get_ylabel(), axes.get_yscale()) == ("|loss - exact|", "log")
    assert result.plot(exact=1.0, log=False).axes[0].get_yscale() == "linear"
    assert result.plot(log=True).axes[0].get_yscale() == "log"
    with pytest.raises(ValueError, match=r"exact has no value for '_b' \(1 missing"):
        result.plot(exact={"a": 0.0})


def test_plot_with_nan_in_a_band():
    results = [program(k, history=[1.0, float("nan"), 2.0]) for k in range(20)]
    (axes,) = EnsembleResult(results).plot().axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0, 2])


def test_plot_without_histories():
    with pytest.raises(ValueError, match="no program has a history"):
        EnsembleResult([failed("c")]).plot()


def test_plot_without_matplotlib(monkeypatch, result):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxsim-ensembles\[viz\]'"):
        result.plot()


def test_plot_leaves_matplotlib_as_it_was():
    code = """
import sys, matplotlib
from ensembles.result import EnsembleResult, ProgramResult
before = matplotlib.rcParams.copy()  # dict(...) would resolve the backend
EnsembleResult([ProgramResult("a", 0.0, None, [1.0, 0.5])]).plot()
assert "matplotlib.pyplot" not in sys.modules and matplotlib.rcParams.copy() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
