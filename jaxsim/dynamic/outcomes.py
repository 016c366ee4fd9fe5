"""Outcomes of a joint measurement: their probabilities, drawing them, the state that is left.

Pure functions of arrays, NumPy and JAX alike, for a batch of states: (states, ...). Sums are pairwise additions written
out, so a state's numbers do not depend on the others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.dynamic.program import Measurement
from jaxsim.threads import submit_blocks

if TYPE_CHECKING:
    from jaxtyping import Array, UInt32

__all__ = ["collapsed", "descend", "probability_tree", "random_words", "shot_words", "spread"]

CHUNK = 2**14
"""Shots that get their random words in one call."""

WORDS = 4
"""Random words that a call makes for each shot."""


# probabilities ----------------------------------------------------------------------------------------------


def probability_tree(states: Any, wires: tuple[int, ...], num_wires: int) -> list[Any]:
    """Probabilities of the outcomes on some wires, as a binary tree.

    Args:
        states: (states, 2**n).
        wires: ascending.
        num_wires: n.

    Returns:
        Level k, (states, 2**k), has the joint probabilities of the first k wires; bit i of an outcome is ``wires[i]``.
    """
    p = states.real**2 + states.imag**2
    for wire in reversed(range(num_wires)):
        if wire not in wires:
            halves = p.reshape(p.shape[0], -1, 2, 2**wire)
            p = (halves[:, :, 0] + halves[:, :, 1]).reshape(p.shape[0], -1)
    tree = [p]
    while tree[-1].shape[1] > 1:
        half = tree[-1].shape[1] // 2
        tree.append(tree[-1][:, :half] + tree[-1][:, half:])
    return tree[::-1]


def descend(tree: list[Any], member: Any, words: Any) -> Any:
    """Draws an outcome for each shot, one wire after another.

    Args:
        tree: from `probability_tree`.
        member: (shots,) which of the states each shot has.
        words: (shots, wires) random uint32.

    Returns:
        (shots,) outcomes.
    """
    outcome = member & 0
    real = tree[0].dtype.type
    for level in range(len(tree) - 1):
        below = tree[level + 1].reshape(-1)
        place = (member << (level + 1)) + outcome
        zero, one = below[place], below[place + (1 << level)]
        # The rarer outcome is taken if a number in (0, 1] falls below its share: small numbers have 32 bits and are
        # never 0, so rare outcomes keep their odds, and one of probability 0 is never taken.
        uniform = (words[:, level].astype(real) + real(0.5)) * real(2.0**-32)
        rarer = uniform * (zero + one) < _module(zero).minimum(zero, one)
        outcome = outcome | ((rarer == (one < zero)).astype(outcome.dtype) << level)
    return outcome


def spread(outcomes: Any, wires: tuple[int, ...]) -> Any:
    """Outcomes as bits of basis indices: bit i goes to ``wires[i]``."""
    index = outcomes & 0
    for place, wire in enumerate(wires):
        index = index | (((outcomes >> place) & 1) << wire)
    return index


def collapsed(states: Any, measured: Measurement, outcomes: Any, weights: Any) -> Any:
    """The states after measurements.

    Args:
        states: (states, 2**n).
        measured: which wires.
        outcomes: (states,) what came out.
        weights: (states,) its probabilities.
    """
    xp = _module(states)
    index = xp.arange(states.shape[1])[None]
    mask = sum(1 << wire for wire in measured.wires)
    value = spread(outcomes, measured.wires)[:, None]
    kept = xp.where((index & mask) == value, states * (1 / xp.sqrt(weights))[:, None], 0)
    if not measured.resets:
        return kept
    cleared = sum(1 << measured.wires[place] for place in measured.resets)
    # Where the wires are 0 now, amplitudes come from where they had their outcomes.
    return xp.take_along_axis(kept, index ^ (value & cleared), axis=1)


def _module(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp


# random words -----------------------------------------------------------------------------------------------
# Word j of shot s is the first word of fold_in(fold_in(key, s), j): threefry in counter mode. Whatever else is
# simulated, and however many shots there are, the j-th wire that a shot measures is decided by this word.


def random_words(key: Array, first: Any, number: int) -> UInt32[Array, " words"]:
    """So many random words of a shot from the one numbered `first` on; `key` is the shot's own."""
    numbers = first + jnp.arange(number, dtype=jnp.uint32)
    return jax.vmap(lambda j: jax.random.key_data(jax.random.fold_in(key, j))[0])(numbers)


@partial(jax.jit, static_argnames=("number",))
def _words(key: Array, shots: Array, first: Array, number: int) -> Array:
    root = jax.random.wrap_key_data(key, impl="threefry2x32")
    return jax.vmap(lambda s, j: random_words(jax.random.fold_in(root, s), j, number))(shots, first)


def shot_words(key: np.ndarray, shots: np.ndarray, first: np.ndarray, number: int) -> np.ndarray:
    """Random words of many shots, (shots, number) uint32, made on all cores.

    Args:
        key: (2,) uint32 key data.
        shots: (shots,) numbers of the shots.
        first: (shots,) number of the first word of each.
        number: how many words each gets.
    """
    result = np.empty((len(shots), number), np.uint32)
    parts = [
        (slice(start, min(start + CHUNK, len(shots))), word)
        for start in range(0, len(shots), CHUNK)
        for word in range(0, number, WORDS)
    ]

    def arguments(part: slice, word: int) -> tuple[Any, ...]:
        padded = np.zeros((2, CHUNK), np.uint32)
        padded[0, : part.stop - part.start] = shots[part]
        padded[1, : part.stop - part.start] = first[part] + word
        return key, padded[0], padded[1]

    sent = submit_blocks(
        partial(_words, number=WORDS), [arguments(*own) for own in parts], ("shot_words", CHUNK, WORDS)
    )
    for (part, word), future in zip(parts, sent, strict=True):
        made = np.asarray(future.result())[: part.stop - part.start]
        result[part, word : word + WORDS] = made[:, : number - word]
    return result
