"""Log entries in one format: time in UTC, level, where it comes from, what happened; a line each.

Imported, it does nothing: a command calls ``start_logging`` once, and its worker processes again
with what ``in_force`` gives.
"""

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wsi_ai.core.printable import printable

_OURS = __package__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where entries go, and how serious they must be."""

    level: int = logging.WARNING
    """From this level on, on standard error."""
    file: Path | None = None
    """Also here, from INFO on; appended to."""
    as_json: bool = False


class LineFormat(logging.Formatter):
    """``2026-11-24T08:00:00.000Z WARNING wsi_ai.delivery.relay: …``; a trace follows on lines of
    its own, where there is one."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class JsonFormat(logging.Formatter):
    """The same as an object a line, a trace with it."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _LogStream(logging.StreamHandler):  # type: ignore[type-arg]
    """Knows the settings that it was made by."""

    def __init__(self, stream: object, settings: LogSettings, level: int) -> None:
        super().__init__(stream)
        self.settings = settings
        self.setLevel(level)
        self.setFormatter(_format(settings))
        self.addFilter(_is_worth_a_line)


def _format(settings: LogSettings) -> logging.Formatter:
    line = LineFormat("%(asctime)s %(levelname)s %(name)s: %(message)s")
    return JsonFormat() if settings.as_json else line


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Of other libraries only what is wrong."""
    return record.name.partition(".")[0] == _OURS or record.levelno >= logging.WARNING


def line_handler(settings: LogSettings | None = None) -> logging.Handler:
    """To standard error."""
    chosen = settings or LogSettings(logging.NOTSET)
    return _LogStream(sys.stderr, chosen, chosen.level)


def start_logging(settings: LogSettings) -> None:
    """Of the whole process, once: what is set up already stays.  Raises OSError where the file
    cannot be written."""
    handlers = [line_handler(settings)]
    least = settings.level
    if settings.file is not None:
        least = min(least, logging.INFO)
        file = settings.file.open("a", encoding="utf-8", buffering=1)
        handlers.append(_LogStream(file, settings, least))
    logging.basicConfig(level=least, handlers=handlers)


def in_force() -> LogSettings:
    """What this process was started with, for its workers."""
    root = logging.getLogger()
    made = [handler.settings for handler in root.handlers if isinstance(handler, _LogStream)]
    return made[0] if made else LogSettings(root.getEffectiveLevel())
