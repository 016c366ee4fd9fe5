from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ensembles import adam, rmsprop, rprop, sgd, updates
from ensembles.compilations import count_compilations
from ensembles.optimizers import RULES, Identity, Optimizer, as_optimizer
from ensembles.rules import first_order

STEPS = 10
START = np.array([1.5, -0.7, 0.3, 2.0, -1.1], np.float32)
CURVATURES = np.array([1.0, 0.5, 2.0, 1.5, 3.0], np.float32)

OF_OPTAX = [name for name, rule in RULES.items() if rule.optax_rule is not None]

# Every one of them once with its defaults, and the switches that change the computation.
SETTINGS = {name: (name, {}) for name in OF_OPTAX} | {
    "adam nesterov": ("adam", {"nesterov": True, "b1": 0.8}),
    "adabelief nesterov": ("adabelief", {"nesterov": True}),
    "adamw strong decay": ("adamw", {"weight_decay": 0.1}),
    "lamb with decay": ("lamb", {"weight_decay": 0.1}),
    "radam early": ("radam", {"threshold": 4.5, "b2": 0.9, "nesterov": True}),
    "rmsprop full": ("rmsprop", {"centered": True, "momentum": 0.9, "nesterov": True, "initial_scale": 0.1}),
    "rmsprop outside": ("rmsprop", {"eps_in_sqrt": False, "bias_correction": True}),
    "sgd momentum": ("sgd", {"momentum": 0.9}),
    "sgd nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
}


def make(setting, learning_rate=0.05):
    name, options = SETTINGS[setting]
    return RULES[name].make(learning_rate, **options)


def quadratic(x):
    return 0.5 * jnp.sum(CURVATURES.astype(x.dtype) * (x - 1) ** 2)


def train(optimizer, x, steps=STEPS):
    """The parameters after every step."""

    def step(carry, _):
        x, state = carry
        value, gradient = jax.value_and_grad(quadratic)(x)
        x, state = updates.update(optimizer, gradient, state, x, value)
        return (x, state), x

    return jax.lax.scan(step, (x, updates.init(optimizer, x)), length=steps)[1]


def train_optax(transformation, x, steps=STEPS):
    state, path = transformation.init(x), []
    transformation = optax.with_extra_args_support(transformation)
    for _ in range(steps):
        value, gradient = jax.value_and_grad(quadratic)(x)
        updates, state = transformation.update(gradient, state, x, value=value)
        x = optax.apply_updates(x, updates)
        path.append(x)
    return np.stack(path)


def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


jitted_train = jax.jit(train)
jitted_block = jax.jit(jax.vmap(train))


def optax_of(setting, learning_rate=0.05):
    """The rule of optax with the numbers that ours computes with, 0.999 being 0.99900001 in float32."""
    optimizer = make(setting, learning_rate)
    name, _ = SETTINGS[setting]
    return getattr(optax, name)(**optimizer.hyperparameters, **dict(optimizer.static))


# radam divides small differences of large numbers, so that its last digits are uncertain.
def tolerance(setting):
    return 3e-5 if setting.startswith("radam") else 1e-6


@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_optax(setting):
    expected = train_optax(optax_of(setting), START)
    precision = tolerance(setting)
    np.testing.assert_allclose(jitted_train(make(setting), START), expected, rtol=precision, atol=precision)


@pytest.mark.parametrize("setting", SETTINGS)
def test_is_as_exact_as_float32_can_be(setting):
    name, options = SETTINGS[setting]
    with jax.enable_x64(True):
        exact = train_optax(getattr(optax, name)(0.05, **options), START.astype(np.float64))
    assert np.abs(np.asarray(jitted_train(make(setting), START)) - exact).max() < tolerance(setting)


@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_optax_in_float64(setting):
    name, _ = SETTINGS[setting]
    with jax.enable_x64(True):
        start = START.astype(np.float64)
        path = jitted_train(make(setting), start)
        assert path.dtype == np.float64
        numbers = {key: float(number) for key, number in make(setting).hyperparameters.items()}
        flags = dict(make(setting).static)
        expected = train_optax(getattr(optax, name)(**numbers, **flags), start)
        np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_of_one_call_equal_single_programs_bit_for_bit(setting):
    options = [make(setting, learning_rate) for learning_rate in (0.01, 0.05, 0.2)]
    starts = np.stack([START, START[::-1], 2 * START])
    together = np.asarray(jitted_block(stacked(options), starts))
    for row, (optimizer, start) in enumerate(zip(options, starts)):
        alone = np.asarray(jitted_train(optimizer, start))
        one_row = np.asarray(jitted_block(stacked([optimizer]), start[None]))[0]
        assert together[row].tobytes() == alone.tobytes() == one_row.tobytes()


# Sizes at which a compiler vectorises differently; adam has two products in one sum and a power.
@pytest.mark.parametrize("size", [1, 2, 3, 7, 24])
@pytest.mark.parametrize("setting", ["adam", "sgd momentum"])
def test_bits_do_not_depend_on_the_batch_size(setting, size):
    generator = np.random.default_rng(size)
    gradients = generator.normal(size=(17, 8, size)).astype(np.float32)
    starts = generator.normal(size=(17, size)).astype(np.float32)
    options = [make(setting, rate) for rate in generator.uniform(0.01, 0.2, 17)]

    @jax.jit
    @jax.vmap
    def run(optimizer, x, gradients):
        def step(carry, gradient):
            x, state = carry
            return updates.update(optimizer, gradient, state, x), None

        return jax.lax.scan(step, (x, updates.init(optimizer, x)), gradients)[0][0]

    whole = np.asarray(run(stacked(options), starts, gradients))
    for rows in ([0], [3], [16], [0, 1], [5, 0, 2, 16, 7]):
        part = run(stacked([options[row] for row in rows]), starts[rows], gradients[rows])
        assert np.asarray(part).tobytes() == whole[rows].tobytes(), rows


@pytest.mark.parametrize("setting", SETTINGS)
def test_learning_rates_share_tree_structure_and_compilation(setting):
    first, second = make(setting, 0.1), make(setting, 0.3)
    assert jax.tree.structure(first) == jax.tree.structure(second)
    leaves = jax.tree.leaves(first)
    assert all(np.shape(leaf) == () and leaf.dtype == np.float32 for leaf in leaves)
    assert not any(jax.typeof(leaf).weak_type for leaf in leaves)

    run = jax.jit(lambda optimizer, x: train(optimizer, x, steps=2))
    with count_compilations() as compiled:
        run(first, START)
        run(second, START)
    assert compiled.count == 1


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("wide", [False, True])
def test_state_and_parameters_keep_their_types(setting, wide):
    with jax.enable_x64(wide):
        dtype = np.float64 if wide else np.float32
        x = {"a": np.ones(3, dtype), "b": (np.ones((2, 2), dtype),)}
        optimizer = make(setting)
        state = jax.eval_shape(updates.init, optimizer, x)
        after = jax.eval_shape(updates.update, optimizer, x, state, x)
        for old, new in zip(jax.tree.leaves((x, state)), jax.tree.leaves(after), strict=True):
            assert (old.shape, old.dtype) == (new.shape, new.dtype)
            assert not new.weak_type and not getattr(old, "weak_type", False)
        assert jax.tree.structure((x, state)) == jax.tree.structure(after)


@pytest.mark.parametrize("setting", SETTINGS)
def test_padding_is_invisible(setting):
    # A padded parameter is zero and has no gradient.
    optimizer, pad = make(setting), np.zeros(3, np.float32)

    @jax.jit
    def steps(optimizer, x, gradient):
        state = updates.init(optimizer, x)
        for _ in range(3):
            x, state = updates.update(optimizer, gradient, state, x)
        return x

    short = np.asarray(steps(optimizer, START, CURVATURES))
    padded = np.asarray(steps(optimizer, np.append(START, pad), np.append(CURVATURES, pad)))
    if setting != "yogi":  # whose first moment starts at 1e-6 and not at zero
        np.testing.assert_array_equal(padded[5:], pad)
    if RULES[optimizer.kind].elementwise:
        assert padded[:5].tobytes() == short.tobytes()
    else:
        np.testing.assert_allclose(padded[:5], short, rtol=1e-6)


@pytest.mark.parametrize("name", OF_OPTAX)
def test_signatures_and_defaults_are_those_of_optax(name):
    ours = inspect.signature(RULES[name].make).parameters
    theirs = inspect.signature(getattr(optax, name)).parameters
    assert next(iter(ours)) == "learning_rate"
    for parameter in ours.values():
        default = theirs[parameter.name].default
        assert parameter.default == default or (name, parameter.name) in {("nadam", "nesterov")}
    assert getattr(first_order, name) is RULES[name].make
    assert name in first_order.__all__
    assert RULES[name].make.__doc__


@pytest.mark.parametrize("name", [name for name in OF_OPTAX if RULES[name].schedules])
def test_schedules(name):
    schedule = optax.exponential_decay(0.1, 3, 0.5)
    optimizer = RULES[name].make(schedule)
    numbers = {**optimizer.hyperparameters, **dict(optimizer.static), "learning_rate": schedule}
    expected = train_optax(getattr(optax, name)(**numbers), START)
    precision = tolerance(name)
    np.testing.assert_allclose(jitted_train(optimizer, START), expected, rtol=precision, atol=precision)


def test_schedules_are_kept_by_identity():
    schedule = optax.exponential_decay(0.1, 3, 0.5)
    assert jax.tree.structure(adam(schedule)) == jax.tree.structure(adam(schedule))
    other = optax.exponential_decay(0.1, 3, 0.5)
    assert jax.tree.structure(adam(schedule)) != jax.tree.structure(adam(other))


def test_flags_and_absent_numbers_are_static():
    structures = {
        jax.tree.structure(o) for o in (sgd(0.1), sgd(0.1, 0.9), sgd(0.1, 0.9, nesterov=True), adam(0.1))
    }
    assert len(structures) == 4


@pytest.mark.parametrize("value", [0.1, 1, np.float64(0.1), np.int32(1), np.array(0.1), 0])
def test_numbers_become_float32(value):
    rate = sgd(value).hyperparameters["learning_rate"]
    assert rate == np.float32(value) and rate.dtype == np.float32
    assert sgd(jnp.float32(0.5)).hyperparameters["learning_rate"] == 0.5


@pytest.mark.parametrize("value", [-0.1, -1, float("nan"), float("inf"), 1e300, np.nan])
def test_bad_learning_rates(value):
    with pytest.raises(ValueError, match=r"adam: learning_rate must be a finite number >= 0.*was given"):
        adam(value)


@pytest.mark.parametrize("value", [True, "0.1", None, 1j, [0.1], np.array([0.1, 0.2])])
def test_learning_rates_of_other_types(value):
    with pytest.raises(TypeError, match=r"sgd: learning_rate must be a .*was given"):
        sgd(value)


def test_several_learning_rates_at_once_are_several_programs():
    with pytest.raises(TypeError, match="For several values make one program for each"):
        adam([0.1, 0.2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call", [lambda: adam(0.1, b1=1.0), lambda: adam(0.1, 0.9, 1 - 1e-12), lambda: sgd(0.1, -0.1)]
)
def test_rates_of_forgetting(call):
    with pytest.raises(ValueError, match=r"(b1|b2|momentum) must lie in \[0, 1\) as a float32"):
        call()


def test_flags_are_checked():
    with pytest.raises(TypeError, match="rmsprop: centered must be True or False, but 1 of type int"):
        rmsprop(0.1, centered=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sgd: nesterov=True needs a momentum.*momentum=0\.9"):
        sgd(0.1, nesterov=True)
    with pytest.raises(TypeError, match=r"rprop: learning_rate must be a number.*takes no schedule"):
        rprop(optax.constant_schedule(0.1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'beta'"):
        adam(0.1, beta=0.5)  # type: ignore[call-arg]


def test_repr():
    assert repr(adam(0.1)) == "adam(learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)"
    assert repr(sgd(0.1, 0.9, nesterov=True)) == "sgd(learning_rate=0.1, momentum=0.9, nesterov=True)"
    assert "learning_rate=<exponential_decay" in repr(adam(optax.exponential_decay(0.1, 3, 0.5)))


def test_derivative_by_a_hyperparameter():
    def last_loss(rate):
        return quadratic(train(sgd(rate), START, steps=1)[-1])

    slope = jax.grad(last_loss)(jnp.float32(0.05))
    gradient = CURVATURES * (START - 1)
    after = START - 0.05 * gradient
    np.testing.assert_allclose(slope, -np.sum(gradient * CURVATURES * (after - 1)), rtol=1e-5)


# Transformations used as given.
AS_GIVEN = {
    "chain": optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.05)),
    "schedule": optax.sgd(optax.linear_schedule(0.1, 0.0, 20)),
    "value": optax.polyak_sgd(max_learning_rate=0.5),
    "noise": optax.chain(optax.add_noise(0.01, 0.5, jax.random.key(0)), optax.sgd(0.1)),
    "injected": optax.inject_hyperparams(optax.adam)(learning_rate=0.05),
    "plain pair": optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (-0.1 * g, s)),
}


@pytest.mark.parametrize("name", AS_GIVEN)
def test_as_given_equal_optax(name):
    expected = train_optax(AS_GIVEN[name], START)
    np.testing.assert_allclose(
        jitted_train(as_optimizer(AS_GIVEN[name]), START), expected, rtol=1e-6, atol=1e-6
    )


def test_as_given_norms_see_one_program_only():
    optimizer = as_optimizer(AS_GIVEN["chain"])
    starts = np.stack([START, 100 * START])
    together = np.asarray(jitted_block(stacked([optimizer, optimizer]), starts))
    for row in range(2):
        # A block of one row and not a row by itself, whose sum XLA may take in another order.
        alone = np.asarray(jitted_block(stacked([optimizer]), starts[row][None]))[0]
        assert together[row].tobytes() == alone.tobytes()


def test_as_given_identity():
    first, second = optax.adam(0.1), optax.adam(0.1)
    assert as_optimizer(first) == as_optimizer(first)
    assert jax.tree.structure(as_optimizer(first)) == jax.tree.structure(as_optimizer(first))
    assert jax.tree.structure(as_optimizer(first)) != jax.tree.structure(as_optimizer(second))
    assert len({Identity(first), Identity(first), Identity(second)}) == 2


def test_as_given_line_search_is_refused_in_words():
    with pytest.raises(ValueError, match=r"line search .*for example ensembles\.adam\(0\.1\)"):
        train(as_optimizer(optax.lbfgs()), START)


def test_as_given_others_errors_pass():
    def broken(updates, state, params=None):
        raise TypeError("something else")

    with pytest.raises(TypeError, match="something else"):
        train(as_optimizer(optax.GradientTransformation(lambda p: (), broken)), START)


def test_as_optimizer():
    ours = adam(0.1)
    assert as_optimizer(ours) is ours
    assert isinstance(as_optimizer(optax.sgd(0.1)), Optimizer)
    for wrong in ("adam", 0.1, None, optax.adam(0.1).update):
        with pytest.raises(
            TypeError, match=r"of type \w+ was given.*ensembles\.adam\(0\.1\) \(there are .*yogi\)"
        ):
            as_optimizer(wrong)
    with pytest.raises(TypeError, match="It is a function: call it with a learning rate"):
        as_optimizer(adam)
