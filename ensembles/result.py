"""What a run returns: `ProgramResult`, `EnsembleResult`, `Stats`, and `EnsembleError` if programs failed."""

from __future__ import annotations

import difflib
import math
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ensembles.name_fields import GroupBy, NumberOf
from ensembles.names import Name, display_name
from ensembles.saved import error_type, load_result, save_result
from ensembles.table import MOST_ROWS, cut_rows, html_table, shortened, text_table

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure

__all__ = ["STATUSES", "EnsembleError", "EnsembleResult", "ProgramResult", "Stats"]

STATUSES = ("completed", "converged", "failed", "cancelled")
"""All steps done; stopped by its own rule; ended by `error`; cut short from outside."""

_MOST_NAMED_FAILURES = 20
_TEXT_COLUMNS = ("program", "status", "error")


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
        seconds: its share of the time that calls took, each row of a call having an equal one; not compared.

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
    seconds: float = 0.0

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
        mine, theirs = ({**vars(r), "error": error_text(r.error), "seconds": None} for r in (self, other))
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
            shown.append(f"error={error_text(self.error)!r}")
        return f"ProgramResult({', '.join(shown)})"


@dataclass(frozen=True)
class Stats:
    """What a run did. Of a run that goes on from a checkpoint, evaluations are those of all runs together, everything
    else is that of the last one.

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
        computed: evaluations that compiled calls made, those of padding and of places whose program had ended included.
        call_seconds: time of the run in which the host waited for compiled calls, their compilation included.
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
    computed: int = 0
    call_seconds: float = 0.0

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

    # pictures -----------------------------------------------------------------------------------------

    def plot(
        self,
        path: str | Path | None = None,
        *,
        group_by: GroupBy | None = None,
        exact: float | Mapping[Name, float] | None = None,
        log: bool | None = None,
        max_lines: int = 12,
        title: str | None = None,
    ) -> Figure:
        """Convergence: loss over steps.

        One line a program up to `max_lines` programs; above that the median with a band from the 10 % to the
        90 % quantile, in which a program that has ended keeps its last loss. With `group_by` a median and a band for
        each group. Programs that have not done a step have no line.

        Args:
            path: where to save the picture; the suffix (.png, .pdf, .svg) says how.
            group_by: a field of the names, as `sweep` writes them ("learning_rate"); or a function of a name, or
                name -> group. Up to 20 groups.
            exact: known optimum, one for all or name -> value; the distance to it is shown.
            log: logarithmic loss axis; default: only with `exact`.
            max_lines: most programs drawn one by one.
            title: text above the picture.

        Returns:
            a matplotlib Figure; nothing of matplotlib's global state changes.

        Errors: ImportError without matplotlib; TypeError, ValueError if no program has a history, for a field that
        the names lack, for too many groups.

        Example:
            >>> results = [ProgramResult(f"rate=0.1,seed={k}", 0.0, None, [1.0, 0.5 * k]) for k in range(5)]
            >>> [line.get_label() for line in EnsembleResult(results).plot(group_by="rate").axes[0].lines]
            ['0.1 (5)']
        """
        from ensembles.convergence import plot_convergence

        return plot_convergence(
            self, path, group_by=group_by, exact=exact, log=log, max_lines=max_lines, title=title
        )

    def plot_curve(
        self,
        x: NumberOf,
        path: str | Path | None = None,
        *,
        y: str | Callable[[ProgramResult], float] = "value",
        group_by: GroupBy | None = None,
        reduce: str = "median",
        exact: float | Callable[[float], float] | Mapping[Any, float] | None = None,
        log: bool = False,
        xlabel: str | None = None,
        ylabel: str | None = None,
        title: str | None = None,
    ) -> Figure:
        """A curve through the programs: a number of each result over a number of each program.

        Several programs at one x (random starts) become their median with a band from the 10 % to the 90 % quantile,
        or whatever `reduce` says. Programs without a finite y are counted in the legend.

        Args:
            x: a field of the names, as `sweep` writes them ("bond_length"); or a function of a name, or
                name -> number.
            path: where to save the picture; the suffix (.png, .pdf, .svg) says how.
            y: an attribute of the results ("value", "ratio", ...), or a function of a result.
            group_by: a curve for each group, as for `plot`.
            reduce: "median", "mean", "min" or "max".
            exact: what y should be: one number, a function of x, or a mapping from names or from x; drawn as a
                line, and the distances to it below.
            log: logarithmic y axis.
            xlabel, ylabel, title: text.

        Returns:
            a matplotlib Figure; nothing of matplotlib's global state changes.

        Errors: ImportError without matplotlib; TypeError, ValueError if there is nothing to draw, for a field that the
        names lack, an x that is no finite number, an unknown `reduce`.

        Example:
            >>> results = [ProgramResult(f"r={r},seed={k}", r**2 + k, None) for r in (1.0, 2.0) for k in range(3)]
            >>> figure = EnsembleResult(results).plot_curve("r", reduce="min")
            >>> figure.axes[0].lines[0].get_xydata().tolist()
            [[1.0, 1.0], [2.0, 4.0]]
        """
        from ensembles.curves import plot_curve

        return plot_curve(
            self, x, path, y=y, group_by=group_by, reduce=reduce, exact=exact, log=log, xlabel=xlabel,
            ylabel=ylabel, title=title,
        )  # fmt: skip

    # files and other libraries ------------------------------------------------------------------------

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a program.

        Columns: `name`; the fields of the names ("learning_rate", "seed"; the parts of tuples are "name[0]", ...; one
        called like another column becomes "name.steps"); `value`, `final_value`, `status`, `steps`, `evaluations`,
        `seconds`; all extra entries that are numbers, text, True or False; `error` as text, None where there is none.

        Errors: ImportError without pandas.
        """
        from ensembles.data_frame import data_frame

        return data_frame(self)

    def save(self, path: str | Path) -> None:
        """Writes everything into a file, a zip archive of JSON and NumPy arrays (`ensembles.saved` describes it).

        Numbers keep all their bits; an error keeps its class's name and its text. A file of that name is replaced, once
        the new one is complete.

        Args:
            path: any name; its directory has to exist.

        Errors: TypeError for entries that have no place in such a file, before anything is written; OSError where the
        system refuses.

        Example:
            >>> import tempfile
            >>> result = EnsembleResult([ProgramResult("a", float("nan"), np.zeros(2), extra={"solution": "01"})])
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     result.save(f"{directory}/night.result")
            ...     EnsembleResult.load(f"{directory}/night.result") == result
            True
        """
        save_result(path, list(self.values()), self.stats)

    @classmethod
    def load(cls, path: str | Path) -> EnsembleResult:
        """Reads what `save` wrote. Nothing in the file is executed.

        Errors: FileNotFoundError; ValueError for a damaged file, one of a later format, or another kind of file.
        """
        return cls(*load_result(path))

    # as text ------------------------------------------------------------------------------------------

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
        timed = any(r.seconds for r in results)
        heads = [
            "program",
            "value",
            *extras,
            "status",
            "steps",
            "evaluations",
            *(["seconds"] if timed else []),
            *(["error"] if with_error else []),
        ]
        rows = []
        for r in results:
            row = [display_name(r.name), f"{r.value:.8g}"]
            row += [_number_text(r.extra[key]) if _is_number(r.extra.get(key)) else "" for key in extras]
            row += [r.status, str(r.steps), str(r.evaluations), *([f"{r.seconds:.3g}"] if timed else [])]
            rows.append([*row, error_text(r.error)] if with_error else row)
        return heads, rows

    def table(self, max_rows: int | None = None) -> str:
        """The table as text, one line a program, as `print` shows it.

        Args:
            max_rows: of more programs than these only the first and the last, at least 2; None: all.
        """
        if max_rows is not None and max_rows < 2:
            raise ValueError(
                f"table: max_rows must be at least 2, or None for all, but {max_rows} was given."
            )
        return text_table(*self._table(), max_rows=max_rows)

    def __str__(self) -> str:
        return "\n".join((self.table(MOST_ROWS), *self._notes()))

    def __rich__(self) -> Any:
        from rich.console import Group as Lines
        from rich.table import Table
        from rich.text import Text

        heads, rows = self._table()
        table = Table(title=None)
        for heading in heads:
            table.add_column(heading, justify="left" if heading in _TEXT_COLUMNS else "right")
        for row in cut_rows(rows, MOST_ROWS):
            table.add_row(*(Text(shortened(text)) for text in row))
        # Text and not str: a name such as "p[red]" is no markup.
        return Lines(table, *map(Text, self._notes()))

    def _notes(self) -> tuple[str, str]:
        """What stands below the table."""
        cut = f" ({MOST_ROWS} shown; all: result.table())" if len(self) > MOST_ROWS else ""
        return self._summary() + cut, str(self.stats)

    def __repr__(self) -> str:
        return f"EnsembleResult({self._summary()})"

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=self._notes())


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
            f"  {name!r}: {error_text(r.error)}" for name, r in list(failed.items())[:_MOST_NAMED_FAILURES]
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


def error_text(error: BaseException | None) -> str:
    return "" if error is None else f"{error_type(error)}: {error}"


def _portable(error: Exception | None) -> Exception | None:
    """The error, or a RuntimeError with its text if it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(error_text(error))
    return error


def _same_bits(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        # Not as a pytree: JAX sorts keys, which need not compare.
        ordered = not isinstance(a, OrderedDict) or list(a) == list(b)
        return (
            type(a) is type(b) and ordered and a.keys() == b.keys() and all(_same_bits(a[k], b[k]) for k in a)
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same_bits, a, b))
    leaves_a, tree_a = jax.tree.flatten(a)
    leaves_b, tree_b = jax.tree.flatten(b)
    return tree_a == tree_b and all(map(_same_leaf, leaves_a, leaves_b))


def _same_leaf(a: Any, b: Any) -> bool:
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype == object or y.dtype == object:  # whose bytes are addresses
        return type(a) is type(b) and bool(np.all(a == b))
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
