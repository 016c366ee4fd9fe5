"""Differentiable quantum-circuit simulation in JAX: circuits are JAX values, structure is data.

Example:
    >>> import jax, jaxsim as js
    >>> from jaxsim import Circuit, X, Z
    >>> def energy(theta):
    ...     c = Circuit(2).ry(theta, range(2)).cx(0, 1)
    ...     return js.expectation(c, Z(0) @ Z(1) + 0.5 * X(0))
    >>> gradient = jax.jit(jax.grad(energy))(jax.numpy.array([0.1, 0.2]))
"""

from jaxsim import ansatz as ansatz
from jaxsim import dynamic as dynamic
from jaxsim.batch import Blocks as Blocks
from jaxsim.batch import Lowered as Lowered
from jaxsim.batch import block_size as block_size
from jaxsim.batch import evaluate as evaluate
from jaxsim.batch import lower as lower
from jaxsim.batch import row_values as row_values
from jaxsim.batch import rows_per_block as rows_per_block
from jaxsim.batch import stack as stack
from jaxsim.circuit import Circuit as Circuit
from jaxsim.circuit import bind_values as bind_values
from jaxsim.classical import Bit as Bit
from jaxsim.classical import Condition as Condition
from jaxsim.classical import Register as Register
from jaxsim.compilation import compiler_options as compiler_options
from jaxsim.compilation import enable_compilation_cache as enable_compilation_cache
from jaxsim.compilation import warmup as warmup
from jaxsim.compiled_circuit import CompiledCircuit as CompiledCircuit
from jaxsim.compiled_circuit import compile as compile
from jaxsim.compiled_circuits import CompiledCircuits as CompiledCircuits
from jaxsim.dynamic import PostSelected as PostSelected
from jaxsim.dynamic import post_select as post_select
from jaxsim.estimate import estimate as estimate
from jaxsim.fisher import fisher_information as fisher_information
from jaxsim.fisher import parameter_layers as parameter_layers
from jaxsim.fisher import row_fisher as row_fisher
from jaxsim.fisher import row_fisher_diagonal as row_fisher_diagonal
from jaxsim.frequencies import parameter_frequencies as parameter_frequencies
from jaxsim.gates import GATES as GATES
from jaxsim.gates import Gate as Gate
from jaxsim.gates import controlled as controlled
from jaxsim.job_options import JobInputError as JobInputError
from jaxsim.job_result import Result as Result
from jaxsim.jobs import Job as Job
from jaxsim.jobs import JobCancelledError as JobCancelledError
from jaxsim.jobs import JobError as JobError
from jaxsim.jobs import JobStatus as JobStatus
from jaxsim.measurement_groups import commuting_groups as commuting_groups
from jaxsim.observables import I as I
from jaxsim.observables import PauliSum as PauliSum
from jaxsim.observables import X as X
from jaxsim.observables import Y as Y
from jaxsim.observables import Z as Z
from jaxsim.observables import anticommutator as anticommutator
from jaxsim.observables import commutator as commutator
from jaxsim.parameter_shift import lower_sampled as lower_sampled
from jaxsim.parameter_shift import parameter_shift as parameter_shift
from jaxsim.parameters import Parameter as Parameter
from jaxsim.parameters import ParameterVector as ParameterVector
from jaxsim.simulate import amplitudes as amplitudes
from jaxsim.simulate import counts as counts
from jaxsim.simulate import entropy as entropy
from jaxsim.simulate import expectation as expectation
from jaxsim.simulate import fidelity as fidelity
from jaxsim.simulate import overlap as overlap
from jaxsim.simulate import probabilities as probabilities
from jaxsim.simulate import reduced_density_matrix as reduced_density_matrix
from jaxsim.simulate import sample as sample
from jaxsim.simulate import statevector as statevector
from jaxsim.simulate import unitary as unitary
from jaxsim.simulate import variance as variance
from jaxsim.simulator import Simulator as Simulator
from jaxsim.structure import Instruction as Instruction
from jaxsim.structure import Structure as Structure
from jaxsim.threads import submit_blocks as submit_blocks
from jaxsim.versions import show_versions as show_versions

__version__ = "0.1.0"
