"""Null objects of a run: they watch, and keep, nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_ai.core.flags import Standing


class NoPost:
    """Keeps no flag, for a run that posts none.  See ``contracts.Post``."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def standing(self, flag_id: str) -> Standing | None:
        return None


class NoWatcher:
    """Watches nothing."""

    def started(self, slide: Path) -> None: ...
    def planned(self, tiles: int, done: int) -> None: ...
    def passed(self, done: int) -> None: ...

    def beside(self) -> "NoWatcher":
        return self
