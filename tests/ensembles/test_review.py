"""Uses that went wrong once: odd sizes, odd inputs, JAX's debugging switches, notebooks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxsim as js
from ensembles import QAOA, VQE, BatchConfig, Program, ProgramEnsemble, adam, radam, sgd
from ensembles.compiled import CompiledRun
from ensembles.problems import MaxCut, tfim
from jaxsim import ansatz


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **options)


def square(x, data, key):
    return jnp.sum(x**2)


def center(x, data, key):
    return jnp.sum((x - data) ** 2)


def product(x, data, key):
    return jnp.dot(x, data @ x) + jnp.mean(jnp.tanh(data @ x))


def one(**options):
    return Program(square, np.ones(1), **{"optimizer": sgd(0.1), "steps": 1, **options})


def bits(result):
    return {
        name: (r.history.tobytes(), r.value, r.final_value, np.asarray(r.final_parameters).tobytes())
        for name, r in result.items()
    }


@pytest.mark.parametrize("size", [2, 5, 17])
def test_losses_with_sums_and_matrix_products_keep_their_bits(size):
    """With and without a batch axis XLA sums in different orders, so a program alone runs in a block, too."""
    rng = np.random.default_rng(size)
    programs = {
        k: Program(
            product,
            rng.normal(size=size),
            data=rng.normal(size=(size, size)),
            optimizer=adam(0.01 * (k + 1)),
            steps=8,
        )
        for k in range(5)
    }
    reference = bits(run(programs))
    assert bits(run(programs, BatchConfig("off"))) == reference
    assert bits(run(dict(reversed(programs.items())), BatchConfig(max_batch_size=2))) == reference


@pytest.mark.parametrize("num_wires", [1, 2])
def test_circuits_of_one_and_two_qubits_keep_their_bits(num_wires):
    circuit = ansatz.hardware_efficient(num_wires, 2)
    field = js.X(0) if num_wires == 1 else tfim(2)
    programs = {
        k: VQE(circuit, (0.7 + 0.1 * k) * field + 0.3 * js.Z(0), optimizer=radam(0.1), steps=20)
        for k in range(4)
    }
    assert bits(run(programs, BatchConfig("off"))) == bits(run(programs))


def test_double_precision_is_not_lost_without_a_word():
    with jax.enable_x64(True):
        made_inside = VQE(
            ansatz.hardware_efficient(2, 1), tfim(2), optimizer=adam(0.1), steps=1, dtype=np.complex128
        )
    with pytest.raises(ValueError, match="double precision"):
        run([made_inside])
    with jax.enable_x64(True):
        assert run([made_inside])[0].parameters.dtype == np.float64


def test_data_is_a_copy():
    data, programs = np.zeros(2, np.float32), []
    for k in range(3):
        data[:] = k
        programs.append(Program(center, np.zeros(2), data=data, optimizer=sgd(0.5), steps=1))
    assert [r.final_parameters[0] for r in run(programs).values()] == [0, 1, 2]


def test_data_of_wider_dtypes_shares_calls():
    programs = [
        Program(center, np.zeros(2), data=data, optimizer=sgd(0.5), steps=1)
        for data in (np.float32(1), np.float64(1), 1.0)
    ]
    assert len(ProgramEnsemble(programs).plan().groups) == 1


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: one(data=2**40), ValueError, "jax_enable_x64"),
        (lambda: one(data="text"), TypeError, "arrays of numbers"),
        (lambda: one(data=jax.random.key(0)), TypeError, "key_data"),
        (lambda: one(steps=2**31), ValueError, "at most"),
        (lambda: ProgramEnsemble(None), TypeError, "NoneType"),
        (lambda: QAOA(NoQubits(), layers=1, optimizer=sgd(0.1), steps=1), TypeError, "n_qubits"),
        (lambda: run([one(optimizer=optax.add_noise(0.1, 0.5, 0))]), ValueError, "random key"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_in_words(build, error, words):
    with pytest.raises(error, match=words):
        build()


class NoQubits:
    """A problem that does not say how many qubits it has."""

    hamiltonian = js.Z(0) @ js.Z(1)

    def diagonal(self):
        return np.array([1.0, -1, -1, 1])


def test_a_cost_without_weight_starts_at_a_finite_ramp():
    result = run([QAOA(MaxCut([(0, 1, 0.0)]), layers=2, optimizer=adam(0.1), steps=2)])[0]
    assert np.isfinite(result.parameters).all()
    assert result.cut == result.optimum == 0


def test_debugging_nans_finds_none():
    with jax.debug_nans(True):
        result = run([Program(square, np.ones(2), optimizer=adam(0.1), steps=3)])[0]
    assert result.status == "completed"


def test_a_program_that_failed_has_no_final_value():
    def loss(x, data, key):
        return jnp.sum(x**2) + jnp.where(x[0] < 0.9, jnp.nan, 0.0)

    result = run([Program(loss, np.ones(2), optimizer=sgd(0.1), steps=5)], on_error="collect")[0]
    assert result.status == "failed"
    assert np.isnan(result.final_value)


def test_blocks_leave_the_device_at_the_end_and_at_the_memory_limit(monkeypatch):
    resident = []
    kept = CompiledRun._flush

    def flush(self, programs, line):
        kept(self, programs, line)
        resident.append(sum(store.resident_bytes() > 0 for store in self.stores))

    monkeypatch.setattr(CompiledRun, "_flush", flush)
    run([one() for _ in range(5)], BatchConfig(max_batch_size=1))
    assert resident == [0] * 5
    resident.clear()
    run([one(steps=100) for _ in range(5)], BatchConfig("off", memory_limit=1))
    assert resident == [0] * 10
    resident.clear()
    run([one(steps=100) for _ in range(5)], BatchConfig("off"))
    assert max(resident) == 1


def test_a_plan_reads_well():
    plan = ProgramEnsemble([Program(square, np.ones(1), optimizer=sgd(0.1), steps=1)]).plan()
    assert plan.lanes == 1
    assert "1 program in 1 group, 1 lane, merged: 1 flush, 1 call of up to 1 row" in " ".join(
        str(plan).split()
    )
    assert repr(plan) == "Plan(1 program, 1 group, 1 call)"
    assert plan._repr_html_().startswith("<table>")


def test_a_loss_made_anew_each_time_is_noted():
    def make():
        return lambda x, data, key: jnp.sum(x**2)

    programs = [Program(make(), np.ones(1), optimizer=adam(0.1), steps=1) for _ in range(3)]
    assert (
        "3 groups (such as that of '0') differ only in their loss"
        in ProgramEnsemble(programs).plan().warnings[0]
    )
    shared = [Program(square, np.ones(1), optimizer=adam(0.1), steps=1) for _ in range(3)]
    assert not ProgramEnsemble(shared).plan().warnings
