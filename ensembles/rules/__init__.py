"""Update rules of our own: those that ask for more than one gradient, or for less."""

from ensembles.rules.lbfgs import lbfgs as lbfgs
from ensembles.rules.natural_gradient import natural_gradient as natural_gradient
from ensembles.rules.rotosolve import rotosolve as rotosolve
from ensembles.rules.spsa import spsa as spsa
