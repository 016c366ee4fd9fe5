"""Problems to solve: molecules, spin models, graphs."""

from __future__ import annotations

from ensembles.problems.graphs import Cut, MaxCut
from ensembles.problems.molecules import Molecule, bond_lengths, molecule
from ensembles.problems.spins import heisenberg, tfim, xxz

__all__ = ["Cut", "MaxCut", "Molecule", "bond_lengths", "heisenberg", "molecule", "tfim", "xxz"]
