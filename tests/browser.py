"""A Chromium of the system and axe-core, for pages; whoever has none is told what is missing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.servers import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_AXE = Path(__file__).parent / "axe"
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@contextmanager
def chromium() -> "Iterator[Browser]":
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("no browser: apt-get install chromium")
        return
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


def examined(page: Any) -> tuple[list[tuple[str, str]], int]:
    """What axe finds serious in a page, and how many of its rules the page keeps."""
    page.evaluate(_axe())
    found: dict[str, Any] = page.evaluate("() => axe.run(document)")
    serious = [
        (one["id"], one["nodes"][0]["html"][:120])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    return serious, len(found["passes"])


def _axe() -> str:
    """Where ``.ci/run`` installed it: outside the tree, in the very version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "wsi-ai-tests" / "axe"
    lock = place / "package-lock.json"
    same = lock.exists() and lock.read_bytes() == (_AXE / lock.name).read_bytes()
    script = place / "node_modules" / "axe-core" / "axe.min.js"
    if not same or not script.exists():
        missing("no axe-core: needs Node.js, and npm ci as in .ci/run")
    return script.read_text("utf-8")
