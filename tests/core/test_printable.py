"""Names and messages from outside move no cursor, end no line and hide nothing."""

import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsi_ai.core.logs import line_handler
from wsi_ai.core.printable import UNSEEN, printable

ANY = st.text(st.characters() | st.characters(categories=sorted(UNSEEN)))  # surrogates too


@given(ANY)
@example("\x1b[2J")
@example("a\u202egnp.svs")
@example("\U000e0041")
@example(os.fsdecode(b"\xff.svs"))
def test_nothing_unseen_is_left_and_the_rest_stays(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(sign) for sign in shown} & UNSEEN
    assert shown.encode() is not None
    assert printable(shown) == shown
    if not {unicodedata.category(sign) for sign in text} & UNSEEN:
        assert shown == text


@given(ANY)
def test_in_json_the_escapes_mean_what_they_stand_for(text: str) -> None:
    line = json.dumps(text, ensure_ascii=False)
    assert json.loads(printable(line)) == json.loads(json.dumps(text))


def test_an_entry_of_the_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("x", 40, "", 0, "slide %s", ("a\nERROR y: forged\x1b[2J",), None)
    line_handler().emit(record)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Z ERROR x: slide a\\u000aERROR y: forged\\u001b[2J")


def test_a_name_that_would_turn_the_line_round_is_shown_by_its_escapes(tmp_path: Path) -> None:
    """Typed into the command, and found in a folder."""
    names = ["a\u202egnp.svs", "b\x1b[2Jc.svs", "d\ne.svs"]
    for name in names:
        (tmp_path / name).write_bytes(b"II*\0\xff\xff")
    words = [tmp_path, "--model", Path("models/demo-tumour").resolve(), "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "wsi_ai", "run", *map(str, words), "--verbose"],
        capture_output=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode()
    assert done.returncode == 1, printed
    assert not {unicodedata.category(sign) for sign in printed if sign != "\n"} & UNSEEN
    for shown in ("a\\u202egnp.svs", "b\\u001b[2Jc.svs", "d\\u000ae.svs"):
        assert shown in printed
