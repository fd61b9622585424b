"""A real slide as DICOM: the stored tiles of one of ../shared in the header of another."""

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from wsi_ai.slides.readers.tiff.reader import open_slide

ROOT = "1.2.826.0.1.3680043.10.511.3.77."


def dicom_of(svs: Path, like: Path, to: Path) -> Path:
    """The tiles of level 0, undecoded; JPEG as RGB, as Aperio stores it."""
    header = pydicom.dcmread(like, stop_before_pixels=True)
    with open_slide(svs) as slide:
        level, spacing = slide.encoded_level(0), slide.info.known_spacing()
        tile, size = level.encoding.tile, level.size
        across, down = -(-size.width // tile.width), -(-size.height // tile.height)
        frames = [level.encoded(n % across, n // across) for n in range(across * down)]
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = f"{ROOT}3"
    header.StudyInstanceUID, header.SeriesInstanceUID = f"{ROOT}1", f"{ROOT}2"
    header.Rows, header.Columns = tile.height, tile.width
    header.TotalPixelMatrixColumns, header.TotalPixelMatrixRows = size.width, size.height
    header.NumberOfFrames, header.PhotometricInterpretation = len(frames), "RGB"
    _place(header, spacing.x_um / 1000)
    header.PixelData = encapsulate([_even(frame or b"") for frame in frames])
    header["PixelData"].VR = "OB"
    header["PixelData"].is_undefined_length = True
    header.save_as(to, enforce_file_format=True)
    return to


def _place(header: Dataset, mm: float) -> None:
    (groups,) = header.SharedFunctionalGroupsSequence
    groups.PixelMeasuresSequence[0].PixelSpacing = [mm, mm]
    header.ImagedVolumeWidth = mm * header.TotalPixelMatrixColumns
    header.ImagedVolumeHeight = mm * header.TotalPixelMatrixRows
    header.OpticalPathSequence[0].ObjectiveLensPower = 20


def _even(frame: bytes) -> bytes:
    return frame + b"\0" * (len(frame) % 2)
