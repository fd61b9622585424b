"""A site's results, all of them: what results.json says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from wsi_ai.core.software import software
from wsi_ai.trial.analysis.accuracy import (
    Found,
    Rules,
    accuracy,
    agreement,
    difference_result,
    indeterminate_ways,
    missing_reference,
    not_assessed,
    primary_result,
    table_of,
    two_sided,
    verification,
)
from wsi_ai.trial.analysis.comparison import comparisons, sensitivity_gain
from wsi_ai.trial.analysis.drift import drift
from wsi_ai.trial.analysis.equity import equity
from wsi_ai.trial.analysis.scores import scores
from wsi_ai.trial.analysis.summing import Analysis
from wsi_ai.trial.events import events
from wsi_ai.trial.evidence.estimates import Estimate
from wsi_ai.trial.evidence.shares import Share, clopper_pearson
from wsi_ai.trial.join import WhyNot
from wsi_ai.trial.opened import Standing
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealing import LOCKED, UNSEALED

SCHEMA = "trial-results-1"


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What an analysis starts from."""

    protocol: Protocol
    site: str
    ledger: Sequence[Mapping[str, Any]]
    standing: Standing
    analyses: Sequence[Analysis]
    """Of every reference that was locked; the last one holds."""
    comparators: Mapping[str, Analysis] = field(default_factory=dict)
    """By name; of the last reference."""

    @property
    def look(self) -> int:
        """Flags are opened once, at the end."""
        return max(1, len(self.protocol.document.get("look", ())))

    @property
    def locks(self) -> list[Mapping[str, Any]]:
        return [line for line in self.ledger if line["what"] == LOCKED]

    @property
    def opened_early(self) -> bool:
        """A reference was locked, or locked anew, after flags had been read."""
        whats = [line["what"] for line in self.ledger]
        return UNSEALED in whats and LOCKED in whats[whats.index(UNSEALED) :]

    @property
    def rules(self) -> Rules:
        """The seed of all draws is the protocol's."""
        return Rules(self.protocol.small_numbers.least, int(self.protocol.sha256[:12], 16))


def results(opened: Opened) -> Found:
    """No number that is not one: what cannot be estimated is ``null``, with the reason."""
    last, rules = opened.analyses[-1], opened.rules
    document, table = opened.protocol.document, last.primary
    moved = drift(last.slides, last.eligible)
    return {
        "schema": SCHEMA,
        "notes": notes(opened),
        "trial_id": document["trial_id"],
        "protocol_sha256": opened.protocol.sha256,
        "site": opened.site,
        "software": software(),
        "locks": [_lock(line) for line in opened.locks],
        "flow": _flow(opened),
        "primary": _primary(opened, last),
        "flags": asdict(table_of(last.eligible)),
        "not_assessed": not_assessed(last.eligible, rules),
        "accuracy": accuracy(table, rules),
        "comparisons": comparisons(last, opened.comparators, rules),
        "missing_reference": missing_reference(table_of(last.eligible), rules),
        "verification": verification(table_of(last.eligible)),
        "indeterminate": indeterminate_ways(last.eligible, rules),
        "scores": scores(table, document),
        "equity": equity(table, document, rules),
        "agreement": agreement(last.eligible),
        "drift": moved,
        "times": _times(last),
        "stop": {**_stop(last, document), **_stop_for_drift(moved, document)},
        "events": events(opened.ledger),
        "before_correction": [_primary(opened, earlier) for earlier in opened.analyses[:-1]],
    }


def _primary(opened: Opened, analysis: Analysis) -> Found:
    """The one question that was asked before."""
    document, rules, look = opened.protocol.document, opened.rules, opened.look
    if document["primary"]["measure"] != "difference":
        return primary_result(analysis.primary, document, rules, look)
    gain = sensitivity_gain(analysis, opened.comparators, rules, two_sided(document, look))
    return difference_result(gain, document, look)


def notes(opened: Opened) -> list[str]:
    """What a reader has to know before any number; the first lines of every report."""
    last, found = opened.analyses[-1], []
    seen = sum(one.joined.why_not is WhyNot.SAW_FLAG for one in last.cases)
    off = sum(one.joined.why_not is WhyNot.OFF_PROTOCOL for one in last.cases)
    lock = opened.locks[-1]
    if opened.opened_early:
        found.append("UNBLINDED: a reference was locked after flags had been read")
    if seen:
        found.append(
            f"UNBLINDED: in {seen} cases a reader of the reference saw the flag, or may have; they"
            " are no part of the primary result"
        )
    if lock.get("incomplete"):
        found.append(
            f"INCOMPLETE: {lock['missing']} of {lock['cases']} cases have no reference, more than"
            " the protocol allows"
        )
    if len(opened.locks) > 1:
        found.append(f"CORRECTED: the reference was locked {len(opened.locks)} times")
    if off:
        found.append(f"{off} cases were judged off the protocol and are no part of the result")
    return found


def _lock(line: Mapping[str, Any]) -> Found:
    names = ("time", "reference_sha256", "reason", "incomplete", "cases", "missing")
    return {name: line.get(name) for name in names}


def _flow(opened: Opened) -> Found:
    last = opened.analyses[-1]
    why = Counter(one.joined.why_not for one in last.cases)
    fields = Counter(field for slide in last.slides for field in slide.off_protocol)
    return {
        "slides": len(last.slides),
        "slides_superseded": opened.standing.superseded,
        "slides_of_no_case": opened.standing.of_no_case,
        "slides_failed": sum(bool(slide.reason) for slide in last.slides),
        "cases": len(last.cases),
        "never_ran": sum(one.joined.never_ran for one in last.cases),
        "primary": why[None],
        **{reason.name.lower(): why[reason] for reason in WhyNot},
        "off_protocol_fields": dict(sorted(fields.items())),
    }


def _times(analysis: Analysis) -> Found:
    """Until a flag, on its run's clock; until a report, where its times are in order."""
    flags = [s.to_flag_s for s in analysis.slides if s.to_flag_s is not None]
    known = [one.reference for one in analysis.eligible if one.reference is not None]
    hours = [
        (one.reported - one.received).total_seconds() / 3600
        for one in known
        if one.received is not None and one.reported is not None and one.times_in_order
    ]
    return {
        "to_flag_s": _spread(flags),
        "to_report_h": _spread(hours),
        "out_of_order": sum(not one.times_in_order for one in known),
    }


def _spread(values: Sequence[float]) -> Found:
    if not values:
        return {"number": 0, "median": None, "p90": None}
    middle, most = np.quantile(values, [0.5, 0.9])
    return {"number": len(values), "median": float(middle), "p90": float(most)}


def _stop(analysis: Analysis, protocol: Mapping[str, Any]) -> Found:
    """What the protocol stops for; Clopper and Pearson's lower bound is above it."""
    asked, table = protocol.get("stop", {}), analysis.primary
    ill = table.truth
    missed = Share(int((ill & ~table.expedited).sum()), int(ill.sum()))
    failed = Share(int(table.failed.sum()), len(table.cases))
    found: Found = {}
    for name, share in (("miss_rate_over", missed), ("not_assessed_over", failed)):
        if name in asked:
            bound = clopper_pearson(share)
            over = bound.low > asked[name] if isinstance(bound, Estimate) else None
            found[name] = {"limit": asked[name], **asdict(share), "stops": over}
    return found


def _stop_for_drift(found: Found, protocol: Mapping[str, Any]) -> Found:
    if not protocol.get("stop", {}).get("drift"):
        return {}
    charts = [chart.get("alarms", []) for chart in found.get("charts", {}).values()]
    alarm = found.get("misses", {}).get("alarm", False)
    return {"drift": {"stops": bool(alarm or any(charts))}}


def headline(found: Mapping[str, Any]) -> list[str]:
    """For a terminal: the notes, the answer, and what was not assessed, in the same breath."""
    primary, flow = found["primary"], found["flow"]
    value = _words(primary)
    not_assessed_share = _words(found["not_assessed"]["share"]["all"])
    met = {True: "met", False: "not met", None: "cannot be said"}[primary["met"]]
    return [
        *found["notes"],
        f"{flow['cases']} cases, {flow['primary']} in the primary result",
        f"{primary['measure']} ({primary['estimand']}): {value}; goal {primary['goal']}: {met};"
        f" not assessed: {not_assessed_share}",
    ]


def _words(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return f"not estimable, {estimate['why']}"
    value, low, high = (100 * estimate[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
