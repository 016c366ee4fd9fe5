"""Results as a pandas DataFrame, for those who have pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.name_fields import fields_of
from ensembles.names import Name

if TYPE_CHECKING:
    from ensembles.result import ProgramResult

__all__ = ["data_frame"]

_COMMON = ("value", "final_value", "status", "steps", "evaluations", "seconds")


def data_frame(results: Mapping[Name, ProgramResult]) -> Any:
    """The frame that `EnsembleResult.to_pandas` describes."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "EnsembleResult.to_pandas needs pandas: pip install 'jaxsim-ensembles[pandas]'"
        ) from error
    fields = [fields_of(name) for name in results]
    extras = [
        {key: entry for key, entry in result.extra.items() if _is_scalar(entry)}
        for result in results.values()
    ]
    taken = {"name", "error", *_COMMON, *(key for own in extras for key in own)}
    columns: dict[str, list[Any]] = {"name": list(results)}
    for field in _keys(fields):
        columns[f"name.{field}" if field in taken else field] = [own.get(field) for own in fields]
    for common in _COMMON:
        columns[common] = [getattr(result, common) for result in results.values()]
    for key in _keys(extras):
        columns[key] = [own.get(key) for own in extras]
    columns["error"] = [_error(result) for result in results.values()]
    # Series by Series: a list of tuples, as names may be, is one column and not several.
    made = {head: _series(pandas, entries, head) for head, entries in columns.items()}
    return pandas.DataFrame(made, columns=list(columns))


def _series(pandas: Any, entries: list[Any], head: str) -> Any:
    # Names stay what they are: 1 and "1", and tuples.
    return pandas.Series(entries, dtype=object if head in ("name", "error") else None)


def _keys(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _is_scalar(entry: Any) -> bool:
    return isinstance(entry, bool | int | float | str | np.bool_ | np.integer | np.floating)


def _error(result: ProgramResult) -> str | None:
    from ensembles.result import error_text

    return error_text(result.error) or None
