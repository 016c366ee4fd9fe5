"""Training on a finite number of shots: the loss of programs whose expectation value is estimated, not computed.

The loss is one object for all of them, so that programs share compiled calls: circuits, what is measured on them and
how many shots there are are data. The random key of an evaluation is the program's for the step, with the number of the
evaluation in the step and that of the group of terms folded in: root, program, step, row, group.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import jaxsim
from ensembles.optimizers import Identity
from ensembles.subjects import CircuitSubject
from jaxsim.batch import take_block
from jaxsim.kernels import probabilities
from jaxsim.parameter_shift import (
    SampledRow,
    sampled_block_sizes,
    sampled_gradient_rows,
    sampled_state,
    sampled_state_bytes,
    sampled_value,
    sampled_value_and_grad,
)
from jaxsim.parameters import to_json

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from ensembles.program import Row

__all__ = ["SAMPLED_ENERGY", "SampledEnergy", "SampledSubject", "with_shots"]


class SampledEnergy:
    """The loss of (parameters, row, key): an estimate of an expectation value, with derivatives by parameter shift.

    The row is a `SampledRow`, as `jaxsim.parameter_shift.lower_sampled` makes it; for gradients with `gradient=True`.
    JAX's own derivative of an estimate is zero wherever it exists, so it is refused.

    Example:
        >>> import numpy as np, jaxsim as js
        >>> from ensembles import Program, ProgramEnsemble, adam
        >>> from ensembles.sampled_loss import SAMPLED_ENERGY
        >>> from jaxsim.parameter_shift import lower_sampled
        >>> row = lower_sampled(js.Circuit(1).ry(js.Parameter("a"), 0), js.Z(0), shots=200, gradient=True)
        >>> program = Program(SAMPLED_ENERGY, np.array([0.5]), data=row, optimizer=adam(0.2), steps=40)
        >>> result = ProgramEnsemble({"a": program}).run(progress=False)["a"]
        >>> result.value < -0.9
        True
    """

    __name__ = __qualname__ = "SAMPLED_ENERGY"
    exact = False

    def __reduce__(self) -> str:
        # Pickled and back it is the same object again, so that programs still share calls.
        return "SAMPLED_ENERGY"

    def __call__(
        self, parameters: Float[Array, " parameters"], row: SampledRow, key: Array
    ) -> Float[Array, ""]:
        return sampled_value(row, _without_derivative(_vector(parameters)), key)

    def value_and_grad(
        self, parameters: Float[Array, " parameters"], row: SampledRow, key: Array
    ) -> tuple[Float[Array, ""], Float[Array, " parameters"]]:
        """The estimate and estimates of its derivatives, from shots of their own."""
        return sampled_value_and_grad(row, _vector(parameters), key)

    def gradient_rows(self, row: SampledRow) -> Any:
        """State preparations of one `value_and_grad`: 1, and 2 for each rotation with a trainable angle."""
        return sampled_gradient_rows(row)


SAMPLED_ENERGY = SampledEnergy()
"""The loss that all programs with shots share."""


def with_shots(row: Row, sampled: SampledRow) -> Row:
    """The row of a program whose loss is the expectation value of a circuit, with shots.

    Args:
        row: of the program without shots.
        sampled: the circuit, and how it is measured; with rotations if the program's optimiser follows gradients.
    """
    size, alone = sampled_block_sizes(sampled)
    return dataclasses.replace(
        row, data=sampled, loss=Identity(SAMPLED_ENERGY), rows_per_block=size, rows_alone=alone
    )


def _vector(parameters: Any) -> Any:
    if not hasattr(parameters, "dtype") or parameters.ndim != 1:
        raise TypeError(
            "an energy estimated from shots takes its parameters as one array, in the circuit's order, "
            f"as in initial_parameters=np.array([0.1, 0.2]), but a {type(parameters).__name__} was given."
        )
    return parameters


@jax.custom_jvp
def _without_derivative(parameters: Any) -> Any:
    return parameters


@_without_derivative.defjvp
def _refused(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "an energy estimated from shots has no derivative that JAX could find: outcomes are 0 or 1. Use its own "
        "value_and_grad, which is parameter shift."
    )


# hosted programs ------------------------------------------------------------------------------------------


class SampledSubject(CircuitSubject):
    """A circuit whose expectation value is estimated from shots, for programs that are ordinary Python.

    Args:
        row: as `lower_sampled` makes it.
        parameters: of the circuit, in order.

    Attributes:
        gradient_rows: state preparations of one value with its derivatives.
    """

    needs_keys = True

    def __init__(self, row: SampledRow, parameters: Any) -> None:
        self.row: Any = row
        self.names = tuple(parameters)
        self.num_parameters = len(self.names)
        self.key = row.key
        self.is_loss, self.outputs = True, 1
        self._room = row.row.room if row.angles is None else row.angles.room
        self.rows_per_block, self._alone = sampled_block_sizes(row)
        self.precision = float(np.finfo(row.real_dtype).eps)
        self.state_bytes = sampled_state_bytes(row)
        self.gradient_rows = int(sampled_gradient_rows(row)) if row.angles is not None else 1

    def text(self) -> str:
        # Coefficients inside of atoms are printed with six digits in the tree.
        atoms = self.row.row.atoms if self.row.angles is None else self.row.angles.atoms
        return f"{jax.tree.structure(self.row)} {[to_json(atom) for atom in atoms]}"

    def block_size(self, rows: int) -> int:
        return self.rows_per_block if rows > 1 else self._alone

    def kept(self, rows: Any) -> Any:
        return rows

    def evaluate(self, rows: Any, values: Any, want: str, keys: Any) -> Any:
        count, taken = np.shape(values)
        size = self.block_size(count)
        # All circuits of a key have the same room for their parameters.
        values = np.pad(np.asarray(values, self.row.real_dtype), ((0, 0), (0, self._room - taken)))
        keys = np.zeros((count, 2), np.uint32) if keys is None else np.asarray(keys)
        blocks = [
            (*take_block((rows, values, keys), slice(k, min(k + size, count)), size), want)
            for k in range(0, count, size)
        ]
        signature = ("ensembles.sampled", self.key, want, size, jax.config.read("jax_enable_x64"))
        sent = jaxsim.submit_blocks(_sampled_block, blocks, signature)
        results = [jax.tree.map(np.asarray, future.result()) for future in sent]
        whole = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)
        return (whole[0], whole[1][:, :taken]) if want == "value_and_grad" else whole


_WANTS = {
    "value": SAMPLED_ENERGY,
    "value_and_grad": SAMPLED_ENERGY.value_and_grad,
    "statevector": lambda parameters, row, key: sampled_state(row, parameters),
    "probabilities": lambda parameters, row, key: probabilities(sampled_state(row, parameters)),
}


@partial(jax.jit, static_argnames=("want",), compiler_options=jaxsim.compiler_options())
def _sampled_block(rows: Any, values: Any, keys: Any, want: str) -> Any:
    def one(row: Any, values: Any, key: Any) -> Any:
        return _WANTS[want](values, row, jax.random.wrap_key_data(key, impl="threefry2x32"))

    return jax.vmap(one)(rows, values, keys)
