"""The Python blocks of the documents run, page by page, and what stands behind them in comments is what they give.

Blocks of a page share their names, as for a reader who types them in order. Names that a page takes for granted are in
`GIVEN`. A block that can not run here (a service, a cluster) is preceded by the line ``<!-- not run: why -->``.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n+)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_CIRCUITS = """
    from concurrent.futures import ThreadPoolExecutor
    import jax, jaxsim as js, numpy as np
    from jaxsim import Circuit, ParameterVector, X, Z
    def turned(k):
        return Circuit(3).ry(ParameterVector("a", 3), range(3)).cx(k, (k + 1) % 3)
    circuit_1, circuit_2, circuit_3 = (turned(k) for k in range(3))
    circuit, hamiltonian, values = circuit_1, Z(0) @ Z(1) + X(2), np.ones((3, 3))
"""
_MEASURED = """
    from concurrent.futures import ThreadPoolExecutor
    import jaxsim as js
    circuit_1, circuit_2, circuit_3 = circuits = [js.Circuit(3).h(k).cx(k, (k + 1) % 3) for k in range(3)]
    pool = ThreadPoolExecutor(2)
"""
_ENSEMBLE = """
    from ensembles import VQE, BatchConfig, ProgramEnsemble, adam
    from ensembles.problems import tfim
    from jaxsim import ansatz
    circuit = ansatz.hardware_efficient(3, 1)
    ensemble = ProgramEnsemble([VQE(circuit, tfim(3), optimizer=adam(0.1), steps=20)] * 7)
"""

GIVEN = {
    "README.md": ["", "", _MEASURED, _CIRCUITS],
    "batching.md": [_ENSEMBLE],
    "coming-from-aer.md": [_MEASURED],
    "executors.md": [_MEASURED],
    "hosted.md": ["", "from jaxsim import Circuit, ParameterVector, Z\n"
                      "circuit, observable = Circuit(2).ry(ParameterVector('a', 2), range(2)).cx(0, 1), Z(0) @ Z(1)"],
    "measurement.md": ["", """
        def circuit_of(t):
            circuit = js.Circuit(2)
            c = circuit.register("c", 1)
            circuit.ry(t, 0).measure(0, c[0])
            with circuit.if_(c[0]):
                circuit.x(1)
            return circuit
    """],
    "custom-loss.md": ["import jax.numpy as jnp, jaxsim as js\n"],
    "qaoa.md": ["", "problem = MaxCut(graphs[0])\n"],
    "sharp-bits.md": [_CIRCUITS + "    key = jax.random.key(0)\n"],
}  # fmt: skip
"""Page -> what is run before its first, second, ... block."""


class Block(NamedTuple):
    line: int
    source: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [Block(text.count("\n", 0, m.start(2)), m[2], m[1] is None) for m in _BLOCK.finditer(text)]


def promised(source: str, statement: ast.stmt) -> tuple[Any, ...]:
    """(what the comment behind an expression says that it is,), if that is a literal; else ()."""
    if not isinstance(statement, ast.Expr) or statement.end_lineno is None:
        return ()
    behind = source.splitlines()[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
    try:
        return (ast.literal_eval(behind.strip().removeprefix("#").strip()),)
    except (ValueError, SyntaxError):
        return ()


def run(source: str, names: dict[str, Any], where: str) -> int:
    """Runs a block; how many of its comments were compared."""
    compared = 0
    for statement in ast.parse(source).body:
        code = ast.Module([statement], []) if not isinstance(statement, ast.Expr) else statement.value
        if isinstance(code, ast.Module):
            exec(compile(code, where, "exec"), names)
            continue
        found = eval(compile(ast.Expression(code), where, "eval"), names)
        for expected in promised(source, statement):
            assert found == expected, f"{where}: {ast.unparse(statement)}"
            compared += 1
    return compared


def test_all_blocks_are_python() -> None:
    assert {page.name for page in PAGES} >= GIVEN.keys()
    found = {page.name: blocks(page) for page in PAGES}
    assert sum(map(len, found.values())) > 25
    for name, own in found.items():
        for block in own:
            ast.parse(block.source, f"{name}:{block.line}")
        assert len(GIVEN.get(name, [])) <= len(own), name


def test_comments_are_compared() -> None:
    assert run("x = 2\nx + 1  # 3\nx  # two\n[x]  # [2]\n", {}, "here") == 2
    with pytest.raises(AssertionError, match="here: x"):
        run("x = 2\nx  # 3\n", {}, "here")


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some save files
    mpl.use("Agg")
    names: dict[str, Any] = {"__name__": "page"}
    given = GIVEN.get(page.name, [])
    for k, block in enumerate(blocks(page)):
        if k < len(given):
            exec(textwrap.dedent(given[k]), names)
        if block.runs:
            run(block.source, names, f"{page.name}:{block.line}")
