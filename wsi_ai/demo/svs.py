"""Write a drawing in the way of Aperio's scanners: tiled pyramid, thumbnail, label, macro."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tifffile

from wsi_ai.demo.frame import BLOCK_PX, U8
from wsi_ai.demo.jpeg import QUALITY, TILE_PX, tables
from wsi_ai.demo.pyramid import DOWNSAMPLES, Drawing, Pyramid, level_px
from wsi_ai.demo.spec import SampleSpec

HEAD = "Aperio Image Library v12.0.16 \r\n"
BIG_TIFF_FROM_PX = 60_000


def write_svs(
    path: Path,
    drawing: Drawing,
    spec: SampleSpec,
    progress: Callable[[int, int], None],
    workers: int,
) -> None:
    """Draw and write at once.  `progress` gets rows of level-0 px done and in all."""
    n, pyramid = spec.size_px, Pyramid(drawing, spec.size_px)
    svs = _Svs(spec)
    with (
        ThreadPoolExecutor(workers) as pool,
        tifffile.TiffWriter(path, bigtiff=n > BIG_TIFF_FROM_PX) as tif,
    ):
        svs.write_level(tif, 1, _reported(pyramid.level0(pool), n, progress))
        small = pyramid.preview()
        side = min(768, n // 4)
        thumb = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        svs.write_image(tif, f"{n}x{n} -> {side}x{side} - {svs.tail}", thumb, 0)
        for f in DOWNSAMPLES:
            svs.write_level(tif, f, iter(pyramid.tiles[f]))
        label = _label(spec)
        for name, img, kind in (("label", label, 1), ("macro", _macro(label, thumb), 9)):
            svs.write_image(tif, f"{name} {img.shape[1]}x{img.shape[0]}", img, kind)


def _reported(
    rows: Iterator[list[bytes]], size_px: int, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    for i, row in enumerate(rows, 1):
        progress(min(i * BLOCK_PX, size_px), size_px)
        yield from row


class _Svs:
    """The descriptions OpenSlide and QuPath read: a first line, then `| key = value`."""

    def __init__(self, spec: SampleSpec) -> None:
        self.size_px = spec.size_px
        self.tail = (
            f"|AppMag = {round(10 / spec.mpp)}|MPP = {spec.mpp:.4f}"
            f"|Filename = sample-{spec.seed}|ScanScope ID = SYNTHETIC"
        )

    def write_level(
        self, tif: tifffile.TiffWriter, downsample: int, tiles: Iterator[bytes]
    ) -> None:
        n, side = self.size_px, level_px(self.size_px, downsample)
        shrunk = "" if downsample == 1 else f" -> {side}x{side}"
        grid = f"{n}x{n} [0,0 {n}x{n}] ({TILE_PX}x{TILE_PX}){shrunk}"
        tif.write(
            tiles,
            shape=(side, side, 3),
            dtype=np.uint8,
            photometric="ycbcr",
            compression="jpeg",
            subsampling=(2, 1),
            tile=(TILE_PX, TILE_PX),
            jpegtables=tables(),
            metadata=None,
            software=False,
            description=f"{HEAD}{grid} JPEG/YCC Q={QUALITY}{self.tail}",
        )

    def write_image(self, tif: tifffile.TiffWriter, text: str, img: U8, subfile: int) -> None:
        tif.write(
            img,
            photometric="rgb",
            compression="jpeg",
            rowsperstrip=len(img),
            subfiletype=subfile,
            metadata=None,
            software=False,
            description=HEAD + text,
        )


def _label(spec: SampleSpec) -> U8:
    img = np.full((400, 400, 3), 250, np.uint8)
    lines = ("SAMPLE H&E", "synthetic", f"seed {spec.seed}", "no patient")
    for i, text in enumerate(lines):
        at = (24, 90 + 80 * i)
        cv2.putText(img, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.5, (40, 40, 60), 3, cv2.LINE_AA)
    return img


def _macro(label: U8, thumb: U8) -> U8:
    """The whole glass slide: label on the left, the section on the right."""
    img = np.full((430, 1280, 3), 205, np.uint8)
    img[20:410, 20:1260] = 240
    img[25:405, 25:405] = cv2.resize(label, (380, 380), interpolation=cv2.INTER_AREA)
    img[35:395, 650:1010] = cv2.resize(thumb, (360, 360), interpolation=cv2.INTER_AREA)
    return img
