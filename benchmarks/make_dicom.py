"""Put a JPEG slide's level 0 into one DICOM file, tile by tile as stored.

    python benchmarks/make_dicom.py BIG.svs SAMPLE.dcm FOLDER

SAMPLE.dcm is any small VL Whole Slide image, of which the rest of the header is taken.
"""

import shutil
import sys
from pathlib import Path

import pydicom
from pydicom.encaps import encapsulate_extended
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from wsi_ai.slides.readers.tiff import reader as tiff


def main() -> None:
    source, sample, folder = (Path(word) for word in sys.argv[1:4])
    header = pydicom.dcmread(sample)
    with tiff.open_slide(source) as slide:
        level = slide.encoded_level(0)
        size, tile = level.size, level.encoding.tile
        across, down = -(-size.width // tile.width), -(-size.height // tile.height)
        frames = [level.encoded(n % across, n // across) or b"" for n in range(across * down)]
        um = slide.info.known_spacing().x_um
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.Rows, header.Columns = tile.height, tile.width
    header.TotalPixelMatrixColumns, header.TotalPixelMatrixRows = size.width, size.height
    header.NumberOfFrames, header.PhotometricInterpretation = len(frames), "YBR_FULL_422"
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [um / 1000, um / 1000]
    pixels, offsets, lengths = encapsulate_extended(frames)
    header.PixelData, header.ExtendedOffsetTable = pixels, offsets
    header.ExtendedOffsetTableLengths = lengths
    folder.mkdir(parents=True, exist_ok=True)
    header.save_as(folder / "level0.dcm")
    mask = Path(f"{source}.mask16.npy")
    if mask.exists():
        shutil.copy(mask, f"{folder}.mask16.npy")


if __name__ == "__main__":
    main()
