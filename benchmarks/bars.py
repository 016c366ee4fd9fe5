"""What is to be shown: the table of bars, and how a bar is read off the records of a run.

A record is what the worker printed, with the round it was measured in; a ratio is the peer's time over ours in the same
round, and what counts is the median over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contestants import OURS, QSIM

Record = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """A quantity and its bound.

    Attributes:
        title: how tables call it.
        workload: a row of the table of workloads.
        quantity: "warm" or "first", in seconds, or the name of a figure.
        peers: the fastest of these over us; none: our own number.
        over: our own number divided by that of this workload.
        at_least, at_most: the bound; neither: for information.
        aim: what would be better still.
    """

    title: str
    workload: str
    quantity: str = "warm"
    peers: tuple[str, ...] = ()
    over: str = ""
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether it is a ratio, not a number with a unit."""
        return bool(self.peers or self.over)


JAX_PEERS = ("tensorcircuit", "pennylane", "qujax")

BARS: tuple[Bar, ...] = (
    Bar("64 sets, vs tensorcircuit-ng", "ensemble", peers=("tensorcircuit",), at_least=4, aim=10),
    Bar("64 different circuits, vs tensorcircuit-ng", "different", peers=("tensorcircuit",), at_least=3.5),
    Bar("64 sets, vs qulacs", "ensemble", peers=("qulacs",), at_least=8),
    Bar("64 sets, vs PennyLane default.qubit", "ensemble", peers=("pennylane",), at_least=8),
    Bar("64 sets cold, vs tensorcircuit-ng", "ensemble", "first", ("tensorcircuit",), at_least=25),
    Bar("64 sets cold, seconds", "ensemble", "first", at_most=1.2),
    Bar("a second circuit, milliseconds", "second", "milliseconds", at_most=20),
    Bar("a second circuit, compilations", "second", "compilations", at_most=0),
    Bar("single set, vs the fastest peer", "single", peers=(*JAX_PEERS, "qulacs", "lightning"), at_least=2),
    Bar("on top of the bare kernel, microseconds", "overhead", "on_top_of_kernel_microseconds", at_most=30),
    Bar("64 sparse circuits, vs qulacs", "sparse", peers=("qulacs",), at_least=3),
    Bar("forward n=20, vs qsim", "forward-20", peers=QSIM, at_least=0.9, aim=1.2),
    Bar("forward n=24, vs lightning.qubit", "forward-24", peers=("lightning",), at_least=1.2),
    Bar("forward n=24, vs qsim", "forward-24", peers=QSIM, aim=1),
    Bar("gradient n=20, vs lightning.qubit", "gradient-20", peers=("lightning",), at_least=3),
    Bar("gradient n=24, planned memory in states", "memory-4", "planned_states", at_most=7, aim=4),
    Bar("gradient n=24, resident memory in states", "memory-4", "resident_states", at_most=7, aim=4),
    Bar("planned memory, L=32 over L=4", "memory-32", "planned_states", over="memory-4", at_most=1.1),
    Bar("resident memory, L=32 over L=4", "memory-32", "resident_states", over="memory-4", at_most=1.1),
    Bar("compile time, L=64 over L=4", "compile-64", "compile_seconds", over="compile-4", at_most=1.1),
    Bar("lowering 80 gates, milliseconds", "lowering", "lowering_milliseconds", at_most=5),
    Bar("QAOA, vs the faster peer with diagonals", "qaoa", peers=("tensorcircuit", "pennylane"), at_least=3),
    Bar("UCCSD of H4, vs lightning.qubit", "uccsd-h4", peers=("lightning",), at_least=5),
    Bar("UCCSD of LiH, vs lightning.qubit", "uccsd-lih", peers=("lightning",), at_least=5),
)


def quantities(records: Iterable[Record], workload: str, contestant: str, quantity: str) -> dict[int, float]:
    """A quantity by round."""
    return {
        record["round"]: value
        for record in records
        if record["workload"] == workload
        and record["contestant"] == contestant
        and (value := record.get("figures", record).get(quantity)) is not None
    }


def ratio(above: Iterable[dict[int, float]], below: dict[int, float]) -> float | None:
    """The median over the rounds of the least of `above` over `below`."""
    above = [by_round for by_round in above if by_round]
    rounds = [k for k in below if below[k] and all(k in by_round for by_round in above)]
    if not above or not rounds:
        return None
    return statistics.median(min(by_round[k] for by_round in above) / below[k] for k in rounds)


def reached(bar: Bar, records: Sequence[Record]) -> float | None:
    """What was reached; None where the run has nothing on it."""
    ours = quantities(records, bar.workload, OURS, bar.quantity)
    if bar.peers:
        return ratio((quantities(records, bar.workload, peer, bar.quantity) for peer in bar.peers), ours)
    if bar.over:
        return ratio([ours], quantities(records, bar.over, OURS, bar.quantity))
    return statistics.median(ours.values()) if ours else None


def verdict(bar: Bar, value: float | None) -> str:
    """ "reached", "missed", "not measured", or "" for what has no bound."""
    if value is None:
        return "not measured"
    if bar.at_least is None and bar.at_most is None:
        return ""
    low = bar.at_least if bar.at_least is not None else float("-inf")
    high = bar.at_most if bar.at_most is not None else float("inf")
    return "reached" if low <= value <= high else "missed"


def bound(bar: Bar) -> str:
    """The bound in words."""
    unit = " x" if bar.is_ratio else ""
    texts = [
        f"{sign} {number:g}{unit}"
        for sign, number in ((">=", bar.at_least), ("<=", bar.at_most), ("aim", bar.aim))
        if number is not None
    ]
    return ", ".join(texts)
