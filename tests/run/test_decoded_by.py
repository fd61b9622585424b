"""What a source of tiles chose for a slide, and why, stands in its record."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.stand_in_runs import Failed, run_here, write_slide
from wsi_ai.core.contracts import Slide, TileSource
from wsi_ai.core.values import TileBatch, TilePlan
from wsi_ai.run.outcome import Outcome
from wsi_ai.tiles.reading import HostTiles

WHY = "the processor: it would be slower: 900 stored tiles/s on the device, 2000 by 2 threads"


@dataclass(frozen=True)
class Chooses:
    """Reads one slide of two as it did not want to."""

    host: HostTiles
    description = "a device, else the processor"

    @property
    def batch_size(self) -> int:
        return self.host.batch_size

    def __call__(self, slide: Slide, plan: TilePlan, start: int) -> Iterator[TileBatch]:
        said = WHY if slide.info.slide_id == "slow" else "the device: 5000 stored tiles/s"
        for number, batch in enumerate(self.host(slide, plan, start)):
            yield batch if number else replace(batch, decoded_by=said)


class OnDevice(Failed):
    def source(self, threads: int) -> TileSource:
        return Chooses(HostTiles(self.batch_size, threads))


def record(outcome: Outcome) -> dict[str, Any]:
    assert outcome.folder is not None
    content: dict[str, Any] = json.loads((outcome.folder / "run.json").read_text())
    return content


@pytest.mark.parametrize("order", [("slow", "fast"), ("fast", "slow")])
def test_each_slides_record_says_where_it_was_decoded_and_why_there(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    slides = [write_slide(tmp_path / f"{name}.tif", seed=i) for i, name in enumerate(order)]
    outcomes = run_here(tmp_path / "out", OnDevice, slides)
    found = dict(zip(order, map(record, outcomes), strict=True))
    assert found["slow"]["decoded_by"] == WHY
    assert found["fast"]["decoded_by"] == "the device: 5000 stored tiles/s"
    asked = {name: r["asked"]["decoded_by"] for name, r in found.items()}
    assert asked == dict.fromkeys(order, "a device, else the processor")
