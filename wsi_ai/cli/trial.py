"""``wsi-ai trial``."""

from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.trial.documents import Kind, sign, verified
from wsi_ai.trial.evidence.estimates import Estimate, NotEstimable
from wsi_ai.trial.lists import load_list
from wsi_ai.trial.protocol import Protocol, differences, load_protocol, remarks
from wsi_ai.trial.reference import Truth, load_reference
from wsi_ai.trial.region.draws import draw_accuracies
from wsi_ai.trial.region.folder import load
from wsi_ai.trial.region.result import result_of
from wsi_ai.trial.site_folder import open_folder
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain, Scenario, simulate_each
from wsi_ai.trial.waiting.scenario import simulate as run_scenario

_MOST_BYTES = 1 << 20


@exit_on_error
def check_protocol(path: Path) -> int:
    protocol = load_protocol(path)
    found = remarks(protocol)
    for line in found:
        say(line)
    say(f"sha256 {protocol.sha256}")
    return Exit.SOME if any(line.startswith("too few") for line in found) else Exit.OK


@exit_on_error
def sign_protocol(path: Path, key: Path, out: Path) -> int:
    protocol = load_protocol(path)
    envelope = sign(protocol.document, Kind.PROTOCOL, _content(key))
    try:
        with out.open("xb") as file:
            file.write(envelope)
    except FileExistsError:
        raise OutputError(
            "there is a signed protocol already; a new version is another file"
        ) from None
    except OSError as error:
        raise OutputError(f"the signed protocol cannot be written: {error.strerror}") from None
    say(f"sha256 {protocol.sha256}; from now on it is this, or another trial")
    return Exit.OK


@exit_on_error
def compare_protocols(path: Path, signed: Path, trusted_keys: list[Path]) -> int:
    keys = [_content(key) for key in trusted_keys]
    then = verified(_content(signed), Kind.PROTOCOL, keys)
    changed = differences(then, dict(load_protocol(path).document))
    for field in changed:
        say(f"changed: {field}")
    if not changed:
        say("as it was signed")
    return Exit.SOME if changed else Exit.OK


@exit_on_error
def check_reference(path: Path, protocol_path: Path | None, folder: Path | None) -> int:
    document = _protocol(protocol_path, folder).document
    table = load_reference(path, document["target"])
    missing, cases = table.number(Truth.MISSING), len(table.cases)
    say(f"{cases} cases: {cases - missing} with a reference, {missing} without")
    say(
        f"{table.number(Truth.CONDITION)} with the condition, {table.number(Truth.NONE)} without,"
        f" {table.number(Truth.INDETERMINATE)} indeterminate"
    )
    say(f"{table.twice} cases stand there twice; {len(table.contradictions)} contradict themselves")
    for lines in table.contradictions:
        say(f"contradiction: lines {', '.join(map(str, lines))}")
    if seen := sum(case.saw_ai for case in table.cases):
        say(f"{seen} by readers who saw the flag, or may have: not part of the primary result")
    if late := sum(not case.times_in_order for case in table.cases):
        say(f"{late} reported before they were received: their times are left out")
    too_many = missing > document["missing"]["max_share"] * cases
    if too_many:
        say("more references are missing than the protocol allows")
    return Exit.SOME if too_many or table.contradictions else Exit.OK


def _protocol(path: Path | None, folder: Path | None) -> Protocol:
    """Raises TrialError."""
    if folder is not None and path is None:
        return open_folder(folder).protocol
    if path is not None and folder is None:
        return load_protocol(path)
    raise TrialError("say whose reference it is: --trial FOLDER, or --protocol PROTOCOL.toml")


@exit_on_error
def simulate(path: Path, pooled: Path | None = None) -> int:
    scenario = load_list(path)
    for line in _described(scenario):
        say(line)
    found = run_scenario(scenario) if pooled is None else _gains_of_pool(scenario, pooled)
    for group, gain in found.items():
        say(_row(group, gain))
    say(_summary(found))
    return Exit.OK


def _gains_of_pool(scenario: Scenario, pooled: Path) -> dict[Group, Gain]:
    accuracies = draw_accuracies(result_of(load(pooled)), scenario.runs, scenario.seed)
    say("sensitivity and specificity are drawn for each run, as of one more site of the pool")
    return simulate_each(scenario, accuracies)


def _described(scenario: Scenario) -> list[str]:
    return [
        f"{scenario.runs} runs of {scenario.weeks} weeks, {scenario.cases_a_run} cases each;"
        f" readers are busy {scenario.load:.0%} of their hours"
        + ("" if scenario.load < 1 else ": THE LIST GROWS WITHOUT END"),
        "mean wait in hours, without flags → with flags (95 % interval of the change);"
        " 95th percentile",
    ]


def _row(group: Group, gain: Gain) -> str:
    before, after = gain.without_flags, gain.with_flags
    return (
        f"  {group.value:32s} {_hours(before.mean_h)} → {_hours(after.mean_h)}"
        f"  {_change(gain.change_h)};  {_hours(before.p95_h)} → {_hours(after.p95_h)}"
    )


def _summary(found: dict[Group, Gain]) -> str:
    """The gain and its price, in one line."""
    clauses = []
    if gain := found.get(Group.CONDITION):
        clauses.append(f"cases with the condition wait {_change(gain.change_h)}")
    if gain := found.get(Group.MISSED):
        clauses.append(f"those that are not flagged {_change(gain.change_h)}")
    if gain := found.get(Group.NO_CONDITION):
        before, after = gain.without_flags.p95_h, gain.with_flags.p95_h
        clauses.append(
            f"of the others one in twenty waits more than {_hours(before)} → {_hours(after)}"
        )
    return "; ".join(clauses)


def _hours(value: Estimate | NotEstimable) -> str:
    return "?" if isinstance(value, NotEstimable) else f"{value.value:.1f} h"


def _change(value: Estimate | NotEstimable) -> str:
    if isinstance(value, NotEstimable):
        return "not estimable"
    return f"{value.value:+.1f} h ({value.low:+.1f} to {value.high:+.1f})"


def _content(path: Path) -> bytes:
    """Raises TrialError."""
    try:
        return read_regular(path, _MOST_BYTES)
    except OSError:
        raise TrialError(f"{path.name} cannot be read") from None
