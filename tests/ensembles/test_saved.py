"""Results in files: every bit comes back, and nothing but a whole file of ours is taken."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict, namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensembles.result import EnsembleResult, ProgramResult, Stats
from ensembles.saved import StoredError

Point = namedtuple("Point", "x y")


class OddError(Exception):
    """Of a class that no reader knows."""


def bits(number: float) -> bytes:
    return struct.pack(">d", number)


@pytest.fixture
def full():
    """Everything a result may hold."""
    rng = np.random.default_rng(0)
    parameters = {"w": rng.normal(size=(2, 3)), "b": [np.float32([0.1]), (np.zeros((0, 4)), np.array(3.5))]}
    extra = {
        "solution": "0110", "ratio": 0.875, "cut": np.float32(7.25), "feasible": True, "flag": np.bool_(False),
        "none": None, "big": 2**80, "minus": -0.0, "inf": float("inf"), "amplitude": 1 - 2j,
        "amplitudes": np.array([1j, 2], np.complex64),
        "mask": np.array([[True, False]]), "small": np.int8([-1, 2]), "raw": b"\x00\xff", "set": {1, "a"},
        "frozen": frozenset([2]),
        "nested": {"a": [1, (2.5, {"b": None})], (1, "k"): 3}, "ordered": OrderedDict(z=1, a=2),
        "words": np.array(["ab", "c"]),
        "swapped": np.array([1.0, 2.0], ">f8"), "fortran": np.asfortranarray(np.eye(3)[:2]),
        "day": np.datetime64("2026-01-02"), "$array": "no tag", "text": "\ud800 变分 \x00",
    }  # fmt: skip
    return EnsembleResult(
        [
            ProgramResult(
                "a", -1.25, parameters, np.float32([0.1, np.nan]), "converged", None, 3, -1.0, parameters, 2, extra
            ),
            ProgramResult(7, float("nan"), None, status="failed", error=FloatingPointError("the loss is nan")),
            ProgramResult(("H2", 0, ("seed", 1)), 0.5, np.float32([1]), status="failed", error=OddError("x\ny")),
            ProgramResult("1", np.float64(1) / 3, np.zeros(3), [], "cancelled", seconds=0.25),
            ProgramResult(1, 5e-324, jnp.ones(2), error=KeyError("z"), status="failed"),
        ],
        Stats(calls=3, rows=7, compile_seconds=0.1, run_seconds=float("inf")),
    )  # fmt: skip


def test_everything_comes_back(full, tmp_path):
    full.save(tmp_path / "night.result")
    again = EnsembleResult.load(tmp_path / "night.result")
    assert again == full and again.stats == full.stats and list(again) == list(full)
    assert [type(name) for name in again] == [str, int, tuple, str, int]
    assert str(again) == str(full)
    r = again["a"]
    assert r.history.dtype == np.float32 and bits(r.minus) == bits(-0.0)
    assert isinstance(r.parameters["b"][1], tuple) and r.parameters["b"][1][0].shape == (0, 4)
    for key, entry in full["a"].extra.items():
        assert type(r.extra[key]) is type(entry), key
        if isinstance(entry, np.ndarray | np.generic):
            assert r.extra[key].dtype == entry.dtype
            np.testing.assert_array_equal(r.extra[key], entry)
        else:
            assert r.extra[key] == entry
    assert list(r.ordered) == ["z", "a"]
    assert again["1"].seconds == 0.25
    r.parameters["w"][0] = 1  # arrays of one's own, not views of a file


def test_errors_come_back_as_what_they_are_or_by_name(full, tmp_path):
    full.save(tmp_path / "f")
    again = EnsembleResult.load(tmp_path / "f")
    assert type(again[7].error) is FloatingPointError
    odd = again["H2", 0, ("seed", 1)].error
    assert type(odd) is StoredError and odd.type_name == "OddError" and str(odd) == "x\ny"
    assert str(again[1].error) == "'z'"  # KeyError prints its argument in quotes; text and name stay
    again.save(tmp_path / "g")
    assert EnsembleResult.load(tmp_path / "g") == full
    assert (
        pickle.loads(pickle.dumps(again[1])) == full[1]
        and pickle.loads(pickle.dumps(odd)).type_name == "OddError"
    )
    assert "OddError: x" in repr(again["H2", 0, ("seed", 1)])


def test_the_bits_of_a_nan(tmp_path):
    """Truth from the bytes: a negative NaN with a payload, as a Python float and in an array."""
    odd = struct.unpack(">d", bytes.fromhex("fff8000000000abc"))[0]
    result = EnsembleResult([ProgramResult("a", odd, np.array([odd]))])
    result.save(tmp_path / "f")
    again = EnsembleResult.load(tmp_path / "f")["a"]
    assert bits(again.value).hex() == "fff8000000000abc"
    assert again.parameters.astype(">f8").tobytes().hex() == "fff8000000000abc"


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=5),
        st.binary(max_size=4),
        st.sampled_from(
            [np.float32(np.nan), np.zeros((2, 0)), np.arange(3), np.float16([1, -np.inf]), np.array(True), np.int64(-3)]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3) , inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
NAMES = st.recursive(
    st.one_of(st.text(min_size=1, max_size=4), st.integers()),
    lambda n: st.lists(n, max_size=3).map(tuple),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.tuples(st.floats(), VALUES, VALUES), min_size=1, max_size=3))
def test_whatever_is_drawn_comes_back(tmp_path, programs):
    result = EnsembleResult(
        [ProgramResult(name, value, p, extra={"x": x}) for name, (value, p, x) in programs.items()]
    )
    result.save(tmp_path / "f")
    again = EnsembleResult.load(tmp_path / "f")
    assert again == result

    def tree(entry):  # types, too, which `==` of 1 and 1.0 and True would not tell apart
        if isinstance(entry, dict):
            return [(tree(k), tree(v)) for k, v in entry.items()]
        if isinstance(entry, list | tuple):
            return (type(entry), [tree(e) for e in entry])
        return (type(entry), np.shape(entry), np.asarray(entry).dtype)

    assert [tree(r.extra) for r in again.values()] == [tree(r.extra) for r in result.values()]


def test_the_file_is_open(full, tmp_path):
    """What the format's description promises, read without this package."""
    full.save(tmp_path / "f")
    with np.load(tmp_path / "f", allow_pickle=False) as arrays:
        assert {"float32", "float64", "float64_swapped"} < set(arrays.files)
        flat = arrays["float64"]
    with zipfile.ZipFile(tmp_path / "f") as archive:
        content = json.loads(archive.read("result.json"))
    assert (content["format"], content["version"]) == ("ensembles.EnsembleResult", 1)
    first = content["programs"][0]
    ((_, place),) = [pair for pair in first["parameters"]["$dict"] if pair[0] == "w"]
    member, start, shape = place["$array"]
    np.testing.assert_array_equal(flat[start : start + 6].reshape(shape), full["a"].parameters["w"])
    assert member == "float64" and content["programs"][1]["value"]["$float"] == "7ff8000000000000"
    assert content["programs"][2]["name"] == {"$tuple": ["H2", 0, {"$tuple": ["seed", 1]}]}
    assert content["programs"][2]["error"] == {"type": "OddError", "text": "x\ny"}


def test_equal_results_make_equal_files(full, tmp_path):
    for name in "fg":
        full.save(tmp_path / name)
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes()


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (object(), "a object"),
        ({"a": [1, lambda x: x]}, "a function"),
        (Point(1, 2), "a Point"),
        (np.array([None, 1]), "an array of dtype object"),
        (jnp.ones(2, jnp.bfloat16), "an array of dtype bfloat16"),
        (np.ma.masked_array([1.0]), "a MaskedArray"),
        (jax.random.key(0), r"a random key \(take jax.random.key_data"),
        pytest.param(1 << 20_000, "an integer of more than 10,000 bits", id="integer"),
    ],
)  # fmt: skip
def test_what_can_not_be_stored_is_named_before_anything_is_written(tmp_path, entry, what):
    good, bad = ProgramResult("good", 0.0, None), ProgramResult("bad", 0.0, None, extra={"schedule": entry})
    (tmp_path / "f").write_text("kept")
    with pytest.raises(TypeError, match=f"save: entry 'schedule' of program 'bad' is or holds {what}"):
        EnsembleResult([good, bad]).save(tmp_path / "f")
    assert (tmp_path / "f").read_text() == "kept" and os.listdir(tmp_path) == ["f"]
    with pytest.raises(TypeError, match="entry 'parameters' of program 'bad'"):
        EnsembleResult([ProgramResult("bad", 0.0, entry)]).save(tmp_path / "g")


def test_cycles_and_entries_without_names(tmp_path):
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError, match="more than 100 collections inside each other"):
        EnsembleResult([ProgramResult("a", 0.0, None, extra={"loop": loop})]).save(tmp_path / "f")
    with pytest.raises(TypeError, match="an extra entry under 3"):
        EnsembleResult([ProgramResult("a", 0.0, None, extra={3: 1})]).save(tmp_path / "f")  # type: ignore[dict-item]


# what can go wrong with files


def test_bad_places(full, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*missing.; make it first"):
        full.save(tmp_path / "missing" / "f")
    with pytest.raises(IsADirectoryError, match="is a directory; name a file in it"):
        full.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        EnsembleResult.load(tmp_path / "f")


@pytest.mark.parametrize("path", [None, 3, "", b"night.result"])
def test_what_is_no_path_is_refused(full, path):
    for action in (full.save, EnsembleResult.load):
        with pytest.raises(TypeError, match=f"{action.__name__}: name a file, .* but {path!r} was given"):
            action(path)


def test_a_write_that_fails_leaves_the_old_file(full, tmp_path, monkeypatch):
    full.save(tmp_path / "f")
    before = (tmp_path / "f").read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        EnsembleResult([]).save(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == before and os.listdir(tmp_path) == ["f"]


def test_a_link_stays_a_link(full, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "f")
    full.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and EnsembleResult.load(tmp_path / "real" / "f") == full


def test_every_truncation_and_every_flipped_byte_is_noticed(full, tmp_path):
    full.save(tmp_path / "f")
    whole = (tmp_path / "f").read_bytes()
    bad = tmp_path / "bad"
    for length in [*range(0, 40), *range(40, len(whole), 37)]:
        bad.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"load: .*bad' is (damaged or cut short|not a saved result)"):
            EnsembleResult.load(bad)
    noticed = 0
    rng = np.random.default_rng(1)
    for place in rng.integers(4, len(whole), 300).tolist():
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            # What is not covered by a checksum (times, attributes) may change, but no number.
            assert EnsembleResult.load(bad) == full
        except ValueError as error:
            noticed += str(error).startswith("load: ")
    assert noticed > 200
    assert bad.exists()


def rewritten(path, change):
    """The archive with its content changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(members["result.json"])
    members["result.json"] = json.dumps(change(content) or content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2, package="9.9"), r"format version 2, written by jaxsim-ensembles 9\.9, .*Update"),
        (lambda c: c.update(format="other"), "holds something else"),
        (lambda c: [1], "holds something else"),
        (lambda c: [c.pop("programs")][:0], "is damaged"),
        (lambda c: [c["programs"][0].pop("name")][:0], "is damaged"),
        (lambda c: c["programs"][0].update(unknown=1), "is damaged"),
        (lambda c: c["programs"][0].update(history={"$array": ["float64", 10**9, [2]]}), "is damaged"),
        (lambda c: c["programs"][0].update(history={"$array": ["float64", -1, [1]]}), "is damaged"),
        (lambda c: c["programs"][0].update(history={"$what": 1}), "is damaged"),
        (lambda c: c["programs"][0].update(status="done"), "is damaged"),
        (lambda c: c["programs"].append(c["programs"][0]), "two results have the name 'a'"),
    ],
)  # fmt: skip
def test_other_contents_are_refused(full, tmp_path, change, message):
    full.save(tmp_path / "f")
    rewritten(tmp_path / "f", change)
    with pytest.raises(ValueError, match=message):
        EnsembleResult.load(tmp_path / "f")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="is not a saved result; those are zip archives"):
        EnsembleResult.load(tmp_path / "text")
    np.savez(tmp_path / "a.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match=r"no saved result: it has no result\.json"):
        EnsembleResult.load(tmp_path / "a.npz")


def test_pickles_in_a_file_are_never_opened(full, tmp_path):
    full.save(tmp_path / "f")
    evil = io.BytesIO()
    np.save(evil, np.array([object()]), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "f", "a") as archive:
        archive.writestr("object.npy", evil.getvalue())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        EnsembleResult.load(tmp_path / "f")


def test_another_process_reads_it(full, tmp_path):
    full.save(tmp_path / "f")
    code = (
        "import sys; from ensembles.result import EnsembleResult\n"
        "r = EnsembleResult.load(sys.argv[1]); r.save(sys.argv[2]); print(r['a'].cut)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "f"), str(tmp_path / "g")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "7.25"
    assert EnsembleResult.load(tmp_path / "g") == full
