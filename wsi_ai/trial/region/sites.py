"""The sites of a pool: some with exact sums, some with what their open bundles show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.trial.disclosure.rule import SmallNumbers
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.shares import Share
from wsi_ai.trial.intake import LeftOut
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sums import SiteSums


@dataclass(frozen=True, slots=True)
class Range:
    """What a number of cases may be; without an end where nothing limits it."""

    least: int
    most: int | None

    def and_also(self, other: "Range") -> "Range":
        ends = [end for end in (self.most, other.most) if end is not None]
        return Range(max(self.least, other.least), min(ends, default=None))

    def without(self, part: "Range") -> "Range":
        """Of what remains where some of them are taken away."""
        least = 0 if part.most is None else max(0, self.least - part.most)
        return Range(least, None if self.most is None else max(0, self.most - part.least))


def _sum(ranges: list[Range]) -> Range:
    ends = [some.most for some in ranges]
    known = [end for end in ends if end is not None]
    return Range(sum(some.least for some in ranges), None if len(known) < len(ends) else sum(known))


@dataclass(frozen=True, slots=True, eq=False)
class ShownSite:
    """An open bundle: its numbers are rounded, and some are hidden."""

    header: Document
    shown: Mapping[str, Any]
    rule: SmallNumbers

    @property
    def site(self) -> str:
        return str(self.header["site"])

    def range_of(self, name: str) -> Range:
        text = self.shown[name]
        if text == "*":
            return Range(1, None)
        return Range(*self.rule.possible(int(text)))

    def expedited(self, truth: str) -> Range:
        """Of the cases of this truth."""
        others = _sum([self.range_of(f"all/{level}/{truth}") for level in _OTHERS])
        total = self.range_of(f"all/total/{truth}")
        return self.range_of(f"all/expedite/{truth}").and_also(total.without(others))

    def waiting(self, truth: str) -> Range:
        """Standard or not assessed."""
        others = _sum([self.range_of(f"all/{level}/{truth}") for level in _OTHERS])
        total = self.range_of(f"all/total/{truth}")
        return others.and_also(total.without(self.range_of(f"all/expedite/{truth}")))


_OTHERS = ("standard", "not_assessed")


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A bundle that is part of the pool."""

    site: str
    sha256: str
    number: int
    audience: str


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """All that a pooled result is computed from."""

    protocol: Protocol
    look: int
    exact: tuple[SiteSums, ...]
    shown: tuple[ShownSite, ...]
    files: tuple[SharedFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Sites of the protocol of which nothing is in the pool."""
        there = {file.site for file in self.files}
        return tuple(s["ods"] for s in self.protocol.document["site"] if s["ods"] not in there)

    @property
    def stopped_early(self) -> tuple[str, ...]:
        """Sites whose last month is before that of most of the others."""
        last = sorted(sums.origin.last_month for sums in self.exact)
        usual = last[len(last) // 2] if last else ""
        return tuple(s.origin.site for s in self.exact if s.origin.last_month < usual)

    @property
    def unblinded(self) -> tuple[str, ...]:
        """Sites whose flags were opened before a reference was locked."""
        exact = [sums.origin.site for sums in self.exact if sums.origin.opened_early]
        return tuple(sorted(exact + [s.site for s in self.shown if s.header["opened_early"]]))


def corrected(sites: Sites) -> tuple[str, ...]:
    """Sites that locked another reference after the one that opened their flags."""
    exact = [sums.origin.site for sums in sites.exact if sums.origin.locks > 1]
    return tuple(sorted(exact + [s.site for s in sites.shown if s.header["locks"] > 1]))


def share_bounds(exact: Share, ranges: list[tuple[Range, Range]]) -> tuple[float, float] | None:
    """The least and the greatest share, where sites with ranges of hits and of others join those
    with exact counts; ``None`` where there is no case for certain."""
    most = [(hits.most, others.most) for hits, others in ranges]
    least = [(hits.least, others.least) for hits, others in ranges]
    low = _ratio(exact, [(h, o) for (h, _), (_, o) in zip(least, most, strict=True)])
    high = _ratio(exact, [(h, o) for (h, _), (_, o) in zip(most, least, strict=True)])
    return None if low is None or high is None else (low, high)


def _ratio(exact: Share, parts: list[tuple[int | None, int | None]]) -> float | None:
    """Hits by hits and others; without an end the share goes to the side that has none."""
    if any(others is None for _, others in parts):
        return 0.0
    if any(hits is None for hits, _ in parts):
        return 1.0
    hits = exact.hits + sum(hits for hits, _ in parts if hits is not None)
    cases = exact.cases + sum((h or 0) + (o or 0) for h, o in parts)
    return hits / cases if cases else None
