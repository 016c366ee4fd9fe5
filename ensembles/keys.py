"""Random numbers that belong to a program: decided by the run's seed and its name, never by its place.

All of it is made on the host, by hashing (BLAKE2b) and a counter-based generator (Philox, Salmon et al., SC11), and
so is the same in every process, batch and driver. Only what is drawn at every step is made inside compiled calls,
from `key_data`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, UInt32

__all__ = ["digest", "drawn_start", "generator", "key_data", "program_seed"]


def program_seed(root: UInt32[np.ndarray, "2"], words: UInt32[np.ndarray, "4"]) -> bytes:
    """The 24 bytes that everything random in a program is made from.

    Args:
        root: key data of the run's seed.
        words: of the program's name, from `names.name_words`.
    """
    return np.concatenate([root, words]).astype("<u4").tobytes()


def digest(seed: bytes, size: int, purpose: str) -> bytes:
    """`size` bytes of a seed (and what follows it) that belong to one purpose, of up to 16 letters."""
    return hashlib.blake2b(seed, digest_size=size, person=purpose.encode()).digest()


def generator(seed: bytes, purpose: str) -> np.random.Generator:
    """A generator that belongs to a seed and one purpose."""
    key = int.from_bytes(digest(seed, 16, purpose), "little")
    return np.random.Generator(np.random.Philox(key=key))


def key_data(root: UInt32[np.ndarray, "2"], words: UInt32[np.ndarray, "4"]) -> UInt32[np.ndarray, "2"]:
    """Key data of a program's own JAX key.

    Arguments as for `program_seed`.
    """
    found = digest(program_seed(root, words), 8, "ensembles/key")
    return np.frombuffer(found, "<u4").astype(np.uint32)


def drawn_start(
    root: UInt32[np.ndarray, "2"], words: UInt32[np.ndarray, "4"], count: int
) -> Float[np.ndarray, " count"]:
    """Where a program starts that was not told: `count` angles, uniform on [-pi, pi).

    Example:
        >>> from ensembles.names import name_words
        >>> root = np.array([0, 7], np.uint32)
        >>> a, b = (drawn_start(root, name_words("H2"), n) for n in (2, 5))
        >>> bool(np.all(a == b[:2]))  # more parameters, the same first ones
        True
    """
    return generator(program_seed(root, words), "hosted/start").uniform(-np.pi, np.pi, count)
