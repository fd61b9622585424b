"""Which pages a run makes."""

from enum import StrEnum


class Pages(StrEnum):
    """What a slide's folder gets for people, beside its picture."""

    NONE = "none"
    REPORT = "report"
    REPORT_AND_PDF = "report-and-pdf"
