"""Real executors: threads, spawned processes, Dask. The same bits from all of them; what happens when they break."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from math import pi
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit as qiskit_random_circuit
from qiskit.quantum_info import Statevector

from jaxsim import Circuit, ParameterVector, X, Z
from jaxsim.jobs import JobCancelledError, JobError, JobStatus
from jaxsim.simulator import Simulator

SIZES = (None, 1, 2, 7, 60, 100)
OUTPUTS = ("counts", "memory", "statevector", "probabilities", "values", "gradients")
THETA = ParameterVector("t", 2)


def sixty() -> tuple[list[Circuit], list[Any], list[Any]]:
    """60 circuits of 5 qubits, all different: every sixth with parameters and two sets of them."""
    circuits, values, observables = [], [], []
    for k in range(60):
        rng = np.random.default_rng(k)
        c = Circuit(5)
        for _ in range(5):
            q, r = map(int, rng.permutation(5)[:2])
            c.ry(rng.uniform(-pi, pi), q).rz(rng.uniform(-pi, pi), r).cx(q, r)
        if k % 6 == 5:
            c.ry(THETA, [0, 1]).cx(0, 1)
        circuits.append(c)
        values.append(rng.uniform(-pi, pi, (2, 2)) if k % 6 == 5 else None)
        observables.append([Z(0) @ Z(1) + 0.5 * X(2)])
    return circuits, values, observables


def dynamic() -> list[Circuit]:
    circuits = []
    for k in range(12):
        c = Circuit(3)
        bits = c.register("c", 3)
        c.ry(0.3 + 0.2 * k, range(3)).cx(0, 1).measure(0, bits[0])
        with c.if_(bits[0]):
            c.ry(0.7, 1)
        circuits.append(c.measure([1, 2], bits[1:]))
    return circuits


def fingerprint(result) -> list[bytes]:
    found = []
    for k in range(len(result)):
        found.append(json.dumps(result.counts(k)).encode())
        for read in (result.memory, result.statevector, result.probabilities, result.value, result.gradient):
            found.append(np.asarray(read(k)).tobytes())
    return found


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    return fingerprint(Simulator(seed=3, shots=40).run(*sixty(), outputs=OUTPUTS).result())


def check_matrix(executor, sizes, expected) -> None:
    for size in sizes:
        sim = Simulator(seed=3, shots=40, executor=executor, max_job_size=size)
        job = sim.run(*sixty(), outputs=OUTPUTS)
        assert len(job.chunks) == (1 if size is None else -(-60 // size))
        assert fingerprint(job.result(timeout=150)) == expected, size
        sampled = sim.run(dynamic(), outputs="memory").result(timeout=150)
        alone = Simulator(seed=3, shots=40).run(dynamic(), outputs="memory").result(timeout=150)
        assert [sampled.memory(k).tobytes() for k in range(12)] == [
            alone.memory(k).tobytes() for k in range(12)
        ]


@contextlib.contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


# the same bits ----------------------------------------------------------------------------------------------


def test_threads_two_workers(expected):
    with ThreadPoolExecutor(2) as pool:
        check_matrix(pool, (1, 7), expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_threads(workers, expected):
    with ThreadPoolExecutor(workers) as pool:
        check_matrix(pool, SIZES, expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_processes(workers, expected):
    with processes(workers) as pool:
        check_matrix(pool, SIZES, expected)
        told = Simulator(executor=pool, max_job_size=30).run(sixty()[0][:60:6]).result().metadata
    assert all(f"process {os.getpid()}" not in chunk["worker"] for chunk in told["chunks"])


@pytest.mark.slow
def test_dask(expected):
    distributed = pytest.importorskip("distributed")
    for workers in (1, 2):
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            check_matrix(client.get_executor(), SIZES, expected)
            check_matrix(client, (7,), expected)  # a client has submit, too
            result = Simulator(executor=client, max_job_size=5).run(sixty()[0][:20:6]).result()
            assert result.time_taken >= 0
            again = pickle.loads(pickle.dumps(result))
            assert json.loads(json.dumps(again.to_dict()))["circuits"][3]["counts"] == result.counts(3)


@pytest.mark.slow
def test_dask_four_workers(expected):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        check_matrix(client.get_executor(), SIZES, expected)


class Shuffled:
    """Two threads that take the chunks of a job in disorder, once all of them are there."""

    def __init__(self, pool: ThreadPoolExecutor, number: int) -> None:
        self.pool, self.number = pool, number
        self.waiting: list[tuple[Future, Any, tuple]] = []
        self.finished: list[int] = []

    def submit(self, function, *arguments):
        future: Future = Future()
        self.waiting.append((future, function, arguments))
        if len(self.waiting) == self.number:
            for k in np.random.default_rng(self.number).permutation(self.number):
                self.pool.submit(self.work, *self.waiting[k])
        return future

    def work(self, future: Future, function, arguments) -> None:
        future.set_result(function(*arguments))
        self.finished.append(arguments[0].number)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_sixty_circuits_that_finish_in_disorder(size, expected):
    with ThreadPoolExecutor(2) as pool:
        shuffled = Shuffled(pool, -(-60 // size))
        sim = Simulator(seed=3, shots=40, executor=shuffled, max_job_size=size)
        result = sim.run(*sixty(), outputs=OUTPUTS).result(timeout=100)
    assert fingerprint(result) == expected
    assert sorted(shuffled.finished) != shuffled.finished


@pytest.mark.slow
def test_results_of_other_processes_pickle_and_dump_as_json(expected):
    with processes(1) as pool:
        sim = Simulator(seed=3, shots=40, executor=pool, max_job_size=20)
        result = sim.run(*sixty(), outputs=OUTPUTS).result(timeout=100)
    assert fingerprint(pickle.loads(pickle.dumps(result))) == expected
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["circuits"][59]["counts"] == result.counts(59)


@pytest.mark.slow
def test_circuits_of_all_kinds_and_sizes_alone_and_together(random_circuit):
    drawn = [random_circuit(k, n, 12, arrays=k % 3) for n in (1, 2, 4, 6, 10, 13) for k in range(4)]
    circuits = [d.circuit() for d in drawn] + [Circuit(17).ry(0.1 * k, range(17)).cx(0, 1) for k in range(2)]
    ask = {"observables": Z(0), "outputs": OUTPUTS, "shots": 20, "seed": 1}
    together = fingerprint(Simulator().run(circuits, **ask).result())
    for size in (1, 3):
        assert fingerprint(Simulator(max_job_size=size).run(circuits, **ask).result()) == together
    backwards = Simulator().run(circuits[::-1], **(ask | {"outputs": ("statevector", "values")})).result()
    for k, own in enumerate(drawn):
        if own.num_wires <= 6:
            np.testing.assert_allclose(
                backwards.statevector(len(circuits) - 1 - k), own.statevector(), atol=5e-6
            )


# the document's example, and Aer's own test -----------------------------------------------------------------


def test_the_example_with_a_thread_pool():
    circ = QuantumCircuit(15, 15)
    circ.h(0)
    circ.cx(0, 1)
    circ.cx(1, 2)
    circ.p(pi / 2, 2)
    circ.measure([0, 1, 2], [0, 1, 2])

    submitted = []

    class Counting(ThreadPoolExecutor):
        def submit(self, function, /, *arguments, **keywords):
            submitted.append(arguments[0])
            return super().submit(function, *arguments, **keywords)

    backend = Simulator()
    with Counting(max_workers=2) as pool:
        backend.set_options(executor=pool)
        backend.set_options(max_job_size=1)
        result = backend.run([circ, circ.copy()]).result()
    assert [len(chunk.items) for chunk in submitted] == [1, 1]
    for k in range(2):
        assert set(result.counts(k)) == {"0" * 15, "0" * 12 + "111"}
        assert abs(result.counts(k)["0" * 15] - 512) < 100


def test_the_two_chunks_of_the_example_overlap():
    circ = QuantumCircuit(15, 15)
    circ.h(0)
    circ.cx(0, 1)
    circ.measure([0, 1], [0, 1])
    together = threading.Barrier(2, timeout=60)

    class Meeting(ThreadPoolExecutor):
        def submit(self, function, /, *arguments, **keywords):
            def both():
                together.wait()  # neither goes on before the other has begun
                return function(*arguments, **keywords)

            return super().submit(both)

    with Meeting(max_workers=2) as pool:
        result = (
            Simulator(executor=pool, max_job_size=1, shots=10).run([circ, circ.copy()]).result(timeout=100)
        )
    assert result.success and len(result.metadata["chunks"]) == 2


@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_ten_random_circuits_against_exact_distributions(size):
    circuits = [qiskit_random_circuit(2, 2, measure=False, seed=k) for k in range(10)]
    exact = [Statevector(c).probabilities() for c in circuits]
    for c in circuits:
        c.measure_all()
    with ThreadPoolExecutor(2) as pool:
        job = Simulator(shots=4000, seed=10, executor=pool, max_job_size=size).run(circuits)
        result = job.result(timeout=100)
    assert result.success and result.time_taken >= 0
    for k in range(10):
        found = np.array([result.counts(k).get(f"{j:02b}", 0) for j in range(4)]) / 4000
        np.testing.assert_allclose(found, exact[k], atol=0.05)


# what goes wrong --------------------------------------------------------------------------------------------


def check_cancelled(job, number) -> None:
    """The chunks that had not begun are cancelled, the others are there, and the result says so."""
    assert job.cancel()
    with pytest.raises(JobCancelledError) as caught:
        job.result(timeout=100)
    assert job.cancelled() and job.done() and job.status() == JobStatus.CANCELLED
    assert not job.cancel()
    assert sorted((*caught.value.indices, *job.partial_result().available)) == list(range(number))


def test_jobs_on_threads_are_cancelled():
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait, 60)
        sim = Simulator(executor=pool, max_job_size=1, shots=5)
        job = sim.run([Circuit(3).h(0)] * 6)
        threading.Timer(0.1, go_on.set).start()
        check_cancelled(job, 6)
        assert job.partial_result().available == ()
        assert sim.run(Circuit(3).x(0)).result(timeout=60).counts() == {"001": 5}


@pytest.mark.slow
def test_jobs_on_processes_are_cancelled():
    with processes(1) as pool:
        pool.submit(time.sleep, 2)
        sim = Simulator(executor=pool, max_job_size=1, shots=5)
        check_cancelled(sim.run([Circuit(3).h(0)] * 40), 40)
        assert sim.run(Circuit(3).x(0)).result(timeout=60).counts() == {"001": 5}


@pytest.mark.slow
def test_jobs_on_dask_are_cancelled():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor()
        busy = executor.submit(time.sleep, 2)
        sim = Simulator(executor=executor, max_job_size=1, shots=5)
        check_cancelled(sim.run([Circuit(3).h(0)] * 40), 40)
        busy.result()
        assert sim.run(Circuit(3).x(0)).result(timeout=60).counts() == {"001": 5}
        busy = client.submit(time.sleep, 2)
        check_cancelled(sim.run([Circuit(3).h(0)] * 40, executor=client), 40)
        busy.result()


@pytest.mark.slow
def test_worker_process_that_is_killed():
    circuits = [Circuit(3).h(0)] * 6
    slow = Circuit(22).h(range(22)).cx(range(21), range(1, 22))
    with processes(1) as pool:
        sim = Simulator(executor=pool, max_job_size=6, shots=5)
        assert sim.run(circuits).result(timeout=100).success
        job = sim.run([*circuits, *[slow] * 30])
        while job.chunk_status()[0] != "done":
            time.sleep(0.02)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(JobError, match="circuits 6 to 35") as caught:
            job.result(timeout=100)
        assert type(caught.value.__cause__).__name__ == "BrokenProcessPool"
        assert job.done() and job.partial_result().available == tuple(range(6))
        with pytest.raises(RuntimeError, match="takes no work, so nothing was submitted"):
            sim.run(circuits)


@pytest.mark.slow
def test_dask_worker_that_is_killed():
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    slow = Circuit(22).h(range(22)).cx(range(21), range(1, 22))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        sim = Simulator(executor=client.get_executor(), max_job_size=2, shots=5)
        assert sim.run([Circuit(3).h(0)] * 2).result(timeout=100).success
        job = sim.run([Circuit(3).h(0)] * 2 + [slow] * 30)
        while job.chunk_status()[0] != "done":
            time.sleep(0.02)
        for pid in client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(JobError, match="no result for circuits"):
            job.result(timeout=100)
        assert set(job.partial_result().available) >= {0, 1}
