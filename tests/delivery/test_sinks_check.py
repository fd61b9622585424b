"""``wsi-ai sinks check``: a line for each sink, with everything right and with one thing wrong."""

import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.delivery.fhir_servers import fhir_engine
from tests.delivery.hl7_servers import Log, mllp_server
from tests.delivery.orthanc import LOGIN, orthanc
from tests.delivery.parts import KEY
from tests.delivery.servers import HOST, free_port, serving
from tests.delivery.test_mllp import server_context
from wsi_ai.cli import app
from wsi_ai.delivery.receiver.inbox import Inbox, open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.testing import SectraPacs, serving_pacs

TOKEN = "a-token"


def row(name: str, url: str, **more: object) -> str:
    lines = [f"{key} = {value!r}" for key, value in more.items()]
    return "\n".join(["[[sink]]", f"name = '{name}'", f"url = '{url}'", "trusts = ['RXX']", *lines])


def check(folder: Path, *rows: str) -> Result:
    path = folder / "sinks.toml"
    path.write_text("\n".join(rows))
    return CliRunner().invoke(app, ["sinks", "check", str(path)])


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with fhir_engine(TOKEN=TOKEN) as base:
        yield base


@pytest.fixture
def listener(authority: Path) -> Iterator[Log]:
    with mllp_server(context=server_context(authority)) as log:
        yield log


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = open_inbox(tmp_path / "inbox.db")
    yield inbox
    inbox.close()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "wrong").write_text("another")
    (tmp_path / "key").write_text(KEY)
    return tmp_path


def hl7_row(port: int, authority: Path, ca: str = "ca", **more: object) -> str:
    certificate = {"client_cert_file": str(authority / "client.pem"),
                   "client_key_file": str(authority / "client.key")}  # fmt: skip
    return row("engine", f"mllps://{HOST}:{port}", ca_file=str(authority / f"{ca}.pem"),
               **(certificate | more))  # fmt: skip


def test_all_that_work_say_so_with_their_versions(
    engine: str, listener: Log, inbox: Inbox, secrets: Path, authority: Path
) -> None:
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        flags = f"{base}/flags"
        done = check(
            secrets,
            row("lab", f"fhir+{engine}", bearer=f"file:{secrets}/token"),
            hl7_row(listener.port, authority),
            row("region", flags, signing_keys=[f"file:{secrets}/key"], read_back=flags),
            row("plain", flags, signing_keys=[f"file:{secrets}/key"]),
            row("share", f"file://{secrets}"),
        )
    assert done.exit_code == 0, done.output
    lab, engine_line, region, plain, share = done.stdout.splitlines()
    assert lab == "lab: works. FHIR 4.0.1, Medplum 5.2.13; Tasks can be read"
    assert engine_line.startswith("engine: works. MLLP: a connection was made (TLSv1.")
    assert region == "region: works. its list of flags can be read; it has 0"
    assert plain.startswith("plain: works. it answers (405 to OPTIONS)")
    assert share == "share: works. the folder can be written; it has 0 flags"
    assert listener.got == []
    assert inbox.arrivals() == []


def test_each_thing_that_is_wrong_is_said_in_a_line_and_the_others_are_still_looked_at(
    engine: str, listener: Log, secrets: Path, authority: Path
) -> None:
    root = engine.removesuffix("/fhir/R4")
    done = check(
        secrets,
        row("login", f"fhir+{engine}", bearer=f"file:{secrets}/wrong"),
        row("path", f"fhir+{root}/nowhere", bearer=f"file:{secrets}/token"),
        row("silent", f"fhir+http://{HOST}:{free_port()}"),
        hl7_row(listener.port, authority, "stranger"),
        row("secret", f"fhir+{engine}", bearer=f"file:{secrets}/none"),
        row("folder", f"file://{secrets}/none"),
        row("kind", "fax://0123"),
        row("beat", f"fhir+{engine}", heartbeat_s=60),
        row("flag", f"fhir+{engine}") + "\n[sink.fhir]\nflag = true",
        row("lab", f"fhir+{engine}", bearer=f"file:{secrets}/token"),
    )
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "login", "path", "silent", "engine", "secret", "folder", "kind", "beat", "flag", "lab"
    ]  # fmt: skip
    for line, why in zip(
        lines,
        ["answered 401", "answered 404", "nobody listens", "certificate is not trusted",
         "no secret", "no such folder", "nothing installed sends to fax", "takes no heartbeat",
         "our flags name no patient",
         "works. FHIR 4.0.1"],
        strict=True,
    ):  # fmt: skip
        assert why in line
    assert not [word for word in (TOKEN, "Error", "Traceback") if word in done.output]


def sectra_row(pacs: SectraPacs, name: str, secrets: Path, user: str = "", **more: object) -> str:
    oauth = (
        f"\n[sink.oauth]\nclient_id = '{user or pacs.user}'\nclient_secret = 'file:{secrets}/pass'"
    )
    return row(name, f"sectra+{pacs.url}", **more) + oauth


def test_a_pacs_says_its_version_and_what_is_wrong_with_it(secrets: Path, authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    ca = {"ca_file": str(authority / "ca.pem")}
    with (
        serving_pacs(SectraPacs(), context) as pacs,
        serving_pacs(SectraPacs(api_version="1.8")) as old,
    ):
        (secrets / "pass").write_text(pacs.password)
        elsewhere = replace(pacs, url=pacs.url.replace("/v1", "/v9"))
        done = check(
            secrets,
            sectra_row(pacs, "pacs", secrets, **ca),
            sectra_row(pacs, "user", secrets, user="nobody", **ca),
            sectra_row(elsewhere, "path", secrets, **ca),
            sectra_row(pacs, "certificate", secrets, ca_file=str(authority / "stranger.pem")),
            sectra_row(old, "version", secrets),
        )
    lines = done.stdout.splitlines()
    assert done.exit_code == 1
    assert lines[0] == ("pacs: works. image analysis API 1.10, server 4.2.0; a token was taken")
    for line, why in zip(
        lines[1:], ["server answered 401", "answered 404", "not trusted", "1.9 is needed"],
        strict=True,
    ):  # fmt: skip
        assert why in line
    assert pacs.password not in done.output


def test_an_archive_is_asked_for_studies_and_each_thing_that_is_wrong_is_said(
    secrets: Path, tmp_path: Path
) -> None:
    (secrets / "login").write_text(LOGIN)
    (secrets / "bad").write_text("wsiai:other")
    (secrets / "half").write_text("wsiai")
    with orthanc(tmp_path / "orthanc") as archive:
        url, root = f"dicomweb+{archive.base}", archive.base.removesuffix("/dicom-web")
        done = check(
            secrets,
            row("pacs", url, basic=f"file:{secrets}/login"),
            row("login", url, basic=f"file:{secrets}/bad"),
            row("half", url, basic=f"file:{secrets}/half"),
            row("path", f"dicomweb+{root}/nowhere", basic=f"file:{secrets}/login"),
            row("page", f"dicomweb+{root}", basic=f"file:{secrets}/login"),
            row("silent", f"dicomweb+http://{HOST}:{free_port()}"),
        )
        assert archive.query("/studies") == []
    assert done.exit_code == 1
    for line, why in zip(
        done.stdout.splitlines(),
        ["pacs: works. DICOMweb: studies can be searched", "answered 401", "user:password",
         "answered 404", "answered 400", "nobody listens"],
        strict=True,
    ):  # fmt: skip
        assert why in line
    assert "wsiai" not in done.output


def test_a_password_for_a_sink_that_would_not_show_it_is_refused(tmp_path: Path) -> None:
    assert check(tmp_path, row("lab", "fhir+https://x.example/R4", basic="file:x")).exit_code == 2


def test_settings_that_cannot_be_read_end_with_2(tmp_path: Path) -> None:
    assert check(tmp_path, "[[sink]]\nname = 5").exit_code == 2


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": "a"},
        {"client_id": "a", "client_secret": "file:x", "client_key": "file:y"},
        {"client_id": "a", "client_secret": "file:x", "algorithm": "none"},
        {"client_secret": "file:x"},
    ],
)
def test_oauth_that_is_half_set_up_is_refused(tmp_path: Path, more: dict[str, str]) -> None:
    lines = [f"{key} = {value!r}" for key, value in more.items()]
    done = check(tmp_path, row("lab", "fhir+https://x.example/R4"), "[sink.oauth]", *lines)
    assert done.exit_code == 2


def test_oauth_beside_a_token_is_refused(tmp_path: Path) -> None:
    oauth = "[sink.oauth]\nclient_id = 'a'\nclient_secret = 'file:x'"
    done = check(tmp_path, row("lab", "fhir+https://x.example/R4", bearer="file:x"), oauth)
    assert done.exit_code == 2
