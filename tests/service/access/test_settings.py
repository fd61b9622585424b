"""``access.toml``: what is taken, and what is refused with the field's name."""

from pathlib import Path

import pytest

from wsi_ai.errors import InputError
from wsi_ai.service.access.settings import AccessSettings, load_access

LOGIN = '[login]\nissuer = "https://id.example"\nclient_id = "c"\n'


def loaded(folder: Path, text: str) -> AccessSettings:
    (folder / "access.toml").write_text(text)
    return load_access(folder / "access.toml")


def test_what_is_left_out_has_its_usual_value(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == AccessSettings()
    login = loaded(tmp_path, LOGIN + 'ca_file = "ca.pem"\n').login
    assert login is not None
    assert (login.scope, login.name_claim, login.rights_claims) == ("openid profile", "name", ())
    assert login.authority == tmp_path / "ca.pem"
    assert login.authentication == "client_secret_basic"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (LOGIN + 'client_secret = "swordfish"\n', "never given itself"),
        (LOGIN + 'private_key = "-----BEGIN swordfish"\n', "never given itself"),
        (LOGIN + 'secret = "file:x"\n', "login"),
        (LOGIN + 'client_secret = "file:a"\nprivate_key = "file:b"\n', "not both"),
        (LOGIN + 'scope = "profile"\n', "scope"),
        (LOGIN.replace("https://id.example", "http://id.example"), "https only"),
        (LOGIN.replace("https://id.example", "http://127.0.0.1.evil.example"), "https only"),
        (LOGIN.replace("https://id.example", "ldap://id.example"), "https only"),
        ('[login]\nissuer = "https://id.example"\n', "client_id"),
        ('[trusts.RXX]\nslides_below = ["scans"]\n', "below an absolute path"),
        ('[trusts.RXX]\nslides_below = ["/scans/../x"]\n', "below an absolute path"),
        ('[trusts."R X"]\n', "R X"),
        ('[trusts.RXX]\nslides = ["/scans"]\n', "slides"),
    ],
)
def test_what_cannot_be_is_refused_and_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(InputError, match=field) as refused:
        loaded(tmp_path, text)
    assert "swordfish" not in str(refused.value)


def test_a_provider_on_this_machine_may_do_without_tls(tmp_path: Path) -> None:
    for issuer in ("http://127.0.0.1:8080/realms/x", "http://localhost/x", "http://[::1]:80"):
        assert loaded(tmp_path, LOGIN.replace("https://id.example", issuer)).login is not None
