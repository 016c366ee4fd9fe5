"""Expectation values with one derivative rule.

`energies` is one `jax.custom_jvp` function: its rule runs the engine backwards once to get the gradient g,
and returns the tangent <g, d inputs>. As that is linear in the tangents, JAX transposes it for reverse mode
and differentiates it again for second derivatives: every mode and nesting follows from the one rule, in
memory that does not grow with depth.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxsim import kernels
from jaxsim.engines.registry import Program, engine_of
from jaxsim.lowering.observable import LoweredObservable, apply

if TYPE_CHECKING:
    from jaxtyping import Array, Float

__all__ = ["energies", "energies_and_gradients", "energies_by_backprop"]


def energies_by_backprop(
    program: Program,
    data: Any,
    values: Array,
    operands: tuple[Array, ...],
    state: Array,
    observables: tuple[LoweredObservable, ...],
) -> Float[Array, " outputs"]:
    """Expectation values of the observables in the final state, differentiated by JAX's own rules.

    Args:
        program, data, values, operands: the circuit, as for the engine's `run`.
        state: the initial state.
        observables: what to measure, all on the same state.
    """
    final = engine_of(program).run(program, data, values, operands, state)
    return jnp.stack([kernels.real_overlap(final, apply(o, final)) for o in observables])


energies = jax.custom_jvp(energies_by_backprop, nondiff_argnums=(0,))
"""As `energies_by_backprop`, with the reversible rule. Constants of the lowered circuit (`data`) are not
differentiated."""


@partial(energies.defjvp, symbolic_zeros=True)
def _rule(program: Program, primals: Any, tangents: Any) -> tuple[Array, Array]:
    data, values, operands, state, observables = primals
    _, d_values, d_operands, d_state, d_observables = tangents
    final = engine_of(program).run(program, data, values, operands, state)
    images = [apply(o, final) for o in observables]
    outputs = jnp.stack([kernels.real_overlap(final, image) for image in images])
    tangent = jnp.zeros_like(outputs)
    for k, (observable, change) in enumerate(zip(observables, d_observables, strict=True)):
        if _perturbed(change.weights):
            # The expectation value is linear in the coefficients.
            changed = dataclasses.replace(observable, weights=change.weights)
            tangent = tangent.at[k].add(kernels.real_overlap(final, apply(changed, final)))
    if any(map(_perturbed, jax.tree.leaves((d_values, d_operands, d_state), is_leaf=_is_zero))):
        stack = jnp.stack([final, *(2 * image for image in images)])
        stack, by_value, by_operand = engine_of(program).reverse(program, data, values, operands, stack)
        if _perturbed(d_values):
            tangent = tangent + jnp.sum(by_value * d_values[None], axis=-1)
        for cotangent, change in zip(by_operand, d_operands, strict=True):
            if _perturbed(change):
                axes = tuple(range(1, cotangent.ndim))
                tangent = tangent + jnp.sum((cotangent * change[None]).real, axis=axes)
        if _perturbed(d_state):
            tangent = tangent + kernels.real_overlap(stack[1:], d_state[None])
    return outputs, tangent


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, SymbolicZero)


def _perturbed(tangent: Any) -> bool:
    return not isinstance(tangent, SymbolicZero)


def energies_and_gradients(
    program: Program,
    data: Any,
    values: Array,
    operands: tuple[Array, ...],
    state: Array,
    observables: tuple[LoweredObservable, ...],
) -> tuple[Float[Array, " outputs"], Float[Array, "outputs values"]]:
    """What `jax.value_and_grad` of `energies` gives, by `values`; it takes half as long to trace."""
    final = engine_of(program).run(program, data, values, operands, state)
    images = [apply(o, final) for o in observables]
    outputs = jnp.stack([kernels.real_overlap(final, image) for image in images])
    stack = jnp.stack([final, *(2 * image for image in images)])
    _, by_value, _ = engine_of(program).reverse(program, data, values, operands, stack)
    return outputs, by_value
