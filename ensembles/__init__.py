"""Many variational programs, trained together: what can share a compiled call shares it, and no result
depends on that.

Example:
    >>> from ensembles import BatchConfig, ProgramEnsemble, VQE, adam
"""

from ensembles.config import BatchConfig as BatchConfig
from ensembles.config import BatchMode as BatchMode
from ensembles.ensemble import ProgramEnsemble as ProgramEnsemble
from ensembles.optimizers import Optimizer as Optimizer
from ensembles.optimizers import adabelief as adabelief
from ensembles.optimizers import adagrad as adagrad
from ensembles.optimizers import adam as adam
from ensembles.optimizers import adamax as adamax
from ensembles.optimizers import adamw as adamw
from ensembles.optimizers import amsgrad as amsgrad
from ensembles.optimizers import lamb as lamb
from ensembles.optimizers import lion as lion
from ensembles.optimizers import nadam as nadam
from ensembles.optimizers import nadamw as nadamw
from ensembles.optimizers import radam as radam
from ensembles.optimizers import rmsprop as rmsprop
from ensembles.optimizers import rprop as rprop
from ensembles.optimizers import sgd as sgd
from ensembles.optimizers import yogi as yogi
from ensembles.planner import Plan as Plan
from ensembles.program import Program as Program
from ensembles.programs import QAOA as QAOA
from ensembles.programs import VQE as VQE
from ensembles.result import EnsembleError as EnsembleError
from ensembles.result import EnsembleResult as EnsembleResult
from ensembles.result import ProgramResult as ProgramResult
from ensembles.result import Stats as Stats
