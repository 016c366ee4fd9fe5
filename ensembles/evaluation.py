"""What `evaluate` is: the object through which a hosted program sees its circuit.

It checks what it is given, turns it into a `Request`, waits for the answer, keeps the record from which the
program's result is made, and gives every evaluation random keys of its own.
"""

from __future__ import annotations

import hashlib
import math
import operator
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import jaxsim
from ensembles.journal import Replay
from ensembles.keys import digest, drawn_start, generator, program_seed
from ensembles.names import Name, display_name, name_words
from ensembles.strands import Sleep, sleep_here
from ensembles.subjects import CircuitSubject, Family, Hosting, Subject

if TYPE_CHECKING:
    from jaxtyping import Float64, UInt8, UInt32

__all__ = ["Cancelled", "Evaluate", "Record", "Request", "program_of"]

_MOST_CIRCUITS = 64
"""Circuits given in calls whose rows a program keeps."""


class Cancelled(BaseException):
    """Raised by `evaluate` when the run is being ended from outside.

    Not an `Exception`, so that ``except Exception`` in a program does not stop it; clean up with ``finally``.
    """


@dataclass(eq=False, slots=True)
class Request:
    """Rows of one program that wait for an answer.

    Attributes:
        program: its number in the run.
        family, subject: what is evaluated.
        want: "value", "value_and_grad", "probabilities" or "statevector".
        values: (rows, parameters).
        number: which evaluation of its program it is.
        keys: (rows, 2) uint32, or None.
        shots: bits are to be drawn from the probabilities, so many times; None: not.
        question: what is asked, in 16 bytes, by which a journal finds it again; None: there is no journal.
        answer: NumPy arrays, first axis rows, once there is one.
        error: what went wrong instead.
        in_flight: whether it has been sent off and not come back.
        seconds: its share of the time that its calls took, by rows.
        sleep: of whoever waits for it.
    """

    program: int
    family: Family
    subject: Subject
    want: str
    values: np.ndarray
    number: int
    keys: np.ndarray | None = None
    shots: int | None = None
    question: bytes | None = None
    answer: Any = None
    error: BaseException | None = None
    in_flight: bool = False
    seconds: float = 0.0
    sleep: Sleep = field(default_factory=sleep_here)

    @property
    def output_bytes(self) -> int:
        """Bytes that the evaluation of one row returns."""
        size = {"probabilities": 4, "statevector": 8}.get(self.want)
        return 0 if size is None else size * 2**self.subject.row.num_wires


class Record:
    """What a program has evaluated so far.

    Attributes:
        rows: rows evaluated.
        seconds: their share of the time that calls took.
        cancelled: whether the program has been told that the run is being ended.
        best_value, best_vector: the lowest loss, and where; of equal ones the first.
        last_value, last_vector: the last loss, and where.
    """

    def __init__(self) -> None:
        self.rows, self.seconds = 0, 0.0
        self.cancelled = False
        self.best_value, self.best_vector = float("inf"), None
        self.last_value, self.last_vector = float("nan"), None
        self._best_place, self._last_place = (-1, -1), (-1, -1)
        self._losses: list[tuple[int, np.ndarray | float]] = []
        self._lock = threading.Lock()

    def count(self, rows: int, seconds: float) -> None:
        """So many rows were evaluated, in so many seconds of calls."""
        with self._lock:
            self.rows += rows
            self.seconds += seconds

    def add(self, number: int, vectors: np.ndarray, losses: np.ndarray) -> None:
        """The losses (rows,) of the evaluation `number` at vectors (rows, parameters)."""
        low, last = int(losses.argmin()), len(losses) - 1
        with self._lock:
            self._losses.append((number, losses))
            self._compare((number, low), vectors[low], float(losses[low]))
            self._follow((number, last), vectors[last], float(losses[last]))

    def add_one(self, number: int, vector: np.ndarray, loss: float) -> None:
        """The same for one loss at one vector, which nobody else changes."""
        with self._lock:
            self._losses.append((number, loss))
            self._compare((number, 0), vector, loss)
            self._follow((number, 0), vector, loss)

    def _compare(self, place: tuple[int, int], vector: np.ndarray, loss: float) -> None:
        if loss < self.best_value or (loss == self.best_value and place < self._best_place):
            self.best_value, self.best_vector, self._best_place = loss, vector, place

    def _follow(self, place: tuple[int, int], vector: np.ndarray, loss: float) -> None:
        if place > self._last_place:
            self.last_value, self.last_vector, self._last_place = loss, vector, place

    def value_at(self, vector: Any) -> float:
        """The loss there, if that is where the last or the lowest one was seen; else NaN."""
        for known, value in ((self.last_vector, self.last_value), (self.best_vector, self.best_value)):
            if known is not None and np.array_equal(known, vector):
                return value
        return float("nan")

    def history(self) -> Float64[np.ndarray, " evaluations"]:
        """The losses in the order in which they were asked for."""
        with self._lock:
            found = sorted(self._losses, key=lambda pair: pair[0])
        return np.concatenate([np.atleast_1d(losses) for _, losses in found]) if found else np.zeros(0)


class Host(Protocol):
    """What an `Evaluate` needs of the driver."""

    def family(self, subject: Subject) -> Family:
        """The family of a subject."""
        ...

    def replay(self, program: int) -> Replay | None:
        """What a program was answered in earlier runs; None: there is no journal."""
        ...

    def submit(self, request: Request) -> None:
        """Returns when the request has its answer; raises its error, or `Cancelled`."""
        ...

    def check_going_on(self) -> None:
        """Raises `Cancelled` if the run is being ended."""
        ...


class Evaluate:
    """Evaluates the program's circuit, or its loss, at parameters; blocks until the answer is there.

    A hosted program's `run` gets one. It may be called from several threads. Rows of other programs may share its
    compiled calls, which changes nothing in the answers.

    Attributes:
        name: the program's name in its ensemble.
        initial_parameters: where to start, (parameters,) float64: those given to the program, else drawn,
            uniform on [-pi, pi), from the seed and the name.
        num_parameters: how many the circuit takes.
        precision: of values and derivatives: the machine epsilon of the floats they are computed in.

    Example:
        >>> from ensembles import HostedProgram, ProgramEnsemble
        >>> from jaxsim import Circuit, Parameter, Z
        >>> class Scan(HostedProgram):
        ...     def run(self, evaluate):
        ...         energies = evaluate([[0.0], [1.0], [3.0]])  # three sets of one parameter
        ...         ones = int(evaluate.sample([0.0], shots=10).sum())
        ...         return {"first": round(float(energies[0]), 4), "ones": ones}
        >>> circuit = Circuit(1).rx(Parameter("a"), 0)
        >>> result = ProgramEnsemble({"scan": Scan(circuit, Z(0))}).run(progress=False)["scan"]
        >>> round(result.value, 4), result.first, result.ones
        (-0.99, 1.0, 0)
    """

    def __init__(
        self,
        name: Name,
        program: int,
        hosting: Hosting,
        root: UInt32[np.ndarray, "2"],
        host: Host,
    ) -> None:
        self.name = name
        self.record = Record()
        self._program, self._hosting, self._host = program, hosting, host
        subject, initial = hosting.subject, hosting.initial
        self._subject, self._family = subject, None if subject is None else host.family(subject)
        words = name_words(name)
        self._seed = program_seed(root, words)
        self._number = 0
        self._replay = host.replay(program)
        self._lock = threading.Lock()
        self._given: OrderedDict[tuple, tuple[Any, Family]] = OrderedDict()
        self.num_parameters = 0 if subject is None else subject.num_parameters
        self.precision = float(np.finfo(np.float32).eps) if subject is None else subject.precision
        if initial is None:
            self.initial_parameters = drawn_start(root, words, self.num_parameters)
        else:
            self.initial_parameters = np.array(initial, np.float64)

    def __repr__(self) -> str:
        return f"<evaluate of {display_name(self.name)!r}: {self.num_parameters} parameters>"

    @cached_property
    def random(self) -> np.random.Generator:
        """A generator seeded by the run's seed and the program's name."""
        return generator(self._seed, "hosted/random")

    # what a program may ask for -----------------------------------------------------------------------

    def __call__(
        self, parameters: Any, *, gradient: bool = False, circuit: Any = None, observable: Any = None
    ) -> Any:
        """Expectation values, or the loss.

        Args:
            parameters: (parameters,) radians, or (k, parameters) for k sets at once; one set also as a mapping by
                name.
            gradient: whether to return the derivatives, too.
            circuit: another circuit than the program's.
            observable: another observable, or several, than the program's.

        Returns:
            One set: a float. k sets: (k,) float64. Several observables: (observables,) and (k, observables).
            With `gradient` a pair, the second one with a last axis of parameters.

        Raises:
            TypeError, ValueError: parameters that do not fit, NaN or infinite ones, nothing to evaluate.
            FloatingPointError: a value or derivative that is not finite.
        """
        subject, family = self._subject_of(circuit, observable)
        if not subject.outputs:
            raise ValueError(
                "evaluate: expectation values need an observable; give one to the program or to this call, or use "
                "evaluate.sample(...) or evaluate.probabilities(...)."
            )
        vector = subject.vector(parameters)
        want = "value_and_grad" if gradient else "value"
        vectors = vector if vector.ndim == 2 else vector[None]
        if not len(vectors):
            self._check_going_on()
            outer = (0,) if subject.is_loss else (0, subject.outputs)
            return (np.zeros(outer), np.zeros((*outer, vectors.shape[1]))) if gradient else np.zeros(outer)
        request = self._ask(subject, family, want, vectors)
        if vector.ndim == 1 and subject.is_loss and not gradient:
            return self._one_loss(request, vector)  # what most optimisers ask for, most of the time
        answer = request.answer if gradient else (request.answer,)
        answer = [np.asarray(part, np.float64) for part in answer]
        _check_finite(answer, "value", "derivative")
        if subject is self._subject and subject.is_loss:
            self.record.add(request.number, vectors, answer[0])
        if vector.ndim == 1:
            answer = [part[0] if part.ndim > 1 else float(part[0]) for part in answer]
        return tuple(answer) if gradient else answer[0]

    def sample(self, parameters: Any, shots: int, *, circuit: Any = None) -> UInt8[np.ndarray, "..."]:
        """Measured bits of all qubits: uint8 (shots, qubits), or (k, shots, qubits) for k sets of parameters.

        Column q is qubit q. Draws belong to the run's seed, the program's name and the number of this evaluation
        in the program: the same in every company, different in every call.

        Args:
            parameters: as for calls.
            shots: how many, at least 1.
            circuit: another circuit than the program's.
        """
        try:
            count = operator.index(shots)
        except TypeError:
            raise TypeError(f"evaluate.sample: shots is an integer, but {shots!r} was given.") from None
        if isinstance(shots, bool) or count < 1:
            raise ValueError(
                f"evaluate.sample: shots must be an integer of at least 1, but {shots!r} was given."
            )
        return self._of_state("probabilities", parameters, circuit, count)

    def probabilities(self, parameters: Any, *, circuit: Any = None) -> np.ndarray:
        """Probabilities of all basis states, (2**qubits,) or (k, 2**qubits). Arguments as for `sample`."""
        return self._of_state("probabilities", parameters, circuit)

    def statevector(self, parameters: Any, *, circuit: Any = None) -> np.ndarray:
        """The state, (2**qubits,) or (k, 2**qubits) complex. Arguments as for `sample`."""
        return self._of_state("statevector", parameters, circuit)

    # how ------------------------------------------------------------------------------------------------

    def _one_loss(self, request: Request, vector: np.ndarray) -> float:
        value = float(request.answer[0])
        if not math.isfinite(value):
            raise FloatingPointError(f"evaluate: value not finite: {value}")
        if request.subject is self._subject:
            self.record.add_one(request.number, vector, value)
        return value

    def _of_state(self, want: str, parameters: Any, circuit: Any, shots: int | None = None) -> np.ndarray:
        subject, family = self._subject_of(circuit, None)
        if want not in subject.wants:
            what = "samples" if shots else want
            raise TypeError(f"evaluate: {what} need a circuit, but this program has a loss of its own.")
        vector = subject.vector(parameters)
        vectors = vector if vector.ndim == 2 else vector[None]
        if not len(vectors):
            self._check_going_on()
            row = subject.row
            if shots:
                return np.zeros((0, shots, row.num_wires), np.uint8)
            return np.zeros((0, 2**row.num_wires), row.real_dtype if want == "probabilities" else row.dtype)
        answer = self._ask(subject, family, want, vectors, shots).answer
        _check_finite([answer], want)
        return np.array(answer if vector.ndim == 2 else answer[0])

    def _ask(
        self, subject: Subject, family: Family, want: str, vectors: np.ndarray, shots: int | None = None
    ) -> Request:
        request = Request(self._program, family, subject, want, vectors, 0, shots=shots)
        if self._replay is not None:
            request.question = question_of(family.content(subject), want, vectors, shots)
        with self._lock:
            request.number, request.answer = self._turn(request.question)
        if request.answer is not None:
            self._check_going_on()
        else:
            if subject.needs_keys or shots:
                request.keys = self._keys(request.number, len(vectors))
            try:
                self._host.submit(request)
            except Cancelled:
                self.record.cancelled = True
                raise
        per_row = getattr(subject, "gradient_rows", 1) if want == "value_and_grad" else 1
        self.record.count(len(vectors) * per_row, request.seconds)
        return request

    def _turn(self, question: bytes | None) -> tuple[int, Any]:
        """The number of an evaluation, and its answer if an earlier run was given it."""
        if self._replay is not None and question is not None:
            return self._replay.take(question)
        self._number += 1
        return self._number - 1, None

    def _check_going_on(self) -> None:
        try:
            self._host.check_going_on()
        except Cancelled:
            self.record.cancelled = True
            raise

    def _subject_of(self, circuit: Any, observable: Any) -> tuple[Any, Family]:
        if circuit is None and observable is None:
            if self._subject is None or self._family is None:
                raise ValueError(
                    "evaluate: this program was made without a circuit; give one in the call: "
                    "evaluate(parameters, circuit=..., observable=...)."
                )
            return self._subject, self._family
        own = self._hosting
        circuit = own.circuit if circuit is None else circuit
        observable = own.observable if observable is None else observable
        if circuit is None:
            raise ValueError(
                "evaluate: this program has no circuit to measure the observable on; give circuit=..., too."
            )
        if not isinstance(circuit, jaxsim.Circuit):
            raise TypeError(f"evaluate: circuit must be a Circuit, but a {type(circuit).__name__} was given.")
        key = _content(circuit, observable)
        with self._lock:
            found = self._given.get(key)
        if found is None:
            row = jaxsim.lower(circuit, observable, engine=own.engine, dtype=own.dtype)
            subject = CircuitSubject(row, circuit.parameters)
            found = (subject, self._host.family(subject))
            with self._lock:
                self._given[key] = found
                oldest = self._given.popitem(last=False)[1] if len(self._given) > _MOST_CIRCUITS else None
            if oldest is not None:
                oldest[1].forget(oldest[0])
        return found

    def close(self) -> None:
        """The program has ended: its rows need not be kept any more."""
        with self._lock:
            given = list(self._given.values())
        if self._family is not None:
            given.append((self._subject, self._family))
        for subject, family in given:
            family.forget(subject)

    def _keys(self, number: int, rows: int) -> UInt32[np.ndarray, "rows 2"]:
        """Key data of every row of an evaluation."""
        own = self._seed + number.to_bytes(8, "little")
        keys = b"".join(digest(own + row.to_bytes(8, "little"), 8, "hosted/keys") for row in range(rows))
        return np.frombuffer(keys, "<u4").reshape(rows, 2).astype(np.uint32)


def program_of(root: UInt32[np.ndarray, "2"], name: Name) -> bytes:
    """16 bytes that belong to a program and a seed."""
    return digest(program_seed(root, name_words(name)), 16, "hosted/program")


def question_of(content: bytes, want: str, vectors: np.ndarray, shots: int | None) -> bytes:
    """What is asked, in 16 bytes; `content` says of what."""
    what = f"{want} {vectors.shape} {shots}".encode()
    found = hashlib.blake2b(content, digest_size=16, person=b"hosted/question")
    found.update(len(what).to_bytes(8, "little") + what)
    found.update(vectors.astype("<f8", copy=False).tobytes())
    return found.digest()


def _check_finite(answer: Sequence[np.ndarray], *names: str) -> None:
    for part, what in zip(answer, names, strict=False):
        if not np.isfinite(part).all():
            wrong = part[~np.isfinite(part)].flat[0]
            raise FloatingPointError(f"evaluate: {what} not finite: {wrong}")


def _content(circuit: jaxsim.Circuit, observable: Any) -> tuple:
    """What a circuit and its observables are, to be found again by."""
    arrays = [circuit.angles, *circuit.operands]
    observables = [observable] if isinstance(observable, jaxsim.PauliSum) else list(observable or [])
    for item in observables:
        arrays += [item.x_mask, item.z_mask, item.coefficients]
    single = isinstance(observable, jaxsim.PauliSum)
    shapes = tuple((np.shape(array), str(np.asarray(array).dtype)) for array in arrays)
    return (circuit.structure, single, shapes, *(np.asarray(array).tobytes() for array in arrays))
