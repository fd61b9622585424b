"""Sites sum so that nobody sees a part, and no site gives itself away by two rounds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.trial.regions import Region
from tests.trial.sums import drawn_sums, origin
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import with_all_levels
from wsi_ai.trial.disclosure.site import system
from wsi_ai.trial.documents import Kind, sign, verified
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealing import Trial, entries
from wsi_ai.trial.sum_rounds import PART, add_parts, make_part, round_of
from wsi_ai.trial.sums import SiteSums

REGION = Region(sites=6)
KEYS = {name: X25519PrivateKey.generate() for name in REGION.names}


def asking(*, secure_sum: bool = True) -> Protocol:
    document = dict(REGION.protocol.document)
    document["sharing"] = {"audience": "open", "secure_sum": secure_sum}
    document["site"] = [
        {**site, "sum_public": KEYS[site["ods"]].public_key().public_bytes_raw().hex()}
        for site in document["site"]
    ]
    return Protocol(document)


PROTOCOL = asking()
SUMS = {
    name: drawn_sums(seed, origin(name, PROTOCOL.sha256, 2), cases=400, levels=("white", "mixed"))
    for seed, name in enumerate(REGION.names)
}


def part(folder: Path, site: str, sums: SiteSums | None = None, *without: str) -> bytes:
    place = folder / site
    place.mkdir(exist_ok=True)
    audit = Audit(place / "ledger.jsonl", lambda: "2027-07-01T09:00:00Z")
    trial = Trial(place, PROTOCOL.sha256, site, audit)
    keys = (KEYS[site].private_bytes_raw(), REGION.pems[site][0])
    return make_part(trial, sums or SUMS[site], PROTOCOL, without, keys)


def added(parts: Sequence[bytes], *without: str) -> dict[str, object]:
    found = add_parts(parts, PROTOCOL, REGION.public, without)
    return {name: entry.as_json() for name, entry in found.items()}


def test_the_sum_is_that_of_all_sites_through_the_door(tmp_path: Path) -> None:
    total = added([part(tmp_path, name) for name in REGION.names])
    whole = sum(system(with_all_levels(s, PROTOCOL)).overall for s in SUMS.values())
    assert isinstance(whole, np.ndarray)
    for k, level in enumerate(("expedite", "standard", "not_assessed")):
        for t, truth in enumerate(("with_condition", "without")):
            shown = total[f"all/{level}/{truth}"]
            assert shown == "*" or abs(int(str(shown)) - whole[k, t]) <= 2
    assert total["all/total/total"] != "*"


def test_a_part_alone_is_noise(tmp_path: Path) -> None:
    exact = {f"{int(n):016x}" for n in system(with_all_levels(SUMS["RAA"], PROTOCOL)).values}
    content = part(tmp_path, "RAA")
    numbers = verified(content, Kind.PART, REGION.public)["numbers"]
    assert not exact & set(numbers)
    assert len(set(numbers)) == len(numbers)


def test_without_a_site_the_sum_is_refused_and_the_others_hold_one_more_round(
    tmp_path: Path,
) -> None:
    five = REGION.names[:5]
    first = [part(tmp_path, name) for name in five]
    with pytest.raises(TrialError, match="new round without it"):
        added(first)
    dropped = REGION.names[5]
    second = [part(tmp_path, name, None, dropped) for name in five]
    assert added(second, dropped)["all/total/total"] != "*"
    with pytest.raises(TrialError, match="another round"):
        added([*second[:4], first[4]], dropped)


def test_no_third_round_is_held_for_two_would_differ_by_a_site(tmp_path: Path) -> None:
    part(tmp_path, "RAA")
    part(tmp_path, "RAA", None, "RAF")
    with pytest.raises(TrialError, match="other sites already"):
        part(tmp_path, "RAA", None, "RAE")
    with pytest.raises(TrialError, match="no round"):
        part(tmp_path, "RAA", None, "RAE", "RAF")


def test_a_second_vector_in_any_round_is_refused(tmp_path: Path) -> None:
    part(tmp_path, "RAA")
    part(tmp_path, "RAA")
    other = drawn_sums(99, SUMS["RAA"].origin, cases=401, levels=("white", "mixed"))
    for without in ((), ("RAF",)):
        with pytest.raises(TrialError, match="difference"):
            part(tmp_path, "RAA", other, *without)
    trial = Trial(tmp_path / "RAA", "", "", Audit(tmp_path / "RAA" / "ledger.jsonl", str))
    assert [line["what"] for line in entries(trial)] == [PART]


def test_a_part_that_is_forged_or_there_twice_is_refused(tmp_path: Path) -> None:
    parts = [part(tmp_path, name) for name in REGION.names]
    with pytest.raises(TrialError, match="two parts"):
        added([*parts, parts[0]])
    changed = parts[0].replace(b'"payload": "', b'"payload": "A')
    with pytest.raises(TrialError):
        added([changed, *parts[1:]])
    with pytest.raises(TrialError, match="known key"):
        add_parts(parts, PROTOCOL, REGION.public[1:], ())


def test_a_protocol_that_does_not_ask_gets_no_sum() -> None:
    with pytest.raises(TrialError, match="asks for no sum"):
        round_of(asking(secure_sum=False), 2)
    without = dict(PROTOCOL.document)
    without["site"] = [{k: v for k, v in s.items() if k != "sum_public"} for s in without["site"]]
    with pytest.raises(TrialError, match="no sum_public"):
        round_of(Protocol(without), 2)


def test_sums_of_another_look_or_protocol_are_not_sent(tmp_path: Path) -> None:
    sums = SUMS["RAA"]
    wrong = replace(sums, origin=replace(sums.origin, protocol_sha256="00" * 32))
    with pytest.raises(TrialError, match="another protocol"):
        part(tmp_path, "RAA", wrong)


def test_a_site_cannot_send_the_part_of_another(tmp_path: Path) -> None:
    parts = [part(tmp_path, name) for name in REGION.names]
    document = verified(parts[0], Kind.PART, REGION.public)
    forged = sign(document, Kind.PART, REGION.pems["RAB"][0])
    with pytest.raises(TrialError, match="known key"):
        added([forged, *parts[1:]])
