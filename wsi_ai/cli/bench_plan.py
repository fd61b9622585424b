"""``wsi-ai bench plan``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.bench.compare import check_alike
from wsi_ai.bench.laws import Cost, Laws, describe_laws, fit_laws, with_most_threads
from wsi_ai.bench.plan import Load, fewest_machines
from wsi_ai.bench.region import Stages
from wsi_ai.bench.report import load, load_table, of_table
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
    check_alike(benches)
    for line in describe_laws(benches):
        say(line)
    costs = [Cost.of(bench) for bench in with_most_threads(benches)]
    return _say_fleet(wanted, _stages(costs, fit_laws(costs), mix))


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


def _stages(costs: Sequence[Cost], laws: Laws, mix: Mix) -> Stages:
    if not mix.sizes_px:
        found = [
            (cost.looking_s, cost.inference_s, cost.writing_s)
            for cost in costs
            if cost.writing_s is not None
        ]
        if not found:
            raise InputError("no result has a whole run; run one with --runs 1 or more")
        looking, inference, writing = zip(*found, strict=True)
        return Stages(looking, inference, writing)
    if not laws.has_sizes:
        raise InputError("--size-px wants results of slides of two sizes or more: one has no slope")
    measured = sum(cost.tissue_share for cost in costs) / len(costs)
    tissue = measured if mix.tissue is None else mix.tissue
    most = max(cost.gigapixels for cost in costs)
    if max(mix.sizes_px) ** 2 / 1e9 > 4 * most:
        say("note: slides asked for are more than four times as large as any that was measured")
    return laws.stages([(side, tissue) for side in mix.sizes_px])


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
