from __future__ import annotations

import dataclasses
import os
import pickle
import warnings

import numpy as np
import pytest

from ensembles.config import BatchConfig, BatchMode
from jaxsim.memory import total_memory

INTEGER_KNOBS = ("max_batch_size", "max_concurrent_programs", "max_rows_per_call", "memory_limit")


def test_defaults():
    config = BatchConfig()
    assert config.mode is BatchMode.MERGED
    assert (config.max_batch_size, config.max_concurrent_programs, config._sort_programs) == (
        None,
        None,
        False,
    )
    assert (config.max_rows_per_call, config.memory_limit) == (None, None)


def test_positional_order_and_keyword_only_fields():
    config = BatchConfig(BatchMode.MERGED, 8, 4, True)
    assert (config.max_batch_size, config.max_concurrent_programs, config._sort_programs) == (8, 4, True)
    with pytest.raises(TypeError, match="positional"):
        BatchConfig(BatchMode.MERGED, 8, 4, True, 100)  # type: ignore[misc]


def test_is_frozen_hashable_and_pickles():
    config = BatchConfig(max_batch_size=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_batch_size = 9  # type: ignore[misc]
    assert (
        pickle.loads(pickle.dumps(config)) == config == dataclasses.replace(BatchConfig(), max_batch_size=8)
    )
    assert len({config, BatchConfig(max_batch_size=8)}) == 1


@pytest.mark.parametrize(
    "given, mode",
    [("merged", BatchMode.MERGED), ("off", BatchMode.OFF), (BatchMode.OFF, BatchMode.OFF)],
)
def test_modes(given, mode):
    assert BatchConfig(given).mode is mode
    assert BatchConfig(mode=given) == BatchConfig(mode)


@pytest.mark.parametrize("mode", ["MERGED", "on", "", None, True, 1, ["off"]])
def test_unknown_mode_names_both(mode):
    with pytest.raises(
        ValueError, match=r"BatchMode\.MERGED.*BatchMode\.OFF.*'merged' and 'off', but .* was given"
    ):
        BatchConfig(mode)


@pytest.mark.parametrize("knob", INTEGER_KNOBS)
@pytest.mark.parametrize("value", [True, False, np.True_, 2.5, 2.0, np.float32(2), "8", 1j, [8]])
def test_only_integers(knob, value):
    with pytest.raises(
        TypeError, match=rf"BatchConfig: {knob} must be an integer >= 1 .* of type \w+ was given\."
    ):
        BatchConfig(**{knob: value})


@pytest.mark.parametrize("knob", INTEGER_KNOBS)
@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7)])
def test_integers_become_int(knob, value):
    stored = getattr(BatchConfig(**{knob: value}), knob)
    assert type(stored) is int and stored == value


@pytest.mark.parametrize(
    "knob, value",
    [
        (knob, value)
        for knob in INTEGER_KNOBS
        for value in (0, -1, -2)
        if (knob, value) != ("max_concurrent_programs", -1)
    ],
)
def test_out_of_range(knob, value):
    with pytest.raises(
        ValueError, match=rf"BatchConfig: {knob} must be an integer >= 1 .* or None, but {value} was given"
    ):
        BatchConfig(**{knob: value})


def test_minus_one_lane_is_named_as_allowed():
    with pytest.raises(ValueError, match=r"-1 \(a lane for every program\)"):
        BatchConfig(max_concurrent_programs=-2)


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_sort_programs_is_a_flag(value):
    with pytest.raises(TypeError, match="_sort_programs must be True or False"):
        BatchConfig(_sort_programs=value)


@pytest.mark.parametrize(
    "knob, value",
    [
        ("max_batch_size", 8),
        ("max_concurrent_programs", 8),
        ("max_concurrent_programs", -1),
        ("max_concurrent_programs", 2000),
        ("_sort_programs", True),
    ],
)
@pytest.mark.parametrize("mode", [BatchMode.OFF, "off"])
def test_off_refuses_knobs(mode, knob, value):
    with pytest.raises(ValueError, match=rf"{knob} has no effect with mode BatchMode\.OFF.*Leave it out"):
        BatchConfig(mode, **{knob: value})


def test_off_allows_memory_bounds():
    config = BatchConfig("off", max_rows_per_call=4, memory_limit=2**20, _sort_programs=False)
    assert (config.max_rows_per_call, config.memory_limit) == (4, 2**20)


def test_many_lanes_warn_where_they_are_asked_for():
    with pytest.warns(UserWarning, match=r"max_concurrent_programs is 1025.*max_batch_size") as caught:
        BatchConfig(max_concurrent_programs=1025)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BatchConfig(max_concurrent_programs=1024)
        assert BatchConfig(max_concurrent_programs=-1).lanes(2000) == 2000
        assert BatchConfig(max_concurrent_programs=-1, max_batch_size=8).lanes(2000) == 8


# The rows of the table in the batching contract, on a machine of 8 processors (8 + 4 = 12).
@pytest.mark.parametrize(
    "mode, lanes, batch, n_programs, expected",
    [
        ("merged", None, None, 3, 12),
        ("merged", None, None, 12, 12),
        ("merged", None, None, 100, 100),
        ("merged", None, None, 256, 256),
        ("merged", None, None, 257, 256),
        ("merged", None, None, 5000, 256),
        ("merged", None, 8, 257, 8),
        ("merged", None, 8, 3, 3),
        ("merged", None, 5000, 2000, 2000),
        ("merged", -1, None, 3, 3),
        ("merged", -1, None, 5000, 5000),
        ("merged", -1, 8, 3, 3),
        ("merged", -1, 8, 5000, 8),
        ("merged", 1, None, 100, 1),
        ("merged", 300, None, 300, 300),
        ("merged", 300, None, 5, 300),
        ("merged", 4, 64, 100, 4),
        ("merged", 100, 8, 3, 100),
        ("off", None, None, 3, 12),
        ("off", None, None, 100, 100),
        ("off", None, None, 5000, 256),
    ],
)
def test_lanes(monkeypatch, mode, lanes, batch, n_programs, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert BatchConfig(mode, batch, lanes).lanes(n_programs) == expected


def test_lanes_on_huge_and_unknown_machines(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1000)
    assert BatchConfig().lanes(3) == 256
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert BatchConfig().lanes(3) == 5


def test_memory_limit(monkeypatch):
    monkeypatch.setattr("ensembles.config.total_memory", lambda: 1001)
    assert BatchConfig().resolved_memory_limit() == 500
    assert BatchConfig(memory_limit=7).resolved_memory_limit() == 7


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 2**40),
        ({"sys/fs/cgroup/memory.max": "max\n"}, 2**40),
        ({"sys/fs/cgroup/memory.max": "1000\n"}, 1000),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n"}, 2000),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 2**40),
        # version 2: the tightest of all groups above counts
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/job/memory.max": "max\n",
                "sys/fs/cgroup/user/memory.max": "3000\n",
                "sys/fs/cgroup/memory.max": "4000\n",
            },
            3000,
        ),
        # version 1, with other controllers beside it
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/x:y\n1:name=systemd:/\n",
                "sys/fs/cgroup/memory/docker/x:y/memory.limit_in_bytes": "5000\n",
                "sys/fs/cgroup/a/memory.max": "1\n",
            },
            5000,
        ),
        # inside a container the path is the host's, which is not mounted
        ({"proc/self/cgroup": "0::/host/only\n", "sys/fs/cgroup/memory.max": "6000\n"}, 6000),
    ],
)
def test_total_memory_heeds_control_groups(monkeypatch, tmp_path, files, expected):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 2**28}.__getitem__)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert total_memory(tmp_path) == expected


def test_total_memory_where_nothing_is_known(monkeypatch, tmp_path):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert total_memory(tmp_path) == 4 * 2**30
