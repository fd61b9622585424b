"""Every entry of the log is one line with its time and level, in either form."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.logs import JsonFormat, LineFormat
from wsi_ai.core.wording import counted

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) [\w.]+: .*"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("wsi_ai.x", logging.ERROR, "", 0, "slide %s", (text,), None)


@given(text=st.text())
def test_an_entry_is_one_line_in_either_form(text: str) -> None:
    line = LineFormat(FORMAT).format(record(text))
    assert re.fullmatch(LINE, line, re.DOTALL)
    assert len(line.splitlines()) == 1
    entry = JsonFormat().format(record(text))
    assert len(entry.splitlines()) == 1
    assert json.loads(entry).keys() == {"time", "level", "logger", "message"}


def test_a_command_logs_to_a_file_what_it_shows_only_where_it_is_wrong(tmp_path: Path) -> None:
    code = (
        "import logging, sys; from pathlib import Path\n"
        "from wsi_ai.core.logs import LogSettings, in_force, start_logging\n"
        "start_logging(LogSettings(logging.ERROR, Path(sys.argv[1]), True))\n"
        "logging.getLogger('wsi_ai.x').info('a fact')\n"
        "logging.getLogger('wsi_ai.x').error('it broke')\n"
        "logging.getLogger('other').info('chatter')\n"
        "print(in_force().file)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "log")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    kept = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [entry["message"] for entry in kept] == ["a fact", "it broke"]
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["it broke"]
    assert done.stdout.strip() == str(tmp_path / "log")


@given(number=st.integers(0, 10**6))
def test_only_one_is_singular(number: int) -> None:
    words = [counted(number, noun).split()[1] for noun in ("flag", "delivery", "day")]
    one = ["flag", "delivery", "day"]
    assert words == (one if number == 1 else ["flags", "deliveries", "days"])
