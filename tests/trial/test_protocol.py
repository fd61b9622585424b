"""A protocol is one thing, whoever wrote it down, and an edit is found."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from tests.trial.protocols import SHA, SITES, document, key_pair
from wsi_ai.errors import TrialError
from wsi_ai.trial.documents import Kind, digest, sign, verified
from wsi_ai.trial.protocol import Protocol, differences, load_protocol, remarks

PRIVATE, PUBLIC = key_pair()


def test_comments_and_the_order_of_fields_change_no_digest(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text(tomlkit.dumps(document()))
    turned = dict(sorted(document().items(), key=lambda item: isinstance(item[1], dict | list)))
    other.write_text("# as agreed in December\n" + tomlkit.dumps(turned))
    assert load_protocol(one).sha256 == load_protocol(other).sha256 == Protocol(document()).sha256


def spoil(*path: str | int, value: Any) -> dict[str, Any]:
    made = document()
    at: Any = made
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("primary", "goal"), 0.85),
        (("index_test", "weights_sha256"), "cd" * 32),
        (("site", 4, "ods"), "RVV"),
        (("version",), 2),
    ],
)
def test_an_edit_is_another_protocol_and_the_field_is_named(
    path: tuple[str | int, ...], value: Any
) -> None:
    edited = spoil(*path, value=value)
    assert digest(edited) != digest(document())
    assert differences(document(), edited) == (".".join(map(str, path)),)
    assert differences(document(), document()) == ()


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        (spoil("closes", value="2027-01-04"), "closes"),
        (spoil("primary", "expected", value=0.9), r"primary\.expected"),
        (spoil("primary", "alpha", value=0.0), r"primary\.alpha"),
        (spoil("sharing", value={"audience": "controlled"}), r"sharing\.agreement"),
        (spoil("sharing", value={"audience": "open", "least": 5}), r"sharing\.least"),
        (spoil("sharing", value={"audience": "open", "round": 100}), r"sharing\.round"),
        (spoil("site", 1, "ods", value="RXX"), r"site\.ods"),
        (spoil("site", value=document()["site"][:4]), r"secure_sum"),
        (spoil("subgroup", 0, "reference_level", value="other"), "reference_level"),
        (spoil("subgroup", 0, "expected_shares", value=[0.9, 0.3]), "expected_shares"),
        (spoil("look", value=[{"at_cases": 9}, {"at_cases": 9}]), r"look\.at_cases"),
        (spoil("index_test", "weights_sha256", value=SHA[:-1]), "weights_sha256"),
        (spoil("sponsors", value="x"), "no such field"),
        ({}, "required"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused_by_its_field(
    edited: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrialError, match=message):
        Protocol(edited)


def test_what_a_statistician_would_say_stands_before_the_signature() -> None:
    """The figures of the specification."""
    text = "\n".join(remarks(Protocol(document())))
    assert "needed: 255 cases with condition for 80% power at 0.95" in text
    assert "|Z| 2.797, 1.977" in text
    assert 'expects 5 cases with the condition in "mixed"' in text
    assert "too few" not in text
    small = "\n".join(remarks(Protocol(spoil("size", "with_condition", value=200))))
    assert "too few: size.with_condition is 200" in small


def test_what_was_signed_is_what_is_read() -> None:
    envelope = sign(document(), Kind.PROTOCOL, PRIVATE)
    assert verified(envelope, Kind.PROTOCOL, [key_pair()[1], PUBLIC]) == document()


def change_payload(envelope: bytes) -> bytes:
    made = json.loads(envelope)
    payload = base64.b64decode(made["payload"]).replace(b"0.9,", b"0.8,", 1)
    return json.dumps({**made, "payload": base64.b64encode(payload).decode()}).encode()


@pytest.mark.parametrize(
    "change",
    [
        change_payload,
        lambda e: e[:-40],
        lambda e: b"{}",
        lambda e: b"[]",
        lambda e: b'{"payload": 3, "payloadType": "x", "signatures": []}',
        lambda e: json.dumps({**json.loads(e), "signatures": []}).encode(),
        lambda e: json.dumps({**json.loads(e), "signatures": 5}).encode(),
        lambda e: json.dumps({**json.loads(e), "signatures": [{"sig": "!"}]}).encode(),
        lambda e: sign(document(), Kind.PROTOCOL, key_pair()[0]),
        lambda e: sign(document(), Kind.LOCK, PRIVATE),
    ],
)
def test_what_was_changed_or_signed_by_another_key_is_refused(
    change: Callable[[bytes], bytes],
) -> None:
    envelope = sign(document(), Kind.PROTOCOL, PRIVATE)
    with pytest.raises(TrialError):
        verified(change(envelope), Kind.PROTOCOL, [PUBLIC])


def test_without_a_key_nothing_is_believed() -> None:
    with pytest.raises(TrialError):
        verified(sign(document(), Kind.PROTOCOL, PRIVATE), Kind.PROTOCOL, [])


def test_a_signed_text_that_is_not_the_canonical_one_is_refused() -> None:
    """The same document by another text would have another digest of its bytes."""
    envelope = Envelope(json.dumps(document()).encode(), Kind.PROTOCOL.value, {})
    envelope.sign(CryptoSigner(load_pem_private_key(PRIVATE, None)))
    with pytest.raises(TrialError, match="canonical"):
        verified(json.dumps(envelope.to_dict()).encode(), Kind.PROTOCOL, [PUBLIC])


def test_a_field_differs_where_the_digest_does() -> None:
    assert differences({"a": 1}, {"a": 1.0}) == ()
    assert digest({"a": 1}) == digest({"a": 1.0})
    assert differences({"a": 1}, {"a": True}) == ("a",)
    assert differences({"a": [1]}, {"a": [1, 2], "b": 0}) == ("a", "b")


def test_keys_of_another_kind_are_refused() -> None:
    private, public = key_pair(ec.SECP384R1())
    with pytest.raises(TrialError, match="P-256"):
        sign(document(), Kind.PROTOCOL, private)
    for wrong in (public, b"no key", PRIVATE):
        with pytest.raises(TrialError, match="key"):
            verified(sign(document(), Kind.PROTOCOL, PRIVATE), Kind.PROTOCOL, [wrong])
    with pytest.raises(TrialError, match="private key"):
        sign(document(), Kind.PROTOCOL, PUBLIC)


def test_a_number_without_a_canonical_form_is_refused() -> None:
    with pytest.raises(TrialError, match="too large"):
        digest({"n": 2**60})


def test_a_site_is_of_the_trial_or_it_is_not() -> None:
    assert Protocol(document()).site(SITES[2])["ods"] == SITES[2]
    with pytest.raises(TrialError, match="RAA is not a site"):
        Protocol(document()).site("RAA")
