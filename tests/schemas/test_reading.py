"""TOML and JSON that people or programs wrote: no number that is none, and nothing said twice."""

import json
import math
import os
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_ai.schemas.reading import Unreadable, content_of, from_json, from_toml

NUMBERS = st.floats() | st.integers() | st.booleans()
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=5)
TABLES = st.dictionaries(
    KEYS, st.recursive(NUMBERS | KEYS, lambda inner: st.lists(inner, max_size=3)), max_size=5
)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers(part)]
    if isinstance(value, list):
        return [n for part in value for n in numbers(part)]
    return [value] if isinstance(value, int | float) else []


@settings(max_examples=60)
@given(TABLES)
def test_what_json_is_read_has_finite_numbers_of_64_bits_only(table: dict[str, Any]) -> None:
    text = json.dumps(table)
    sound = all(
        -(2**63) <= n < 2**63 if isinstance(n, int) else math.isfinite(n) for n in numbers(table)
    )
    try:
        read = from_json(text)
    except Unreadable:
        assert not sound
    else:
        assert sound
        assert read == table


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    reasons = set()
    for read in (from_json, from_toml):
        try:
            read(content)
        except Unreadable as refused:
            reasons.add(str(refused)[:3])
    assert reasons <= {"is ", "has", "say"}, "it follows the file's name"


@pytest.mark.parametrize("number", ["nan", "+nan", "-nan", "inf", "-inf", "1e999", "-1e999"])
def test_a_number_that_is_none_is_refused_and_named_however_it_is_written(number: str) -> None:
    with pytest.raises(Unreadable, match=r"says a\.b\.1: (nan|-?inf) is no number"):
        from_toml(f"[a]\nb = [1, {number}]".encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400 + ".0"])
def test_json_has_none_either(number: str) -> None:
    with pytest.raises(Unreadable, match=r"says a\.b\.1: "):
        from_json(f'{{"a": {{"b": [1, {number}]}}}}')


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 5000])
def test_whole_numbers_of_more_than_64_bits_are_refused(number: str) -> None:
    with pytest.raises(Unreadable):
        from_json(f'{{"revision": {number}}}')
    with pytest.raises(Unreadable):
        from_toml(f"revision = {number}".encode())
    assert from_json('{"revision": 9223372036854775807}') == {"revision": 2**63 - 1}


def test_zero_has_no_sign() -> None:
    for read in (from_json('{"x": -0.0}'), from_toml(b"x = -0.0")):
        assert math.copysign(1, read["x"]) == 1


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"c": 1, "d": 2, "c": 3}}]', '{"a": 1, "\\u0061": 2}']
)
def test_a_key_that_stands_twice_is_refused_at_any_depth(text: str) -> None:
    with pytest.raises(Unreadable, match="twice"):
        from_json(text)


def test_toml_has_no_key_twice_either() -> None:
    for text in (b"a = 1\na = 1", b"[a]\n[a]", b"a.b = 1\na = {}", b"x = {a = 1, a = 2}"):
        with pytest.raises(Unreadable):
            from_toml(text)


DEEP = {
    "lists": b"x = " + b"[" * 200_000,
    "whole lists": b"x = " + b"[" * 33 + b"]" * 33,
    "tables": b"x = " + b"{a = " * 50_000,
    "dots": b"x = 1\n" + b"a." * 400_000 + b"a = 1",
    "dots in quotes": b"'a' . " * 100_000 + b"a = 1",
    "a header": b"[" + b"a." * 300_000 + b"a]",
    "many dots": b"\n".join(b"a." * 40 + b"x%d = 1" % n for n in range(9_000)),
}


@pytest.mark.parametrize("name", DEEP)
def test_nesting_without_end_is_refused_and_takes_no_time(name: str) -> None:
    start = time.process_time()
    with pytest.raises(Unreadable, match="nested more than 32 deep"):
        from_toml(DEEP[name])
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", ["[" * 200_000, "[" * 40 + "]" * 40, '{"a":' * 90_000])
def test_nesting_without_end_in_json_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="nested more than 32 deep"):
        from_json(text)


def test_thirty_two_deep_is_not_too_deep() -> None:
    assert from_json("[" * 31 + "]" * 31)
    assert from_toml(b"x = " + b"[" * 30 + b"]" * 30)


def test_a_sentence_with_many_points_is_no_nesting() -> None:
    card = 'use = "' + "One. Two. " * 100 + '"\nmean = [0.1, 0.2, 0.3]\nx = ["a. b. c."]\n'
    assert from_toml(card.encode()) == tomllib.loads(card)


def test_the_mark_of_windows_editors_is_no_part_of_the_text() -> None:
    assert from_toml(b"\xef\xbb\xbfx = 1") == from_json(b'\xef\xbb\xbf{"x": 1}') == {"x": 1}


def test_only_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"12345")
    (tmp_path / "large").write_bytes(b"123456")
    assert content_of(tmp_path / "small", 5) == b"12345"
    with pytest.raises(Unreadable, match="is larger than"):
        content_of(tmp_path / "large", 5)


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Unreadable, match="is a pipe or a device"):
            content_of(place, 100)
    with pytest.raises(OSError, match="folder"):
        content_of(tmp_path, 100)
