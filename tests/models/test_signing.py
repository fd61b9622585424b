"""Signed models: every file counts, and only the keys that a site trusts."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.core.flags import Level
from wsi_ai.errors import ModelError, PolicyError
from wsi_ai.models import signing
from wsi_ai.models.approval import approved_model
from wsi_ai.models.signing import check_signature, sign
from wsi_ai.models.site import Site, load_site
from wsi_ai.models.store import ModelStore

pytest.importorskip("model_signing", reason="model-signing is not installed")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Private and public keys of two people, made as docs/models.md says."""
    place = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out"
        openssl(*make.split(), place / f"{name}.key")
        openssl("pkey", "-in", place / f"{name}.key", "-pubout", "-out", place / f"{name}.pem")
    return place


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> Path:
    model = write_model(tmp_path / "red", red_network(), mpp=1.0)
    (model / ".gitignore").write_text("x")
    sign(model, keys / "ours.key")
    return model


def test_a_signed_model_is_accepted_by_its_key_wherever_it_lies(
    signed: Path, keys: Path, tmp_path: Path
) -> None:
    assert check_signature(signed, [keys / "theirs.pem", keys / "ours.pem"]) == keys / "ours.pem"
    moved = shutil.copytree(signed, tmp_path / "elsewhere")
    check_signature(moved, [keys / "ours.pem"])
    entry = ModelStore(tmp_path / "store").add(signed)
    site = Site(tmp_path / "store", (keys,))
    assert approved_model(Path(str(entry)), site) == entry.folder


def change(name: str) -> Callable[[Path], object]:
    return lambda model: (model / name).write_bytes(b"changed")


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (change("weights.onnx"), "the model is not what was signed: weights.onnx was changed"),
        (change("model.toml"), "the model is not what was signed: model.toml was changed"),
        (change("golden.json"), "the model is not what was signed: golden.json was added"),
        (change(".gitignore"), "the model is not what was signed: .gitignore was changed"),
        (lambda m: (m / "model.toml").unlink(), "not what was signed: model.toml is missing"),
        (lambda m: (m / "model.sig").unlink(), "the model is not signed: it has no model.sig"),
        (change("model.sig"), "model.sig cannot be read; sign the model again"),
    ],
)
def test_a_model_that_is_not_what_was_signed_is_refused(
    signed: Path, keys: Path, tamper: Callable[[Path], object], told: str
) -> None:
    tamper(signed)
    with pytest.raises(ModelError) as refused:
        check_signature(signed, [keys / "ours.pem"])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_signature_that_was_edited_fits_no_key(signed: Path, keys: Path) -> None:
    """As someone would who changes the weights and writes their digest into the signature."""
    path = signed / "model.sig"
    bundle = json.loads(path.read_text())
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:-8] + "AAAA" + payload[-4:]
    path.write_text(json.dumps(bundle))
    with pytest.raises(ModelError, match=r"model\.sig was changed: it fits no key"):
        check_signature(signed, [keys / "ours.pem"])


def test_a_model_signed_by_another_key_is_refused(signed: Path, keys: Path) -> None:
    with pytest.raises(ModelError, match=r"signed by another key, not by theirs\.pem"):
        check_signature(signed, [keys / "theirs.pem"])
    with pytest.raises(ModelError, match="no trusted key is there"):
        check_signature(signed, [])


@pytest.mark.parametrize("name", ["none.pem", "ours.key", "text.pem"])
def test_what_is_no_public_key_is_told(signed: Path, keys: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.pem").write_text("hello")
    place = keys if name == "ours.key" else tmp_path
    with pytest.raises(ModelError, match=rf"{name} is no public key"):
        check_signature(signed, [place / name])
    with pytest.raises(ModelError, match=r"text\.pem is no private key that signs"):
        sign(signed, tmp_path / "text.pem")


def test_a_run_refuses_an_unsigned_model_before_any_slide(
    signed: Path, keys: Path, cmu: Path, tmp_path: Path
) -> None:
    trusting = RunOptions(trusted_keys=keys / "ours.pem")
    (outcome,) = run_slides([cmu], signed, tmp_path / "a", trusting)
    assert outcome.level is Level.EXPEDITE
    (signed / "model.sig").unlink()
    with pytest.raises(ModelError, match="the model is not signed"):
        next(run_slides([cmu], signed, tmp_path / "b", trusting))
    assert not list(tmp_path.glob("b/*/*"))


def test_the_sites_keys_hold_whatever_the_command_says(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text('[models]\nstore = "kept"\ntrusted_keys = "keys"\n')
    monkeypatch.setenv("WSI_AI_SITE", str(settings))
    monkeypatch.delenv("WSI_AI_MODELS", raising=False)
    monkeypatch.delenv("WSI_AI_TRUSTED_KEYS", raising=False)
    assert load_site() == Site(tmp_path / "kept", (tmp_path / "keys",))
    assert load_site(keys).trusted_keys == (tmp_path / "keys", keys)
    monkeypatch.setenv("WSI_AI_TRUSTED_KEYS", "/env")
    assert load_site().trusted_keys == (tmp_path / "keys", Path("/env"))
    assert load_site(keys).trusted_keys == (tmp_path / "keys", keys)
    settings.write_text('[models]\ntrusted = "keys"\n')
    with pytest.raises(PolicyError, match=r"site\.toml: models\.trusted: there is no such field"):
        load_site()
    monkeypatch.setenv("WSI_AI_SITE", str(tmp_path / "none.toml"))
    with pytest.raises(PolicyError, match="no site settings"):
        load_site()


@pytest.mark.parametrize("digest", [b"abc", b"a\"bc'"])
def test_of_what_was_changed_the_file_is_told_whatever_bytes_its_digest_has(digest: bytes) -> None:
    """As model-signing 1.1 says it: a list of messages, quoted by Python."""
    told = f"Hash mismatch for 'a.onnx': Expected 'Digest({digest!r})'"
    assert signing._error_line(ValueError(f"Signature mismatch: {[told]}")) == "a.onnx was changed"
