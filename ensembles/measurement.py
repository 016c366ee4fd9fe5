"""Measured bits, drawn on the host from probabilities: no number of shots compiles anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxsim.draws import draw

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8, UInt32

__all__ = ["draw_bits"]


def draw_bits(
    probabilities: Float[np.ndarray, " dim"], key: UInt32[np.ndarray, "2"], shots: int
) -> UInt8[np.ndarray, "shots qubits"]:
    """Outcomes, column q the bit of qubit q; the first ones of a key are the same for any larger number of shots.

    `jaxsim.draws.draw` draws them.

    Args:
        probabilities: (2**n,), not negative; they need not be normalised.
        key: of the stream of random numbers.
        shots: how many.

    Raises:
        FloatingPointError: the probabilities do not add up to a positive number.

    Example:
        >>> import numpy as np
        >>> draw_bits(np.array([0.0, 0.0, 1.0, 0.0]), np.array([1, 2], np.uint32), shots=2).tolist()
        [[0, 1], [0, 1]]
    """
    stream = key.astype("<u4").tobytes().ljust(16, b"\0")
    codes = np.concatenate(list(draw(probabilities, stream, shots)))
    num_wires = len(probabilities).bit_length() - 1
    octets = codes.astype("<u4").view(np.uint8).reshape(len(codes), 4)
    return np.unpackbits(octets, axis=1, count=num_wires, bitorder="little")
