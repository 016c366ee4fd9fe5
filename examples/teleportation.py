"""Teleportation, and what measurement inside circuits is good for: shots, exact values, gradients, post-selection.

python examples/teleportation.py
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import jaxsim as js
from jaxsim import Circuit, Z
from jaxsim.dynamic import post_select


def teleport(theta: float | jax.Array) -> Circuit:
    """RY(theta)|0> goes from wire 0 to wire 2 over a Bell pair and two classical bits."""
    circuit = Circuit(3)
    bell = circuit.register("bell", 2)
    circuit.ry(theta, 0)
    circuit.h(1).cx(1, 2)
    circuit.cx(0, 1).h(0).measure([0, 1], bell)
    with circuit.if_(bell[1]):
        circuit.x(2)
    with circuit.if_(bell[0]):
        circuit.z(2)
    return circuit


def main() -> None:
    theta = 1.1
    print(teleport(theta).draw(fold=110))

    measured = teleport(theta)
    measured.measure(2, measured.register("out", 1))
    counts = js.counts(measured, jax.random.key(0), 100_000)
    ones = sum(number for key, number in counts.items() if key.startswith("1"))
    print(f"\n100,000 shots: {counts}")
    print(f"P(out = 1): {ones / 100_000:.4f} drawn, {np.sin(theta / 2) ** 2:.4f} expected")

    # A drawn outcome has no derivative; the mean over outcomes has: measured at the end, on fresh wires.
    energy = jax.value_and_grad(lambda t: js.expectation(teleport(t), Z(2), deferred=True))
    value, slope = energy(theta)
    print(f"<Z> = {value:.4f} = cos(theta), its derivative {slope:.4f} = -sin(theta)")

    angle = 0.2
    for _ in range(40):  # teleport |1>
        angle -= 0.4 * energy(angle)[1]
    print(f"trained through the measurement: theta = {angle:.4f}, <Z> = {energy(angle)[0]:.4f}")

    # What the receiver holds before any correction, if the sender found 1 and 1.
    raw = Circuit(3)
    bell = raw.register("bell", 2)
    raw.ry(theta, 0).h(1).cx(1, 2).cx(0, 1).h(0).measure([0, 1], bell)
    state, probability = post_select(raw, {bell: 3})
    received = jnp.round(state.reshape(2, 4)[:, 3], 4)
    print(f"with probability {probability:.2f} the receiver gets {received} and has to apply X, then Z")


if __name__ == "__main__":
    main()
