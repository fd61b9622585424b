"""What leaves a site is whole, its own, new, and says no more than it may."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tests.trial.regions import Region
from tests.trial.sums import DIGEST, drawn_sums, origin
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import (
    Audience,
    Bundle,
    Running,
    controlled_bundle,
    exact_sums,
    open_bundle,
    signed_document,
    with_all_levels,
)
from wsi_ai.trial.documents import canonical
from wsi_ai.trial.intake import take_in
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.release import RELEASED, release
from wsi_ai.trial.sealing import Trial, entries
from wsi_ai.trial.sums import to_document


@pytest.fixture(scope="module")
def region() -> Region:
    return Region()


def trial_of(region: Region, folder: Path) -> Trial:
    audit = Audit(folder / "ledger.jsonl", lambda: "2027-04-01T09:00:00Z")
    return Trial(folder, region.protocol.sha256, "RAA", audit)


def taken(region: Region, content: bytes) -> Bundle:
    intake = take_in({"RAA.dsse": content}, region.door())
    assert not intake.left_out, intake.left_out
    return intake.accepted[0]


def test_the_region_reads_the_exact_sums_and_nobody_else_does(region: Region) -> None:
    bundle = taken(region, region.bundle("RAA"))
    assert exact_sums(bundle, region.key.private_bytes_raw()) == with_all_levels(
        region.sums("RAA"), region.protocol
    )
    assert "with_condition" not in json.dumps(bundle.document)
    with pytest.raises(TrialError, match="another key"):
        exact_sums(bundle, bytes(range(32)))


def test_encrypted_counts_are_bound_to_what_stands_beside_them(region: Region) -> None:
    """A site's own counts of another look or lock, put into a new bundle."""
    made = controlled_bundle(region.sums("RAA"), region.protocol, Running(1))
    for field, value in (("lock_sha256", DIGEST), ("number", 2), ("opened_early", True)):
        changed = {**made, field: value, "previous": DIGEST if field == "number" else None}
        bundle = taken(region, region.signed(changed, "RAA"))
        with pytest.raises(TrialError, match="another bundle"):
            exact_sums(bundle, region.key.private_bytes_raw())


def test_exact_counts_do_not_leave_without_an_agreement(region: Region) -> None:
    named = {**region.protocol.document["sharing"], "audience": "open"}
    for sharing in ({"audience": "open"}, named):
        without = Protocol({**region.protocol.document, "sharing": sharing})
        sums = drawn_sums(1, origin("RAA", without.sha256), levels=("white", "mixed"))
        with pytest.raises(TrialError, match="no agreement"):
            controlled_bundle(sums, without, Running(1))
        assert open_bundle(sums, without, Running(1))["audience"] == "open"


def test_a_site_cannot_send_counts_of_another_analysis_than_it_says(region: Region) -> None:
    """Its own of another look, encrypted anew to a new header."""
    said = controlled_bundle(region.sums("RAA", look=1), region.protocol, Running(1))
    header = {name: value for name, value in said.items() if name != "sealed"}
    other = canonical(to_document(with_all_levels(region.sums("RAA", look=2), region.protocol)))
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    sealed = suite.encrypt(other, region.key.public_key(), canonical(header)).hex()
    bundle = taken(region, region.signed({**header, "sealed": sealed}, "RAA"))
    with pytest.raises(TrialError, match="another analysis"):
        exact_sums(bundle, region.key.private_bytes_raw())


def test_an_open_bundle_has_no_score_month_scanner_or_exact_count(region: Region) -> None:
    made = open_bundle(region.sums("RAA"), region.protocol, Running(1))
    text = json.dumps(made["open"])
    for word in ("aperio", "2027", "histogram", "variance", "months", "focus.score"):
        assert word not in text
    bundle = taken(region, region.bundle("RAA", make=open_bundle))
    assert bundle.shown is not None
    assert bundle.shown["all/total/total"].endswith(("0", "5"))


def test_only_looks_of_the_protocol_are_released(region: Region) -> None:
    with pytest.raises(TrialError, match="no such look"):
        open_bundle(region.sums("RAA", look=3), region.protocol, Running(1))


def test_an_analysis_of_another_protocol_site_or_subgroup_is_not_released(region: Region) -> None:
    sums = region.sums("RAA")
    other = [
        (replace(sums, origin=replace(sums.origin, protocol_sha256=DIGEST)), "another protocol"),
        (replace(sums, origin=replace(sums.origin, site="RZZZ")), "not a site"),
        (replace(sums, subgroups=()), "other subgroups"),
    ]
    for wrong, message in other:
        with pytest.raises(TrialError, match=message):
            open_bundle(wrong, region.protocol, Running(1))


def test_bundles_of_a_site_are_numbered_in_its_ledger_and_name_the_one_before(
    region: Region, tmp_path: Path
) -> None:
    trial, sums = trial_of(region, tmp_path), region.sums("RAA")
    pem = region.pems["RAA"][0]
    first = release(trial, sums, region.protocol, Audience.CONTROLLED, pem)
    second = release(trial, sums, region.protocol, Audience.CONTROLLED, pem)
    lines = [line for line in entries(trial) if line["what"] == RELEASED]
    assert signed_document(second, region.public)["previous"] == lines[0]["bundle_sha256"]
    intake = take_in({"1": first, "2": second}, region.door())
    assert [b.number for b in intake.accepted] == [2]
    assert [left.name for left in intake.left_out] == ["1"]


def test_two_open_bundles_of_different_cases_are_refused(region: Region, tmp_path: Path) -> None:
    """Differencing in time: what neither of them tells, their difference does."""
    trial, pem = trial_of(region, tmp_path), region.pems["RAA"][0]
    early, late = region.sums("RAA", cases=300), region.sums("RAA", look=2, cases=304)
    release(trial, late, region.protocol, Audience.CONTROLLED, pem)
    release(trial, early, region.protocol, Audience.OPEN, pem)
    release(trial, early, region.protocol, Audience.OPEN, pem)
    with pytest.raises(TrialError, match="difference"):
        release(trial, late, region.protocol, Audience.OPEN, pem)
    corrected = replace(early, origin=replace(early.origin, locks=2))
    with pytest.raises(TrialError, match="difference"):
        release(trial, corrected, region.protocol, Audience.OPEN, pem)


def test_a_bundle_that_does_not_leave_has_no_line_in_the_ledger(
    region: Region, tmp_path: Path
) -> None:
    trial = trial_of(region, tmp_path)
    with pytest.raises(TrialError):
        release(trial, region.sums("RAA"), region.protocol, Audience.OPEN, b"no key")
    assert entries(trial) == []
