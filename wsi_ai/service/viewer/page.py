"""The viewer's page, and pages that are it with more in them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


@lru_cache(maxsize=4)
def templates(*more: Path) -> Environment:
    """Of the viewer, and of whoever adds to it.  What is put in is escaped."""
    folders: Sequence[Path] = (*more, TEMPLATES)
    loader = FileSystemLoader(folders)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined)


def viewer_page() -> str:
    """As ``wsi-ai view`` serves it: for one person."""
    return templates().get_template("viewer.html").render(root="", asked_for=False)
