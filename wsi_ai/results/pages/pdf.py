"""A report as PDF, by WeasyPrint; a browser's print gives the same without it."""

from pathlib import Path

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
    document = weasyprint.HTML(string=text, url_fetcher=_only_data)
    document.write_pdf(folder / NAME, pdf_identifier=b"wsi_ai")


def _only_data(url: str, *_: object, **__: object) -> object:
    """Nothing is asked for: what a report shows is in it."""
    from weasyprint import default_url_fetcher

    if not url.startswith("data:"):
        raise ValueError("a report asks for nothing")
    return default_url_fetcher(url)
