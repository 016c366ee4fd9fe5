"""The notebook's cells run in order, at reduced size, without Jupyter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

NOTEBOOK = Path(__file__).parents[1] / "examples" / "ensembles.ipynb"
REDUCED = {"num_lengths": 5, "num_starts": 2, "steps": 60, "shots": 200}


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """What the cell would show: the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), namespace)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None


def test_the_notebook_is_committed_without_outputs() -> None:
    content = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    for cell in content["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            ast.parse("".join(cell["source"]))


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it saves files
    namespace: dict[str, Any] = {}
    shown = []
    for cell in code_cells():
        shown.append(run_cell("".join(cell["source"]), namespace))
        if "parameters" in cell["metadata"].get("tags", []):
            assert REDUCED.keys() <= namespace.keys()
            namespace.update(REDUCED)
    figures = [value for value in shown if isinstance(value, Figure)]
    assert len(figures) == 4
    assert all(figure._repr_png_().startswith(b"\x89PNG") for figure in figures)  # type: ignore[attr-defined]
    assert any(value is True for value in shown)  # what was loaded is what was saved
    assert all(
        hasattr(value, "_repr_html_") for value in shown if type(value).__module__.startswith("ensembles")
    )
    errors = [
        min(namespace["result"][f"r={r:g},seed={k}"].value for k in range(2))
        - namespace["molecule"]("H2", bond_length=r).exact_energy
        for r in namespace["lengths"]
    ]
    assert len(errors) == 5 and np.all(np.array(errors) > -1e-4) and min(errors) < 5e-2
    assert len(shown[-1]) == 3 and sum(outcome.count for outcome in shown[-1]) <= 200
