"""`Result`: what a job gave, circuit by circuit in input order."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from jaxsim.counts_keys import bits_of_codes, keys
from jaxsim.job_items import Header

if TYPE_CHECKING:
    from jaxtyping import Complex, Float, UInt8

__all__ = ["Result"]


class Result:
    """What a job gave; picklable, NumPy throughout.

    Circuits are named by their position. A circuit that was run with an array of parameter sets has results of that
    shape. Where a job had one circuit, its position may be left out.

    Attributes:
        metadata: job_id, seed (the one that was drawn if none was given), outputs, dtype, engine, seconds,
            compilations, rows_per_call, warnings, and of each chunk in `chunks` its circuits, rows_per_call,
            compilations, seconds, worker, device and warnings.
    """

    def __init__(
        self,
        headers: Sequence[Header],
        data: Sequence[dict[str, Any] | None],
        metadata: dict[str, Any],
        errors: dict[int, str] | None = None,
    ) -> None:
        self._headers = tuple(headers)
        self._data = tuple(data)
        self._errors = dict(errors or {})
        self.metadata = metadata

    def __len__(self) -> int:
        return len(self._headers)

    @property
    def available(self) -> tuple[int, ...]:
        """The circuits that have results: all, but of a partial result."""
        return tuple(k for k, own in enumerate(self._data) if own is not None)

    @property
    def success(self) -> bool:
        """Whether all circuits have results."""
        return None not in self._data

    @property
    def time_taken(self) -> float:
        """Seconds from `run()` to the end of the last chunk."""
        return self.metadata["seconds"]

    # what was measured ------------------------------------------------------------------------------------

    def counts(self, i: int | None = None) -> Any:
        """How often each outcome occurred: {key: number}, most frequent first; of parameter sets nested lists of
        them.

        Keys are Qiskit's: bit 0 of a register rightmost, the register added last leftmost, spaces between them.

        Example:
            >>> import jaxsim as js
            >>> js.Simulator(shots=10, seed=1).run(js.Circuit(2).x(1)).result().counts()
            {'10': 10}
        """
        tables, header = self._of(i, "counts")

        def one(table: tuple[np.ndarray, np.ndarray]) -> dict[str, int]:
            codes, numbers_ = table
            order = np.argsort(-numbers_, kind="stable")
            return dict(zip(keys(header.layout, codes[order]), numbers_[order].tolist()))

        return _nested(tables, header.set_shape, one)

    def memory(self, i: int | None = None) -> UInt8[np.ndarray, "*sets shots bits"]:
        """The bits of every shot, (*sets, shots, bits): column b is classical bit b."""
        codes, header = self._of(i, "memory")
        return bits_of_codes(header.layout, codes.reshape(*header.set_shape, header.shots))

    def bitstrings(self, i: int | None = None) -> Any:
        """Every shot written as a key of counts: a list; of parameter sets nested lists of them. Needs "memory"."""
        codes, header = self._of(i, "memory")
        return _nested(list(codes), header.set_shape, lambda own: keys(header.layout, own))

    def statevector(self, i: int | None = None) -> Complex[np.ndarray, "*sets dim"]:
        """The final state, (*sets, 2**n), before terminal measurements; entry j has the qubits in the bits of j."""
        return self._spread(i, "statevector")

    def probabilities(self, i: int | None = None) -> Float[np.ndarray, "*sets dim"]:
        """The probabilities of all basis states of all qubits, (*sets, 2**n)."""
        return self._spread(i, "probabilities")

    def value(self, i: int | None = None) -> Any:
        """The expectation values, of the shape that parameter sets and observables broadcast to; a float if that is
        ()."""
        values, header = self._of(i, "values")
        return values.reshape(header.value_shape) if header.value_shape else float(values[0])

    def gradient(self, i: int | None = None) -> Float[np.ndarray, "*pairs parameters"]:
        """The derivatives of the expectation values by the circuit's parameters, (*pairs, parameters)."""
        gradients, header = self._of(i, "gradients")
        return gradients.reshape(*header.value_shape, gradients.shape[-1])

    # what was asked ---------------------------------------------------------------------------------------

    def shots(self, i: int | None = None) -> int:
        """How many shots the circuit was asked for."""
        return self._headers[self._position(i)].shots

    def name(self, i: int | None = None) -> str:
        """The circuit's name, if it came from Qiskit."""
        return self._headers[self._position(i)].name

    def circuit_metadata(self, i: int | None = None) -> dict[str, Any]:
        """The metadata of the circuit, if it came from Qiskit."""
        return copy.deepcopy(self._headers[self._position(i)].metadata or {})

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain lists, strings and numbers, for `json.dumps`; complex numbers as [real, imaginary].

        Example:
            >>> import json, jaxsim as js
            >>> result = js.Simulator(shots=10, seed=1).run([js.Circuit(1).x(0)]).result()
            >>> json.loads(json.dumps(result.to_dict()))["circuits"][0]["counts"]
            {'1': 10}
        """
        return {
            "metadata": self.metadata,
            "circuits": [self._plain(k) for k in range(len(self))],
        }

    def _plain(self, i: int) -> dict[str, Any]:
        header, own = self._headers[i], self._data[i]
        result: dict[str, Any] = {"shots": header.shots, "name": header.name}
        if own is None:
            return {**result, "error": self._errors[i]}
        return result | {output: _listed(_READ[output](self, i)) for output in own}

    # inside -----------------------------------------------------------------------------------------------

    def _position(self, i: int | None) -> int:
        count = len(self)
        if i is None:
            if count != 1:
                raise TypeError(f"the job had {count} circuits: say which, as in result.counts(0).")
            return 0
        if isinstance(i, bool) or not isinstance(i, numbers.Integral):
            raise TypeError(f"a circuit is named by its position, an integer, but {i!r} was given.")
        if not -count <= i < count:
            raise IndexError(f"circuit {i} is out of range: the job had {count} circuits (0 to {count - 1}).")
        return int(i) % count

    def _of(self, i: int | None, output: str) -> tuple[Any, Header]:
        place = self._position(i)
        own = self._data[place]
        if own is None:
            raise RuntimeError(f"circuit {place} has no result: it {self._errors[place]}.")
        if output not in own:
            asked = ", ".join(map(repr, self.metadata["outputs"]))
            raise ValueError(
                f"{output!r} was not asked for: run it with outputs=({output!r}, ...); it was ({asked},)."
            )
        return own[output], self._headers[place]

    def _spread(self, i: int | None, output: str) -> np.ndarray:
        """Amplitudes of all qubits from those of the qubits that were simulated."""
        array, header = self._of(i, output)
        if header.wires is not None:
            index = np.zeros(array.shape[-1], np.int64)
            for k, wire in enumerate(header.wires):
                index |= (np.arange(array.shape[-1]) >> k & 1) << wire
            whole = np.zeros((len(array), 2**header.num_wires), array.dtype)
            whole[:, index] = array
            array = whole
        return array.reshape(*header.set_shape, array.shape[-1])

    def __getattr__(self, name: str) -> NoReturn:
        hint = f": it has {_ELSEWHERE[name]}, see 'Coming from Qiskit Aer'" if name in _ELSEWHERE else ""
        raise AttributeError(f"Result has no {name!r}{hint}.", name=name, obj=self)

    def __repr__(self) -> str:
        missing = "" if self.success else f", {len(self) - len(self.available)} without a result"
        return f"Result({len(self)} circuits{missing}: {', '.join(self.metadata['outputs'])})"


_READ: dict[str, Callable[[Result, int], Any]] = {
    "counts": Result.counts,
    "memory": Result.bitstrings,
    "statevector": Result.statevector,
    "probabilities": Result.probabilities,
    "values": Result.value,
    "gradients": Result.gradient,
}
"""How each output is read."""

_ELSEWHERE = {
    "get_counts": "counts(i)",
    "get_memory": "bitstrings(i), and memory(i) for an array",
    "get_statevector": "statevector(i)",
    "get_probabilities": "probabilities(i)",
    "data": "counts(i), statevector(i), ... for what was asked for",
    "results": "counts(i), shots(i), name(i), ... for circuit i",
    "status": "success and available",
    "job_id": "metadata['job_id']",
}
"""What Qiskit's results have, and what it is here."""


def _nested(entries: Sequence[Any], shape: tuple[int, ...], make: Callable[[Any], Any]) -> Any:
    """Nested lists of a shape; the entry itself for ()."""
    if not shape:
        return make(entries[0])
    step = len(entries) // shape[0] if shape[0] else 0
    return [_nested(entries[k * step : (k + 1) * step], shape[1:], make) for k in range(shape[0])]


def _listed(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return np.stack([value.real, value.imag], axis=-1).tolist() if np.iscomplexobj(value) else value.tolist()
