"""A whole slide for each reader, all of the same pixels, in which the demo model finds tumour."""

import shutil
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from tests.slides.scanner_files import write_ndpi, write_scn

Image = NDArray[np.uint8]
UM = 0.5
_TILED = {"tile": (256, 256), "metadata": None, "compression": "jpeg", "photometric": "rgb"}


def _levels(pixels: Image) -> tuple[Image, Image]:
    height, width = pixels.shape[0] // 4, pixels.shape[1] // 4
    coarse = pixels.reshape(height, 4, width, 4, 3).mean((1, 3)).round().astype(np.uint8)
    return pixels, coarse


def _tiff(path: Path, pixels: Image) -> None:
    with tifffile.TiffWriter(path) as writer:
        for n, level in enumerate(_levels(pixels)):
            per_cm = 1e4 / UM / 4**n
            options = {"resolution": (per_cm, per_cm), "resolutionunit": 3, "subfiletype": n}
            writer.write(level, **_TILED, **options)  # type: ignore[arg-type]


def _svs(path: Path, pixels: Image) -> None:
    about = f"Aperio Image Library\n1024x1024 (256x256)|AppMag = 20|MPP = {UM}"
    with tifffile.TiffWriter(path) as writer:
        for level in _levels(pixels):
            writer.write(level, description=about, **_TILED)  # type: ignore[arg-type]


def _ome(path: Path, pixels: Image) -> None:
    fine, coarse = _levels(pixels)
    about = {"axes": "YXS", "PhysicalSizeX": UM, "PhysicalSizeY": UM}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(fine, subifds=1, **{**_TILED, "metadata": about})  # type: ignore[arg-type]
        writer.write(coarse, subfiletype=1, **_TILED)  # type: ignore[arg-type]


def _zarr(path: Path, pixels: Image) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets = []
    for n, level in enumerate(_levels(pixels)):
        group.create_array(str(n), data=level, chunks=(256, 256, 3), fill_value=0)
        scale = [UM * 4**n, UM * 4**n, 1]
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(n), "coordinateTransformations": transforms})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    axes.append({"name": "c", "type": "channel"})
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def _ycbcr(pixels: Image) -> Image:
    """As tifffile takes samples that are to be tagged so."""
    return np.asarray(Pillow.fromarray(pixels).convert("YCbCr"))


def _dicom(path: Path, pixels: Image) -> None:
    path.mkdir()
    for n, level in enumerate(_levels(pixels)):
        _instance(path / f"level-{n}.dcm", level, UM * 4**n, n + 1)


def _instance(path: Path, pixels: Image, um: float, number: int) -> None:
    tiles = [
        imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels[y : y + 256, x : x + 256]), 85)
        for y in range(0, pixels.shape[0], 256)
        for x in range(0, pixels.shape[1], 256)
    ]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
    data.SeriesInstanceUID, data.Modality = "1.2.3", "SM"
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.Rows = data.Columns = 256
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = pixels.shape[:2]
    data.NumberOfFrames, data.SamplesPerPixel, data.PlanarConfiguration = len(tiles), 3, 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PhotometricInterpretation, data.DimensionOrganizationType = "YBR_FULL_422", "TILED_FULL"
    data.ImagedVolumeWidth = pixels.shape[1] * um / 1000
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [um / 1000, um / 1000]
    groups.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [groups]
    data.PixelData = encapsulate(tiles)
    data["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, data, enforce_file_format=True)


WRITERS: dict[str, Callable[[Path, Image], None]] = {
    "slide.tif": _tiff,
    "slide.svs": _svs,
    "slide.ndpi": lambda path, pixels: write_ndpi(path, _levels(pixels)),
    "slide.scn": lambda path, pixels: write_scn(path, _levels(_ycbcr(pixels)), [(300, 100)]),
    "slide.dicom": _dicom,
    "slide.zarr": _zarr,
    "slide.ome.tif": _ome,
}


def write_samples(shared: Path, folder: Path) -> None:
    """Of the pixels that ../shared/cases serves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Pillow.open(shared / "cases" / "reading" / "base.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for name, write in WRITERS.items():
        write(folder / name, pixels)
