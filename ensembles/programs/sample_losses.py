"""Losses over samples: what a QNN computes inside a compiled call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxsim

if TYPE_CHECKING:
    from jaxtyping import Array, Float

__all__ = ["LOSSES", "SampleLoss", "Samples", "all_outputs", "loss_of_each", "padded_samples", "sample_loss"]


def _squared(outputs: Array, target: Array, sharpness: Array) -> Array:
    return jnp.sum((outputs - target) ** 2)


def _hinge(outputs: Array, target: Array, sharpness: Array) -> Array:
    return jnp.sum(jnp.maximum(0.0, 1.0 - target * outputs))


def _logistic(outputs: Array, target: Array, sharpness: Array) -> Array:
    return jnp.sum(jax.nn.softplus(-sharpness * target * outputs))


def _cross_entropy(outputs: Array, target: Array, sharpness: Array) -> Array:
    return -jnp.sum(target * jax.nn.log_softmax(sharpness * outputs))


LOSSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "squared": _squared,
    "hinge": _hinge,
    "logistic": _logistic,
    "cross_entropy": _cross_entropy,
}
"""Losses of one sample, from its outputs (m,), its target (m,) and the sharpness: the squared distance; for targets -1
and 1 max(0, 1 - y o) and log(1 + exp(-sharpness y o)); for targets that are shares of classes the cross entropy with
softmax(sharpness o)."""


def padded_samples(array: Float[np.ndarray, "samples columns"]) -> Float[np.ndarray, "room columns"]:
    """The samples followed by copies of the last one, up to 1, 2, 3, 4, 6, 8, 12, 16, 24, ... of them, so that numbers
    of samples that differ a little share compiled calls.

    Example:
        >>> padded_samples(np.ones((9, 2))).shape
        (12, 2)
    """
    count = len(array)
    power = 1 << (count - 1).bit_length()
    room = 3 * power // 4 if count <= 3 * power // 4 and power > 2 else power
    return np.concatenate([array, np.repeat(array[-1:], room - count, axis=0)])


class Samples(NamedTuple):
    """The data of a QNN's row; all leaves.

    Attributes:
        row: the lowered circuit, with its observables.
        inputs: (samples, features), padded.
        targets: (samples, outputs), padded.
        count: () int32, how many samples there are.
        order: (parameters,) int32: where each parameter of the circuit is in features and weights, one after the other.
        sharpness: () factor of the outputs in losses that have one.
    """

    row: Any
    inputs: Any
    targets: Any
    count: Any
    order: Any
    sharpness: Any


def sample_outputs(weights: Array, features: Array, row: Any, order: Array) -> Float[Array, " outputs"]:
    """The expectation values for one sample."""
    values = jnp.concatenate([features, weights]).at[order].get(mode="promise_in_bounds", unique_indices=True)
    return jaxsim.row_values(row, values)


class SampleLoss:
    """The loss of a QNN: the mean over the samples, or over `batch_size` of them drawn anew for each step."""

    def __init__(self, kind: str | Callable[..., Any], batch_size: int | None) -> None:
        self.kind, self.batch_size = kind, batch_size
        self.__name__ = kind if isinstance(kind, str) else getattr(kind, "__name__", "loss")
        self.__qualname__ = f"SampleLoss({self.__name__}, batch_size={batch_size})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled and back it is the same object again, so that programs still share calls.
        return (sample_loss, (self.kind, self.batch_size))

    def __call__(self, weights: Array, data: Samples, key: Any) -> Array:
        inputs, targets = jnp.asarray(data.inputs), jnp.asarray(data.targets)
        places = jnp.arange(inputs.shape[0])
        if self.batch_size is None:
            share = (places < data.count).astype(weights.dtype) / data.count.astype(weights.dtype)
        else:
            # The samples with the smallest of random numbers: a draw without replacement; padding is never drawn.
            lots = jnp.where(places < data.count, jax.random.uniform(key, (inputs.shape[0],)), 2.0)
            drawn = jnp.argsort(lots)[: self.batch_size]
            inputs, targets = inputs[drawn], targets[drawn]
            share = jnp.full(self.batch_size, 1.0 / self.batch_size, weights.dtype)

        def of_sample(features: Array, target: Array) -> Array:
            outputs = sample_outputs(weights, features, data.row, data.order)
            return self.of_sample(outputs, target, data.sharpness)

        return _sum(share * jax.vmap(of_sample)(inputs, targets))

    def of_sample(self, outputs: Array, target: Array, sharpness: Array) -> Array:
        """The loss of one sample."""
        if isinstance(self.kind, str):
            return LOSSES[self.kind](outputs, target, sharpness)
        return self.kind(outputs, target)


@functools.cache
def sample_loss(kind: str | Callable[..., Any], batch_size: int | None) -> SampleLoss:
    """One object for each kind of loss, as programs share calls only if they hold the same one."""
    return SampleLoss(kind, batch_size)


def _sum(values: Array) -> Array:
    """A sum in pairs, so that its bits do not depend on how XLA would split it."""
    length = 1 << max(0, values.shape[0] - 1).bit_length()
    values = jnp.pad(values, (0, length - values.shape[0]))
    while values.shape[0] > 1:
        half = values.shape[0] // 2
        values = values[:half] + values[half:]
    return values[0]


@functools.partial(jax.jit, static_argnums=0)
def loss_of_each(
    loss: SampleLoss, outputs: Array, targets: Array, sharpness: Array
) -> Float[Array, " samples"]:
    """The losses of all samples, from their outputs and targets, (samples, outputs)."""
    return jax.vmap(loss.of_sample, in_axes=(0, 0, None))(outputs, targets, sharpness)


@functools.partial(jax.jit, compiler_options=jaxsim.compiler_options())
def all_outputs(weights: Array, data: Samples) -> Float[Array, "samples outputs"]:
    """The expectation values for all samples, padding included."""
    return jax.vmap(lambda features: sample_outputs(weights, features, data.row, data.order))(data.inputs)
