"""What a DICOM object in a store says of whose slide it is, read where it lies."""

import io
from pathlib import Path

import pydicom

from wsi_ai.slides.readers.dicom.case_header import wanted_header
from wsi_ai.slides.stores.address import object_address
from wsi_ai.slides.stores.objects import Part, objects_of, series_of
from wsi_ai.slides.stores.ranges import BytesFile, ObjectBytes
from wsi_ai.slides.stores.store import Store, open_store


def dicom_header(place: Path) -> pydicom.Dataset | None:
    """Of the first object that is a DICOM slide; ``None`` where none is.  Raises SlideError."""
    address = object_address(place)
    store = open_store(address)
    for part in objects_of(store, address).parts:
        if series_of(store, part) is not None and (header := _header(store, part)) is not None:
            return header
    return None


def _header(store: Store, part: Part) -> pydicom.Dataset | None:
    source = ObjectBytes(store, part)
    try:
        file = BytesFile(source, part.size)
        header = wanted_header(io.BufferedReader(file))
        file.check()
    finally:
        source.close()
    return header
