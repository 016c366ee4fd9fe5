"""Results as a pandas DataFrame."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ensembles.result import EnsembleResult, ProgramResult


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ImportError, match=r"to_pandas needs pandas: pip install 'jaxsim-ensembles\[pandas\]'"
    ):
        EnsembleResult([]).to_pandas()


def test_one_row_a_program():
    pandas = pytest.importorskip("pandas")
    frame = EnsembleResult(
        [
            ProgramResult(
                "rate=0.1,seed=3", -1.5, np.zeros(2), [0.0, -1.5], "converged", None, 3, -1.0, None, 2,
                {"ratio": np.float32(0.5), "solution": "01", "feasible": True, "spectrum": np.zeros(3), "cut": 4}, 0.25,
            ),
            ProgramResult("rate=0.2,steps=7", float("nan"), None, status="failed", error=ValueError("the loss is nan")),
            ProgramResult(("H2", 1), 2.0, None),
            ProgramResult(7, 3.0, None),
        ]
    ).to_pandas()  # fmt: skip
    assert list(frame.columns) == [
        "name", "rate", "seed", "name.steps", "name[0]", "name[1]", "value", "final_value", "status", "steps",
        "evaluations", "seconds", "ratio", "solution", "feasible", "cut", "error",
    ]  # fmt: skip
    assert len(frame) == 4 and isinstance(frame, pandas.DataFrame)
    assert frame["name"].tolist() == ["rate=0.1,seed=3", "rate=0.2,steps=7", ("H2", 1), 7]
    first = frame.iloc[0]
    assert (first["rate"], first["seed"], first["value"], first["steps"]) == (0.1, 3, -1.5, 2)
    assert (first["ratio"], first["solution"], first["cut"], first["feasible"]) == (0.5, "01", 4, True)
    assert first["error"] is None
    second = frame.iloc[1]
    assert (
        second["error"] == "ValueError: the loss is nan"
        and second["name.steps"] == 7
        and second["steps"] == 0
    )
    assert np.isnan(second["value"]) and np.isnan(second["seed"]) and np.isnan(second["cut"])
    assert frame["value"].dtype == frame["rate"].dtype == np.float64 and frame["steps"].dtype == np.int64
    assert frame.loc[frame["status"] == "completed", "value"].min() == 2.0


def test_columns_of_a_whole_sweep_have_numbers():
    pytest.importorskip("pandas")
    names = [f"learning_rate={rate},seed={k}" for rate in (0.1, 0.2) for k in range(5)]
    frame = EnsembleResult([ProgramResult(name, float(k), None) for k, name in enumerate(names)]).to_pandas()
    assert frame["seed"].dtype == np.int64
    assert frame.groupby("learning_rate")["value"].mean().to_dict() == {0.1: 2.0, 0.2: 7.0}


def test_no_programs():
    pytest.importorskip("pandas")
    assert len(EnsembleResult([]).to_pandas()) == 0
