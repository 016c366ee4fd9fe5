"""The rules of optax that follow one gradient: a row of the table each.

The signature of each function is its row: parameters whose default is True or False are compiled in, the others are
hyperparameters, and one left at None is absent. Names and defaults are those of optax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from ensembles.optimizers import Optimizer, rule

__all__ = [
    "adabelief",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "lamb",
    "lion",
    "nadam",
    "nadamw",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "yogi",
]

Schedule = Callable[[Any], Any]


@rule(optax.adabelief)
def adabelief(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """AdaBelief: Adam scaled by the gradient's spread around its mean (Zhuang et al., arXiv:2010.07468)."""
    ...


@rule(optax.adagrad)
def adagrad(
    learning_rate: float | Schedule, initial_accumulator_value: float = 0.1, eps: float = 1e-7
) -> Optimizer:
    """AdaGrad: steps shrink with the sum of squared gradients (Duchi et al., JMLR 12, 2121, 2011)."""
    ...


@rule(optax.adam)
def adam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam (Kingma and Ba, arXiv:1412.6980): the usual choice, with a learning rate of 0.01 to 0.2 radians.

    Args:
        learning_rate: step size in the units of the parameters, or an optax schedule (a function of the
            step).
        b1: rate at which the mean of the gradient forgets, in [0, 1).
        b2: rate at which the mean of its square forgets, in [0, 1).
        eps: added to the denominator outside the square root.
        eps_root: added inside it.
        nesterov: use Nesterov momentum.

    Returns:
        an `Optimizer`; schedules are kept by identity, numbers are data.

    Errors: TypeError for anything but real numbers, ValueError for negative, infinite or NaN ones.

    Example:
        >>> from ensembles import adam
        >>> adam(0.1)
        adam(learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """
    ...


@rule(optax.adamax)
def adamax(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adamax: Adam in the infinity norm (Kingma and Ba, arXiv:1412.6980, section 7)."""
    ...


@rule(optax.adamw)
def adamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""
    ...


@rule(optax.amsgrad)
def amsgrad(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> Optimizer:
    """AMSGrad: Adam whose step sizes never grow again (Reddi et al., arXiv:1904.09237)."""
    ...


@rule(optax.lamb, elementwise=False)
def lamb(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """LAMB: Adam rescaled to the norm of the parameters (You et al., arXiv:1904.00962)."""
    ...


@rule(optax.lion)
def lion(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3
) -> Optimizer:
    """Lion: the sign of a momentum (Chen et al., arXiv:2302.06675)."""
    ...


@rule(optax.nadam)
def nadam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> Optimizer:
    """Adam with Nesterov momentum (Dozat, ICLR workshop 2016)."""
    ...


@rule(optax.nadamw)
def nadamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
) -> Optimizer:
    """`adamw` with Nesterov momentum."""
    ...


@rule(optax.radam)
def radam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Rectified Adam: plain momentum until the variance is known (Liu et al., arXiv:1908.03265)."""
    ...


@rule(optax.rmsprop)
def rmsprop(
    learning_rate: float | Schedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    momentum: float | None = None,
    *,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Optimizer:
    """RMSProp, with momentum and centring on request (Tieleman and Hinton 2012; Graves, arXiv:1308.0850)."""
    ...


@rule(optax.rprop, schedules=False)
def rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> Optimizer:
    """Rprop: step sizes from the signs of successive gradients (Riedmiller and Braun, IJCNN 1993)."""
    ...


@rule(optax.sgd)
def sgd(
    learning_rate: float | Schedule, momentum: float | None = None, *, nesterov: bool = False
) -> Optimizer:
    """Gradient descent, with momentum on request (Sutskever et al., ICML 2013).

    >>> sgd(0.1, momentum=0.9)
    sgd(learning_rate=0.1, momentum=0.9)
    """
    ...


@rule(optax.yogi)
def yogi(learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3) -> Optimizer:
    """Yogi: Adam whose second moment grows additively (Zaheer et al., NeurIPS 2018)."""
    ...
