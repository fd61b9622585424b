"""A report as PDF, by WeasyPrint; a browser's print gives the same without it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import OutputError

NAME = "report.pdf"


def check_pdf() -> None:
    """Raises OutputError where no PDF can be made here."""
    from_extra("weasyprint", "report", OutputError)


def write_pdf(folder: Path) -> None:
    """Of the report in ``folder``, beside it.  Raises OutputError."""
    weasyprint = from_extra("weasyprint", "report", OutputError)
    text = (folder / "report.html").read_text("utf-8")
    document = weasyprint.HTML(string=text, url_fetcher=_only_data(weasyprint.default_url_fetcher))
    document.write_pdf(folder / NAME, pdf_identifier=b"wsi_ai")


def _only_data(fetch: Callable[[str], Any]) -> Callable[..., Any]:
    """Nothing is asked for: what a report shows is in it."""

    def fetch_data(url: str, *_: object, **__: object) -> Any:
        if not url.startswith("data:"):
            raise ValueError("a report asks for nothing")
        return fetch(url)

    return fetch_data
