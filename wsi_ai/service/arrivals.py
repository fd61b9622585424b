"""A slide that came, by whatever way: which models judge it, as jobs.

A slide that no rule takes is written down too, as a job without a model: it is listed, counted to
every receiver, and queued once a rule takes it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wsi_ai.service.job_table import JobTable
from wsi_ai.service.jobs import Asked, JobState
from wsi_ai.service.routing.facts import gathered, of_case
from wsi_ai.service.routing.rules import Choice, Facts, is_unrouted

log = logging.getLogger(__name__)

Choose = Callable[[Facts], Sequence[Choice]]
_MOST_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is known of a slide when it comes."""

    trust: str
    slide_uri: str
    source: str
    """How it came: ``watch``, ``lab-104`` and so on."""
    case: Mapping[str, str]
    """A row of ``--cases``; empty where it is not known yet whose it is."""
    facts: Facts
    """Beside those of the case."""
    network: str | None = None
    same: tuple[str, ...] = ()
    """See ``jobs.Asked``."""
    mpp: float | None = None
    submitted_by: str = ""
    """Where it is somebody else than the way itself."""

    @property
    def all_facts(self) -> Facts:
        own = {"trust": self.trust, "network": self.network, "source": self.source}
        return gathered(of_case(self.case), dict(self.facts), own)


@dataclass(frozen=True, slots=True)
class Admitted:
    """``rule`` is empty of a slide without a model."""

    job_id: str
    new: bool
    rule: str


def one_question(models: Sequence[str]) -> Choose:
    """Every slide is judged by the same models."""
    choice = Choice(tuple(models), rule="--model")
    return lambda _: (choice,)


def admit(table: JobTable, choose: Choose, arrival: Arrival) -> tuple[Admitted, ...]:
    """Its jobs; the same slide again gets the same ones, and where it had no model before, it is
    no longer listed as one.  Raises OutputError."""
    facts = arrival.all_facts
    choices = choose(facts)
    found = [
        Admitted(*table.submit(_asked(arrival, choice)), rule=choice.rule) for choice in choices
    ]
    if is_unrouted(choices):
        name, new = table.submit(_unrouted(arrival, facts))
        found.append(Admitted(name, new, ""))
        if new:
            log.warning("%s: no rule gives this slide a model; it is not run", name)
    shown = found[-1] if is_unrouted(choices) else found[0]
    if shown.new:
        table.supersede(shown.job_id)
    return tuple(found)


def admit_again(table: JobTable, choose: Choose) -> int:
    """Slides that had no model, by the rules of now.  Returns how many have one.  Raises
    OutputError."""
    routed = 0
    for row in table.lines([JobState.UNROUTED], _MOST_AT_ONCE):
        facts = gathered(row.facts or {})
        choices = choose(facts)
        if is_unrouted(choices):
            continue
        arrival = Arrival(
            trust=row.trust,
            network=row.network,
            slide_uri=row.slide_uri,
            source=row.submitted_by,
            case=row.case,
            facts=facts,
            same=(row.job_id,),
            mpp=row.mpp,
        )
        for choice in choices:
            table.submit(_asked(arrival, choice))
        routed += table.routed(row.job_id)
    return routed


def _asked(arrival: Arrival, choice: Choice) -> Asked:
    return Asked(
        trust=arrival.trust,
        network=arrival.network,
        slide_uri=arrival.slide_uri,
        models=choice.models,
        case=arrival.case,
        same=arrival.same,
        mpp=arrival.mpp,
        priority=choice.priority,
        silent=choice.silent,
        submitted_by=arrival.submitted_by or arrival.source,
    )


def _unrouted(arrival: Arrival, facts: Facts) -> Asked:
    return Asked(
        trust=arrival.trust,
        network=arrival.network,
        slide_uri=arrival.slide_uri,
        models=(),
        case=arrival.case,
        same=arrival.same,
        mpp=arrival.mpp,
        submitted_by=arrival.submitted_by or arrival.source,
        facts={name: sorted(words) for name, words in facts.items()},
    )
