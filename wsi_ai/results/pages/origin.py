"""What was not assessed of a slide, and where its answer comes from: the end of a report."""

from collections.abc import Iterator, Mapping
from typing import Any

from wsi_ai.core.flags import Flag, Level
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.pages.page import score


def unseen(assessment: Assessment, record: Mapping[str, Any]) -> Iterator[str]:
    """What was not assessed, and why."""
    flag, heatmap = assessment.flag, assessment.heatmap
    if why := not_sent(record, flag.level.value):
        yield f"This flag was not sent: {why}."
    if flag.level is Level.NOT_ASSESSED:
        yield f"The slide has no answer: {flag.reason}."
    if assessment.look is None:
        yield "Nothing of the slide was looked at, so there is no picture of it."
        return
    if heatmap is None:
        yield "The model was not run on this slide."
        return
    cells, missed = flag.model.cell_name, int(heatmap.missed.sum())
    limited = flag.extensions.get("limited")
    if limited:
        yield f"The run was asked to look at less than all tissue: {limited}."
    if missed:
        why = "were not looked at, " if limited else ""
        yield (
            f"{missed:,} of {flag.planned:,} {cells}s {why}could not be read or gave no number:"
            " grey in the picture, and counted as positive before the rule says standard."
        )
    else:
        yield f"All of the {flag.planned:,} {cells}s of tissue that were planned have a score."
    yield (
        f"What lies outside the blue line was taken for glass: {cells}s without any tissue were not"
        " looked at by the model."
    )
    yield from _doubts(flag)


def not_sent(record: Mapping[str, Any], level: str) -> str:
    """Why not, as far as run.json knows; empty where it was, or nothing is sent from here."""
    if record.get("held_back"):
        return str(record["held_back"])
    if record.get("failed") and level != Level.NOT_ASSESSED:
        return "it could not be kept for sending; the same command tries again"
    return ""


def _doubts(flag: Flag) -> Iterator[str]:
    slide = flag.slide
    if slide.scale_doubt:
        yield f"The file's own scale cannot be: {slide.scale_doubt}."
    if slide.stated is not None and slide.spacing is not None and slide.stated != slide.spacing:
        yield (
            f"{slide.spacing.mean_um:.4g} µm/px was used as given; the file says"
            f" {slide.stated.mean_um:.4g}."
        )
    if slide.image:
        yield f"The file holds several images; this one was chosen: {slide.image}."


def provenance(
    flag: Flag, body: Mapping[str, Any], record: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    slide, ref, size = flag.slide, flag.model.ref, flag.slide.size
    yield "Flag", f"{body['flag_id']}, revision {body['revision']}"
    yield "Issued", body["timestamps"]["issued"]
    yield "Slide's bytes, SHA-256", slide.fingerprint
    if size.width:
        spacing = f"{slide.spacing.mean_um:.4g} µm/px" if slide.spacing else "scale unknown"
        yield "Slide", f"{size.width:,} × {size.height:,} px, {spacing}, {_scanner(flag)}"
    yield "Model", f"{ref.name} {ref.version}, weights {ref.sha256}"
    yield "Made for", flag.model.intended_use or "the model's card does not say"
    yield "Threshold", f"{score(flag.threshold)}; chosen for: {flag.model.point.chosen_for}"
    yield "Calibrated on", flag.model.point.calibrated_on
    yield "Policy", f"{flag.policy}{_rule_words(record)}"
    yield "Run by", f"{record['software']}, {record['runtime']}"
    yield "Question, SHA-256", record["question"]


def _scanner(flag: Flag) -> str:
    return flag.slide.scanner or f"format {flag.slide.vendor}"


def _rule_words(record: Mapping[str, Any]) -> str:
    rule = record["asked"].get("policy", {}).get("triage", {}).get("rule", "")
    return f": {rule}" if rule else ""
