"""Measured bits, drawn on the host from probabilities: no number of shots compiles anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8, UInt32

__all__ = ["draw_bits"]


def draw_bits(
    probabilities: Float[np.ndarray, " dim"], key: UInt32[np.ndarray, "2"], shots: int
) -> UInt8[np.ndarray, "shots qubits"]:
    """Outcomes, column q the bit of qubit q; the first ones of a key are the same for any larger number of shots.

    Inversion of the cumulative distribution with 53 random bits a shot, from a counter-based generator (Philox, Salmon
    et al., SC 2011).

    Args:
        probabilities: (2**n,), not negative; they need not be normalised.
        key: of the generator.
        shots: how many.

    Raises:
        FloatingPointError: the probabilities do not add up to a positive number.

    Example:
        >>> import numpy as np
        >>> draw_bits(np.array([0.0, 0.0, 1.0, 0.0]), np.array([1, 2], np.uint32), shots=2).tolist()
        [[0, 1], [0, 1]]
    """
    cumulative = np.cumsum(probabilities, dtype=np.float64)
    total = cumulative[-1]
    if not 0 < total < np.inf:
        raise FloatingPointError(f"evaluate.sample: the probabilities of the state add up to {total}.")
    # Raw bits: how NumPy makes floats of them may change from version to version.
    stream = np.random.Philox(key=int(key[0]) | int(key[1]) << 32)
    uniforms = (stream.random_raw(shots) >> np.uint64(11)) * 2.0**-53
    # A product rounded up to the total would lie behind the last outcome that can occur.
    index = np.searchsorted(cumulative, np.minimum(uniforms * total, np.nextafter(total, 0.0)), side="right")
    num_wires = len(probabilities).bit_length() - 1
    return (index[:, None] >> np.arange(num_wires)[None, :] & 1).astype(np.uint8)
