"""The loss of programs whose loss is one expectation value, with what update rules may ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxsim
from ensembles.optimizers import RULES

if TYPE_CHECKING:
    from ensembles.optimizers import Optimizer

__all__ = ["Energy", "EnergyData", "energy", "energy_data"]


class EnergyData(NamedTuple):
    """A lowered circuit with its observable, and what the update rule asks for besides; all leaves.

    Attributes:
        row: the circuit as `jaxsim.lower` makes it.
        layers: (parameters,) int32, for block-diagonal Fisher information, padded with -1; or None.
        frequencies: (parameters, most of them), for Rotosolve, padded with zeros; or None.
    """

    row: Any
    layers: Any = None
    frequencies: Any = None


def energy_data(row: Any, circuit: jaxsim.Circuit, optimizer: Optimizer) -> Any:
    """The data of `energy` for a program: the row alone, unless its update rule asks for more.

    Raises:
        ValueError: frequencies are asked for, and are not few multiples of one number.
    """
    rule = RULES.get(optimizer.kind)
    needs = rule.needs[0] if rule is not None and rule.needs else None
    padding = (0, row.room - len(circuit.parameters))
    if needs == "metric":
        return EnergyData(row, layers=np.pad(jaxsim.parameter_layers(circuit), padding, constant_values=-1))
    if needs == "frequencies":
        table = np.pad(jaxsim.parameter_frequencies(circuit), (padding, (0, 0)))
        return EnergyData(row, frequencies=table.astype(row.real_dtype))
    return row


def _row(data: Any) -> Any:
    return data.row if isinstance(data, EnergyData) else data


class Energy:
    """<H>, a function of (parameters, data, key), the same for all programs: the lowered circuit is data.

    Data is a row of `jaxsim.lower`, or an `EnergyData` with such.
    """

    __name__ = __qualname__ = "energy"

    def __reduce__(self) -> str:
        # Pickled and back it is the same object again, so that programs still share calls.
        return "energy"

    def __call__(self, parameters: Any, data: Any, key: Any) -> Any:
        return jaxsim.row_values(_row(data), parameters)

    def metric(self, parameters: Any, data: Any, approximation: str = "full") -> Any:
        """The Fisher information matrix, (parameters, parameters); its diagonal, (parameters,), for "diagonal"."""
        if approximation == "diagonal":
            return jaxsim.row_fisher_diagonal(_row(data), parameters)
        matrix = jaxsim.row_fisher(_row(data), parameters)
        if approximation == "full":
            return matrix
        layers = jnp.asarray(data.layers)
        return jnp.where(layers[:, None] == layers[None, :], matrix, 0)

    def frequencies(self, data: Any) -> Any:
        """(parameters, room), as `jaxsim.parameter_frequencies` gives them."""
        return data.frequencies


energy = Energy()
