"""Many variational programs, trained together: what can share a compiled call shares it, and no result
depends on that.

Example:
    >>> from ensembles import BatchConfig, ProgramEnsemble, VQE, adam
"""

from ensembles import schedules as schedules
from ensembles.checkpoint_error import CheckpointError as CheckpointError
from ensembles.config import BatchConfig as BatchConfig
from ensembles.config import BatchMode as BatchMode
from ensembles.ensemble import ProgramEnsemble as ProgramEnsemble
from ensembles.evaluation import Cancelled as Cancelled
from ensembles.evaluation import Evaluate as Evaluate
from ensembles.evolution import cma_es as cma_es
from ensembles.evolution import differential_evolution as differential_evolution
from ensembles.hosted_optimizers import HostedOptimizer as HostedOptimizer
from ensembles.hosted_optimizers import grid_search as grid_search
from ensembles.hosted_optimizers import random_search as random_search
from ensembles.hosted_program import HostedProgram as HostedProgram
from ensembles.optimizers import Optimizer as Optimizer
from ensembles.optimizers import clipped as clipped
from ensembles.planner import Plan as Plan
from ensembles.program import Program as Program
from ensembles.programs import QAOA as QAOA
from ensembles.programs import QNN as QNN
from ensembles.programs import VQE as VQE
from ensembles.programs import Landscape as Landscape
from ensembles.programs import Partition as Partition
from ensembles.programs import PartitionedSolution as PartitionedSolution
from ensembles.programs import QNNClassifier as QNNClassifier
from ensembles.programs import QNNRegressor as QNNRegressor
from ensembles.programs import Sweep as Sweep
from ensembles.programs import TimeEvolution as TimeEvolution
from ensembles.programs import deeper as deeper
from ensembles.programs import grow_depth as grow_depth
from ensembles.programs import interp as interp
from ensembles.programs import landscape as landscape
from ensembles.programs import partition as partition
from ensembles.programs import solve_partitioned as solve_partitioned
from ensembles.programs import sweep as sweep
from ensembles.programs import time_evolution as time_evolution
from ensembles.result import EnsembleError as EnsembleError
from ensembles.result import EnsembleResult as EnsembleResult
from ensembles.result import ProgramResult as ProgramResult
from ensembles.result import Stats as Stats
from ensembles.rules import adabelief as adabelief
from ensembles.rules import adagrad as adagrad
from ensembles.rules import adam as adam
from ensembles.rules import adamax as adamax
from ensembles.rules import adamw as adamw
from ensembles.rules import amsgrad as amsgrad
from ensembles.rules import lamb as lamb
from ensembles.rules import lbfgs as lbfgs
from ensembles.rules import lion as lion
from ensembles.rules import nadam as nadam
from ensembles.rules import nadamw as nadamw
from ensembles.rules import natural_gradient as natural_gradient
from ensembles.rules import radam as radam
from ensembles.rules import rmsprop as rmsprop
from ensembles.rules import rotosolve as rotosolve
from ensembles.rules import rprop as rprop
from ensembles.rules import sgd as sgd
from ensembles.rules import spsa as spsa
from ensembles.rules import yogi as yogi
from ensembles.run_handle import RunHandle as RunHandle
from ensembles.run_update import RunUpdate as RunUpdate
from ensembles.sampling import EnsembleSamples as EnsembleSamples
from ensembles.sampling import Outcome as Outcome
from ensembles.sampling import ProgramSamples as ProgramSamples
from ensembles.sampling import sample as sample
from ensembles.saved import StoredError as StoredError
from ensembles.scipy_methods import SCIPY_METHODS as SCIPY_METHODS
from ensembles.scipy_methods import scipy_minimize as scipy_minimize
from ensembles.stopping import EarlyStopping as EarlyStopping
