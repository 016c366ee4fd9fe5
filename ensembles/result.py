"""What a run returns: `ProgramResult`, `EnsembleResult`, `Stats`, and `EnsembleError` if programs failed."""

from __future__ import annotations

import difflib
import math
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from ensembles.names import Name, display_name
from ensembles.table import html_table, text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STATUSES", "EnsembleError", "EnsembleResult", "ProgramResult", "Stats"]

STATUSES = ("completed", "converged", "failed", "cancelled")
"""All steps done; stopped by its own rule; ended by `error`; cut short from outside."""

_MOST_NAMED_FAILURES = 20


@dataclass(frozen=True, eq=False, repr=False)
class ProgramResult:
    """What one program found. Equal if all numbers have equal bits.

    Attributes:
        name: the program's name.
        value: the lowest loss seen; NaN if none was.
        parameters: where it was seen.
        history: history[t] is the loss before update t; length = steps done.
        status: "completed", "converged", "failed" or "cancelled".
        error: the exception of a failed program, else None.
        evaluations: rows (state preparations) used.
        final_value: loss after the last step.
        final_parameters: parameters after the last step.
        steps: optimiser steps done.
        extra: more entries, readable as attributes (QAOA: solution, cut, ratio).

    Example:
        >>> r = ProgramResult("r=0.74", -1.13, np.zeros(3), [-1.1, -1.13], "completed", extra={"ratio": 0.9})
        >>> r.ratio
        0.9
    """

    name: Name
    value: float
    parameters: Any
    history: Float[np.ndarray, " steps"] = field(default_factory=lambda: np.zeros(0))
    status: str = "completed"
    error: Exception | None = None
    evaluations: int = 0
    final_value: float = math.nan
    final_parameters: Any = None
    steps: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(
                f"ProgramResult: status must be one of {', '.join(STATUSES)}, but {self.status!r} was given."
            )
        taken = {f.name for f in fields(self)}.intersection(self.extra)
        if taken:
            raise ValueError(
                f"ProgramResult: the extra entries {sorted(taken)} have the names of fields; choose others."
            )
        object.__setattr__(self, "history", np.asarray(self.history))
        object.__setattr__(self, "extra", dict(self.extra))

    def __getattr__(self, name: str) -> Any:
        # Through __dict__: while an object is being unpickled there is no `extra` yet.
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        known = [f.name for f in fields(self)] + list(extra)
        raise AttributeError(f"ProgramResult has no attribute {name!r}; it has {', '.join(known)}.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.extra]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProgramResult):
            return NotImplemented
        mine, theirs = ({**vars(r), "error": _error_text(r.error)} for r in (self, other))
        return _same_bits(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "error": _portable(self.error)}

    def __repr__(self) -> str:
        shown = [
            f"{self.name!r}",
            f"value={self.value:.8g}",
            f"status={self.status!r}",
            f"steps={self.steps}",
        ]
        shown += [f"evaluations={self.evaluations}"]
        shown += [f"{key}={_number_text(entry)}" for key, entry in self.extra.items() if _is_number(entry)]
        if self.error is not None:
            shown.append(f"error={_error_text(self.error)!r}")
        return f"ProgramResult({', '.join(shown)})"


@dataclass(frozen=True)
class Stats:
    """What a run did.

    Attributes:
        calls: compiled calls made.
        blocks: blocks of rows in them.
        rows: rows that programs asked for.
        padded_rows: rows computed in addition, to fill blocks.
        flushes: times that pending rows were sent off.
        groups: different merge keys.
        compilations: backend compilations during the run, as `jax.monitoring` reports them.
        compile_seconds: time they took.
        run_seconds: time of the whole run without compilations.
        largest_call: rows in the largest call.
        evaluations: rows (state preparations) that programs used up, failed programs included.
    """

    calls: int = 0
    blocks: int = 0
    rows: int = 0
    padded_rows: int = 0
    flushes: int = 0
    groups: int = 0
    compilations: int = 0
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    largest_call: int = 0
    evaluations: int = 0

    def __str__(self) -> str:
        padding = f" and {self.padded_rows} of padding" if self.padded_rows else ""
        return (
            f"{counted(self.calls, 'call')} in {counted(self.flushes, 'flush')} for "
            f"{counted(self.groups, 'group')}: {counted(self.rows, 'row')}{padding} in "
            f"{counted(self.blocks, 'block')}, largest call {counted(self.largest_call, 'row')}; "
            f"{counted(self.evaluations, 'evaluation')}; {counted(self.compilations, 'compilation')} in "
            f"{self.compile_seconds:.2f} s, run {self.run_seconds:.2f} s"
        )


class EnsembleResult(Mapping[Name, ProgramResult]):
    """The results of an ensemble: a mapping from names to `ProgramResult`, in the order of the programs.

    Printing it shows a table. Equal to another one if all program results are.

    Args:
        results: one `ProgramResult` a program.
        stats: what the run did.

    Example:
        >>> result = EnsembleResult([ProgramResult("a", -1.0, None), ProgramResult("b", -2.0, None)])
        >>> len(result), result["a"].value, result.best().name
        (2, -1.0, 'b')
    """

    def __init__(self, results: Iterable[ProgramResult], stats: Stats | None = None) -> None:
        results = list(results)
        self._results = {result.name: result for result in results}
        if len(self._results) != len(results):
            twice = [name for name, count in Counter(r.name for r in results).items() if count > 1]
            raise ValueError(
                f"EnsembleResult: two results have the name {twice[0]!r}; names must be different."
            )
        self.stats = Stats() if stats is None else stats

    def __getitem__(self, name: Name) -> ProgramResult:
        try:
            return self._results[name]
        except KeyError:
            raise KeyError(f"No program is named {name!r}.{self._suggestion(name)}") from None

    def _suggestion(self, name: Any) -> str:
        if not self._results:
            return " The result is empty."
        shown = {display_name(known): known for known in self._results}
        close = difflib.get_close_matches(str(name), shown, n=3, cutoff=0.5) or list(shown)[:3]
        return f" Names are for example {', '.join(repr(shown[text]) for text in close)}."

    def __iter__(self) -> Iterator[Name]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def best(self) -> ProgramResult:
        """The result with the lowest value; failed programs and NaN are left out, the first wins a tie.

        Errors: ValueError if no program is left.
        """
        eligible = [r for r in self.values() if r.status != "failed" and not math.isnan(r.value)]
        if not eligible:
            raise ValueError(
                f"EnsembleResult: none of {counted(len(self), 'program')} has a value to compare. `.failed()` "
                f"holds the failed ones with their errors."
            )
        return min(eligible, key=lambda r: r.value)

    def failed(self) -> dict[Name, ProgramResult]:
        """The failed programs: name -> `ProgramResult`, whose `error` says why."""
        return {name: result for name, result in self.items() if result.status == "failed"}

    def plot(
        self,
        path: str | Path | None = None,
        *,
        exact: float | Mapping[Name, float] | None = None,
        log: bool | None = None,
        max_lines: int = 12,
        title: str | None = None,
    ) -> Figure:
        """Convergence: loss over steps.

        One line a program up to `max_lines` programs; above that the median with a band from the 10 % to the
        90 % quantile, in which a program that has ended keeps its last loss.

        Args:
            path: where to save the picture; the suffix (.png, .pdf, .svg) says how.
            exact: known optimum, one for all or name -> value; the distance to it is shown.
            log: logarithmic loss axis; default: only with `exact`.
            max_lines: most programs drawn one by one.
            title: text above the picture.

        Returns:
            a matplotlib Figure; nothing of matplotlib's global state changes.

        Errors: ImportError without matplotlib; ValueError if no program has a history.
        """
        from ensembles.convergence import plot_convergence

        return plot_convergence(self, path, exact=exact, log=log, max_lines=max_lines, title=title)

    def _summary(self) -> str:
        statuses = Counter(r.status for r in self.values())
        counts = ", ".join(f"{statuses[status]} {status}" for status in STATUSES if statuses[status])
        try:
            best = self.best()
        except ValueError:
            return f"{counted(len(self), 'program')}: {counts}" if counts else counted(len(self), "program")
        programs = counted(len(self), "program")
        return f"{programs}: {counts}; best {display_name(best.name)!r} with {best.value:.8g}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Column heads and a row of text for every program."""
        results = list(self.values())
        extras = list(
            dict.fromkeys(key for r in results for key, entry in r.extra.items() if _is_number(entry))
        )
        with_error = any(r.error is not None for r in results)
        heads = [
            "program",
            "value",
            *extras,
            "status",
            "steps",
            "evaluations",
            *(["error"] if with_error else []),
        ]
        rows = []
        for r in results:
            row = [display_name(r.name), f"{r.value:.8g}"]
            row += [_number_text(r.extra[key]) if _is_number(r.extra.get(key)) else "" for key in extras]
            row += [r.status, str(r.steps), str(r.evaluations)]
            rows.append([*row, _error_text(r.error)] if with_error else row)
        return heads, rows

    def __str__(self) -> str:
        return f"{text_table(*self._table())}\n{self._summary()}\n{self.stats}"

    def __repr__(self) -> str:
        return f"EnsembleResult({self._summary()})"

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=(self._summary(), str(self.stats)))


class EnsembleError(RuntimeError):
    """Some programs of an ensemble failed; raised at the end of a run with on_error="raise".

    Attributes:
        result: the full `EnsembleResult`, with what the other programs found.
    """

    def __init__(self, result: EnsembleResult) -> None:
        self.result = result
        failed = result.failed()
        lines = [f"{counted(len(failed), 'program')} of {len(result)} failed:"]
        lines += [
            f"  {name!r}: {_error_text(r.error)}" for name, r in list(failed.items())[:_MOST_NAMED_FAILURES]
        ]
        if len(failed) > _MOST_NAMED_FAILURES:
            lines.append(f"  ... and {len(failed) - _MOST_NAMED_FAILURES} more")
        lines.append(
            'The result of all programs is in `.result`; run(on_error="collect") returns it instead.'
        )
        super().__init__("\n".join(lines))
        # The traceback of the first failure is then shown above this one.
        self.__cause__ = next((r.error for r in failed.values() if r.error is not None), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return (EnsembleError, (self.result,))


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 call, 2 flushes."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('sh') else 's'}"


def _is_number(entry: Any) -> bool:
    return isinstance(entry, (int, float, np.integer, np.floating)) and not isinstance(entry, bool)


def _number_text(entry: Any) -> str:
    return f"{entry:.6g}" if isinstance(entry, (float, np.floating)) else str(entry)


def _error_text(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"


def _portable(error: Exception | None) -> Exception | None:
    """The error, or a RuntimeError with its text if it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(_error_text(error))
    return error


def _same_bits(a: Any, b: Any) -> bool:
    leaves_a, tree_a = jax.tree.flatten(a)
    leaves_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(map(_same_leaf, leaves_a, leaves_b))


def _same_leaf(a: Any, b: Any) -> bool:
    x, y = np.asarray(a), np.asarray(b)
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
