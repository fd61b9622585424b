"""When is the flag raised, of the time that a slide takes?

    python benchmarks/time_to_flag.py [--json] [--seeds 10] [--size 8192] [--slides FOLDER]

Sample slides with a tumour, one after the other, by the demo model and the default policy.  A
slide's clock starts when it is opened, with the model loaded: opening, thumbnail, tissue, quality
and planning count, and so does writing all results, up to run.json.  Slides are drawn once into
FOLDER, below a name that changes with the code that draws them.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from wsi_ai.app import Outcome, run_slides
from wsi_ai.demo.sample import write_sample_slide
from wsi_ai.demo.spec import SampleSpec

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "demo-tumour"
DRAWN = Path(tempfile.gettempdir()) / "wsi-ai-sample-slides"
SHARE = 0.25
"""Of the time to finish: the target."""


@dataclass
class Heard:
    """Keeps the early flags.  See ``contracts.Post``."""

    early: list[Mapping[str, Any]] = field(default_factory=list)

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        self.early.append(flag)
        return dict(flag)


@dataclass(frozen=True)
class Measured:
    """One slide; a flag that was not raised early was raised at the end."""

    seed: int
    tiles: int
    to_flag_s: float
    to_finish_s: float
    tiles_share: float
    """Of the planned tiles, passed when the flag was raised."""
    before_inference_s: float
    early: str
    final: str

    @property
    def time_share(self) -> float:
        return self.to_flag_s / self.to_finish_s


def slides(folder: Path, seeds: int, size: int) -> Iterator[tuple[int, Path]]:
    """Draws those that are not there yet."""
    code = sorted((ROOT / "wsi_ai" / "demo").glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:12]
    below = folder / digest
    below.mkdir(parents=True, exist_ok=True)
    for seed in range(1, seeds + 1):
        path = below / f"tumour-{size}-{seed}.svs"
        if not path.exists():
            aside = path.with_suffix(".part.svs")
            write_sample_slide(aside, SampleSpec(size, seed, tumour=True))
            aside.rename(path)
        yield seed, path


def measure(seed: int, slide: Path) -> Measured:
    heard = Heard()
    with tempfile.TemporaryDirectory() as out:
        (outcome,) = run_slides([slide], MODEL, Path(out), post=heard)
        record = _record(outcome)
    timing = record["timing"]
    start = {span["stage"]: span["start_s"] for span in timing["spans"]}
    early = heard.early[0] if heard.early else None
    return Measured(
        seed=seed,
        tiles=record["tiles"]["planned"],
        to_flag_s=timing["to_flag_s"],
        to_finish_s=timing["to_finish_s"],
        tiles_share=early["qc"]["analysed_fraction"] if early else 1.0,
        before_inference_s=start["inference"] - start["opening"],
        early=early["result"]["level"] if early else "none",
        final=outcome.level.value,
    )


def _record(outcome: Outcome) -> dict[str, Any]:
    if outcome.folder is None:
        raise RuntimeError(f"nothing was written: {outcome.reason}")
    record: dict[str, Any] = json.loads((outcome.folder / "run.json").read_text("utf-8"))
    return record


def measured(folder: Path = DRAWN, seeds: int = 10, size: int = 8192) -> list[Measured]:
    return [measure(seed, slide) for seed, slide in slides(folder, seeds, size)]


def figures(found: list[Measured]) -> list[tuple[str, float | str, float | str]]:
    """Name, value and target."""
    of = f"median of {len(found)} tumour slides"
    alike = sum(one.early == one.final for one in found)
    return [
        (f"time to flag of time to finish, {of}", _middle(found, "time_share"), SHARE),
        (
            f"tiles passed when the flag was raised, share, {of}",
            _middle(found, "tiles_share"),
            "any",
        ),
        (f"s to flag, {of}", _middle(found, "to_flag_s"), "any"),
        (f"s to finish, {of}", _middle(found, "to_finish_s"), "any"),
        (f"s before inference, {of}", _middle(found, "before_inference_s"), "any"),
        ("slides whose early level is the final one", alike, len(found)),
    ]


def _middle(found: list[Measured], name: str) -> float:
    return round(median(getattr(one, name) for one in found), 3)


def table(found: list[Measured]) -> str:
    rows = [
        "| seed | tiles | tiles passed at the flag | s before inference | s to flag | s to finish"
        " | share of time | early level | final level |",
        "|---" * 9 + "|",
    ]
    rows += [
        f"| {one.seed} | {one.tiles} | {one.tiles_share:.0%} | {one.before_inference_s:.2f} |"
        f" {one.to_flag_s:.2f} | {one.to_finish_s:.2f} | {one.time_share:.2f} | {one.early} |"
        f" {one.final} |"
        for one in found
    ]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--slides", type=Path, default=DRAWN)
    asked = parser.parse_args()
    found = measured(asked.slides, asked.seeds, asked.size)
    if not asked.json:
        print(table(found))
    for name, value, target in figures(found):
        line = {"name": name, "value": value, "target": target}
        print(json.dumps(line) if asked.json else f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
