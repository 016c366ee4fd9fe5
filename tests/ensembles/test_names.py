from __future__ import annotations

import enum
import hashlib
import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.names import check_name, display_name, name_words, natural_key

NAMES = st.recursive(st.text(min_size=1) | st.integers(), lambda part: st.lists(part, max_size=3).map(tuple))


class Method(str, enum.Enum):  # noqa: UP042 (whose str() is not its value)
    VQE = "vqe"


@pytest.mark.parametrize(
    "name, normal",
    [
        ("a", "a"),
        (0, 0),
        (-3, -3),
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.str_("a"), "a"),
        (Method.VQE, "vqe"),
        (("a", np.int32(1), ("b", 2)), ("a", 1, ("b", 2))),
        ((), ()),
    ],
)
def test_normal_form(name, normal):
    checked = check_name(name)
    assert checked == normal and type(checked) is type(normal)
    assert check_name(checked) == checked


def test_parts_are_normal_too():
    assert [type(part) for part in check_name((np.int64(1), np.str_("a")))] == [int, str]


@pytest.mark.parametrize(
    "name", [True, np.False_, 0.5, np.float32(1), None, b"a", ["a"], {"a"}, ("a", 0.5), ("a", True)]
)
def test_other_types_are_refused(name):
    with pytest.raises(TypeError, match="was given, but a name is a string, an integer, or a tuple of them"):
        check_name(name)


def test_advice():
    with pytest.raises(TypeError, match=r"for example '0\.74'\."):
        check_name(0.74)
    with pytest.raises(TypeError, match=r"for example tuple\(\['a', 1\]\)\."):
        check_name(["a", 1])


@pytest.mark.parametrize("name", ["", ("a", "")])
def test_empty_string_is_refused(name):
    with pytest.raises(ValueError, match="empty string was given; give every program a name"):
        check_name(name)


# Random streams hang on these: a change of the encoding changes every result with the same seed.
@pytest.mark.parametrize(
    "name, words",
    [
        ("r=0.74", [3113734480, 4219054462, 2711982228, 1164247325]),
        (("seed", 3), [3903321918, 1761649387, 2407450074, 348940413]),
    ],
)
def test_words_are_pinned(name, words):
    assert name_words(name).tolist() == words


def test_words_are_blake2_of_the_typed_encoding():
    def words(data):
        digest = hashlib.blake2b(data, digest_size=16, person=b"ensembles/name/1").digest()
        return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]

    eight = [n.to_bytes(8, "little") for n in range(3)]
    one, a = b"i" + eight[1] + b"\x01", b"s" + eight[1] + b"a"
    assert name_words(1).tolist() == words(one)
    assert name_words("a").tolist() == words(a)
    assert name_words(("a", 1)).tolist() == words(b"t" + eight[2] + a + one)
    assert name_words(-1).tolist() == words(b"i" + eight[1] + b"\xff")


def test_words_in_another_process():
    code = "from ensembles.names import name_words; print(name_words(('H2', 7)).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(name_words(("H2", 7)).tolist())


def test_words_differ():
    names = [
        "a",
        "b",
        "ab",
        ("a", "b"),
        ("ab",),
        ("a",),
        (("a",), "b"),
        ("a", ("b",)),
        (),
        ((),),
        0,
        "0",
        1,
        "1",
        -1,
    ]
    names += [255, 256, -128, 128, 2**64, "\x01", ("1", 1), (1, "1"), "é", "e\u0301", "\ud800"]
    for first, second in itertools.combinations(names, 2):
        assert name_words(first).tolist() != name_words(second).tolist(), (first, second)


def test_words_form_and_equal_names():
    words = name_words(np.int64(5))
    assert words.shape == (4,) and words.dtype == np.uint32
    np.testing.assert_array_equal(words, name_words(5))


def test_natural_order():
    order = [
        -2,
        2,
        10,
        "p",
        "p1",
        "p2",
        "p2a",
        "p02b",
        "p10",
        "q0",
        (),
        (1,),
        (2,),
        (10,),
        ("a", 2),
        ("a", 10),
        ("a", "2"),
    ]
    shuffled = random.Random(0).sample(order, len(order))
    assert sorted(shuffled, key=natural_key) == order


def test_natural_order_of_very_long_numbers():
    long = "1" * 5000  # int() refuses text this long
    assert sorted([f"p{long}", "p2"], key=natural_key) == ["p2", f"p{long}"]


@given(st.lists(NAMES, max_size=6))
def test_natural_order_never_raises_and_separates(names):
    for a, b in itertools.combinations(names, 2):
        assert (natural_key(a) == natural_key(b)) == (a == b)
    sorted(names, key=natural_key)


@pytest.mark.parametrize(
    "name, shown",
    [
        ("r=0.74", "r=0.74"),
        (3, "3"),
        (("H2", 3), "H2, 3"),
        (("a", (1, "b")), "a, (1, b)"),
        ("two\nlines", r"two\nlines"),
    ],
)
def test_display(name, shown):
    assert display_name(name) == shown
