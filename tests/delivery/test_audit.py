"""The audit's chain holds, and shows what was done to it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from wsi_ai.cli import app
from wsi_ai.delivery.audit import START, Audit, AuditBroken, Head, verify
from wsi_ai.errors import OutputError

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


@pytest.mark.parametrize("bare", [False, True])
def test_a_head_that_was_kept_holds_for_the_log_as_it_grows(audit: Audit, *, bare: bool) -> None:
    for _ in range(4):
        head = verify(audit.path)
        audit.append([{"what": "attempt"}])
        assert verify(audit.path, head.sha256 if bare else str(head)).lines == head.lines + 1
        assert audit.head() == verify(audit.path)


def anew(lines: list[bytes], change: int | None = None) -> bytes:
    """The chain computed anew over what the lines say, one of them changed."""
    head, made = Head(0, START), b""
    for n, line in enumerate(lines):
        said = json.loads(line) | ({"level": "standard"} if n == change else {})
        said |= {"n": n + 1, "previous": head.sha256}
        text = json.dumps(said, separators=(",", ":")).encode()
        head, made = Head(n + 1, hashlib.sha256(text).hexdigest()), made + text + b"\n"
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_with_a_kept_head_no_change_of_what_it_covers_stays_unseen(
    audit: Audit, data: st.DataObject
) -> None:
    """The last line, the whole chain computed anew, lines cut off, a file that was emptied."""
    lines = audit.path.read_bytes().splitlines(keepends=True)
    kept = data.draw(st.integers(1, 5))
    head = f"{kept}:{hashlib.sha256(lines[kept - 1][:-1]).hexdigest()}"
    place = data.draw(st.integers(0, kept - 1))
    spoiled = data.draw(
        st.sampled_from(
            [
                anew(lines, place),
                anew(lines[:place] + lines[place + 1 :]),
                b"".join(lines[:place]),
                b"",
                anew(lines[:kept], kept - 1) + b"".join(lines[kept:]),
            ]
        )
    )
    copy = audit.path.with_suffix(".copy")
    copy.write_bytes(spoiled)
    with pytest.raises(AuditBroken):
        verify(copy, head)
    copy.write_bytes(b"".join(lines))
    assert verify(copy, head).lines == 5


@pytest.mark.parametrize("head", ["", "x", "1:abc", "1:" + "g" * 64, "-1:" + "0" * 64])
def test_a_head_that_is_none_is_refused(audit: Audit, head: str) -> None:
    with pytest.raises(OutputError, match="LINES:SHA256"):
        verify(audit.path, head)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (b"\n", 0), (b"\n\n\n", 0), (b"  \n", 0), (b"\0\0\0\0", 0), (b"\0" * 9000 + b"\n", 0),
        (b'{"n":6,"previous":"ab', 0), (b'{"n":6,"prev\n', 1), (b"x" * 200_000, 0),
        (b"\xff\xfe\n", 1), (b"[6]\n\n", 1), (b"\r\n", 0), (b"null\n", 1),
    ],
)  # fmt: skip
def test_a_last_line_that_is_torn_or_blank_is_mended_by_the_next_to_write(
    audit: Audit, end: bytes, told: int
) -> None:
    before = verify(audit.path)
    with audit.path.open("ab") as file:
        file.write(end)
    audit.append([{"what": "attempt"}])
    assert verify(audit.path, str(before)).lines == 6 + told
    assert (b'"what":"mended"' in audit.path.read_bytes()) == bool(told)


@pytest.mark.parametrize(
    "content", [b"# notes\n", b"a\nb\nc\n", b'{"x": 1}\n', b"SQLite format 3\0"]
)
def test_a_file_that_is_no_audit_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="damaged, or is none"):
        Audit(path, lambda: NOON).append([{"what": "attempt"}])
    assert path.read_bytes() == content


def test_what_is_damaged_beyond_its_last_line_is_left_as_it_is(audit: Audit) -> None:
    with audit.path.open("ab") as file:
        file.write(b"bad\nworse\n")
    content = audit.path.read_bytes()
    with pytest.raises(OutputError):
        audit.append([{"what": "attempt"}])
    assert audit.path.read_bytes() == content
    assert audit.head_if_whole() is None


def test_the_command_prints_a_head_that_the_log_keeps(audit: Audit) -> None:
    head = CliRunner().invoke(app, ["audit", "head", str(audit.path)]).stdout.strip()
    audit.append([{"what": "attempt"}])
    words = ["audit", "verify", str(audit.path), "--head"]
    assert CliRunner().invoke(app, [*words, head]).exit_code == 0
    audit.path.write_bytes(b"")
    assert CliRunner().invoke(app, [*words, head]).exit_code == 1
