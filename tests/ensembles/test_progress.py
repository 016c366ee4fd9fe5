from __future__ import annotations

import io
import re
import sys
import threading
import time

import pytest
from rich.console import Console

from ensembles.progress import ProgressReporter, progress, progress_enabled


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain(monkeypatch):
    """No variable says anything of the terminal. (pytest resets sys.stderr after this: tests set it.)"""
    for name in ("ENSEMBLES_PROGRESS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_on_in_a_terminal(plain):
    plain.setattr(sys, "stderr", Terminal())
    assert progress_enabled() is True
    assert progress_enabled(None) is True


def test_off_where_nobody_watches(plain):
    plain.setattr(sys, "stderr", io.StringIO())
    assert progress_enabled() is False
    plain.setenv("FORCE_COLOR", "1")
    assert progress_enabled() is False


def test_off_in_a_terminal_that_can_not_move_its_cursor(plain):
    plain.setattr(sys, "stderr", Terminal())
    plain.setenv("TERM", "dumb")
    assert progress_enabled() is False


@pytest.mark.parametrize("value", ["0", "false", "False", "off", "NO", " 0 "])
def test_off_by_variable(plain, value):
    plain.setattr(sys, "stderr", Terminal())
    plain.setenv("ENSEMBLES_PROGRESS", value)
    assert progress_enabled() is False
    assert progress_enabled(True) is True


@pytest.mark.parametrize("value", ["1", "", "yes"])
def test_other_values_of_the_variable_leave_the_default(plain, value):
    plain.setattr(sys, "stderr", Terminal())
    plain.setenv("ENSEMBLES_PROGRESS", value)
    assert progress_enabled() is True
    assert progress_enabled(False) is False
    plain.setattr(sys, "stderr", io.StringIO())
    assert progress_enabled() is False


@pytest.mark.parametrize("flag", ["yes", 1, 0.0])
def test_flag_must_be_a_flag(flag):
    with pytest.raises(TypeError, match="progress must be True, False or None"):
        progress_enabled(flag)


def console():
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def shown(screen):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def test_bar_shows_programs_steps_and_calls():
    screen = console()
    with progress(40, 800, True, screen) as bar:
        bar.update(steps_done=100, programs_done=3, calls=5)
        bar.update(calls=6)
        assert isinstance(bar, ProgressReporter)
        deadline = time.monotonic() + 10
        while "6 calls" not in shown(screen) and time.monotonic() < deadline:
            time.sleep(0.02)
    text = shown(screen)
    assert "0/40 programs" in text and "3/40 programs" in text
    assert "100/800 steps, 6 calls" in text and "12%" in text
    assert re.search(r"0:00:\d\d", text)


def test_bar_is_gone_at_the_end():
    screen = console()
    with progress(1, 10, True, screen):
        pass
    assert screen.file.getvalue().endswith("\x1b[2K")  # erase the line


def test_many_updates_are_cheap_and_draw_little():
    screen = console()
    start = time.perf_counter()
    with progress(10, 20_000, True, screen) as bar:
        for step in range(2_000):
            bar.update(steps_done=step)
    draws = shown(screen).count("/20000 steps")
    assert draws < 3 + 5 * (time.perf_counter() - start) + 2


def test_nothing_is_left_after_an_error():
    before = set(threading.enumerate()), sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt), progress(1, 10, True, console()):
        raise KeyboardInterrupt
    assert (set(threading.enumerate()), sys.stdout, sys.stderr) == before


def test_disabled_bar_does_nothing():
    before = threading.active_count()
    screen = console()
    with progress(1, 10, False, screen) as bar:
        bar.update(steps_done=5, programs_done=1, calls=1)
        assert threading.active_count() == before
    assert screen.file.getvalue() == ""


def test_zero_steps_and_a_closed_terminal_do_no_harm():
    with progress(0, 0, True, console()) as bar:
        bar.update(steps_done=0)
    screen = console()
    with progress(1, 10, True, screen) as bar:
        screen.file.close()
        bar.update(steps_done=5)
