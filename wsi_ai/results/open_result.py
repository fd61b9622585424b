"""A slide's folder of results, for people who compute.

>>> from wsi_ai import open_result
>>> result = open_result("results/slide-1a2b3c4d/demo-tumour-1.1.0")       # doctest: +SKIP
>>> result.level, result.heatmap.sel(class_name="tumour").max().item()         # doctest: +SKIP

Places are counted from the slide's top left corner: regions in level-0 pixels, the heatmap in
micrometres, at the middle of each cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from wsi_ai.core.cards import ModelCard, ModelRef, OperatingPoint, Task, TileSpec
from wsi_ai.core.flags import Level
from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.core.plugins import from_extra
from wsi_ai.core.values import Heatmap, Mask, SlideInfo
from wsi_ai.errors import ResultError
from wsi_ai.heatmaps.kept import Kept, read_kept
from wsi_ai.results.published import local_results
from wsi_ai.results.written import FINDINGS, FINDINGS_BYTES, FLAG, RECORD, is_known, read_object
from wsi_ai.schemas.reading import TABLE_BYTES

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True)
class Region:
    """A finding, in level-0 pixels from the slide's top left corner."""

    label: str
    polygon: shapely.Polygon
    peak: float
    mean: float
    area_mm2: float


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a slide's folder holds.  What is large is read when it is asked for."""

    folder: Path
    flag: Mapping[str, Any] = field(repr=False)
    """flag.json."""
    run: Mapping[str, Any] = field(repr=False)
    """run.json."""

    @property
    def level(self) -> Level:
        return Level(self.flag["result"]["level"])

    @property
    def reason(self) -> str:
        explanation: str = self.flag["result"]["explanation"]
        return explanation

    @property
    def score(self) -> float | None:
        """``None`` where the slide was not assessed."""
        score: float | None = self.flag["result"]["score"]
        return score

    @property
    def has_scores(self) -> bool:
        """False where a gate stopped the slide, or it failed."""
        return "scores" in self.run

    @property
    def slide(self) -> SlideInfo:
        """As far as the folder says."""
        told = self.run["slide"]
        spacing = Spacing(told["mpp_x"], told["mpp_y"]) if told["mpp_x"] else None
        return SlideInfo(
            slide_id=self.flag["slide"]["slide_id"]["value"],
            size=Size(told["width"], told["height"]),
            spacing=spacing,
            downsamples=(1.0,),
            digest=told["sha256"],
            vendor=told["vendor"],
            reader=told["reader"],
        )

    @property
    def card(self) -> ModelCard:
        """As far as the folder says: enough to read scores, not to run the model."""
        told, model = self.run["card"], self.run["model"]
        point, tile = told["operating_point"], told["tile"]
        return ModelCard(
            ref=ModelRef(model["name"], model["version"], model["weights_sha256"]),
            tile=TileSpec(tile["size_px"], tile["mpp"], tile["stride_px"], lead_px=tile["lead_px"]),
            classes=tuple(told["classes"]),
            point=OperatingPoint(**point),
            task=Task(told["task"]),
            manifest_sha256=model["manifest_sha256"],
        )

    def judged(self) -> Heatmap:
        """What the flag was judged by.  Raises ResultError where there is none, or it is
        damaged."""
        return self._kept().heatmap(self.slide, self.card)

    @property
    def scores(self) -> NDArray[np.float32]:
        """(classes, rows, cols); NaN where not assessed."""
        return np.stack(list(self._kept().scores))

    @property
    def planned(self) -> Mask:
        """(rows, cols): the cells with tissue; those without a score were not assessed."""
        return self._kept().planned

    @property
    def heatmap(self) -> "xarray.DataArray":
        """``scores`` with the classes' names and, in micrometres, the middles of cells: dimensions
        ``class_name``, ``y`` and ``x``; ``planned`` is a coordinate.  Needs the extra
        ``tables``."""
        xr = from_extra("xarray", "tables", ResultError)
        heatmap = self.judged()
        spacing, step = heatmap.slide.known_spacing(), heatmap.step
        rows, cols = heatmap.planned.shape
        y = ("y", (np.arange(rows) + 0.5) * step.y * spacing.y_um, {"units": "micrometre"})
        x = ("x", (np.arange(cols) + 0.5) * step.x * spacing.x_um, {"units": "micrometre"})
        made: xarray.DataArray = xr.DataArray(
            np.stack(list(heatmap.scores)),
            dims=("class_name", "y", "x"),
            coords={
                "class_name": list(heatmap.channels),
                "y": y,
                "x": x,
                "planned": (("y", "x"), heatmap.planned),
            },
            name="attention" if heatmap.of_slide else "score",
            attrs=self._about(heatmap),
        )
        return made

    @property
    def regions(self) -> list[Region]:
        """The findings, the largest first.  Raises ResultError."""
        told = _json(self.folder / FINDINGS, FINDINGS_BYTES)
        try:
            left, top = told["origin_px"]
            return [_region(feature, (left, top)) for feature in told["features"]]
        except (KeyError, IndexError, TypeError, ValueError, shapely.errors.ShapelyError):
            raise ResultError(f"{self.folder / FINDINGS} holds no regions") from None

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        """(rows, cols, 3) RGB of the whole slide, at most 512 along a side.  Raises ResultError."""
        try:
            with Image.open(self.folder / "thumbnail.jpg") as picture:
                return np.asarray(picture.convert("RGB"))
        except OSError:
            raise ResultError("these results have no thumbnail that can be read") from None

    def _kept(self) -> Kept:
        if not self.has_scores:
            raise ResultError(f"there are no scores: {self.reason}")
        kept = read_kept(self.folder)
        if kept is None or kept.digest() != self.run["scores"]["sha256"]:
            raise ResultError("the scores are damaged, or another's; run the slide again")
        return kept

    def _about(self, heatmap: Heatmap) -> dict[str, Any]:
        spacing = heatmap.slide.known_spacing()
        return {
            "slide_sha256": heatmap.slide.fingerprint,
            "model": heatmap.model.ref.label,
            "threshold": self.flag["result"]["threshold"]["value"],
            "um_per_px": [spacing.x_um, spacing.y_um],
            "step_px": [heatmap.step.x, heatmap.step.y],
            "statement": self.flag["regulatory"]["statement"],
        }


def open_result(folder: str | Path) -> Result:
    """The results of one slide by one model, in a folder or at an address such as
    ``s3://bucket/prefix/slide/model``: there, of the run that counts.  Raises ResultError where
    there are none, or only a part of them, or they are of a newer version; OutputError where a
    store does not give them.

    Whether they are this site's own is not asked: nothing is sent from here.
    """
    folder = local_results(Path(folder))
    if not folder.is_dir():
        raise ResultError(f"there is no folder {folder}")
    flag, run = _json(folder / FLAG), _json(folder / RECORD)
    try:
        known = is_known(flag)
        level = Level(flag["result"]["level"]) if known else None
    except (KeyError, TypeError, ValueError):
        raise ResultError(f"{folder} holds no results that can be read") from None
    if not known:
        raise ResultError(f"{folder} was written by a newer version; update wsi-ai")
    if "card" not in run and (level is not Level.NOT_ASSESSED or "scores" in run):
        raise ResultError(f"{folder} was written by an earlier version; run the slide again")
    return Result(folder, flag, run)


def open_heatmap(folder: str | Path) -> "xarray.DataArray":
    """The heatmap of ``open_result``."""
    return open_result(folder).heatmap


def _json(path: Path, most_bytes: int = TABLE_BYTES) -> dict[str, Any]:
    try:
        return read_object(path, most_bytes)
    except OSError:
        raise ResultError(
            f"{path.parent} holds no whole results: {path.name} cannot be read"
        ) from None
    except ValueError as error:
        raise ResultError(f"{path} {error}") from None


def _region(feature: Mapping[str, Any], origin: tuple[float, float]) -> Region:
    told, rings = feature["properties"], feature["geometry"]["coordinates"]
    moved = [[(x + origin[0], y + origin[1]) for x, y in ring] for ring in rings]
    found = told["measurements"]
    return Region(
        label=told["classification"]["name"],
        polygon=shapely.Polygon(moved[0], moved[1:]),
        peak=found["Peak score"],
        mean=found["Mean score"],
        area_mm2=found["Area mm^2"],
    )
