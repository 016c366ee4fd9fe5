"""Pauli words as pairs of bit masks: products, commutation, merging. NumPy only.

A word on up to 30 wires is `i**popcount(x & z) X^x Z^z`: bit q of `x` says that wire q carries X or Y, bit q
of `z` that it carries Z or Y. Words so defined are Hermitian, and products reduce to XOR and counts of bits
(the symplectic form; Aaronson and Gottesman, Phys. Rev. A 70, 052328, 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int, Int32

    Masks = Int32[np.ndarray, " terms"]

MAX_WIRES = 30
QUARTER_TURNS = np.array([1, 1j, -1, -1j])


def parity(bits: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Number of set bits modulo 2.

    >>> parity(np.array([0, 1, 3, 7])).tolist()
    [0, 1, 0, 1]
    """
    return np.bitwise_count(bits) & 1


def multiply(x1: Masks, z1: Masks, x2: Masks, z2: Masks) -> tuple[Masks, Masks, Int[np.ndarray, " terms"]]:
    """Masks (x, z) and quarter turns k of products: word 1 times word 2 = i**k times the word of (x, z).

    >>> one = np.array([1], np.int32)
    >>> multiply(one, 0 * one, one, one)      # X Y = i Z
    (array([0], dtype=int32), array([1], dtype=int32), array([1]))
    """
    x, z = x1 ^ x2, z1 ^ z2
    # Z^z1 moves past X^x2, and every Y of the factors and of the result counts one i.
    turns = _count(x1 & z1) + _count(x2 & z2) + 2 * _count(z1 & x2) - _count(x & z)
    return x, z, turns % 4


def anticommute(x1: Masks, z1: Masks, x2: Masks, z2: Masks) -> np.ndarray:
    """True where the two words anticommute.

    >>> one = np.array([1], np.int32)
    >>> anticommute(one, 0 * one, 0 * one, one)
    array([ True])
    """
    return (parity(x1 & z2) ^ parity(z1 & x2)).astype(bool)


def equal_words(x: Masks, z: Masks) -> tuple[Int[np.ndarray, " groups"], Int[np.ndarray, " terms"]]:
    """Groups of equal words in order of appearance: the first index of each, and the group of every word.

    >>> first, group = equal_words(np.array([1, 0, 1], np.int32), np.array([0, 2, 0], np.int32))
    >>> first.tolist(), group.tolist()
    ([0, 1], [0, 1, 0])
    """
    key = x.astype(np.int64) << MAX_WIRES | z
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return first[order], rank[group.reshape(-1)]


def sum_groups(values: Any, group: Int[np.ndarray, " terms"], xp: Any = np) -> Any:
    """Sums of `values` (terms,) over groups 0, 1, ...: shape (groups,), `xp` is numpy or jax.numpy.

    Pairs are added in rounds: log2(largest group) gathers whatever the groups, and an order of additions that
    is the same on every platform, which a scatter-add on a GPU does not promise.

    >>> sum_groups(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0])).tolist()
    [5.0, 2.0]
    """
    counts = np.bincount(group)
    values = values[np.argsort(group, kind="stable")]
    while counts.max() > 1:
        halves = (counts + 1) // 2
        owner = np.repeat(np.arange(counts.size), halves)
        place = 2 * (np.arange(owner.size) - (np.cumsum(halves) - halves)[owner])
        left = (np.cumsum(counts) - counts)[owner] + place
        right = np.where(place + 1 < counts[owner], left + 1, values.shape[0])
        padded = xp.concatenate([values, xp.zeros(1, values.dtype)])
        values, counts = padded[left] + padded[right], halves
    return values


def _count(bits: Masks) -> Int[np.ndarray, " terms"]:
    return np.bitwise_count(bits).astype(np.int64)
