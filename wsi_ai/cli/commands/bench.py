"""Commands that measure, compare and plan.  Declarations only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_ai.cli.commands.options import Mpp, share, takes
from wsi_ai.cli.output import extra

bench_app = typer.Typer(
    no_args_is_help=True, help="Measure each stage beside the limit of this machine."
)
Result = Annotated[Path, typer.Argument(help="JSON that bench run wrote.")]


def precisions(names: list[str] | None) -> list[str] | None:
    """Those of ``core.cards.Precision``, which is too heavy to be loaded for a help text."""
    for name in names or ():
        if name not in ("fp32", "fp16", "bf16", "int8"):
            raise typer.BadParameter(f"{name} is not one of fp32, fp16, bf16, int8")
    return names


@dataclass(frozen=True, slots=True)
class BenchArguments:
    """Of ``wsi-ai bench run``."""

    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result there.")
    ] = None
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Rounds of each stage.")] = 7
    runs: Annotated[int, typer.Option(min=0, max=100, help="Whole runs; 0 for none.")] = 3
    tiles: Annotated[int, typer.Option(min=1, max=100_000, help="The most read in a round.")] = 1024
    batch: Annotated[
        list[int] | None, typer.Option(min=1, max=4096, help="Say it once for each; 1, 8, 32.")
    ] = None
    device: Annotated[str, typer.Option(help="As of wsi-ai run.")] = "auto"
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="fp32|fp16|bf16|int8",
            callback=precisions,
            help="Say it once for each; fp32.  The first is that of the whole run.",
        ),
    ] = None
    tile_px: Annotated[
        list[int] | None,
        typer.Option(min=16, max=8192, help="Also read tiles of this size; once for each."),
    ] = None
    mpp: Mpp = None


@bench_app.command("run")
@takes(BenchArguments)
def run(
    slides: Annotated[
        list[Path],
        typer.Argument(metavar="SLIDE...", help="The last whole run takes all of them."),
    ],
    model: Annotated[Path, typer.Option(help="Folder with model.toml, or NAME[@VERSION].")],
    arguments: BenchArguments,
) -> None:
    """Time the stages of one slide, alone and together, and say which one sets the pace."""
    from wsi_ai.bench.run import Asked
    from wsi_ai.cli import benchmark
    from wsi_ai.core.cards import Precision

    asked = Asked(
        slide=slides[0],
        model=model,
        repeats=arguments.repeats,
        runs=arguments.runs,
        tiles=arguments.tiles,
        batches=tuple(arguments.batch or (1, 8, 32)),
        device=arguments.device,
        precisions=tuple(map(Precision, arguments.precision or ("fp32",))),
        tiles_px=tuple(arguments.tile_px or ()),
        more=tuple(slides[1:]),
        mpp=arguments.mpp,
    )
    raise typer.Exit(benchmark.measure(asked, arguments.json))


@bench_app.command("compare")
def compare(first: Result, second: Result) -> None:
    """Say which stages became slower, and of which that cannot be said.

    Exit status: 0 none became slower; 1 one did; 2 the two did not measure the same.
    """
    from wsi_ai.cli import benchmark

    raise typer.Exit(benchmark.compare(first, second))


@bench_app.command("plot")
def plot(
    results: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Of bench run.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="By default beside the result.")
    ] = None,
) -> None:
    """Draw, as PNG: stages, roofline, timeline, and what goes over threads, batch or size.

    Several results of one machine and model give more points, as those of bench scale.
    """
    with extra("bench"):
        from wsi_ai.bench import plots  # noqa: F401
    from wsi_ai.cli import benchmark

    raise typer.Exit(benchmark.plot(results, out))


@dataclass(frozen=True, slots=True)
class PlanArguments:
    """Of ``wsi-ai bench plan``."""

    slides: Annotated[int, typer.Option(min=1, max=1_000_000, help="A day.")] = 6_000
    minutes: Annotated[float, typer.Option(min=0.1, max=10_000, help="From scan to flag.")] = 60.0
    within: Annotated[
        float, typer.Option("--share", callback=share, help="Of slides that are to be in time.")
    ] = 0.95
    urgent: Annotated[float, typer.Option(callback=share, help="Share that goes first.")] = 0.05
    hours: Annotated[
        Literal["region", "day", "even"], typer.Option(help="When slides are scanned.")
    ] = "region"
    size_px: Annotated[
        list[int] | None,
        typer.Option(min=1000, max=1_000_000, help="Of slides along a side; once for each."),
    ] = None
    tissue: Annotated[
        float | None, typer.Option(callback=share, help="Share of those slides that is tissue.")
    ] = None


@bench_app.command("plan")
@takes(PlanArguments)
def plan(
    results: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Of bench run, on several slides.")
    ],
    arguments: PlanArguments,
) -> None:
    """How many machines like the measured one a load wants, by simulating its queue.

    Exit status: 0 found; 1 no number of machines is enough; 2 the results do not fit together.
    """
    with extra("bench"):
        from wsi_ai.bench.plan import Load
        from wsi_ai.cli import bench_plan
    load = Load(
        arguments.slides, arguments.minutes, arguments.within, arguments.urgent, arguments.hours
    )
    mix = bench_plan.Mix(tuple(arguments.size_px or ()), arguments.tissue)
    raise typer.Exit(bench_plan.plan(results, load, mix))


@dataclass(frozen=True, slots=True)
class ScaleArguments:
    """Of ``wsi-ai bench scale``."""

    size_px: Annotated[
        list[int] | None,
        typer.Option(min=2048, max=200_000, help="Along a side; each: 10000, 20000, 40000."),
    ] = None
    tissue: Annotated[
        list[float] | None,
        typer.Option(min=0.01, max=1, help="Share of a slide; each: 0.2, 0.05, 0.5."),
    ] = None
    slides: Annotated[
        list[int] | None,
        typer.Option(min=1, max=64, help="In one run, of the first size; once for each: 4."),
    ] = None
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, max=4096, help="Once for each; by default 1, 2, 4 and so on."),
    ] = None
    whole_up_to: Annotated[
        int, typer.Option(metavar="PX", min=0, help="No whole runs of larger slides.")
    ] = 40_000
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Rounds of each stage.")] = 7
    tiles: Annotated[int, typer.Option(min=1, max=100_000, help="The most read in a round.")] = 1024
    device: Annotated[str, typer.Option(help="As of wsi-ai run.")] = "auto"


@bench_app.command("scale")
@takes(ScaleArguments)
def scale(
    model: Annotated[Path, typer.Option(help="Folder with model.toml, or NAME[@VERSION].")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where results go.")],
    arguments: ScaleArguments,
) -> None:
    """Draw slides, measure each, and say how time and memory grow.

    The first of --size-px and of --tissue is the slide of which the others differ in one
    thing.  Measured results are not measured again.  Exit status: 0 done; 2 refused.
    """
    from wsi_ai.bench.scale import Sweep
    from wsi_ai.bench.tasks import thread_counts
    from wsi_ai.cli import bench_scale
    from wsi_ai.core.environment import threads

    try:
        sweep = Sweep(
            tuple(arguments.size_px or (10_000, 20_000, 40_000)),
            tuple(arguments.tissue or (0.2, 0.05, 0.5)),
            tuple(arguments.slides or (4,)),
            tuple(arguments.threads or thread_counts(threads())),
            arguments.whole_up_to,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    more = ["--model", str(model), "--device", arguments.device]
    more += ["--repeats", str(arguments.repeats), "--tiles", str(arguments.tiles)]
    more += [word for side in (128, 256, 512, 1024) for word in ("--tile-px", str(side))]
    raise typer.Exit(bench_scale.scale(sweep, more, out))


def add_to(app: typer.Typer) -> None:
    app.add_typer(bench_app, name="bench")
