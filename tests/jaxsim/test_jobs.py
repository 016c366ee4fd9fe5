"""Jobs on executors made by hand: what is submitted, in which order it comes back, what goes wrong."""

from __future__ import annotations

import concurrent.futures
import gc
import json
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from unittest.mock import MagicMock

import numpy as np
import pytest

from jaxsim import Circuit, ParameterVector, X, Z
from jaxsim.job_options import JobInputError
from jaxsim.jobs import JobCancelledError, JobError, JobStatus
from jaxsim.simulator import Simulator
from jaxsim.splitting import in_words, split

EVERYTHING = ("counts", "memory", "statevector", "probabilities", "values", "gradients")


class Spy:
    """Runs work when told to, in any order, and remembers it."""

    def __init__(self) -> None:
        self.submitted: list[tuple] = []
        self.futures: list[Future] = []
        self.shut_down = False

    def submit(self, function, *arguments):
        future: Future = Future()
        self.submitted.append((function, arguments))
        self.futures.append(future)
        return future

    def run(self, number: int, error: Exception | None = None) -> None:
        function, arguments = self.submitted[number]
        self.submitted[number] = (function, ())
        if not self.futures[number].set_running_or_notify_cancel():
            return
        if error is not None:
            self.futures[number].set_exception(error)
        else:
            self.futures[number].set_result(function(*arguments))

    def shutdown(self, wait: bool = True) -> None:
        self.shut_down = True


class Bare:
    """The least that counts as an executor: futures with result(timeout), which runs the work."""

    class BareFuture:
        def __init__(self, function, arguments) -> None:
            self.work = (function, arguments)

        def result(self, timeout=None):
            function, arguments = self.work
            return function(*arguments)

    def submit(self, function, *arguments):
        return self.BareFuture(function, arguments)


def circuit(seed: int, wires: int = 5) -> Circuit:
    rng = np.random.default_rng(seed)
    c = Circuit(wires)
    for _ in range(4):
        q, r = map(int, rng.permutation(wires)[:2])
        c.ry(rng.uniform(-3, 3), q).cx(q, r)
    return c


@pytest.fixture(scope="module")
def circuits() -> list[Circuit]:
    return [circuit(k) for k in range(7)]


def fingerprint(result) -> list[bytes]:
    """All that a result holds, bit by bit."""
    found = []
    for k in range(len(result)):
        found.append(json.dumps(sorted(result.counts(k).items())).encode())
        for read in (result.memory, result.statevector, result.probabilities, result.value, result.gradient):
            found.append(np.asarray(read(k)).tobytes())
    return found


# splitting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count, size, lengths",
    [
        (60, 1, [1] * 60),
        (60, 2, [2] * 30),
        (61, 2, [2] * 30 + [1]),
        (60, None, [60]),
        (3, 100, [3]),
        (7, 7, [7]),
        (7, 6, [6, 1]),
    ],
)
def test_split(count, size, lengths):
    chunks = split(count, size)
    assert [len(c) for c in chunks] == lengths
    assert [k for c in chunks for k in c] == list(range(count))


def test_positions_in_words():
    assert in_words([7]) == "circuit 7"
    assert in_words([3, 1, 2, 9, 10]) == "circuits 1 to 3, 9, 10"


@pytest.mark.parametrize("size, number", [(1, 7), (2, 4), (3, 3), (7, 1), (8, 1), (None, 1)])
def test_the_executor_receives_every_chunk(circuits, size, number):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=size).run(circuits)
    assert len(spy.submitted) == number == len(job.chunks)
    sent = [item.index for _, (chunk,) in spy.submitted for item in chunk.items]
    assert sent == list(range(7))
    assert all(len(chunk.items) <= (size or 7) for _, (chunk,) in spy.submitted)


def test_chunks_overlap_on_two_workers(circuits, monkeypatch):
    together = threading.Barrier(2, timeout=20)
    from jaxsim import simulator

    def waits(chunk):
        together.wait()
        return simulator_run_chunk(chunk)

    simulator_run_chunk = simulator.run_chunk
    monkeypatch.setattr(simulator, "run_chunk", waits)
    with ThreadPoolExecutor(2) as pool:
        result = Simulator(executor=pool, max_job_size=1).run(circuits[:2]).result(timeout=60)
    assert result.success


# order ----------------------------------------------------------------------------------------------------


def test_bitwise_equal_for_every_splitting_and_order(circuits):
    sim = Simulator(shots=50, seed=0)
    expected = fingerprint(sim.run(circuits, observables=Z(0) @ Z(1) + X(2), outputs=EVERYTHING).result())
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 7, 8, None):
        spy = Spy()
        job = sim.run(
            circuits, observables=Z(0) @ Z(1) + X(2), outputs=EVERYTHING, executor=spy, max_job_size=size
        )
        for number in rng.permutation(len(spy.submitted)):
            spy.run(int(number))
        assert fingerprint(job.result(timeout=0)) == expected, size


def test_result_is_that_of_each_circuit_alone(circuits):
    # Seeds belong to positions: circuit 3 alone is circuit 0 of its own job.
    sim = Simulator(shots=50, seed=5)
    together = sim.run(circuits, outputs=("statevector",), max_job_size=3).result()
    for k, own in enumerate(circuits):
        alone = sim.run(own, outputs=("statevector",)).result()
        np.testing.assert_array_equal(together.statevector(k), alone.statevector())


def test_least_executor(circuits):
    job = Simulator(seed=1, shots=10, executor=Bare(), max_job_size=3).run(circuits)
    assert job.status() == JobStatus.QUEUED
    assert not job.cancel()
    assert fingerprint_counts(job.result()) == fingerprint_counts(
        Simulator(seed=1, shots=10).run(circuits).result()
    )
    assert job.done()


def fingerprint_counts(result) -> list[dict]:
    return [result.counts(k) for k in range(len(result))]


# state ----------------------------------------------------------------------------------------------------


def test_status_before_during_after(circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=3).run(circuits)
    assert job.status() == JobStatus.QUEUED
    assert not job.done() and not job.running() and not job.cancelled()
    spy.run(1)
    assert job.chunk_status() == [JobStatus.QUEUED, JobStatus.DONE, JobStatus.QUEUED]
    assert job.status() == JobStatus.RUNNING
    spy.futures[0].set_running_or_notify_cancel()
    assert job.running()
    spy.futures[0].set_exception(ValueError("no"))
    assert job.status() == JobStatus.ERROR
    spy.run(2)
    assert job.done() and not job.running()
    assert "error" in repr(job)


def test_one_deadline_for_the_whole_job(circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=1, shots=10).run(circuits[:4])
    started = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"circuits 0 to 3.*goes on"):
        job.result(timeout=0.2)
    assert time.perf_counter() - started < 0.7  # not 4 times 0.2 and more
    for number in range(4):
        spy.run(number)
    assert job.result(timeout=0).success


def test_a_timeout_of_a_worker_is_a_failure_and_not_the_deadline(circuits):
    spy = Spy()
    job = Simulator(executor=spy).run(circuits)
    spy.run(0, TimeoutError("inside"))
    with pytest.raises(JobError, match="TimeoutError: inside"):
        job.result(timeout=5)


def test_cancel_before_during_after(circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=2, shots=10).run(circuits)
    spy.run(0)
    spy.futures[1].set_running_or_notify_cancel()
    assert job.cancel()  # chunks 2 and 3 had not begun
    assert not job.cancel()
    assert job.cancelled()
    assert job.chunk_status()[2:] == [JobStatus.CANCELLED] * 2
    function, arguments = spy.submitted[1]
    spy.futures[1].set_result(function(*arguments))
    assert job.status() == JobStatus.CANCELLED
    with pytest.raises(JobCancelledError, match="cancelled before circuits 4 to 6") as caught:
        job.result()
    assert isinstance(caught.value, concurrent.futures.CancelledError)
    assert caught.value.indices == (4, 5, 6)
    assert job.partial_result().available == (0, 1, 2, 3)


def test_cancel_of_a_finished_job(circuits):
    job = Simulator(shots=10).run(circuits)
    result = job.result()
    assert not job.cancel()
    assert job.result() is result
    assert job.status() == JobStatus.DONE


def test_cancelling_futures_that_say_nothing(circuits):
    """Dask's return None."""

    class Quiet(Future):
        def cancel(self):
            super().cancel()

    class QuietSpy(Spy):
        def submit(self, function, *arguments):
            super().submit(function, *arguments)
            self.futures[-1] = Quiet()
            return self.futures[-1]

    spy = QuietSpy()
    job = Simulator(executor=spy, max_job_size=4, shots=10).run(circuits)
    spy.run(0)
    assert job.cancel() and not job.cancel()
    assert job.chunk_status() == [JobStatus.DONE, JobStatus.CANCELLED]


def test_result_twice_is_not_computed_twice(circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=4).run(circuits)
    spy.run(0)
    spy.run(1)
    assert job.result() is job.result()
    assert len(spy.submitted) == 2


def test_ctrl_c_while_waiting_leaves_the_job_as_it_is(circuits):
    class Interrupted(Future):
        """Ctrl-C comes while the first caller waits."""

        pressed = False

        def result(self, timeout=None):
            if not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt
            return super().result(timeout)

    class InterruptedSpy(Spy):
        def submit(self, function, *arguments):
            super().submit(function, *arguments)
            self.futures[-1] = Interrupted()
            return self.futures[-1]

    spy = InterruptedSpy()
    job = Simulator(executor=spy, max_job_size=4, shots=10).run(circuits)
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.status() == JobStatus.QUEUED and job.partial_result().available == ()
    spy.run(0)
    spy.run(1)
    with pytest.raises(KeyboardInterrupt):  # the second chunk
        job.result()
    assert job.result().success


@pytest.mark.parametrize("timeout", ["5", [1], True, float("nan")])
def test_a_timeout_that_is_no_number_leaves_the_job_as_it_is(timeout, circuits):
    spy = Spy()
    job = Simulator(executor=spy, shots=10).run(circuits)
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds, or None, but"):
        job.result(timeout)
    spy.run(0)
    assert job.result(timeout=0).success


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, threading.TIMEOUT_MAX])
def test_a_timeout_longer_than_threads_can_wait_is_none(timeout, circuits):
    assert Simulator(shots=10).run(circuits).result(timeout).success


class Raising(Future):
    """Its first result() raises something while it waits."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error

    def result(self, timeout=None):
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().result(timeout)


class RaisingSpy(Spy):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def submit(self, function, *arguments):
        super().submit(function, *arguments)
        self.futures[-1] = Raising(self.error)
        return self.futures[-1]


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("error", [TimeoutError("alarm"), OverflowError("too long"), KeyboardInterrupt()])
def test_errors_of_waiting_are_not_the_jobs(error, finished, timeout, circuits):
    spy = RaisingSpy(error)
    job = Simulator(executor=spy, shots=10).run(circuits)
    if finished:
        spy.run(0)
    with pytest.raises(type(error)) as caught:
        job.result(timeout)
    assert caught.value is error
    if not finished:
        assert job.status() == JobStatus.QUEUED
        spy.run(0)
    assert job.result(timeout).success


# failures -------------------------------------------------------------------------------------------------


def test_failing_chunks_are_named_and_the_rest_is_readable(circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=2, shots=10).run(circuits)
    spy.run(3)
    spy.run(1, ValueError("the first"))
    spy.run(0)
    partial = job.partial_result()
    assert partial.available == (0, 1, 6) and not partial.success
    with pytest.raises(RuntimeError, match=r"circuit 2 has no result: it failed: ValueError: the first"):
        partial.counts(2)
    with pytest.raises(RuntimeError, match="circuit 4 has no result: it is not finished"):
        partial.counts(4)
    spy.run(2, RuntimeError("the second"))
    with pytest.raises(
        JobError, match=r"2 of 4 chunks failed.*circuits 2 to 5.*chunk 1.*the first"
    ) as caught:
        job.result()
    assert caught.value.indices == (2, 3, 4, 5)
    assert isinstance(caught.value.__cause__, ValueError)
    assert [f.chunk for f in caught.value.failures] == [1, 2]
    assert sum(job.partial_result().counts(6).values()) == 10
    assert job.partial_result().to_dict()["circuits"][2]["error"].startswith("failed")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.indices == caught.value.indices and str(again) == str(caught.value)


def test_worker_that_raises_for_3_of_40(monkeypatch):
    from jaxsim import simulator

    real = simulator.run_chunk

    def fails(chunk):
        if chunk.number in (4, 17, 33):
            raise OSError(f"disk of worker {chunk.number}")
        return real(chunk)

    monkeypatch.setattr(simulator, "run_chunk", fails)
    with ThreadPoolExecutor(2) as pool:
        job = Simulator(executor=pool, max_job_size=1, shots=5).run([circuit(0)] * 40)
        with pytest.raises(JobError, match=r"circuits 4, 17, 33.*disk of worker 4") as caught:
            job.result(timeout=60)
    assert caught.value.indices == (4, 17, 33)
    assert job.status() == JobStatus.ERROR
    assert len(job.partial_result().available) == 37


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_a_worker_that_is_interrupted_has_failed(error, circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=4, shots=10).run(circuits)
    spy.run(0, error)
    spy.run(1)
    assert job.status() == JobStatus.ERROR and job.done() and "error" in repr(job)
    with pytest.raises(JobError, match=f"circuits 0 to 3.*{type(error).__name__}") as caught:
        job.result()
    assert caught.value.__cause__ is error
    assert job.partial_result().available == (4, 5, 6)


@pytest.mark.parametrize("given, words", [(None, "None"), ("x", "a str"), (ValueError("no"), "a ValueError")])
def test_a_future_with_another_result_has_failed(given, words, circuits):
    spy = Spy()
    job = Simulator(executor=spy, max_job_size=4, shots=10).run(circuits)
    spy.run(0)
    spy.futures[1].set_result(given)
    with pytest.raises(JobError, match=f"circuits 4 to 6.*future gave {words}, not what the function"):
        job.result()
    assert job.status() == JobStatus.ERROR
    assert job.partial_result().available == (0, 1, 2, 3)


def test_mock_executors_do_not_give_empty_results(circuits):
    with pytest.raises(JobError, match=r"circuits 0 to 6.*future gave a MagicMock"):
        Simulator(executor=MagicMock()).run(circuits).result()


class Calling:
    """Gives what the function returns, and no future."""

    def submit(self, function, *arguments):
        return function(*arguments)


class Silent:
    def submit(self, function, *arguments):
        return None


@pytest.mark.parametrize("executor, words", [(Silent(), "None"), (Calling(), "a ChunkResult")])
def test_an_executor_that_gives_no_futures_is_refused(executor, words):
    with pytest.raises(
        RuntimeError, match=rf"must return a future with result\(timeout\), but returned {words}"
    ):
        Simulator(executor=executor).run(Circuit(1).h(0))


def test_an_executor_that_stops_giving_futures(circuits):
    class Tired(Spy):
        def submit(self, function, *arguments):
            return super().submit(function, *arguments) if len(self.submitted) < 2 else None

    spy = Tired()
    job = Simulator(executor=spy, max_job_size=2, shots=10).run(circuits)
    spy.run(0)
    spy.run(1)
    with pytest.raises(JobError, match=r"circuits 4 to 6.*must return a future"):
        job.result(timeout=5)
    assert job.partial_result().available == (0, 1, 2, 3)


def test_errors_that_cannot_travel_arrive_as_text(monkeypatch):
    from jaxsim import worker

    class StubbornError(Exception):
        def __init__(self, one, two):
            super().__init__(one)

    def broken(*_):
        raise StubbornError("stuck", 2)

    monkeypatch.setattr(worker, "_run_chunk", broken)
    with pytest.raises(JobError, match="StubbornError: stuck"):
        Simulator().run(Circuit(1).h(0)).result()


def test_executor_that_is_shut_down(circuits):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match=r"takes no work, so nothing was submitted.*shutdown"):
        Simulator(executor=pool).run(circuits)


def test_a_broken_process_pool_says_what_to_look_for(circuits):
    spy = Spy()
    job = Simulator(executor=spy).run(circuits)
    spy.run(0, BrokenProcessPool("A child process terminated abruptly."))
    with pytest.raises(JobError, match=r"abruptly\. A worker.*`if __name__ == '__main__':`"):
        job.result()


def test_executor_shut_down_while_chunks_are_submitted(circuits):
    class Closing(Spy):
        def submit(self, function, *arguments):
            if len(self.submitted) == 2:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return super().submit(function, *arguments)

    spy = Closing()
    job = Simulator(executor=spy, max_job_size=2, shots=10).run(circuits)
    spy.run(0)
    spy.run(1)
    with pytest.raises(JobError, match=r"circuits 4 to 6.*after shutdown"):
        job.result(timeout=5)
    assert job.partial_result().available == (0, 1, 2, 3)


def test_executor_shut_down_in_the_middle(circuits):
    begun, go_on = threading.Event(), threading.Event()
    pool = ThreadPoolExecutor(1)
    pool.submit(lambda: (begun.set(), go_on.wait(20)))
    job = Simulator(executor=pool, max_job_size=3, shots=10).run(circuits)
    begun.wait(20)
    pool.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    with pytest.raises(JobError, match="circuits 0 to 6"):
        job.result(timeout=20)
    assert job.done()


def test_executors_of_the_user_are_not_shut_down(circuits):
    spy = Spy()
    job = Simulator(executor=spy).run(circuits)
    spy.run(0)
    job.result()
    assert not spy.shut_down


def test_threads_of_our_own_end_with_the_job(circuits):
    job = Simulator(max_job_size=2).run(circuits)
    job.result()
    deadline = time.monotonic() + 5
    while any(t.name.startswith("jaxsim-job") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(t.name.startswith("jaxsim-job") for t in threading.enumerate())


def test_a_script_ends_after_ctrl_c():
    """Of its chunks those that have not begun are dropped."""
    program = """
        import atexit, threading
        ran = []
        atexit.register(lambda: print("ran", len(ran)))  # before all others, so the last to be called
        from jaxsim import Circuit, simulator
        real, begun = simulator.run_chunk, threading.Event()

        def counted(chunk):
            begun.set()
            ran.append(chunk.number)
            threading.Event().wait(0.05)
            return real(chunk)

        simulator.run_chunk = counted
        job = simulator.Simulator(max_job_size=1, shots=5).run([Circuit(2).h(0)] * 200)
        begun.wait()
        raise KeyboardInterrupt
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=100
    )
    assert "KeyboardInterrupt" in done.stderr and "Fatal" not in done.stderr
    said, ran = done.stdout.split()
    assert said == "ran" and 1 <= int(ran) < 100


# what is sent, what is kept -------------------------------------------------------------------------------


def test_inputs_are_taken_as_they_are_when_run_is_called():
    spy = Spy()
    c, theta = Circuit(2).ry(0.3, 0), ParameterVector("t", 1)
    p, values = Circuit(2).ry(theta[0], 0), np.array([0.3])
    sim = Simulator(shots=20, seed=3, executor=spy)
    job = sim.run([c, p], [None, values], outputs=("counts", "statevector"))
    c.x(0)
    p.x(0)
    values[0] = 2.0
    sim.set_options(shots=7, seed=4, executor=None)
    spy.run(0)
    result = job.result()
    assert result.shots(0) == 20 and result.metadata["seed"] == 3
    for k in range(2):
        np.testing.assert_allclose(result.statevector(k), [np.cos(0.15), np.sin(0.15), 0, 0], atol=1e-6)


def test_chunks_travel_as_circuits_and_arrays(circuits):
    spy = Spy()
    Simulator(executor=spy, max_job_size=4).run(circuits, observables=Z(0), outputs=("values",))
    for function, arguments in spy.submitted:
        again = pickle.loads(pickle.dumps((function, arguments)))
        assert again[1][0].items[0].circuit == arguments[0].items[0].circuit


def test_inputs_are_dropped_when_the_job_is_done():
    spy = Spy()
    job = Simulator(executor=spy).run(circuit(3))
    kept = weakref.ref(spy.submitted[0][1][0].items[0].circuit)
    spy.run(0)
    gc.collect()
    assert kept() is None
    assert job.result().success


def test_result_pickles_and_dumps_as_json(circuits):
    result = (
        Simulator(shots=20, max_job_size=3)
        .run(circuits, observables=[[Z(0), X(1)]] * 7, outputs=EVERYTHING)
        .result()
    )
    assert fingerprint(pickle.loads(pickle.dumps(result))) == fingerprint(result)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["circuits"][2]["counts"] == result.counts(2)
    assert plain["circuits"][1]["values"] == result.value(1).tolist()
    assert result.time_taken >= 0


def test_metadata(circuits, compilations):
    Simulator().run([circuit(1)] * 3, outputs=("statevector",)).result()
    with compilations() as count:
        result = Simulator(max_job_size=3, seed=9).run(circuits).result()
    told = result.metadata
    assert told["seed"] == 9 and told["outputs"] == ["counts"] and told["dtype"] == "complex64"
    assert [c["circuits"] for c in told["chunks"]] == [[0, 3], [3, 6], [6, 7]]
    assert sum(told["rows_per_call"]) == 7
    assert told["compilations"] == count.total
    assert told["seconds"] >= max(c["seconds"] for c in told["chunks"]) > 0


def test_invalid_circuits_are_named_together_and_nothing_is_submitted():
    spy = Spy()
    theta = ParameterVector("t", 2)
    given = [Circuit(1).h(0) for _ in range(40)]
    given[3], given[17], given[33] = Circuit(1).rx(theta[0], 0), "no circuit", Circuit(1).rx(theta[1], 0)
    with pytest.raises(JobInputError, match=r"3 of 40.*circuits 3, 17, 33.*nothing was submitted") as caught:
        Simulator(executor=spy, max_job_size=1).run(given)
    assert caught.value.indices == (3, 17, 33)
    assert "circuit 3: its parameters have no values: t[0]" in str(caught.value)
    assert not spy.submitted
