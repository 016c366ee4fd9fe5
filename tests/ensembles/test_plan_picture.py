"""The picture of a plan against plans worked out by hand, by what is drawn and not by pixels."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from ensembles import VQE, BatchConfig, ProgramEnsemble, adam, scipy_minimize
from ensembles.plan_picture import plot_plan
from jaxsim import Circuit, ParameterVector, X, Z


def circuit(n):
    theta = ParameterVector("theta", n)
    made = Circuit(n)
    for q in range(n):
        made.ry(theta[q], q)
    return made


CIRCUITS = {n: circuit(n) for n in (2, 10)}


def vqe(n=10, steps=10):
    """Blocks: 32 rows for 2 qubits, 16 for 10; alone 2 and 1."""
    return VQE(CIRCUITS[n], Z(0) + 0.5 * X(1), optimizer=adam(0.1), steps=steps, engine="layered")


def picture(programs, config=None, **options):
    plan = ProgramEnsemble(programs).plan(config)
    return plan, plot_plan(plan, **options)


def drawn(axes):
    """How many artists there are of each kind."""
    return Counter(artist.get_gid() for artist in [*axes.patches, *axes.lines])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_three_programs_worked_out_by_hand(tmp_path):
    # Two of 2 qubits share calls of one block; one of 10 qubits runs alone. 100 steps are 101 evaluations: two calls of
    # 64 and 37; 10 steps are one.
    plan, figure = picture({"a": vqe(2, 100), "b": vqe(2, 100), "c": vqe(10, 10)}, path=tmp_path / "plan.png")
    lanes, calls = figure.axes
    assert (plan.flushes, plan.calls) == (2, 3)
    assert drawn(lanes) == {"lane": 5}  # a, b, c in the first flush, a and b in the second
    assert texts(lanes) == ["a", "b", "c"]
    assert drawn(calls) == {"call": 3, "row": 5, "padding": 2}
    assert [t for t in texts(calls) if "padding" not in t] == ["a", "b", "c", "a", "b"]
    assert texts(calls).count("30 rows of padding") == 2
    assert ticks(calls) == ["1", "2"] and calls.get_xlabel() == "flush"
    assert (
        lanes.get_title()
        == "3 programs, 2 groups, 3 lanes, merged\n2 flushes, 3 calls, 3 blocks, 2 compilations"
    )
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == 3 and "2 programs" in labels[0] and "blocks of 32 rows" in labels[0]
    assert labels[-1] == "padding (60 rows in all)"
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_groups_have_colours_of_their_own():
    _, figure = picture({"a": vqe(2), "b": vqe(10), "c": vqe(2)})
    lanes, calls = figure.axes
    colours = [patch.get_facecolor() for patch in lanes.patches]
    by_lane = dict(zip([round(p.get_y()) for p in lanes.patches], colours, strict=True))
    where = dict(zip(texts(lanes), by_lane, strict=True))
    assert by_lane[where["a"]] == by_lane[where["c"]] != by_lane[where["b"]]
    rows = [p.get_facecolor() for p in calls.patches if p.get_gid() == "row"]
    named = dict(zip([t for t in texts(calls) if "padding" not in t], rows, strict=True))
    assert named == {name: by_lane[where[name]] for name in "abc"}


def test_flushes_that_are_alike_are_one_column():
    plan, figure = picture({"a": vqe(2, 1000), "b": vqe(2, 100)})
    # 1001 evaluations: 16 calls; b is in the first two of them.
    assert plan.flushes == 16
    assert ticks(figure.axes[1]) == ["1 to 2", "3 to 16"]
    assert drawn(figure.axes[1])["call"] == 2


def test_a_batch_size_cuts_walks_and_lanes_are_refilled():
    plan, figure = picture(
        {k: vqe(10, 10) for k in range(5)}, BatchConfig(max_batch_size=2, max_concurrent_programs=2)
    )
    lanes = figure.axes[0]
    # Two lanes: 0 and 1, then 2 and 3, then 4 in the first lane.
    assert plan.flushes == 3 and texts(lanes) == ["0", "1", "2", "3", "4"]
    assert [round(p.get_y()) for p in lanes.patches] == [0, 1, 0, 1, 0]
    assert [int(p.get_x()) for p in lanes.patches] == [0, 0, 1, 1, 2]
    _, figure = picture(
        {k: vqe(10, 10) for k in range(5)}, BatchConfig(max_batch_size=2, max_concurrent_programs=4)
    )
    # A walk along four lanes is two flushes, so who submits in the second sits in the third and fourth lanes.
    assert [(int(p.get_x()), round(p.get_y())) for p in figure.axes[0].patches] == [
        (0, 0), (0, 1), (1, 2), (1, 3), (2, 0)
    ]  # fmt: skip


def test_blocks_of_large_calls():
    plan, figure = picture({k: vqe(10, 10) for k in range(35)})
    calls = figure.axes[1]
    # 35 rows in blocks of 16 are three, with 13 rows of padding.
    assert (plan.blocks, plan.padded_rows) == (3, 13)
    assert drawn(calls) == {"call": 1, "row": 35, "padding": 1, "block": 2}
    (frame,) = [p for p in calls.patches if p.get_gid() == "call"]
    (padding,) = [p for p in calls.patches if p.get_gid() == "padding"]
    assert (frame.get_height(), padding.get_y(), padding.get_height()) == (48, 35, 13)
    assert sorted(line.get_ydata()[0] for line in calls.lines) == [16, 32]


def test_two_thousand_programs_are_summarised():
    base = [vqe(2, 200), vqe(10, 200)]
    plan, figure = picture({k: base[k % 2] for k in range(2000)})
    lanes, calls = figure.axes
    assert plan.lanes == 256
    assert drawn(lanes)["lane"] == 0 and drawn(calls)["row"] == 0
    # 201 evaluations are four calls; eight times 256 lanes, taken group by group, or one group after the other.
    assert ticks(calls)[0] == "1 to 4" and plan.flushes == 32
    heights = [p.get_height() for p in calls.patches if p.get_gid() == "rows"]
    assert sum(heights) == 2000 and drawn(calls)["rows"] == drawn(calls)["call"] == drawn(lanes)["lanes"]
    assert sum(p.get_height() for p in lanes.patches if int(p.get_x()) == 0) == 256
    assert len(figure.findobj()) < 2000


def test_of_many_flushes_the_first_are_drawn():
    plan, figure = picture({k: vqe(10, 100) for k in range(20)}, BatchConfig("off"))
    calls = figure.axes[1]
    assert plan.flushes == 40 and len(ticks(calls)) == 12
    assert calls.get_xlabel() == "flush (the first 12 of 40)"


def test_many_groups_in_the_legend():
    programs = {
        n: VQE(circuit(n), Z(0), optimizer=adam(0.1), steps=5, engine="layered") for n in range(1, 12)
    }
    _, figure = picture(programs)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 10 and labels[8] == "... 3 more groups"


def test_hosted_groups_have_a_part_of_their_own():
    hosted = {
        f"h{k}": VQE(CIRCUITS[2], Z(0), optimizer=scipy_minimize("COBYLA", maxiter=5)) for k in range(3)
    }
    plan, figure = picture({**hosted, "c": vqe(2)})
    lanes, calls, shared = figure.axes
    assert texts(lanes) == ["c"] and "c" in texts(calls)
    assert drawn(shared) == {"call": 1, "row": 3, "padding": 1}
    assert [t for t in texts(shared) if "padding" not in t] == ["h0", "h1", "h2"]
    assert shared.get_xlabel() == "hosted groups: who shares a call when submitting together"
    plan, figure = picture(hosted)
    assert plan.hosted == 3 and len(figure.axes) == 1
    assert figure.axes[0].get_title() == "3 programs, 1 group, 3 lanes, merged"


def test_long_names_and_dollars():
    _, figure = picture({"a rather long name of a program, " * 4: vqe(2), "$x_1$": vqe(2)}, title="mine")
    assert figure.axes[0].get_title() == "mine"
    shown = texts(figure.axes[0])
    assert shown[0].endswith("…") and len(shown[0]) <= 90 and shown[1] == r"\$x_1\$"


def test_without_matplotlib(monkeypatch):
    plan = ProgramEnsemble([vqe(2)]).plan()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ImportError, match=r"Plan.plot needs matplotlib: pip install 'jaxsim-ensembles\[viz\]'"
    ):
        plan.plot()


def test_matplotlib_stays_as_it_was():
    code = """
import sys, matplotlib
from ensembles import VQE, ProgramEnsemble, adam
from jaxsim import Circuit, Parameter, Z
before = matplotlib.rcParams.copy()
ProgramEnsemble([VQE(Circuit(1).ry(Parameter("a"), 0), Z(0), optimizer=adam(0.1), steps=1)]).plan().plot()
assert "matplotlib.pyplot" not in sys.modules and matplotlib.rcParams.copy() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
