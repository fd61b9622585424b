"""The audit's chain holds, and shows what was done to it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_ai.delivery.audit import START, Audit, AuditBroken, Head, verify

NOON = "2026-06-01T12:00:00.000Z"


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    audit = Audit(tmp_path / "audit.jsonl", lambda: NOON)
    for n in range(5):
        audit.append([{"what": "decision", "flag_id": str(n)}])
    return audit


def test_the_chain_holds_over_any_number_of_writers(audit: Audit) -> None:
    Audit(audit.path, lambda: NOON).append([{"what": "attempt"}] * 3)
    head = verify(audit.path)
    assert head.lines == 8
    assert len(head.sha256) == 64


def test_an_empty_chain_holds(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").touch()
    assert verify(tmp_path / "audit.jsonl") == Head(0, START)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_one_changed_byte_is_found(audit: Audit, data: st.DataObject) -> None:
    whole = audit.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n")  # the last line's hash is kept elsewhere
    place = data.draw(st.integers(0, last))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    copy = audit.path.with_suffix(".copy")
    copy.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    with pytest.raises(AuditBroken, match="line"):
        verify(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:2] + lines[3:],
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:-1], lines[-1][:-10]],
    ],
)
def test_lines_taken_out_put_in_moved_or_cut_are_found(
    audit: Audit, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(change(lines)))
    with pytest.raises(AuditBroken):
        verify(audit.path)


def test_lines_cut_off_at_the_end_change_the_head(audit: Audit) -> None:
    before = verify(audit.path)
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(lines[:-1]))
    assert verify(audit.path) != before


def test_a_line_that_a_crash_left_half_written_is_replaced(audit: Audit) -> None:
    with audit.path.open("ab") as file:
        file.write(b'{"n":6,"previous":"ab')
    audit.append([{"what": "attempt"}])
    assert verify(audit.path).lines == 6


_WRITER = """
import sys, time
from pathlib import Path
from wsi_ai.delivery.audit import Audit
audit = Audit(Path(sys.argv[1]), lambda: "now")
Path(sys.argv[1] + sys.argv[2]).touch()
while not all(Path(sys.argv[1] + name).exists() for name in "abc"):
    time.sleep(0.001)
for n in range(20):
    audit.append([{"writer": sys.argv[2], "k": 50 * n + k} for k in range(50)])
"""


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    words = [sys.executable, "-c", _WRITER, str(path)]
    writers = [subprocess.Popen([*words, name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert verify(path).lines == 3000
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["k"] for line in told if line["writer"] == "a"] == list(range(1000))
