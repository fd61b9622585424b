"""Which models judge a slide, by what is known of it.  Pure.

The first rule that fits takes the slide.  Rules of models on trial take none from another: those
that fit are added.  What is not known fits no rule, so a slide is never judged by a model for want
of a fact.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from wsi_ai.service.jobs import Priority

Facts = Mapping[str, frozenset[str]]
"""By name, as ``schemas/routing-1.schema.json`` has them; several words of one fact mean the same
thing (a code and its text)."""

NAMES = (
    "trust",
    "network",
    "organ",
    "specimen",
    "stain",
    "block",
    "vendor",
    "scanner",
    "order",
    "source",
)


class Fit(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """A fact that decides is not known."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    models: tuple[str, ...]
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    priority: Priority = Priority.ROUTINE
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule makes of a slide, and why: for people; the facts' own words are in it."""

    rule: Rule
    fit: Fit
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Models that judge a slide together: one question."""

    models: tuple[str, ...]
    priority: Priority = Priority.ROUTINE
    silent: bool = False
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Routing:
    rules: tuple[Rule, ...]

    def choices(self, facts: Facts) -> tuple[Choice, ...]:
        """At most one that is shown, first; then those of models on trial.  No choice that is shown
        means that the slide has no model."""
        fitting = [rule for rule in self.rules if verdict(rule, facts).fit is Fit.YES]
        shown = [rule for rule in fitting if not rule.silent][:1]
        silent = [rule for rule in fitting if rule.silent]
        return tuple(_choice(rule) for rule in (*shown, *silent))

    def verdicts(self, facts: Facts) -> tuple[Verdict, ...]:
        """Of every rule, in order; those after the one that takes the slide too."""
        return tuple(verdict(rule, facts) for rule in self.rules)


def is_unrouted(choices: Iterable[Choice]) -> bool:
    """Nobody will see a flag of this slide."""
    return all(choice.silent for choice in choices)


def verdict(rule: Rule, facts: Facts) -> Verdict:
    wanted = [_wants(name, words, facts.get(name)) for name, words in rule.when.items()]
    kept_out = [_excludes(name, words, facts.get(name)) for name, words in rule.unless.items()]
    all_found = [*wanted, *kept_out]
    for fit in (Fit.NO, Fit.UNKNOWN):
        why = [reason for found, reason in all_found if found is fit]
        if why:
            return Verdict(rule, fit, "; ".join(why))
    said = [reason for _, reason in all_found]
    return Verdict(rule, Fit.YES, "; ".join(said) or "it takes every slide")


def fits(words: Sequence[str], said: Iterable[str]) -> bool:
    """Capitals and runs of spaces do not matter."""
    return any(fnmatchcase(plain(one), _pattern(word)) for word in words for one in said)


def plain(word: str) -> str:
    return re.sub(r"\s+", " ", word).strip().casefold()


def _pattern(word: str) -> str:
    """An asterisk and a question mark stand for anything; brackets for themselves."""
    return plain(word).replace("[", "[[]")


def _wants(name: str, words: Sequence[str], said: frozenset[str] | None) -> tuple[Fit, str]:
    if not said:
        return Fit.UNKNOWN, f"{name} is not known, and it asks for {_listed(words)}"
    if fits(words, said):
        return Fit.YES, f"{name} is {_listed(sorted(said))}"
    return Fit.NO, f"{name} is {_listed(sorted(said))}, and it asks for {_listed(words)}"


def _excludes(name: str, words: Sequence[str], said: frozenset[str] | None) -> tuple[Fit, str]:
    if not said:
        return Fit.UNKNOWN, f"{name} is not known, and it may not be {_listed(words)}"
    if fits(words, said):
        return Fit.NO, f"{name} is {_listed(sorted(said))}, which it leaves out"
    return Fit.YES, f"{name} is {_listed(sorted(said))}"


def _listed(words: Sequence[str]) -> str:
    return " or ".join(f"'{word}'" for word in words)


def _choice(rule: Rule) -> Choice:
    return Choice(rule.models, rule.priority, rule.silent, rule.name)
