"""The scores of a slide that is done, so that they can be judged again without inference.

``heatmap.ome.zarr`` has the scores, ``planned.npz`` what a judgement needs besides them; one digest
is over both.  Whoever judges again compares it with the one that the site's seal covers.
"""

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_ai.core.cards import ModelCard, Task
from wsi_ai.core.geometry import Step
from wsi_ai.core.values import (
    Heatmap,
    Layers,
    Marks,
    Mask,
    Objects,
    Predictions,
    SlideInfo,
    TilePlan,
    bands,
)
from wsi_ai.errors import disk_errors
from wsi_ai.heatmaps.detection import write_object_maps
from wsi_ai.heatmaps.groups import open_array, open_group, without_warnings
from wsi_ai.heatmaps.segmentation import DENSE_MAP, class_marks
from wsi_ai.heatmaps.zarr import Window, omero, write_heatmap

HEATMAP, _PLANNED = "heatmap.ome.zarr", "planned.npz"
_DAMAGED = zipfile.BadZipFile, zlib.error
_BAND = 256
"""Rows of cells that are marked at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a heatmap is judged by."""

    scores: Layers
    step: Step
    planned: Mask
    limited: str = ""
    objects: Objects | None = None
    slide_scores: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, heatmap: Heatmap) -> "Kept":
        return cls(
            heatmap.scores,
            heatmap.step,
            heatmap.planned,
            heatmap.limited,
            heatmap.objects,
            heatmap.slide_scores,
        )

    def heatmap(self, slide: SlideInfo, card: ModelCard) -> Heatmap:
        return Heatmap(
            slide=slide,
            model=card,
            scores=self.scores,
            step=self.step,
            planned=self.planned,
            objects=self.objects,
            slide_scores=self.slide_scores,
            limited=self.limited,
        )

    def digest(self) -> str:
        """SHA-256 in hex; of what has no score, whatever kind of NaN it is."""
        made = hashlib.sha256()
        kind, (classes, *shape) = np.dtype(np.float32), self.scores.shape
        for n in range(classes):
            made.update(f"{kind.str}{tuple(shape)}".encode())
            for rows in bands(shape[0]):
                part = self.scores[n, rows]
                made.update(np.where(np.isnan(part), np.float32(np.nan), part).reshape(-1).data)
        for name, array in sorted(self._arrays().items()):
            made.update(name.encode())
            _add(made, array)
        return made.hexdigest()

    def write(self, folder: Path) -> str:
        """Beside the heatmap, which is there; returns the digest.  Raises OSError."""
        with (folder / _PLANNED).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **self._arrays())
        return self.digest()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {
            "step": np.array([self.step.x, self.step.y]),
            "planned": self.planned,
            "limited": np.array(self.limited),
        }
        if self.slide_scores is not None:
            found["slide_scores"] = self.slide_scores
        if (objects := self.objects) is not None:
            found |= {
                "object_boxes": objects.boxes,
                "object_scores": objects.scores,
                "object_classes": objects.classes,
                "object_most": np.array(objects.most),
            }
        return found


def read_kept(folder: Path) -> Kept | None:
    """In memory, so that it cannot change any more; ``None`` where nothing is kept, or what is
    cannot be read."""
    try:
        with (folder / _PLANNED).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        kept = Kept(
            scores=written_scores(folder / HEATMAP),
            step=Step(*(float(side) for side in found["step"])),
            planned=np.asarray(found["planned"], np.bool_),
            limited=str(found["limited"]),
            objects=_objects(found),
            slide_scores=found.get("slide_scores"),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, *_DAMAGED):
        return None
    return kept if kept.scores.shape[1:] == kept.planned.shape else None


def written_scores(path: Path) -> NDArray[np.float32]:
    """(classes, rows, cols) of a written heatmap.  Raises ValueError where it is none of ours, and
    what Zarr raises where it is damaged."""
    array = open_array(path / "0")
    if array.ndim != 3 or array.dtype != np.float32:
        raise ValueError("no heatmap of this software")
    return np.asarray(array[:], np.float32)


def _objects(found: dict[str, NDArray[Any]]) -> Objects | None:
    if "object_boxes" not in found:
        return None
    boxes, scores, classes = (found[f"object_{name}"] for name in ("boxes", "scores", "classes"))
    return Objects(boxes, scores, classes, int(found["object_most"]))


def _add(digest: Any, array: NDArray[Any]) -> None:
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


class KeptCanvas:
    """A ``Canvas`` of a slide that is done: nothing is left to be put."""

    def __init__(self, plan: TilePlan, card: ModelCard, folder: Path, kept: Kept) -> None:
        """``folder`` has the results that the scores were read from."""
        self._plan, self._card, self._folder = plan, card, folder
        self._heatmap = kept.heatmap(plan.slide, card)

    @property
    def done(self) -> int:
        return len(self._plan)

    def put(self, batch: Predictions) -> None:
        """The runtime hands on an empty batch at most."""
        if len(batch.index):
            raise ValueError("a tile of a slide that is done was inferred again")

    def heatmap(self) -> Heatmap:
        return self._heatmap

    def marks(self) -> Marks:
        if self._card.task is not Task.SEGMENTATION:
            return Marks()
        return class_marks(self._card, self._heatmap.planned.shape, self._bands())

    def write(self, folder: Path) -> None:
        if self._heatmap.objects is not None:
            write_object_maps(folder, self._heatmap, self._heatmap.objects)
            return
        write_heatmap(folder / HEATMAP, self._heatmap)
        if self._card.task is Task.SEGMENTATION:
            self._take_dense_map(folder / DENSE_MAP)

    def close(self) -> None:
        """Nothing is open."""

    def _bands(self) -> Iterator[NDArray[np.float32]]:
        layers = list(self._heatmap.scores)
        for top in range(0, self._heatmap.planned.shape[0], _BAND):
            yield np.stack([layer[top : top + _BAND] for layer in layers])

    def _take_dense_map(self, path: Path) -> None:
        """The same pixels, by the names that the classes have now."""
        with disk_errors(), without_warnings():
            shutil.copytree(self._folder / DENSE_MAP, path, copy_function=_linked)
            root = open_group(path)
            about = dict(root.attrs["ome"])  # type: ignore[arg-type]
            root.attrs["ome"] = {**about, "omero": omero(self._card.classes, Window(1, 255))}


def _linked(source: str, target: str) -> None:
    """Chunks are shared with the earlier folder; what describes them is this one's own."""
    if source.endswith("zarr.json"):
        shutil.copyfile(source, target)
    else:
        os.link(source, target)
