"""``wsi-ai bench plan``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.bench.compare import differences
from wsi_ai.bench.plan import Cost, Law, Laws, Load, fewest_machines, fit_laws, threads_exponent
from wsi_ai.bench.region import Stages
from wsi_ai.bench.report import Bench, load, load_table, of_table
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.wording import counted
from wsi_ai.errors import InputError


@dataclass(frozen=True, slots=True)
class Mix:
    """Which slides come; without sizes, those that were measured."""

    sizes_px: tuple[int, ...]
    tissue: float | None


@exit_on_error
def plan(results: Sequence[Path], wanted: Load, mix: Mix) -> int:
    if len(results) == 1 and (record := _run_record(results[0])) is not None:
        if mix.sizes_px:
            raise InputError("--size-px wants results of bench run; a run's record has no sizes")
        return _say_fleet(wanted, record)
    benches = [load(path) for path in results]
    _check_alike(benches)
    costs = [Cost.of(bench) for bench in benches]
    laws = fit_laws(costs)
    _say_laws(laws, benches)
    return _say_fleet(wanted, _stages(costs, laws, mix))


def _run_record(path: Path) -> Stages | None:
    """Of OUT/runs/….json, which has no stages of its own."""
    table = load_table(path)
    if not isinstance(table, dict) or "slides" not in table:
        of_table(table, path.name)
        return None
    try:
        return Stages.of(table)
    except ValueError as error:
        raise InputError(f"{path.name}: {error}") from None


def _check_alike(benches: Sequence[Bench]) -> None:
    """Other slides, and other numbers of threads; the rest is the same.  Raises InputError."""
    for bench in benches[1:]:
        if bench.model != benches[0].model:
            raise InputError("the results are of different models")
        others = [d for d in differences(benches[0], bench) if not d.startswith("processors")]
        if others:
            raise InputError(f"the results are of different machines or software: {others[0]}")


def _stages(costs: Sequence[Cost], laws: Laws, mix: Mix) -> Stages:
    if not mix.sizes_px:
        looking, inference, writing = zip(
            *((c.looking_s, c.inference_s, c.writing_s) for c in costs), strict=True
        )
        return Stages(looking, inference, writing)
    if not laws.has_sizes:
        raise InputError("--size-px wants results of slides of two sizes or more: one has no slope")
    measured = sum(cost.tissue_share for cost in costs) / len(costs)
    tissue = measured if mix.tissue is None else mix.tissue
    most = max(cost.gigapixels for cost in costs)
    if max(mix.sizes_px) ** 2 / 1e9 > 4 * most:
        say("note: slides asked for are more than four times as large as any that was measured")
    return laws.stages([(side, tissue) for side in mix.sizes_px])


def _say_laws(laws: Laws, benches: Sequence[Bench]) -> None:
    say(f"fitted to {counted(len(benches), 'slide')}:")
    for law in (laws.looking, laws.inference, laws.writing):
        say(f"  {law.name}: {law.start_s:.3g} s + {law.slope_s:.3g} s a {law.unit}{_missed(law)}")
    say(f"  tiles: {laws.tiles.slope_s:.3g} a {laws.tiles.unit}{_missed(laws.tiles)}")
    power = threads_exponent(benches)
    if power is not None:
        say(f"  inference alone goes as threads to the power of {power:.2f}")
    if any(stage.own.is_busy for bench in benches for stage in bench.stages):
        say("  others kept the machine busy: these are upper bounds")


def _missed(law: Law) -> str:
    return "; one slide only" if math.isnan(law.worst) else f"; misses by {law.worst:.0%} at most"


def _say_fleet(wanted: Load, stages: Stages) -> int:
    busy = stages.busy_s()
    say(f"a slide keeps a machine busy for {sum(busy) / len(busy):.3g} s on average")
    promise = f"{wanted.share:.0%} within {wanted.minutes:g} min"
    fleet = fewest_machines(wanted, stages)
    if fleet is None:
        say(f"no number of machines keeps {promise}: one slide alone takes longer, or nearly")
        return Exit.SOME
    say(
        f"{wanted.slides_a_day:,} slides a day, {promise}:"
        f" {counted(fleet.machines, 'machine')} (by division alone: {fleet.by_division})"
    )
    found = fleet.found
    say(
        f"  urgent p50 / p95 {found.urgent.p50:.1f} / {found.urgent.p95:.1f} min,"
        f" others {found.others.p50:.1f} / {found.others.p95:.1f} min;"
        f" {fleet.late:.1%} late in the worst spell; machines busy {found.load:.0%} of the time"
    )
    return Exit.OK
