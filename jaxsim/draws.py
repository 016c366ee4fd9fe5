"""Shots, drawn on the host from a stream of random numbers that is known by its key.

A stream is counter-based (Philox, Salmon et al., SC 2011). That of a circuit in a job has a hash of (seed, circuit,
parameter set) as its key and of nothing else. So the shots do not depend on the chunk, call or worker that the
circuit is simulated in, and the first shots of a stream are the same however many follow. Nothing is compiled for a
number of shots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt32

    Codes = Int[np.ndarray, " shots"]

__all__ = ["added", "draw", "draw_counts", "key_data", "stream_key", "tally"]


BLOCK_BITS = 12
"""Of larger states a shot first draws a block of 2**12 outcomes, then one in it."""

WHOLE_BITS = 16
"""States of up to so many qubits are one block."""

PIECE = 2**20
"""Shots that are drawn at a time."""

OUTCOMES_PER_SHOT = 4
"""With so many times more outcomes than shots sorting the shots no longer pays."""


def stream_key(seed: int, item: int, row: int) -> bytes:
    """The 16 bytes that a stream of random numbers starts from.

    Args:
        seed: of the job.
        item: the position of the circuit among those of the job.
        row: the position of the parameter set among those of the circuit.
    """
    text = f"{seed}:{item}:{row}".encode()
    return hashlib.blake2b(text, digest_size=16, person=b"jaxsim-job").digest()


def key_data(key: bytes) -> UInt32[np.ndarray, " 2"]:
    """The data of a JAX key (threefry) for the same circuit and parameter set."""
    return np.frombuffer(hashlib.blake2b(key, digest_size=8, person=b"jaxsim-key").digest(), np.uint32)


def draw(probabilities: Float[np.ndarray, " dim"], key: bytes, shots: int) -> Iterator[Codes]:
    """Basis indices drawn from probabilities (which need not be normalised), in pieces.

    Args:
        probabilities: (2**n,), not negative.
        key: 16 bytes, such as from `stream_key`.
        shots: how many in all.

    Raises:
        FloatingPointError: if the probabilities do not add up to a positive number.
    """
    stream = np.random.Philox(key=np.frombuffer(key, np.uint64))
    whole = len(probabilities) <= 2**WHOLE_BITS
    blocks = None if whole else probabilities.reshape(-1, 2**BLOCK_BITS)
    cumulative = _cumulative(probabilities if blocks is None else blocks.sum(axis=1, dtype=np.float64))
    for start in range(0, shots, PIECE):
        count = min(PIECE, shots - start)
        if blocks is None:
            yield _chosen(cumulative, _uniforms(stream, count))
            continue
        uniforms = _uniforms(stream, 2 * count).reshape(count, 2)
        yield _inside(blocks, _chosen(cumulative, uniforms[:, 0]), uniforms[:, 1])


def draw_counts(probabilities: Float[np.ndarray, " dim"], key: bytes, shots: int) -> Table:
    """How often each outcome is among those that `draw` draws; arguments as there."""
    if len(probabilities) > min(2**WHOLE_BITS, OUTCOMES_PER_SHOT * shots):
        return added([tally(codes) for codes in draw(probabilities, key, shots)])
    # To count which numbers fall between two bounds is faster than to look for the bounds of each number.
    stream = np.random.Philox(key=np.frombuffer(key, np.uint64))
    cumulative = _cumulative(probabilities)
    numbers = np.zeros(len(cumulative), np.int64)
    for start in range(0, shots, PIECE):
        count = min(PIECE, shots - start)
        below = np.sort(_uniforms(stream, count) * cumulative[-1]).searchsorted(cumulative, side="left")
        numbers[0] += below[0]
        numbers[1:] += below[1:] - below[:-1]
        if below[-1] < count:  # see `_chosen`
            numbers[cumulative.searchsorted(cumulative[-1])] += count - below[-1]
    found = np.flatnonzero(numbers)
    return found, numbers[found]


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(probabilities, dtype=np.float64)
    if not 0 < cumulative[-1] < np.inf:
        raise FloatingPointError(f"the probabilities of the state add up to {cumulative[-1]}.")
    return cumulative


def _uniforms(stream: np.random.Philox, count: int) -> Float[np.ndarray, " count"]:
    """Numbers in [0, 1) from raw bits, which no version of NumPy draws otherwise."""
    return (stream.random_raw(count) >> np.uint64(11)) * 2.0**-53


def _chosen(cumulative: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    total = cumulative[-1]
    found = np.searchsorted(cumulative, uniforms * total, side="right")
    # A product that is rounded up to the total belongs to the last outcome that can occur.
    return np.minimum(found, np.searchsorted(cumulative, total))


def _inside(blocks: np.ndarray, chosen: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    result = chosen << BLOCK_BITS
    order = np.argsort(chosen, kind="stable")
    used, starts = np.unique(chosen[order], return_index=True)
    for block, members in zip(used, np.split(order, starts[1:])):
        result[members] += _chosen(np.cumsum(blocks[block], dtype=np.float64), uniforms[members])
    return result


Table = tuple[np.ndarray, np.ndarray]
"""Codes, ascending, and how often each occurs."""


def tally(codes: np.ndarray) -> Table:
    """How often each code occurs."""
    if codes.dtype == object or int(codes.max(initial=0)) >= 2**BLOCK_BITS:
        return np.unique(codes, return_counts=True)
    numbers = np.bincount(codes)
    found = np.flatnonzero(numbers)
    return found, numbers[found]


def added(tables: list[Table]) -> Table:
    """Several tables as one."""
    if len(tables) == 1:
        return tables[0]
    codes, place = np.unique(np.concatenate([codes for codes, _ in tables]), return_inverse=True)
    numbers = np.zeros(len(codes), np.int64)
    np.add.at(numbers, place, np.concatenate([numbers for _, numbers in tables]))
    return codes, numbers
