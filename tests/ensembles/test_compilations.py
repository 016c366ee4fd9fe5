from __future__ import annotations

import threading

import jax
import numpy as np
import pytest

from ensembles.compilations import count_compilations


def test_fresh_function_counts_once_and_a_cached_one_not_at_all():
    f = jax.jit(lambda x: x * 3 + 1)
    with count_compilations() as first:
        f(np.float32(1))
    with count_compilations() as again:
        f(np.float32(2))
    with count_compilations() as other_shape:
        f(np.zeros(3, np.float32))
    assert (first.count, again.count, other_shape.count) == (1, 0, 1)
    assert first.seconds > 0 and again.seconds == 0


def test_nested_blocks_both_count_and_stop_at_their_end():
    with count_compilations() as outer:
        jax.jit(lambda x: x - 1)(np.float32(1))
        with count_compilations() as inner:
            jax.jit(lambda x: x - 2)(np.float32(1))
    jax.jit(lambda x: x - 3)(np.float32(1))
    assert (outer.count, inner.count) == (2, 1)


def test_other_threads_count():
    with count_compilations() as compiled:
        thread = threading.Thread(target=lambda: jax.jit(lambda x: x - 4)(np.float32(1)))
        thread.start()
        thread.join()
    assert compiled.count == 1


def test_ends_with_an_error():
    with pytest.raises(KeyError, match="stop"), count_compilations() as compiled:
        raise KeyError("stop")
    jax.jit(lambda x: x - 5)(np.float32(1))
    assert compiled.count == 0
