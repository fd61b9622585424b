"""``wsi-ai routing``."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.wording import counted
from wsi_ai.errors import IdentityInDoubt, SlideError
from wsi_ai.service.arrivals import admit_again
from wsi_ai.service.database.opening import existing_service_database
from wsi_ai.service.job_table import JobTable
from wsi_ai.service.jobs import JobState
from wsi_ai.service.routing.facts import gathered, of_case, of_dicom, of_file
from wsi_ai.service.routing.loading import load_routing
from wsi_ai.service.routing.rules import NAMES, Facts, Fit, Routing, is_unrouted
from wsi_ai.slides.identity import Cases, load_cases, merged
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.registry import open_slide


@exit_on_error
def check(routing: Path, slides: Sequence[Path], cases: Path | None, given: Facts) -> int:
    """For each slide: what is known, what each rule says, and which takes it."""
    rules = load_routing(routing)
    if not slides and not given:
        shown = sum(not rule.silent for rule in rules.rules)
        say(f"{len(rules.rules)} rules, {shown} of them shown; every model may run here")
        return Exit.OK
    known = load_cases(cases)
    paths = find_slides(slides).slides if slides else ()
    if not paths:
        return Exit.OK if _show("the slide", given, rules) else Exit.SOME
    routed = 0
    for path in paths:
        try:
            facts = _facts(path, known, given)
        except IdentityInDoubt as error:
            say(f"{path.name}: NO MODEL: {error}")
        else:
            routed += _show(path.name, facts, rules)
    return Exit.OK if routed == len(paths) else Exit.SOME


@exit_on_error
def apply(database: str, routing: Path) -> int:
    """Slides that had no model get one, where the rules of now have one for them."""
    choose = load_routing(routing).choices
    with existing_service_database(database) as engine:
        table = JobTable(engine, time.time)
        routed = admit_again(table, choose)
        left = table.counts().get(JobState.UNROUTED, 0)
    say(f"{counted(routed, 'slide')} queued; {counted(left, 'slide')} without a model")
    return Exit.SOME if left else Exit.OK


def _facts(path: Path, cases: Cases, given: Facts) -> Facts:
    """Raises IdentityInDoubt where the sources contradict each other."""
    case = merged(cases.claims(path))
    return gathered(of_case(case), of_dicom(path), _opened(path), given)


def _opened(path: Path) -> dict[str, str]:
    """A slide that does not open has no scanner; that is said by the run."""
    try:
        with open_slide(path) as slide:
            return of_file(slide.info)
    except SlideError as error:
        say(f"{path.name} does not open: {error}")
        return {}


def _show(name: str, facts: Facts, rules: Routing) -> bool:
    """Whether it has a model."""
    say(f"{name}:")
    for line in _lines(facts, rules):
        say(f"  {line}")
    return not is_unrouted(rules.choices(facts))


def _lines(facts: Facts, rules: Routing) -> Iterator[str]:
    known = [f"{n} {', '.join(sorted(facts[n]))}" for n in NAMES if n in facts]
    yield f"known: {'; '.join(known) or 'nothing'}"
    taken = False
    for verdict in rules.verdicts(facts):
        rule = verdict.rule
        silent = " (silent)" if rule.silent else ""
        if verdict.fit is not Fit.YES:
            yield f"not by {rule.name}{silent}: {verdict.why}"
        elif rule.silent or not taken:
            yield f"BY {rule.name}{silent}: {verdict.why}; {', '.join(map(_short, rule.models))}"
            taken = taken or not rule.silent
        else:
            yield f"not by {rule.name}: an earlier rule took it"
    if not taken:
        yield "NO MODEL: no rule takes it; it is not run, and every receiver is told"


def _short(model: str) -> str:
    """A folder by its name alone."""
    return Path(model).name


def facts_given(texts: Sequence[str]) -> Facts:
    """``stain=H&E`` and the like.  Raises ValueError."""
    pairs = [text.partition("=") for text in texts]
    for name, sign, value in pairs:
        if not sign or name not in NAMES or not value.strip():
            raise ValueError(f"a fact is NAME=VALUE, of: {', '.join(NAMES)}")
    return gathered(*({name: value} for name, _, value in pairs))
