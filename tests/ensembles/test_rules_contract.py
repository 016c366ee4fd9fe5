"""What all update rules promise, whatever they do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim
from ensembles import adam, optimizers, schedules, sgd, updates
from ensembles.optimizers import RULES, clipped, with_hyperparameters
from ensembles.rounding import ZERO, rounded
from ensembles.rules import lbfgs, natural_gradient, rotosolve, spsa
from ensembles.steps import Objective

MAKE = {
    "lbfgs": lambda rate: lbfgs(10 * rate),
    "lbfgs stochastic": lambda rate: lbfgs(10 * rate, memory_size=3, stochastic=True),
    "spsa": lambda rate: spsa(rate),
    "spsa resampled": lambda rate: spsa(rate, 0.1, resamplings=3),
    "spsa scheduled": lambda rate: spsa(schedules.cosine_decay(rate, 20)),
    "natural_gradient": lambda rate: natural_gradient(rate),
    "natural_gradient blocks": lambda rate: natural_gradient(rate, approximation="block_diagonal"),
    "natural_gradient diagonal": lambda rate: natural_gradient(rate, approximation="diagonal"),
    "natural_gradient clipped": lambda rate: clipped(natural_gradient(rate), norm=0.2),
    "rotosolve": lambda rate: rotosolve(),
    "adam clipped": lambda rate: clipped(adam(rate), norm=0.3, value=0.2),
    "sgd scheduled": lambda rate: sgd(schedules.exponential_decay(rate, 5, 0.7), momentum=0.5),
    "adam warmed up": lambda rate: adam(schedules.warmup_cosine_decay(0, rate, 4, 12, 0.01)),
    "sgd linear": lambda rate: sgd(schedules.linear(rate, 0.01, 9)),
    "adam in pieces": lambda rate: adam(schedules.piecewise_constant(rate, {3: 0.5, 6: 0.3})),
}


class Waves:
    """A sum of products of sine waves, with a state's Fisher information made up, and noise on request."""

    def level(self, x, data, key):
        waves = data["w"] * jnp.sin(x - data["c"]) + 0.3 * data["w"] * jnp.cos(x) * jnp.sin(x[::-1])
        return waves[0] + waves[1] + waves[2] + data["noise"] * jax.random.normal(key, (), x.dtype)

    # The loss itself has to keep its bits.
    def __call__(self, x, data, key):
        return rounded(lambda x, data: self.level(x, data, key), data["zero"])(x, data)

    def value_and_grad(self, x, data, key):
        return rounded(jax.value_and_grad(lambda x, data: self.level(x, data, key)), data["zero"])(x, data)

    def metric(self, x, data, approximation):
        factor = jnp.sin(x) / 2
        matrix = jnp.eye(len(x), dtype=x.dtype) + rounded(jnp.outer, data["zero"])(factor, factor)
        return jnp.diagonal(matrix) if approximation == "diagonal" else matrix

    def frequencies(self, data):
        return jnp.asarray([[1.0, 2, 0, 0]] * 3) * data["one"]


def problem(seed, dtype=np.float32):
    generator = np.random.default_rng(seed)
    numbers = {name: generator.normal(size=3) for name in "wc"} | {"noise": 0.01, "one": 1.0}
    return jax.tree.map(lambda a: np.asarray(a, dtype), numbers) | {"zero": ZERO}


def train(optimizer, data, start, key, steps=6, loss=Waves(), trained=None):  # noqa: B008
    """Losses, parameters after all, rows."""
    trained = jax.tree.map(lambda a: jnp.ones(a.shape, bool), start) if trained is None else trained

    def body(carry, k):
        x, state = carry
        objective = Objective(loss, data, jax.random.fold_in(jax.random.key(key), k), trained)
        step = updates.step(optimizer, objective, state, x)
        return (step.parameters, step.state), (step.value, step.rows, step.finite, step.gradient_norm)

    first = (start, updates.init(optimizer, start))
    (x, _), (values, rows, finite, norms) = jax.lax.scan(body, first, jnp.arange(steps))
    return values, x, rows, finite, norms


def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


# As the driver compiles them.
block = jax.jit(jax.vmap(train), compiler_options=jaxsim.compiler_options())


def rows_of(name, count, dtype=np.float32):
    options = [MAKE[name](0.05 + 0.01 * k) for k in range(count)]
    starts = np.random.default_rng(5).uniform(-2, 2, (count, 3)).astype(dtype)
    return stacked(options), stacked([problem(k, dtype) for k in range(count)]), starts, np.arange(count)


CORE = ("lbfgs", "spsa", "natural_gradient", "rotosolve", "adam clipped", "sgd scheduled")
ALL = [pytest.param(name, marks=[] if name in CORE else [pytest.mark.slow]) for name in MAKE]


@pytest.mark.parametrize("name", ALL)
def test_bits_do_not_depend_on_company(name):
    everything = rows_of(name, 17)
    whole = block(*everything)
    assert np.isfinite(np.asarray(whole[1])).all() and whole[3].all()
    assert np.ptp(np.asarray(whole[0]), axis=1).min() > 1e-4  # every program moves
    for places in ([0], [7], [16, 2]):
        part = block(*jax.tree.map(lambda leaf, p=places: leaf[np.array(p)], everything))
        for all_rows, some in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
            assert np.asarray(all_rows)[places].tobytes() == np.asarray(some).tobytes()


@pytest.mark.parametrize("wide, dtype", [(False, np.float32), (True, np.float32), (True, np.float64)])
@pytest.mark.parametrize("name", MAKE)
def test_states_keep_their_types(name, wide, dtype):
    with jax.enable_x64(wide):
        values, x, rows, _, norms = jax.eval_shape(
            train, MAKE[name](0.1), problem(0, dtype), np.zeros(3, dtype), np.int32(0)
        )
        assert values.dtype == x.dtype == norms.dtype == dtype and rows.dtype == np.int32
        state = jax.eval_shape(updates.init, MAKE[name](0.1), np.zeros(3, dtype))
        assert not any(getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves(state))


class Padded(Waves):
    """The same loss of five parameters of which two do nothing."""

    def level(self, x, data, key):
        return super().level(x[:3], data, key)

    def metric(self, x, data, approximation):
        matrix = super().metric(x[:3], data, approximation)
        # What stands there must not matter.
        if approximation == "diagonal":
            return jnp.concatenate([matrix, jnp.full(2, 7, x.dtype)])
        return jnp.pad(matrix, (0, 2), constant_values=7)

    def frequencies(self, data):
        return jnp.pad(super().frequencies(data), ((0, 2), (0, 0)), constant_values=1)


@pytest.mark.parametrize("name", ALL)
def test_padding_is_invisible(name):
    optimizer, data = MAKE[name](0.1), problem(3)
    start = np.array([0.3, -1.2, 2.0], np.float32)
    run = jax.jit(lambda loss, x, trained: train(optimizer, data, x, 3, 6, loss, trained), static_argnums=0)
    short = run(Waves(), start, np.ones(3, bool))
    padded = run(Padded(), np.pad(start, (0, 2)), np.arange(5) < 3)
    assert not np.asarray(padded[1])[3:].any()
    if name.startswith("natural_gradient"):
        np.testing.assert_array_equal(padded[2] - short[2], 0)
    for a, b in zip(short[:1] + short[2:], padded[:1] + padded[2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(padded[1][:3], short[1], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", MAKE)
def test_programs_with_other_numbers_share_compiled_calls(name):
    assert jax.tree.structure(MAKE[name](0.1)) == jax.tree.structure(MAKE[name](0.2))
    leaves = jax.tree.leaves(MAKE[name](0.1))
    assert all(leaf.dtype == np.float32 for leaf in leaves)


@pytest.mark.parametrize("name", ["lbfgs", "rotosolve"])
def test_the_last_evaluation_of_a_program_is_one(name):
    data, start = problem(0), np.array([0.3, -1.2, 2.0], np.float32)
    optimizer = MAKE[name](0.1)
    objective = Objective(Waves(), data, jax.random.key(0), np.ones(3, bool), last=np.bool_(True))
    step = jax.jit(lambda: updates.step(optimizer, objective, updates.init(optimizer, start), start))()
    np.testing.assert_allclose(step.value, Waves()(start, data, jax.random.key(0)), rtol=1e-6)
    assert step.rows == 1


@pytest.mark.parametrize("name", ["lbfgs", "spsa", "natural_gradient", "rotosolve"])
def test_pytrees_of_parameters(name):
    class OfTree(Waves):
        def level(self, tree, data, key):
            return super().level(jnp.concatenate([tree["a"], tree["b"].ravel()]), data, key)

        def metric(self, tree, data, approximation):
            return super().metric(jnp.concatenate([tree["a"], tree["b"].ravel()]), data, approximation)

    optimizer, data = MAKE[name](0.1), problem(3)
    start = {"a": np.array([0.3], np.float32), "b": np.array([[-1.2, 2.0]], np.float32)}
    run = jax.jit(lambda loss, x: train(optimizer, data, x, 3, 4, loss), static_argnums=0)
    values, x, *_ = run(OfTree(), start)
    expected = run(Waves(), np.array([0.3, -1.2, 2.0], np.float32))
    np.testing.assert_allclose(values, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([*x["a"], *x["b"][0]], expected[1], rtol=1e-5, atol=1e-5)
    assert x["b"].shape == (1, 2)


def test_table():
    for name in ("lbfgs", "spsa", "natural_gradient", "rotosolve"):
        rule = RULES[name]
        assert rule.make.__name__ == name and rule.make.__doc__
        assert rule.optax_rule is None and rule.start is not None and rule.step is not None
    assert not RULES["spsa"].has_gradient and not RULES["rotosolve"].has_gradient
    assert spsa(0.1).has_gradient is False and lbfgs().has_gradient is True


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spsa(), TypeError, "learning_rate"),
        (lambda: spsa(-1), ValueError, "spsa: learning_rate must be a finite number >= 0"),
        (lambda: spsa(0.1, 0), ValueError, "spsa: perturbation must be a finite number > 0"),
        (lambda: spsa(0.1, resamplings=0), ValueError, "resamplings must be from 1 to 64, but 0"),
        (lambda: spsa(0.1, resamplings=2.0), TypeError, "resamplings must be an integer, but 2.0 of type"),
        (lambda: lbfgs(None), TypeError, r"lbfgs: learning_rate must be a number, but None .*lbfgs\(0\.1\)"),
        (lambda: lbfgs(schedules.linear(1, 0, 5)), TypeError, "takes no schedule"),
        (lambda: lbfgs(max_evaluations=0), ValueError, "max_evaluations must be a finite number >= 1"),
        (lambda: lbfgs(memory_size=True), TypeError, "memory_size must be an integer, but True"),
        (lambda: lbfgs(stochastic=1), TypeError, "stochastic must be True or False, but 1 of type int"),
        (lambda: natural_gradient([0.1, 0.2]), TypeError, "make one program for each"),
        (lambda: natural_gradient(0.1, -1), ValueError, "damping must be a finite number >= 0"),
        (lambda: natural_gradient(0.1, approximation="block"), ValueError, "one of 'full', 'block_diagonal'"),
        (lambda: rotosolve(0.1), TypeError, "too many positional"),
        (lambda: clipped(adam(0.1)), TypeError, "give norm, value or both"),
        (lambda: clipped(adam(0.1), norm=0), ValueError, "clip_norm must be a finite number > 0"),
        (lambda: clipped(adam(0.1), value="1"), TypeError, "clip_value must be a real number"),
        (lambda: clipped(lbfgs(), norm=1), TypeError, "lbfgs finds its own step lengths"),
        (lambda: clipped(0.1, norm=1), TypeError, "of type float was given"),
        (lambda: schedules.linear(0.1, 0.2, 0), ValueError, "transition_steps must be a finite number > 0"),
        (lambda: schedules.cosine_decay(-0.1, 10), ValueError, "init_value must be a finite number >= 0"),
        (
            lambda: schedules.warmup_cosine_decay(0, 1, 10, 10),
            ValueError,
            "must be more than warmup_steps=10",
        ),
        (lambda: schedules.piecewise_constant(0.1, {}), TypeError, "must map steps to scales"),
        (
            lambda: schedules.piecewise_constant(0.1, {5: -1}),
            ValueError,
            "scales must be a finite number >= 0",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_rules_that_need_more_of_a_loss():
    def loss(x, data, key):
        return jnp.sum(x**2)

    for optimizer in (natural_gradient(0.1), rotosolve()):
        with pytest.raises(TypeError, match=rf"Program: {optimizer.kind} needs the .*Give the loss a method"):
            optimizers.check_loss(optimizer, loss, "Program")
        optimizers.check_loss(optimizer, Waves(), "Program")
    for optimizer in (lbfgs(), spsa(0.1), adam(0.1), optimizers.as_optimizer(clipped(sgd(1), norm=1))):
        optimizers.check_loss(optimizer, loss, "Program")


def test_changed_hyperparameters():
    assert repr(with_hyperparameters(lbfgs(memory_size=3), {"max_evaluations": 5})) == (
        "lbfgs(learning_rate=1.0, max_evaluations=5.0, memory_size=3)"
    )
    before = clipped(adam(schedules.linear(0.1, 0.0, 5)), norm=1.0)
    after = with_hyperparameters(before, {"b1": 0.5})
    assert after.hyperparameters["b1"] == 0.5
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert with_hyperparameters(before, {"clip_norm": 2.0}).hyperparameters["clip_norm"] == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'beta'"):
        with_hyperparameters(before, {"beta": 0.5})
