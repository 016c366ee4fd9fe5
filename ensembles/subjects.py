"""What hosted programs evaluate: a circuit with its observables, or a loss, as rows that can share calls.

A subject is prepared once. Subjects with equal keys form a `Family`, which keeps their rows stacked for the sets of
members that come up, and evaluates any number of parameter sets of any of its members in one call.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

import jaxsim
from ensembles.optimizers import Identity
from jaxsim.parameters import to_json

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["GENERIC_ROWS_PER_BLOCK", "CircuitSubject", "Family", "Hosting", "LossSubject", "Subject"]

GENERIC_ROWS_PER_BLOCK = 16
"""Rows of a block for losses of which nothing is known but that they are functions, a row alone included: XLA's sums
and matrix products round differently with and without a batch axis."""


class Subject(ABC):
    """What can be evaluated at vectors of parameters.

    Attributes:
        key: subjects with equal keys share calls.
        row: pytree of NumPy arrays, without the axis of rows.
        num_parameters: length of a vector.
        wants: what can be asked for.
        needs_keys: whether an evaluation takes random keys.
        is_loss: whether a value is one real number.
        rows_per_block: rows of a block.
        outputs: number of values, 1 for a loss.
        precision: machine epsilon of the values.
        state_bytes: bytes of the states that one evaluation keeps; 0 if unknown.
        content: what it is, in 32 bytes; `Family.content` fills it in.
    """

    wants: tuple[str, ...] = ()
    needs_keys: bool = False
    is_loss: bool = True
    outputs: int = 1
    state_bytes: int = 0
    content: bytes = b""
    key: Any
    row: Any
    num_parameters: int
    rows_per_block: int
    precision: float

    @abstractmethod
    def text(self) -> str:
        """What subjects with this key have in common, the same in every process."""

    @abstractmethod
    def vector(self, given: Any) -> Float64[np.ndarray, "..."]:
        """Checked parameters, (parameters,) or (rows, parameters)."""

    @abstractmethod
    def parameters(self, vector: Any) -> Any:
        """A vector as results show it."""

    @abstractmethod
    def block_size(self, rows: int) -> int:
        """Rows of the blocks in which so many rows run."""

    def kept(self, rows: Any) -> Any:
        """Stacked rows that are evaluated again and again, in the form that suits that best."""
        return rows

    @abstractmethod
    def evaluate(self, rows: Any, values: Any, want: str, keys: Any) -> Any:
        """Stacked rows of the subject's key, or what `kept` made of them, at values (rows, parameters)."""


def _checked(array: np.ndarray, num_parameters: int, what: str) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise TypeError(f"evaluate: parameters are real numbers, but an array of {array.dtype} was given.")
    if array.ndim not in (1, 2) or array.shape[-1] != num_parameters:
        raise ValueError(
            f"evaluate: parameters must have shape ({num_parameters},), or (k, {num_parameters}) for k sets of them, "
            f"for {what}, but have shape {array.shape}."
        )
    vector = array.astype(np.float64)
    if not np.isfinite(vector).all():
        raise ValueError("evaluate: parameters must be finite, but NaN or infinity was given.")
    return vector


class CircuitSubject(Subject):
    """A lowered circuit with its observables.

    Args:
        row: as `jaxsim.lower` makes it.
        parameters: of the circuit, in order.
    """

    wants = ("value", "value_and_grad", "probabilities", "statevector")

    def __init__(self, row: jaxsim.Lowered, parameters: Sequence[jaxsim.Parameter]) -> None:
        self.row = row
        self.names = tuple(parameters)
        self.num_parameters = len(self.names)
        self.is_loss = row.single
        self.outputs = len(row.observables)
        self.rows_per_block = jaxsim.rows_per_block(row)
        self.precision = float(np.finfo(row.real_dtype).eps)
        # The reverse pass holds the state and its cotangent, each before and after a step, and two flipped copies.
        self.state_bytes = 6 * row.dtype.itemsize * 2**row.num_wires

    @cached_property
    def key(self) -> tuple:
        """The merge key of the row."""
        return self.row.key

    def text(self) -> str:
        # Coefficients inside of atoms are printed with six digits in the tree.
        return f"{jax.tree.structure(self.row)} {[to_json(atom) for atom in self.row.atoms]}"

    def vector(self, given: Any) -> Float64[np.ndarray, "..."]:
        if isinstance(given, Mapping):
            bound = jaxsim.bind_values(self.names, given)
            given = np.array([bound[name] for name in self.names], np.float64)
        what = f"a circuit of {self.num_parameters} parameters"
        return _checked(np.asarray(given), self.num_parameters, what)

    def parameters(self, vector: Any) -> np.ndarray:
        return np.asarray(vector, self.row.real_dtype)

    def block_size(self, rows: int) -> int:
        return jaxsim.block_size(rows, self.row)

    def kept(self, rows: Any) -> Any:
        return jaxsim.Blocks(rows)

    def evaluate(self, rows: Any, values: Any, want: str, keys: Any) -> Any:
        return jaxsim.evaluate(rows, values, want)  # type: ignore[arg-type]


class LossSubject(Subject):
    """A pure JAX loss of (parameters, data, key), of parameters laid out in one vector.

    Args:
        loss: the function.
        initial: a pytree like the parameters.
        data: pytree of NumPy arrays.
        rows_per_block: rows of a block, a row alone included.
        state_bytes: bytes of the states that one evaluation keeps; 0 if unknown.
        content: what it is, in 32 bytes; `Family.content` fills it in.

    Attributes:
        loss: as given.
    """

    wants = ("value", "value_and_grad")
    needs_keys = True

    def __init__(
        self,
        loss: Callable[..., Any],
        initial: Any,
        data: Any,
        *,
        rows_per_block: int = GENERIC_ROWS_PER_BLOCK,
        state_bytes: int = 0,
    ) -> None:
        self.row, self.rows_per_block, self.state_bytes = data, rows_per_block, state_bytes
        self.loss, self._loss = loss, Identity(loss)
        self._leaves, self._tree = jax.tree.flatten(initial)
        self.num_parameters = sum(leaf.size for leaf in self._leaves)
        self.precision = max(float(np.finfo(leaf.dtype).eps) for leaf in self._leaves)
        shapes = tuple(
            (np.shape(a), np.asarray(a).dtype.str) for a in (*self._leaves, *jax.tree.leaves(data))
        )
        self.key = (self._loss, self._tree, jax.tree.structure(data), shapes, rows_per_block)

    def text(self) -> str:
        # What a function is, with everything that it has caught from around it, is what it compiles to.
        start = self.parameters(np.zeros((1, self.num_parameters)))
        data = jax.tree.map(lambda leaf: np.asarray(leaf)[None], self.row)
        keys = jax.random.key_data(jax.random.key(0, impl="threefry2x32"))[None]
        texts = [_loss_block.lower(self._loss, start, data, keys, False).as_text()]
        with suppress(Exception):  # nobody asks for derivatives that there are not
            texts.append(_loss_block.lower(self._loss, start, data, keys, True).as_text())
        return "".join(texts)

    def vector(self, given: Any) -> Float64[np.ndarray, "..."]:
        return _checked(np.asarray(given), self.num_parameters, f"{self.num_parameters} parameters")

    def initial(self) -> Float64[np.ndarray, " size"]:
        """The initial parameters as a vector."""
        return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in self._leaves])

    def parameters(self, vector: Any) -> Any:
        """The vector, or (rows, parameters) vectors, in the shape of the loss's own parameters."""
        vector = np.asarray(vector)
        cuts = np.cumsum([leaf.size for leaf in self._leaves])[:-1]
        parts = np.split(vector, cuts, axis=-1)
        shaped = [
            part.reshape((*vector.shape[:-1], *leaf.shape)).astype(leaf.dtype)
            for part, leaf in zip(parts, self._leaves, strict=True)
        ]
        return jax.tree.unflatten(self._tree, shaped)

    def block_size(self, rows: int) -> int:
        return self.rows_per_block

    def evaluate(self, rows: Any, values: Any, want: str, keys: Any) -> Any:
        gradient = want == "value_and_grad"
        size, count = self.rows_per_block, len(values)
        everything = (self.parameters(values), rows, keys)
        blocks = []
        for start in range(0, count, size):
            index = np.minimum(np.arange(start, start + size), count - 1)
            blocks.append((self._loss, *jax.tree.map(lambda leaf, i=index: leaf[i], everything), gradient))
        signature = ("ensembles.loss", self.key, gradient, jax.config.read("jax_enable_x64"))
        sent = jaxsim.submit_blocks(_loss_block, blocks, signature)
        results = [jax.tree.map(np.asarray, future.result()) for future in sent]
        whole = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)
        if not gradient:
            return whole
        leaves = [leaf.reshape(count, -1).astype(np.float64) for leaf in jax.tree.leaves(whole[1])]
        return whole[0], np.concatenate(leaves, axis=1)


@partial(jax.jit, static_argnums=(0, 4), compiler_options=jaxsim.compiler_options())
def _loss_block(loss: Identity, parameters: Any, data: Any, keys: Any, gradient: bool) -> Any:
    def one(parameters: Any, data: Any, key: Any) -> Any:
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
        own = getattr(loss.value, "value_and_grad", None) or jax.value_and_grad(loss.value)
        function = own if gradient else loss.value
        return function(parameters, data, key)

    return jax.vmap(one)(parameters, data, keys)


class Hosting(NamedTuple):
    """What the hosted driver needs of a program besides its `run`.

    Attributes:
        subject: what `evaluate` evaluates; None: what each call gives.
        initial: (parameters,) where to start; None: drawn.
        circuit, observable: what calls may replace.
        dtype, engine: for circuits given in calls.
    """

    subject: Subject | None
    initial: Any = None
    circuit: jaxsim.Circuit | None = None
    observable: Any = None
    dtype: Any = None
    engine: str = "auto"


class Family:
    """Subjects with equal keys, those under way with their rows in one store.

    Args:
        subject: one of them.

    Attributes:
        row_bytes: bytes that one row keeps while it runs.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        leaves, self._tree = jax.tree.flatten(subject.row)
        self.row_bytes = subject.state_bytes + 2 * sum(np.asarray(leaf).nbytes for leaf in leaves) + 1
        self._store = [np.empty((0, *np.shape(leaf)), np.asarray(leaf).dtype) for leaf in leaves]
        # A subject is kept with its place, because its id is its own only as long as it lives.
        self._places: dict[int, tuple[int, Subject]] = {}
        self._free: list[int] = []
        self._latest: tuple[Sequence[int], Any] = ((), None)
        self._again = False
        self._lock = threading.Lock()
        self._text = b""

    def content(self, subject: Subject) -> bytes:
        """What a member is, in 32 bytes, the same in every process."""
        if not subject.content:
            with self._lock:
                self._text = self._text or subject.text().encode()
            digest = hashlib.blake2b(self._text, digest_size=32, person=b"hosted/subject")
            for leaf in jax.tree.leaves(subject.row):
                array = np.asarray(leaf)
                digest.update(f"{array.shape} {array.dtype.str}".encode() + array.tobytes())
            subject.content = digest.digest()
        return subject.content

    def rows(self, members: Sequence[Subject], counts: Sequence[int]) -> Any:
        """The members' rows stacked, each as often as its count says."""
        if len(members) == 1:  # copies of one row take no memory
            return jax.tree.map(
                lambda leaf: np.broadcast_to(leaf, (counts[0], *np.shape(leaf))), members[0].row
            )
        with self._lock:
            places = [self._place(member) for member in members]
            key = (*places, *counts)
            if self._latest[0] != key:
                index = np.repeat(places, counts)
                stacked = jax.tree.unflatten(self._tree, [leaf[index] for leaf in self._store])
                self._latest, self._again = (key, stacked), False
            elif not self._again:
                self._latest, self._again = (key, self.subject.kept(self._latest[1])), True
            return self._latest[1]

    def forget(self, subject: Subject) -> None:
        """Nobody will ask for the subject again; its place goes to the next newcomer."""
        with self._lock:
            place, _ = self._places.pop(id(subject), (None, None))
            if place is not None:
                self._free.append(place)
                self._latest = ((), None)

    def _place(self, subject: Subject) -> int:
        found = self._places.get(id(subject))
        if found is not None:
            return found[0]
        if not self._free:
            room = len(self._places)
            self._store = [np.resize(leaf, (max(4, 2 * room), *leaf.shape[1:])) for leaf in self._store]
            self._free = list(range(max(4, 2 * room) - 1, room - 1, -1))
        place = self._free.pop()
        for mine, theirs in zip(self._store, jax.tree.leaves(subject.row), strict=True):
            mine[place] = theirs
        self._places[id(subject)] = (place, subject)
        return place
