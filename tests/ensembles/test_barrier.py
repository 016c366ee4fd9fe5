"""The merge barrier and the turns: plain state machines, event by event and against naive models."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.barrier import Barrier, BarrierClosedError, NotUnderWayError
from ensembles.turns import Turns


def barrier_of(programs, trigger=None):
    barrier = Barrier(trigger)
    barrier.enter(programs)
    return barrier


# the merge barrier ------------------------------------------------------------------------------------------


def test_everything_goes_when_all_have_submitted_in_order_of_arrival():
    barrier = barrier_of("abc")
    assert barrier.submit("c", "C", 1) == []
    assert barrier.submit("a", "A", 5) == []
    assert barrier.pending == ("C", "A")
    assert barrier.submit("b", "B", 1) == ["C", "A", "B"]
    assert barrier.pending == ()


def test_programs_in_flight_are_under_way():
    barrier = barrier_of("abc", trigger=2)
    assert barrier.submit("a", "A", 1) == []
    assert barrier.submit("b", "B", 1) == ["A", "B"]
    # Neither a nor b has come back, so c waits for them.
    assert barrier.submit("c", "C", 1) == []
    assert barrier.submit("a", "A2", 1) == ["C", "A2"]


def test_one_program_never_waits_for_itself():
    barrier = barrier_of("a")
    for k in range(5):
        assert barrier.submit("a", k, 1) == [k]


def test_a_program_that_submits_twice_counts_once():
    barrier = barrier_of("ab")
    assert barrier.submit("a", "first thread", 1) == []
    assert barrier.submit("a", "second thread", 1) == []
    assert barrier.submit("b", "B", 1) == ["first thread", "second thread", "B"]


def test_a_request_without_rows_waits_like_any_other():
    barrier = barrier_of("ab", trigger=2)
    assert barrier.submit("a", "A", 0) == []
    assert barrier.submit("b", "B", 0) == ["A", "B"]


def test_the_trigger_is_reached_by_rows_and_takes_all_that_is_pending():
    barrier = barrier_of(range(10), trigger=4)
    assert barrier.submit(0, "three", 3) == []
    assert barrier.submit(1, "six", 6) == ["three", "six"]  # nine rows: a trigger, not a cap
    assert barrier.submit(2, "eight", 8) == ["eight"]  # more than the trigger, in one


def test_the_trigger_is_not_reached():
    barrier = barrier_of("ab", trigger=100)
    assert barrier.submit("a", "A", 1) == []
    assert barrier.submit("b", "B", 1) == ["A", "B"]


@pytest.mark.parametrize(
    "programs, rows, trigger, sizes", [(32, 1, 8, [8] * 4), (8, 5, 10, [10] * 4), (8, 5, 12, [15, 15])]
)
def test_sizes_of_flushes(programs, rows, trigger, sizes):
    barrier = barrier_of(range(programs), trigger)
    flushes = [barrier.submit(p, p, rows) for p in range(programs)]
    assert [len(flush) * rows for flush in flushes if flush] == sizes
    # what is left over waits for those in flight, and goes when they leave
    left_over = [len(barrier.leave(p).flush) * rows for p in range(programs) if p not in barrier.pending]
    assert sum(sizes) + sum(left_over) == programs * rows


def test_whoever_leaves_releases_the_waiters():
    barrier = barrier_of("abc")
    barrier.submit("a", "A", 1)
    barrier.submit("b", "B", 1)
    assert barrier.leave("c") == (["A", "B"], [])
    assert barrier.under_way == {"a", "b"}


def test_leaving_with_nothing_pending_sends_nothing():
    barrier = barrier_of("ab")
    assert barrier.leave("a") == ([], [])
    assert barrier.leave("b") == ([], [])


def test_an_unknown_program_may_leave():
    barrier = barrier_of("ab")
    barrier.submit("a", "A", 1)
    assert barrier.leave("z") == ([], [])
    assert barrier.pending == ("A",)


def test_the_next_in_line_takes_the_lane_at_once():
    barrier = barrier_of("ab")
    barrier.submit("a", "A", 1)
    assert barrier.leave("b", "c") == ([], [])  # a waits for c now
    assert barrier.submit("c", "C", 1) == ["A", "C"]


def test_what_a_leaver_had_pending_is_dropped():
    barrier = barrier_of("abc", trigger=10)
    barrier.submit("a", "late", 9)
    barrier.submit("b", "B", 1 - 1)
    assert barrier.leave("a") == ([], ["late"])
    assert barrier.submit("b", "B2", 9) == []  # the dropped rows do not count
    assert barrier.submit("c", "C", 1) == ["B", "B2", "C"]


def test_strangers_and_those_who_left_are_refused():
    barrier = barrier_of("a")
    with pytest.raises(NotUnderWayError):
        barrier.submit("z", "Z", 1)
    barrier.leave("a")
    with pytest.raises(NotUnderWayError):
        barrier.submit("a", "A", 1)


def test_closing_hands_back_what_is_pending_and_refuses_the_rest():
    barrier = barrier_of("ab")
    barrier.submit("a", "A", 1)
    assert barrier.close() == ["A"]
    assert barrier.close() == []
    with pytest.raises(BarrierClosedError):
        barrier.submit("b", "B", 1)
    assert barrier.leave("a", "c") == ([], [])


KINDS = st.sampled_from(["submit", "submit", "submit", "leave", "replace"])
EVENTS = st.lists(st.tuples(KINDS, st.integers(0, 5), st.integers(0, 4)), max_size=60)


@given(EVENTS, st.integers(1, 6), st.none() | st.integers(1, 9))
def test_nothing_due_is_left_and_nothing_is_lost(events, lanes, trigger):
    """Against the rule as the contract words it, tested over lists."""
    barrier = barrier_of(range(lanes), trigger)
    under_way, pending, sent = set(range(lanes)), [], []
    newcomer = 100
    for number, (event, program, rows) in enumerate(events):
        if event == "submit":
            if program not in under_way:
                with pytest.raises(NotUnderWayError):
                    barrier.submit(program, number, rows)
                continue
            pending.append((program, number, rows))
            out = barrier.submit(program, number, rows)
        else:
            following = newcomer if event == "replace" and program in under_way else None
            out, dropped = barrier.leave(program, following)
            assert dropped == [n for p, n, _ in pending if p == program]
            pending = [entry for entry in pending if entry[0] != program]
            under_way.discard(program)
            sent += dropped
            if following is not None:
                under_way.add(following)
                newcomer += 1
        due = bool(pending) and (
            {p for p, _, _ in pending} == under_way
            or (trigger is not None and sum(r for _, _, r in pending) >= trigger)
        )
        assert out == ([n for _, n, _ in pending] if due else [])
        if due:
            pending = []
        sent += out
        assert barrier.under_way == under_way
        assert barrier.pending == tuple(n for _, n, _ in pending)
    sent += barrier.close()
    assert not [n for n, times in Counter(sent).items() if times > 1]


# turns ------------------------------------------------------------------------------------------------------


def test_one_program_runs_at_a_time():
    turns = Turns()
    for name in "abc":
        turns.line_up(name, name.upper())
    assert turns.next() == ["A"]
    assert turns.next() == []
    turns.pause("a")
    assert turns.next() == ["B"]
    turns.pause("b")
    turns.line_up("a", "A2")
    assert turns.next() == ["C"]
    turns.pause("c")
    assert turns.next() == ["A2"]
    assert not turns


def test_threads_of_a_program_go_together():
    turns = Turns()
    turns.line_up("a", "first thread")
    turns.line_up("b", "B")
    turns.line_up("a", "second thread")
    assert turns.next() == ["first thread", "second thread"]


def test_a_program_that_follows_in_a_lane_keeps_the_turn():
    turns = Turns()
    turns.line_up("a", "A")
    turns.next()
    turns.line_up("b", "B")
    turns.pause("a")
    turns.resume("following")
    assert turns.next() == []
    turns.pause("following")
    assert turns.next() == ["B"]


def test_who_takes_long_does_not_hold_up_the_rest():
    turns = Turns()
    for k in range(12):
        turns.line_up(k, k)
    assert turns.next() == [0]
    assert turns.hurry() == [1]
    assert turns.hurry() == [2, 3]
    assert turns.hurry() == [4, 5, 6, 7]
    turns.pause(7)  # things move again
    assert turns.next() == []  # 4, 5, 6 have just been let go
    assert turns.hurry() == [8]
    turns.pause(8)
    assert turns.next() == [9]  # and 0 to 6, who take long, are not waited for


@given(
    st.lists(st.tuples(st.sampled_from(["line", "pause", "next", "hurry"]), st.integers(0, 4)), max_size=50)
)
def test_everybody_in_line_gets_a_turn_once(events):
    turns, lined, served = Turns(), [], []
    for number, (event, program) in enumerate(events):
        if event == "line":
            turns.line_up(program, number)
            lined.append(number)
        elif event == "pause":
            turns.pause(program)
        else:
            served += getattr(turns, event)()
    for _ in range(10):
        served += turns.hurry()
    assert sorted(served) == lined
    assert not turns
