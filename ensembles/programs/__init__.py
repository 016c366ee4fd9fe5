"""Ready-made programs."""

from ensembles.programs.qaoa import QAOA as QAOA
from ensembles.programs.vqe import VQE as VQE
