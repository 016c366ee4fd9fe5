"""`VQE`: the lowest energy that an ansatz reaches."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import jaxsim
from ensembles import names
from ensembles.energy_loss import energy, energy_data
from ensembles.optimizers import Identity
from ensembles.program import Program, Row, engine_reason
from ensembles.programs.arguments import remembers_arguments, start_vector
from ensembles.sampled_loss import SAMPLED_ENERGY, SampledSubject, with_shots
from ensembles.stopping import EarlyStopping, as_stopping
from ensembles.subjects import CircuitSubject, Hosting
from jaxsim.parameter_shift import lower_sampled, sampled_state_bytes

__all__ = ["VQE"]


class VQE(Program):
    """Variational quantum eigensolver: minimises <H> over the parameters of an ansatz (Peruzzo et al.,
    arXiv:1304.3061).

    Args:
        ansatz: a circuit with parameters; a snapshot is taken.
        hamiltonian: a sum with real coefficients.
        optimizer: `ensembles.adam(...)` and the like, or an optax transformation.
        steps: how many updates.
        stopping: an `EarlyStopping`, if the program may stop before.
        initial_parameters: (parameters,) radians, in the order of ``ansatz.parameters``, or a mapping by
            name; None draws them, uniform on [-pi, pi), from the program's key.
        shots: of each group of terms that are measured together, for a loss estimated from that many seeded shots, with
            derivatives by parameter shift; None: the exact loss.
        dtype: complex64 (default) or complex128, of the state.
        engine: as for `jaxsim.compile`.

    Raises:
        TypeError, ValueError: no circuit, no parameters, Hamiltonian on wires that the ansatz lacks, wrong
            shapes.

    Example:
        >>> from ensembles import VQE, ProgramEnsemble, adam
        >>> from ensembles.problems import molecule
        >>> from jaxsim import ansatz
        >>> h2 = molecule("H2", bond_length=0.735)
        >>> vqe = VQE(ansatz.uccsd(4, 2), h2.hamiltonian, optimizer=adam(0.1), steps=100)
        >>> result = ProgramEnsemble({"H2": vqe}).run(progress=False)
        >>> abs(result["H2"].value - h2.exact_energy) < 1.6e-3
        True
    """

    kind = "VQE"
    loss = energy
    exact = True
    """Whether nothing but the start is drawn at random."""

    @remembers_arguments
    def __init__(
        self,
        ansatz: jaxsim.Circuit,
        hamiltonian: jaxsim.PauliSum,
        *,
        optimizer: Any,
        steps: int | None = None,
        stopping: EarlyStopping | None = None,
        initial_parameters: Any = None,
        shots: int | None = None,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if not isinstance(ansatz, jaxsim.Circuit):
            raise TypeError(f"{self.kind}: the ansatz is a Circuit, but a {type(ansatz).__name__} was given.")
        if not isinstance(hamiltonian, jaxsim.PauliSum):
            raise TypeError(
                f"{self.kind}: the hamiltonian is a PauliSum, but a {type(hamiltonian).__name__} was given."
            )
        if not ansatz.parameters:
            raise ValueError(f"{self.kind}: the ansatz has no parameters to optimise.")
        self.ansatz = ansatz.copy()
        self.hamiltonian, self._engine = hamiltonian, engine
        self._lowered = jaxsim.lower(self.ansatz, hamiltonian, engine=engine, dtype=dtype)
        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(self._lowered)):
            raise TypeError(
                f"{self.kind}: ansatz and hamiltonian must be concrete, not values traced by JAX."
            )
        self.shots, self.exact, self._sampled = shots, shots is None, None
        if shots is not None:
            follows = getattr(optimizer, "has_gradient", True)
            self._sampled = lower_sampled(
                self.ansatz, hamiltonian, shots, gradient=follows, engine=engine, dtype=dtype, name=self.kind
            )
            self.loss = SAMPLED_ENERGY
        real = self._lowered.real_dtype
        if initial_parameters is None:
            self.initial_parameters = None
            self._start = np.zeros(len(ansatz.parameters), real)
        else:
            self.initial_parameters = start_vector(self.kind, ansatz.parameters, initial_parameters, real)
            self._start = self.initial_parameters
        self._set_training(optimizer, steps, stopping)
        exact = not self.hosted and shots is None
        self._data = energy_data(self._lowered, self.ansatz, self.optimizer) if exact else None

    @property
    def lowered(self) -> jaxsim.Lowered:
        """The circuit and its observable as arrays, as `jaxsim.lower` makes them."""
        return self._lowered

    def row(self, name: Any) -> Row:
        # An optax transformation as given may do anything with the parameters: it sees the true ones alone.
        room = self._lowered.room if self.optimizer.pads else len(self._start)
        row = Row(
            data=self._data,
            parameters=np.pad(self._start, (0, room - len(self._start))),
            optimizer=self.optimizer,
            steps=np.int32(self.steps),
            stopping=as_stopping(self.stopping, self._lowered.real_dtype),
            words=names.name_words(name),
            drawn=np.bool_(self.initial_parameters is None),
            trained=np.arange(room) < len(self._start),
            loss=Identity(energy),
            rows_per_block=jaxsim.rows_per_block(self._lowered),
            rows_alone=jaxsim.block_size(1, self._lowered),
        )
        return row if self._sampled is None else with_shots(row, self._sampled)

    def hosting(self) -> Hosting:
        if self._sampled is None:
            subject = CircuitSubject(self._lowered, self.ansatz.parameters)
        else:
            subject = SampledSubject(self._sampled, self.ansatz.parameters)
        dtype = self._lowered.dtype
        return Hosting(subject, self.initial_parameters, self.ansatz, self.hamiltonian, dtype, self._engine)

    def describe(self) -> str:
        lowered = self._lowered
        return f"{self.kind} {lowered.num_wires} qubits, up to {lowered.room} parameters, engine {lowered.engine!r}"

    def reason(self) -> str:
        return engine_reason(self.ansatz, self._engine, self._lowered)

    def state_bytes(self) -> int:
        if self._sampled is not None:
            return sampled_state_bytes(self._sampled)
        # The reverse pass holds the state and its cotangent, each before and after a step, and two flipped
        # copies. A full metric holds a derivative of the state for every parameter.
        states = 6 + (len(self._start) if getattr(self._data, "layers", None) is not None else 0)
        return states * self._lowered.dtype.itemsize * 2**self._lowered.num_wires
