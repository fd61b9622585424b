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
    precision: Annotated[Literal["fp32", "fp16", "bf16", "int8"], typer.Option()] = "fp32"
    mpp: Mpp = None


@bench_app.command("run")
@takes(BenchArguments)
def run(
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="A slide file.")],
    model: Annotated[Path, typer.Option(help="Folder with model.toml, or NAME[@VERSION].")],
    arguments: BenchArguments,
) -> None:
    """Time the stages of one slide, alone and together, and say which one sets the pace."""
    from wsi_ai.bench.run import Asked
    from wsi_ai.cli import benchmark
    from wsi_ai.core.cards import Precision

    asked = Asked(
        slide,
        model,
        arguments.repeats,
        arguments.runs,
        arguments.tiles,
        tuple(arguments.batch or (1, 8, 32)),
        arguments.device,
        Precision(arguments.precision),
        arguments.mpp,
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
    result: Result,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="By default beside the result.")
    ] = None,
) -> None:
    """Draw the stages and the roofline, as PNG."""
    with extra("bench"):
        from wsi_ai.bench import plots  # noqa: F401
    from wsi_ai.cli import benchmark

    raise typer.Exit(benchmark.plot(result, out or result.parent))


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


def add_to(app: typer.Typer) -> None:
    app.add_typer(bench_app, name="bench")
