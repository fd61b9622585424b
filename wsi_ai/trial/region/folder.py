"""The folder of a pool: what came, kept so that every result can be computed again from it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.core import files
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json
from wsi_ai.trial.bundle import Bundle, exact_sums, with_all_levels
from wsi_ai.trial.intake import Door, Intake, LeftOut
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.region.sites import SharedFile, ShownSite, Sites
from wsi_ai.trial.sums import SiteSums, of_document, to_document

SCHEMA, FILE = "trial-pooled-1", "pooled.json"


def sites_of(intake: Intake, door: Door, region_key: bytes | None) -> Sites:
    """A controlled bundle that does not open is left out, and named by its site."""
    exact, shown, came, left_out = [], [], [], list(intake.left_out)
    for bundle in intake.accepted:
        header = {k: v for k, v in bundle.document.items() if k not in ("open", "sealed")}
        try:
            if bundle.shown is not None:
                shown.append(ShownSite(header, bundle.shown, door.protocol.small_numbers))
            else:
                exact.append(with_all_levels(_opened(bundle, region_key), door.protocol))
        except TrialError as error:
            left_out.append(LeftOut(bundle.site, str(error)))
        else:
            made = (bundle.site, bundle.sha256, bundle.number, str(header["audience"]))
            came.append(SharedFile(*made))
    return Sites(door.protocol, door.look, tuple(exact), tuple(shown), tuple(came), tuple(left_out))


def _opened(bundle: Bundle, region_key: bytes | None) -> SiteSums:
    if region_key is None:
        raise TrialError("it has exact counts, and there is no key to read them: --unseal-key")
    return exact_sums(bundle, region_key)


def save(sites: Sites, folder: Path) -> None:
    """For its owner alone.  Raises OutputError."""
    document = {
        "schema": SCHEMA,
        "protocol": sites.protocol.document,
        "look": sites.look,
        "exact": [to_document(sums) for sums in sites.exact],
        "shown": [{"header": site.header, "open": site.shown} for site in sites.shown],
        "files": [asdict(file) for file in sites.files],
        "left_out": [asdict(left) for left in sites.left_out],
    }
    write_private(folder / FILE, json.dumps(document, indent=1).encode() + b"\n")


def load(folder: Path) -> Sites:
    """Raises TrialError."""
    table = _table(folder / FILE)
    protocol = Protocol(table["protocol"])
    rule = protocol.small_numbers
    return Sites(
        protocol,
        table["look"],
        tuple(of_document(sums) for sums in table["exact"]),
        tuple(ShownSite(site["header"], site["open"], rule) for site in table["shown"]),
        tuple(SharedFile(**file) for file in table["files"]),
        tuple(LeftOut(**left) for left in table["left_out"]),
    )


def pooled_before(folder: Path) -> dict[str, int]:
    """The number of each site's bundle in the pool that is there; empty without one."""
    if not (folder / FILE).exists():
        return {}
    return {file.site: file.number for file in load(folder).files}


def write_private(place: Path, content: bytes) -> None:
    """Whole, or not at all.  Raises OutputError."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write_private(place, content)
    except OSError as error:
        raise OutputError(f"{place.name} cannot be written: {error.strerror}") from None


def _table(place: Path) -> dict[str, Any]:
    try:
        table = from_json(content_of(place, TABLE_BYTES))
    except OSError:
        raise TrialError("there is no pooled result in this folder: trial pool makes it") from None
    except Unreadable as error:
        raise TrialError(f"{FILE} {error}") from None
    if wrong := schemas.complaint(SCHEMA, table):
        raise TrialError(f"{FILE}: {wrong}")
    found: dict[str, Any] = table
    return found
