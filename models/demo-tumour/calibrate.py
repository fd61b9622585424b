"""Choose the demo model's threshold and rule, sensitivity first, and make its golden tiles.

    python models/demo-tumour/calibrate.py [FOLDER]

On slides of seeds that were not trained on and are not evaluated on; they are drawn into FOLDER
where they are not there yet.  Writes the threshold, the policy and its SHA-256 into the card.

1. The threshold is the highest, in hundredths, at which at every size of slide the tiles that
   reach it cover `AREA_FOUND` of the planted tumours' area.
2. The rule lies half way, by ratio, between the least that any slide with a tumour shows and the
   most that any without shows: in mm² on large slides, as a share of the tissue on small ones.
"""

import argparse
import hashlib
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scores import HERE, Scorer, SlideScores
from slides import SIZES_PX, SlideFile, draw_all, slides_of

from wsi_ai.demo import SampleSpec
from wsi_ai.models.parity import make_golden
from wsi_ai.triage.rules import Area

CARD, POLICY = HERE / "model.toml", HERE / "policy.toml"
SEEDS = {2048: range(1000, 1012), 4096: range(1000, 1012), 8192: range(1000, 1008), 16_384: [1000]}
AREA_FOUND, SMALL_PX = 0.65, 4096
GOLDEN = SampleSpec(seed=930, tumour=True)
Scored = dict[SlideFile, SlideScores]


def calibration_slides(folder: Path) -> list[SlideFile]:
    found = []
    for seed in SEEDS[SIZES_PX[0]]:
        slides = slides_of(folder, seed, tuple(size for size in SIZES_PX if seed in SEEDS[size]))
        draw_all(slides)
        found += slides
    return found


def choose_threshold(scored: Scored) -> float:
    """Raises ValueError where none finds enough."""
    steps = np.arange(1, 100) / 100
    enough = [t for t in steps if min(shares_found(scored, t).values()) >= AREA_FOUND]
    return float(max(enough))


def shares_found(scored: Scored, threshold: float) -> dict[int, float]:
    """By size: which share of the planted area the positive tiles cover, all slides together."""
    shares = {}
    for size in SIZES_PX:
        own = [s for slide, s in scored.items() if slide.spec.size_px == size and slide.spec.tumour]
        planted = sum(s.planted_mm2() for s in own)
        if own:
            shares[size] = sum(s.found_mm2(threshold) for s in own) / planted
    return shares


def choose_rule(scored: Scored, threshold: float) -> Area:
    """In mm² to the twentieth, as a share to the hundredth."""
    large = {slide: s for slide, s in scored.items() if slide.spec.size_px > SMALL_PX}
    small = {slide: s for slide, s in scored.items() if slide not in large}
    return Area(
        area_mm2=round(20 * half_way(large, lambda s: s.positive_mm2(threshold))) / 20,
        tissue_share=round(half_way(small, lambda s: s.positive_share(threshold)), 2),
    )


def half_way(scored: Scored, shown: Callable[[SlideScores], float]) -> float:
    """By ratio; where none without a tumour shows anything, as if it were a thousandth."""
    least = min(shown(s) for slide, s in scored.items() if slide.spec.tumour)
    most = max(shown(s) for slide, s in scored.items() if not slide.spec.tumour)
    return math.sqrt(least * max(most, least / 1000))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, J Am Stat Assoc 22 (1927) 209-212)."""
    z = 1.96
    middle, spread = hits + z**2 / 2, z * math.sqrt(hits * (n - hits) / n + z**2 / 4)
    return (middle - spread) / (n + z**2), (middle + spread) / (n + z**2)


def fill_in(path: Path, **values: str) -> None:
    """Give fields at the beginning of a line, one of that name in the file, a new value."""
    text = path.read_text()
    for name, value in values.items():
        text = re.sub(rf"(?m)^{name} = [^ \n]+", f"{name} = {value}", text)
    path.write_text(text)


def name_policy() -> None:
    digest = hashlib.sha256(POLICY.read_bytes()).hexdigest()
    field = r'(path = "policy.toml"\nsha256 = )"\w+"'
    CARD.write_text(re.sub(field, rf'\g<1>"{digest}"', CARD.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose the demo model's threshold and rule.")
    parser.add_argument("folder", type=Path, nargs="?", help="where slides are drawn and kept")
    folder: Path = parser.parse_args().folder or Path(tempfile.gettempdir()) / "demo-tumour"
    folder.mkdir(parents=True, exist_ok=True)
    name_policy()
    slides, score = calibration_slides(folder), Scorer(folder)
    scored = {slide: score(slide) for slide in slides}
    threshold = choose_threshold(scored)
    rule = choose_rule(scored, threshold)
    print(f"threshold {threshold:.2f}, {rule}")
    for size, share in shares_found(scored, threshold).items():
        print(f"{size} px: {share:.3f} of the planted area found")
    for tumour in (True, False):
        own = [s for slide, s in scored.items() if slide.spec.tumour is tumour]
        hits = sum(s.meets(rule, threshold) == tumour for s in own)
        low, high = wilson(hits, len(own))
        print(f"{'with' if tumour else 'without'} tumour: {hits} of {len(own)} right")
        print(f"    95 % interval {low:.3f} to {high:.3f}")
    fill_in(CARD, threshold=f"{threshold:.2f}")
    fill_in(POLICY, area_mm2=f"{rule.area_mm2:.2f}", tissue_share=f"{rule.tissue_share:.2f}")
    name_policy()
    golden = SlideFile(folder, GOLDEN)
    draw_all([golden])
    make_golden(HERE, [golden.path], 16)


if __name__ == "__main__":
    main()
