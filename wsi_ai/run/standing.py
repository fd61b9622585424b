"""The law: a finished answer is never touched by a mistake; see ``docs/runs.md``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.core.contracts import Post
from wsi_ai.core.flags import DOUBT, Level, Standing
from wsi_ai.errors import HeldBack
from wsi_ai.results.folder import of_any_bytes, result_folder


@dataclass(frozen=True, slots=True)
class GuardedPost:
    """Puts no flag that would take back what a receiver has, unless that is wanted."""

    post: Post
    amend: bool = False

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        """Raises HeldBack, or OutputError."""
        self._check(flag)
        return self.post.put(flag)

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self._check(flag)
        return self.post.put_early(flag)

    def standing(self, flag_id: str) -> Standing | None:
        return self.post.standing(flag_id)

    def other_than(self, flag: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What was put as the answer to the very same question, where its level is another one
        than ``flag`` has.  A doubt that was cast on it since is no answer of its own."""
        standing = self.post.standing(flag["flag_id"])
        if standing is None or standing.flag is None or standing.in_doubt:
            return None
        same = _question(standing.flag) == _question(flag)
        return standing.flag if same and standing.level != flag["result"]["level"] else None

    def _check(self, flag: Mapping[str, Any]) -> None:
        standing = self.post.standing(flag["flag_id"])
        if standing is None or self.amend or not standing.sent:
            return
        level, fingerprint = Level(flag["result"]["level"]), flag["slide"]["image_sha256"]
        if standing.in_doubt and standing.is_of(fingerprint):
            raise HeldBack(f"{DOUBT}; --amend sends the flag all the same")
        if standing.is_lowered_by(level, fingerprint):
            raise HeldBack(
                f"{_words(standing.level)} was sent, and {_words(level)} would take it back:"
                " --amend sends it"
            )


def written_level(folder: Path, flag_id: str | None = None) -> Level | None:
    """Of the answer that stands in a slide's folder, by ``flag_id`` where it is known whose slide
    it is.  One that says only that the slide failed is none."""
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
        flag = json.loads((folder / "flag.json").read_text("utf-8"))
        level = Level(flag["result"]["level"])
    except (OSError, ValueError, KeyError):
        return None
    if flag_id is not None and flag["tenant"] is not None and flag["flag_id"] != flag_id:
        return None
    return None if record.get("failed") and level is Level.NOT_ASSESSED else level


def of_same_name(out: Path, stem: str, model: str) -> Iterator[Path]:
    """Folders of all slides of this name, whatever their bytes: for one that cannot be read."""
    return of_any_bytes(result_folder(out, stem, "0" * 8, model))


def still_stands(level: Level) -> str:
    return f"the earlier answer stands: {_words(level)}"


def differs(flag: Mapping[str, Any]) -> str:
    """Said of results that are not those whose flag was put."""
    level = _words(Level(flag["result"]["level"]))
    return (
        f"the results say {level}, and another level was put for the same question; what was put"
        " holds: --force judges the slide anew"
    )


def _question(flag: Mapping[str, Any]) -> str:
    digest: str = flag["provenance"]["config_sha256"]
    return digest


def doubted(flag: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is to be put of a flag under whose identity another slide came: an ``expedite`` with
    the doubt, and nobody relies on a ``standard``.  ``None`` where nothing is to be put."""
    level = Level(flag["result"]["level"])
    if level is Level.NOT_ASSESSED or DOUBT in flag["result"]["explanation"]:
        return None
    result = {**flag["result"], "explanation": f"{flag['result']['explanation']}; {DOUBT}"}
    if level is Level.STANDARD:
        result |= {"level": Level.NOT_ASSESSED.value, "explanation": DOUBT, "score": None}
    return {**flag, "result": result}


def _words(level: Level) -> str:
    return level.value.replace("_", " ").upper()
