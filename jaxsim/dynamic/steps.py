"""A program as a list of steps with jumps, so that where a branch is, is a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxsim.classical import Condition
from jaxsim.dynamic.program import Choice, Loop, Measurement, Operation, Segment

__all__ = ["Again", "Jump", "Step", "Test", "flat"]


class Test(NamedTuple):
    """On to the next step if the condition holds, else to another."""

    condition: Condition
    otherwise: int


class Jump(NamedTuple):
    """On to another step."""

    to: int


class Again(NamedTuple):
    """Into the body of a loop, which comes next, or behind it.

    Attributes:
        condition: whether to repeat the body.
        loop: which of the program's loops this is.
        limit: the most times.
        behind: the step behind the loop.
    """

    condition: Condition
    loop: int
    limit: int
    behind: int


Step = Segment | Measurement | Test | Jump | Again


def flat(operations: Sequence[Operation]) -> tuple[list[Step], int]:
    """The steps of a program, and how many loops it has."""
    steps: list[Any] = []
    loops = 0

    def add(operations: Sequence[Operation]) -> None:
        nonlocal loops
        for operation in operations:
            start = len(steps)
            match operation:
                case Choice(condition, then, otherwise):
                    steps.append(None)
                    add(then)
                    leave = len(steps)
                    steps.extend([None] if otherwise else [])
                    steps[start] = Test(condition, len(steps))
                    add(otherwise)
                    if otherwise:
                        steps[leave] = Jump(len(steps))
                case Loop(condition, body, limit):
                    loop, loops = loops, loops + 1
                    steps.append(None)
                    add(body)
                    steps.append(Jump(start))
                    steps[start] = Again(condition, loop, limit, len(steps))
                case _:
                    steps.append(operation)

    add(operations)
    return steps, loops
