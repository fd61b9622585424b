"""A report as PDF, by WeasyPrint; a browser's print gives the same without it."""

from pathlib import Path

from wsi_ai.core.plugins import from_extra
from wsi_ai.errors import OutputError
from wsi_ai.results.pages.report import NAME

PDF = "report.pdf"


def check_pdf() -> None:
    """Raises OutputError where no PDF can be made here."""
    from_extra("weasyprint", "report", OutputError)


def write_pdf(folder: Path) -> None:
    """Of the report in ``folder``, beside it.  What a report shows is in it: nothing is fetched.
    Raises OutputError."""
    weasyprint = from_extra("weasyprint", "report", OutputError)
    urls = from_extra("weasyprint.urls", "report", OutputError)
    text = (folder / NAME).read_text("utf-8")
    fetcher = urls.URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    document = weasyprint.HTML(string=text, url_fetcher=fetcher)
    document.write_pdf(folder / PDF, pdf_identifier=b"wsi_ai")
