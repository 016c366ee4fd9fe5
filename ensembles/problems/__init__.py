"""Problems to solve: molecules, spin models, graphs, polynomials in bits."""

from __future__ import annotations

from ensembles.problems.binary import Best, BinaryProblem
from ensembles.problems.covers import MaxIndependentSet, MinVertexCover
from ensembles.problems.graphs import Cut, MaxCut
from ensembles.problems.molecules import Molecule, bond_lengths, molecule
from ensembles.problems.number_partitioning import NumberPartitioning
from ensembles.problems.qubo import HUBO, QUBO, Ising
from ensembles.problems.spins import heisenberg, tfim, xxz

__all__ = [
    "HUBO",
    "QUBO",
    "Best",
    "BinaryProblem",
    "Cut",
    "Ising",
    "MaxCut",
    "MaxIndependentSet",
    "MinVertexCover",
    "Molecule",
    "NumberPartitioning",
    "bond_lengths",
    "heisenberg",
    "molecule",
    "tfim",
    "xxz",
]
