"""Drawings: small pictures letter by letter, and what holds for pictures of any circuit."""
# Errors are provoked on purpose:
# pyright: reportArgumentType=false

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxsim.circuit import Circuit
from jaxsim.drawing import TextDrawing, draw, svg
from jaxsim.drawing_layout import MAX_GATES, angle_text
from jaxsim.gates import GATES
from jaxsim.parameters import Parameter, ParameterVector

A = Parameter("a")
T = ParameterVector("t", 3)
SVG = "{http://www.w3.org/2000/svg}"


def measuring() -> Circuit:
    circuit = Circuit(2)
    m = circuit.register("m", 2)
    circuit.h(0).measure(0, m[1]).barrier().reset(0)
    with circuit.if_(m == 2):
        circuit.x(1)
    with circuit.else_():
        circuit.rz(0.5, 1)
    return circuit.measure(1, m[0])


def looping() -> Circuit:
    circuit = Circuit(2)
    f, wide = circuit.register("f", 1), circuit.register("wide", 12)
    circuit.delay(5, 0)
    with circuit.while_(~f[0], max_iterations=3):
        circuit.global_phase(0.5).measure(0, f)
    return circuit.measure(1, wide[10])


def text(c: Circuit, **options: Any) -> str:
    return str(draw(c, fold=-1, **options))


def picture(drawn: str) -> str:
    return textwrap.dedent(drawn).strip("\n")


# pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "circuit, expected",
    [
        (
            Circuit(3).h(0).cx(0, 2).ccx(2, 0, 1).cz(1, 2),
            """
                 ┌───┐
            q0: ─┤ H ├─●─●───
                 └───┘ │ │
            q1: ───────┼─⊕─●─
                       │ │ │
            q2: ───────⊕─●─●─
            """,
        ),
        (
            Circuit(3).x(range(2)).swap(0, 2).cswap(1, 0, 2).id(1),
            """
                 ┌───┐
            q0: ─┤ X ├─×─×───────
                 ├───┤ │ │ ┌───┐
            q1: ─┤ X ├─┼─●─┤ I ├─
                 └───┘ │ │ └───┘
            q2: ───────×─×───────
            """,
        ),
        (
            Circuit(3).crx(np.pi / 2, 2, 0).append("ry", 0.25, [0, 2, 1], controls=2),
            """
                 ┌─────────┐
            q0: ─┤ RX(π/2) ├──────●───────
                 └────┬────┘ ┌────┴─────┐
            q1: ──────┼──────┤ RY(0.25) ├─
                      │      └────┬─────┘
            q2: ──────●───────────●───────
            """,
        ),
        (
            Circuit(3).rzz(2 * A + 1, 2, 0).sdg(1),
            """
                 ┌─────────────┐
            q0: ─┤1            ├────────
                 │             │ ┌────┐
            q1: ─│  RZZ(2*a+1) │─┤ S† ├─
                 │             │ └────┘
            q2: ─┤0            ├────────
                 └─────────────┘
            """,
        ),
        (
            Circuit(2).pauli_rotation(0.1, "XZ", [1, 0]).evolve_diagonal(A, np.zeros(4)),
            """
                 ┌─────────┐ ┌───────────┐
            q0: ─┤Z        ├─┤0          ├─
                 │  R(0.1) │ │  exp D(a) │
            q1: ─┤X        ├─┤1          ├─
                 └─────────┘ └───────────┘
            """,
        ),
        (
            Circuit(3).unitary(np.eye(4), [2, 0], controls=1),
            """
                 ┌────┐
            q0: ─┤1   ├─
                 │    │
            q1: ─┤● U ├─
                 │    │
            q2: ─┤0   ├─
                 └────┘
            """,
        ),
        (
            Circuit(4).h([0, 0, 3]).cx(0, 1).cx(3, 2).h(3),
            """
                 ┌───┐ ┌───┐
            q0: ─┤ H ├─┤ H ├───●───
                 └───┘ └───┘   │
            q1: ───────────────⊕───

            q2: ─────────⊕─────────
                 ┌───┐   │   ┌───┐
            q3: ─┤ H ├───●───┤ H ├─
                 └───┘       └───┘
            """,
        ),
        (
            Circuit(1).global_phase(np.pi / 4).h(0).global_phase(A),
            """
                 ┌───┐
            q0: ─┤ H ├─
                 └───┘
            global phase: π/4 + a
            """,
        ),
        (
            measuring(),
            """
                   ┌───┐ ┌───┐   ┌───────────┐
              q0: ─┤ H ├─┤ M ├─░─┤    |0⟩    ├──────────────────────────────────────────
                   └───┘ └─┬─┘   ├───────────┤ ┌───┐ ┌──────┐ ┌─────────┐ ┌─────┐ ┌───┐
              q1: ─────────┼───░─┤ if m == 2 ├─┤ X ├─┤ else ├─┤ RZ(0.5) ├─┤ end ├─┤ M ├─
                           │     └─────┬─────┘ └───┘ └──────┘ └─────────┘ └─────┘ └─┬─┘
            m[2]: ═════════1═══════════■════════════════════════════════════════════0═══
            """,
        ),
        (
            looping(),
            """
                       ┌────────────┐ ┌──────────────────────────────┐ ┌───┐ ┌─────┐
                  q0: ─┤ delay 5 dt ├─┤ while ~f[0], at most 3 times ├─┤ M ├─┤ end ├─
                       └────────────┘ └──────────────┬───────────────┘ └─┬─┘ ├─────┤
                  q1: ───────────────────────────────┼───────────────────┼───┤  M  ├─
                                                     │                   │   └──┬──┘
                f[1]: ═══════════════════════════════■═══════════════════0══════╪════
                                                                                │
            wide[12]: ══════════════════════════════════════════════════════════10═══
            global phase: 0.5 (in a block)
            """,
        ),
        (
            Circuit(2),
            """
            q0: ───

            q1: ───
            """,
        ),
    ],
    ids=repr,
)
def test_pictures(circuit: Circuit, expected: str):
    assert text(circuit) == picture(expected)


def test_folding():
    c = Circuit(2).rx(np.linspace(0.1, 0.9, 9), [0] * 9).cx(0, 1)
    lines = str(c.draw(fold=60)).splitlines()
    assert max(map(len, lines)) <= 60
    wires = [line for line in lines if line.startswith("q0:")]
    assert [(line[3], line[-1]) for line in wires] == [(" ", "»"), ("«", "»"), ("«", "─")]
    assert "".join(wires).count("RX") == 9
    assert len(str(c.draw(fold=-1)).splitlines()) == 4
    assert "".join(str(c.draw(fold=1))).count("RX") == 9  # a column wider than a line has a line of its own


def test_the_default_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch):
    c = Circuit(1).h([0] * 100)
    for columns in (60, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert columns - 6 <= max(map(len, str(c.draw()).splitlines())) <= columns


# angles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "angle, expected",
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (1 / 3, "0.3333"),
        (-2.0, "-2"),
        (1e-7, "1e-07"),
        (123456.0, "1.235e+05"),
        (np.pi, "π"),
        (-np.pi, "-π"),
        (2 * np.pi, "2π"),
        (11 * np.pi, "11π"),
        (np.pi / 2, "π/2"),
        (-3 * np.pi / 4, "-3π/4"),
        (np.pi / 16, "π/16"),
        (-np.pi / 3, "-π/3"),
        (np.pi / 17, "0.1848"),
        (3.14159, "3.142"),
    ],
)
def test_numbers(angle: float, expected: str):
    assert angle_text(angle) == expected


def test_angles_without_values_are_dots():
    drawn = []
    jax.jit(lambda x: drawn.append(text(Circuit(1).rx(x, 0).ry(0.5, 0).rz(A, 0))) or x)(0.1)
    assert "RX(·)" in drawn[0] and "RZ(a)" in drawn[0]
    assert "RX(0.5)" in text(jax.jit(lambda x: Circuit(1).rx(x, 0))(0.5))
    assert "RX(·)" in text(jax.vmap(lambda x: Circuit(1).rx(x, 0))(np.zeros(3)))


def test_long_and_strange_expressions():
    c = Circuit(1).rx(sum(T) + A * T[0] * T[1], 0).rx(Parameter("line\nbreak"), 0)
    drawn = text(c)
    assert "…)" in drawn and "line·break" in drawn and len(drawn.splitlines()) == 3


# every gate, every output -----------------------------------------------------------------------------------------


def with_every_gate() -> Circuit:
    rng = np.random.default_rng(0)
    c = Circuit(6).initialize([1, 0], 5)
    for row in GATES.values():
        angles = list(rng.uniform(-3, 3, len(row.angles)))
        wires = rng.permutation(5).tolist()
        payload = {"matrix": np.eye(4), "phases": np.ones(4), "energies": np.ones(4), None: "XY"}.get(
            row.operand or None
        )
        if row.any_controls:
            getattr(c, row.name)(*angles, wires[:3], wires[3])
        elif row.operand == "amplitudes":
            continue
        elif row.operand or row.has_label:
            getattr(c, row.name)(*angles, payload, wires[:2], controls=wires[2:3])
        else:
            c.append(row, angles, wires[: row.num_wires])
    return c


def test_every_gate_has_a_place_in_text_and_its_lines_are_even():
    c = with_every_gate()
    for fold in (-1, 80):
        drawn = str(c.draw(fold=fold))
        assert drawn.isprintable() or "\n" in drawn
        wires = [line for line in drawn.splitlines() if line.startswith("q")]
        assert len(wires) % 6 == 0
        for first in range(0, len(wires), 6):
            assert len({len(line) for line in wires[first : first + 6]}) == 1
    joined = text(c)
    for caption in ("RX(", "S†", "√X†", "XX+YY(", "iSWAP", "ECR", "RCCX", "RC3X", "exp D(", "|ψ⟩", "U2("):
        assert caption in joined
    assert "global phase: " in joined


def test_strokes_meet_strokes():
    """A stroke that leaves a character arrives at its neighbour, but where a box hides a wire or text begins."""
    strokes = dict(zip(" ╵╶└╷│┌├╴┘─┴┐┤┬┼", range(16)))
    rows = text(with_every_gate()).splitlines()[:-1]
    width = max(map(len, rows))
    cells = [[strokes.get(letter) for letter in row.ljust(width)] for row in rows]
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            below = cells[y + 1][x] if y + 1 < len(cells) else None
            if cell is not None and below is not None:
                assert bool(cell & 4) == bool(below & 1), (x, y)


def test_svg_is_well_formed_and_escaped():
    c = with_every_gate().rx(Parameter("<&\"'>"), 0)
    root = ElementTree.fromstring(svg(c))
    assert root.tag == SVG + "svg"
    texts = [element.text for element in root.iter(SVG + "text")]
    assert "RX(<&\"'>)" in texts and "q5:" in texts and any(str(t).startswith("global phase") for t in texts)
    paper = root.find(SVG + "rect")
    assert paper is not None and paper.get("fill") == "#ffffff" and paper.get("width") == "100%"
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for box in root.iter(SVG + "rect"):
        if box is not paper:
            x, y, w, h = (float(box.get(key, 0)) for key in ("x", "y", "width", "height"))
            assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height
    assert c._repr_svg_() == c.draw("svg") == svg(c)


def test_svg_has_the_marks_of_the_gates():
    root = ElementTree.fromstring(svg(Circuit(3).cx(0, 1).swap(0, 2).h(1)))
    counts = {tag: len(list(root.iter(SVG + tag))) for tag in ("circle", "rect", "line", "text")}
    assert counts == {"circle": 2, "rect": 2, "line": 3 + (1 + 2) + (1 + 4), "text": 4}


def test_measurements_in_svg_and_matplotlib():
    root = ElementTree.fromstring(svg(measuring()))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words[:3] == ["q0:", "q1:", "m[2]:"]
    assert {"M", "|0⟩", "if m == 2", "else", "end", "0", "1"} < set(words)
    assert isinstance(draw(measuring(), "mpl"), Figure)


def test_matplotlib_figure_without_pyplot():
    drawn = with_every_gate().draw("mpl")
    assert isinstance(drawn, Figure)
    file = io.BytesIO()
    drawn.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")
    shown = {label.get_text() for label in drawn.axes[0].texts}
    assert {"q0:", "H", "ECR", "|ψ⟩"} <= shown
    inside = drawn.axes[0].get_window_extent()
    for label in drawn.axes[0].texts:
        extent = label.get_window_extent()
        assert inside.x0 <= extent.x0 and extent.x1 <= inside.x1
    code = (
        "import sys; from jaxsim.circuit import Circuit; Circuit(1).h(0).draw('mpl'); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_captions_fit_their_boxes_in_matplotlib():
    drawn = Circuit(4).u(0.123, 0.456, 0.789, 0).rzz(A, 1, 2).xx_plus_yy(0.1, 0.2, 3, 2).h(0).draw("mpl")
    axes: Any = drawn.axes[0]
    boxes = [patch.get_window_extent() for patch in axes.patches]
    for label in axes.texts:
        extent = label.get_window_extent()
        around = [box for box in boxes if box.x0 <= extent.x0 and extent.x1 <= box.x1]
        assert around or label.get_text().endswith(":"), label


def test_text_drawings_print_themselves():
    drawn = Circuit(1).rx(Parameter("<a>"), 0).draw()
    assert isinstance(drawn, TextDrawing) and repr(drawn) == str(drawn) == drawn.text
    assert "RX(&lt;a&gt;)" in drawn._repr_html_() and drawn._repr_html_().startswith("<pre")


@pytest.mark.parametrize("output", ["text", "svg"])
def test_long_circuits_are_cut_off_with_a_note(output: str):
    c = Circuit(20).compose(Circuit(2).rx([0.1, 0.2], [0, 1]).cx(0, 1)).repeat(10_000)
    start = time.monotonic()
    drawn = str(c.draw(output))
    assert time.monotonic() - start < 5
    assert "The first 2,000 of 30,000 gates are drawn." in drawn
    assert drawn.count("RX(") == 1334 and MAX_GATES == 2_000


# errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, error, message",
    [
        (
            {"output": "latex"},
            ValueError,
            "output must be one of 'text', 'svg', 'mpl', but 'latex' was given",
        ),
        ({"output": None}, ValueError, "but None was given"),
        ({"fold": 0}, ValueError, "fold is a width in characters, or -1 for none, but 0"),
        ({"fold": "80"}, TypeError, "draw takes fold as an integer, but '80'"),
        ({"colour": 1}, TypeError, "colour"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Circuit(1).draw(**options)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'jaxsim-ensembles\[viz\]'"):
        Circuit(1).draw("mpl")
