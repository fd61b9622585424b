"""Opening a site's flags, and writing what they are worth: results.json, sums.json, cases.csv."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsi_ai.core.files import write_private
from wsi_ai.core.flags import Level
from wsi_ai.errors import OutputError
from wsi_ai.schemas.reading import TABLE_BYTES
from wsi_ai.trial.analysis.cases import AnalysedCase, analysed
from wsi_ai.trial.analysis.results import Opened, results
from wsi_ai.trial.analysis.summing import Analysis, site_sums
from wsi_ai.trial.locking import locks, reference_at, unseal_key
from wsi_ai.trial.opened import OpenedSlide, open_records, standing
from wsi_ai.trial.patients import Patient, load_patients
from wsi_ai.trial.reference import ReferenceTable, parse_reference
from wsi_ai.trial.sealed_run import INDEX_TEST
from wsi_ai.trial.sealing import SEALED, entries, head_at_lock
from wsi_ai.trial.site_folder import SiteFolder, content_of
from wsi_ai.trial.sums import Origin, SiteSums, to_document


def analyse(folder: SiteFolder, released: bytes, patients: Path | None = None) -> dict[str, Any]:
    """The results, which are also written, for the site's own eyes.

    Raises TrialError where the key, a sealed record or a reference is not what it should be;
    OutputError where the disk refuses.
    """
    opened = open_site(folder, released, load_patients(patients) if patients else {})
    found = {**results(opened), "patients_sha256": _sha256(patients) if patients else None}
    _write(folder.path / "results.json", _json(found))
    _write(folder.path / "sums.json", _json(to_document(sums_of(folder, opened))))
    _write(folder.path / "cases.csv", _cases(opened.analyses[-1].cases))
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(content_of(path, TABLE_BYTES)).hexdigest()


def open_site(folder: SiteFolder, released: bytes, patients: Mapping[str, Patient]) -> Opened:
    """Everything that is known now, of every reference that was locked.  Raises TrialError."""
    key, number = unseal_key(folder, released), len(locks(folder))
    document = folder.protocol.document
    contents = [reference_at(folder, n) for n in range(1, number + 1)]
    records = open_records(folder.trial, contents[-1], key)
    held = standing([record for record in records if record.role == INDEX_TEST])
    tables = [parse_reference(content, document["target"]) for content in contents]

    def analysis(slides: Sequence[OpenedSlide], table: ReferenceTable) -> Analysis:
        return Analysis(analysed(slides, table.cases, patients, document), tuple(slides))

    others = {
        name: analysis(standing(some).slides, tables[-1])
        for name, some in _comparators(records).items()
    }
    return Opened(
        protocol=folder.protocol,
        site=folder.trial.site,
        ledger=entries(folder.trial),
        standing=held,
        analyses=[analysis(held.slides, table) for table in tables],
        comparators=others,
    )


def _comparators(records: Sequence[OpenedSlide]) -> dict[str, list[OpenedSlide]]:
    """By their names."""
    found: dict[str, list[OpenedSlide]] = {}
    for record in records:
        if record.role != INDEX_TEST:
            found.setdefault(record.model, []).append(record)
    return found


def sums_of(folder: SiteFolder, opened: Opened) -> SiteSums:
    """The same however often it is made.  Raises TrialError."""
    head = head_at_lock(folder.trial)
    months = sorted(line["time"][:7] for line in opened.ledger if line["what"] == SEALED)
    origin = Origin(
        protocol_sha256=opened.protocol.sha256,
        lock_sha256=opened.locks[-1]["reference_sha256"],
        locks=len(opened.locks),
        site=opened.site,
        look=opened.look,
        first_month=months[0],
        last_month=months[-1],
        ledger_lines=head.lines,
        ledger_sha256=head.sha256,
        opened_early=opened.opened_early,
    )
    return site_sums(opened.analyses[-1], origin, opened.protocol.document)


def _json(found: Mapping[str, Any]) -> bytes:
    """A value that is no number cannot be written."""
    return (json.dumps(found, indent=1, allow_nan=False) + "\n").encode()


def _cases(cases: Sequence[AnalysedCase]) -> bytes:
    rows = [_row(one) for one in cases]
    made = io.StringIO()
    writer = csv.DictWriter(made, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return made.getvalue().encode()


def _row(one: AnalysedCase) -> dict[str, Any]:
    joined, answer = one.joined, one.joined.answer
    return {
        "trust": joined.identity.trust,
        "issuer": joined.identity.issuer,
        "accession": joined.identity.accession,
        "patient": joined.patient or "",
        "level": answer.level.value,
        "score": "" if answer.score is None or answer.level is Level.NOT_ASSESSED else answer.score,
        "slides": answer.slides,
        "slides_not_assessed": answer.slides_not_assessed,
        "reason": one.reason,
        "truth": joined.truth.value,
        "in_primary": "yes" if one.counts else "no",
        "why_not": joined.why_not.value if joined.why_not else "",
        **one.levels,
    }


def _write(path: Path, content: bytes) -> None:
    """For its owner alone."""
    try:
        write_private(path, content)
    except OSError as error:
        raise OutputError(f"{path.name} cannot be written: {error.strerror}") from None
