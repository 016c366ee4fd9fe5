"""The update rules: those of optax, which follow one gradient, and our own, which ask for more, or for less."""

from ensembles.rules.first_order import adabelief as adabelief
from ensembles.rules.first_order import adagrad as adagrad
from ensembles.rules.first_order import adam as adam
from ensembles.rules.first_order import adamax as adamax
from ensembles.rules.first_order import adamw as adamw
from ensembles.rules.first_order import amsgrad as amsgrad
from ensembles.rules.first_order import lamb as lamb
from ensembles.rules.first_order import lion as lion
from ensembles.rules.first_order import nadam as nadam
from ensembles.rules.first_order import nadamw as nadamw
from ensembles.rules.first_order import radam as radam
from ensembles.rules.first_order import rmsprop as rmsprop
from ensembles.rules.first_order import rprop as rprop
from ensembles.rules.first_order import sgd as sgd
from ensembles.rules.first_order import yogi as yogi
from ensembles.rules.lbfgs import lbfgs as lbfgs
from ensembles.rules.natural_gradient import natural_gradient as natural_gradient
from ensembles.rules.rotosolve import rotosolve as rotosolve
from ensembles.rules.spsa import spsa as spsa
