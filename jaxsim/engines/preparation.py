"""The state that a circuit starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxsim import kernels

if TYPE_CHECKING:
    from jaxtyping import Array, Complex

__all__ = ["prepared"]


def prepared(
    num_wires: int,
    initialize: tuple[tuple[tuple[int, ...], int], ...],
    operands: tuple[Array, ...],
    dtype: Any,
    state: Array | None,
) -> Complex[Array, " dim"]:
    """`state` or |0...0>, with prepared states put in.

    Args:
        num_wires: number of qubits.
        initialize: (wires, operand) of each prepared state; its wires were |0>.
        operands: the circuit's operands.
        dtype: complex dtype.
        state: (2**n,) or None.
    """
    state = kernels.zero_state(num_wires, dtype) if state is None else state.astype(dtype)
    for wires, operand in initialize:
        mask = sum(1 << w for w in wires)
        local = kernels.local_index(num_wires, wires)
        state = state[kernels.basis(state) & ~mask] * operands[operand].astype(dtype)[local]
    return state
