"""What a slide's own header says of whose it is: of a file's, or of an archive's."""

from pathlib import Path

from wsi_ai.core.dicom import DicomSource
from wsi_ai.core.plugins import needs_extra
from wsi_ai.errors import SlideError
from wsi_ai.slides.places import is_address
from wsi_ai.slides.readers.dicom.is_dicom import is_dicom
from wsi_ai.slides.readers.dicomweb.address import is_dicomweb
from wsi_ai.slides.stores.address import is_object


def header_of(place: Path) -> dict[str, str]:
    """As ``case_header``.  Of an archive or a store that does not answer, nothing: opening it says
    why."""
    if is_object(place):
        return _header_of_object(place)
    if not is_dicomweb(place):
        return _header_of_file(place)
    try:
        with needs_extra("dicom", SlideError):
            from wsi_ai.slides.readers.dicom.case_header import words_of
            from wsi_ai.slides.readers.dicomweb.instances import first_header
        return words_of(first_header(place))
    except SlideError:
        return {}


def header_of_open(place: Path, source: DicomSource | None) -> dict[str, str]:
    """The same of a slide that is open."""
    if source is None or not is_address(place):
        return header_of(place)
    import pydicom

    from wsi_ai.slides.readers.dicom.case_header import words_of

    return words_of(pydicom.Dataset.from_json(source.header))


def _header_of_file(path: Path) -> dict[str, str]:
    """What reads a header is loaded for DICOM alone."""
    if not (path.is_dir() or is_dicom(path)):
        return {}
    from wsi_ai.slides.readers.dicom.case_header import case_header

    return case_header(path)


def _header_of_object(place: Path) -> dict[str, str]:
    try:
        with needs_extra("s3", SlideError):
            from wsi_ai.slides.readers.dicom.case_header import words_of
            from wsi_ai.slides.stores.headers import dicom_header
        header = dicom_header(place)
    except SlideError:
        return {}
    return words_of(header) if header is not None else {}
