"""Ready-made programs."""

from ensembles.programs.depth import deeper as deeper
from ensembles.programs.depth import grow_depth as grow_depth
from ensembles.programs.depth import interp as interp
from ensembles.programs.dynamics import TimeEvolution as TimeEvolution
from ensembles.programs.dynamics import time_evolution as time_evolution
from ensembles.programs.landscape import Landscape as Landscape
from ensembles.programs.landscape import landscape as landscape
from ensembles.programs.partition import Partition as Partition
from ensembles.programs.partition import partition as partition
from ensembles.programs.partition import solve_partitioned as solve_partitioned
from ensembles.programs.partitioned_solution import PartitionedSolution as PartitionedSolution
from ensembles.programs.qaoa import QAOA as QAOA
from ensembles.programs.qnn import QNN as QNN
from ensembles.programs.supervised import QNNClassifier as QNNClassifier
from ensembles.programs.supervised import QNNRegressor as QNNRegressor
from ensembles.programs.sweep import Sweep as Sweep
from ensembles.programs.sweep import sweep as sweep
from ensembles.programs.vqe import VQE as VQE
