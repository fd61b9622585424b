"""One flag in every system: raised early, amended, taken back, as each system's own query sees it;
then ``wsi-ai sinks check`` on each, and on each with one thing wrong.

    python -m tests.delivery.interop

``SYSTEMS`` lists them.  One that is missing here is named, and the others go on.
"""

import ssl
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pydicom
import pytest
from typer.testing import CliRunner

from tests.conftest import find_shared
from tests.delivery.certificates import write_certificates
from tests.delivery.fhir_servers import fhir_engine
from tests.delivery.hl7_servers import mllp_server
from tests.delivery.orthanc import IMAGE, LOGIN, image_of, orthanc
from tests.delivery.parts import KEY, OTHER_KEY
from tests.delivery.servers import HOST, free_port, missing, serving
from tests.delivery.test_mllp import server_context
from wsi_ai.cli import app
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.formats.dicom.reading import summary
from wsi_ai.delivery.formats.fhir import codes
from wsi_ai.delivery.messages import Retraction
from wsi_ai.delivery.posting import open_posting
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.testing import SectraPacs, SectraSlide, example_body, serving_pacs

TOKEN = "a-token"
_SLIDE = "slide.dcm"
"""The flag's image, where a DICOM archive takes part."""


@dataclass(frozen=True)
class System:
    """A server that runs, and how to look into it."""

    name: str
    sink: str
    """Its table in sinks.toml."""
    query: str
    """What a person of that system would ask."""
    seen: Callable[[str], str]
    """The answer, in short, about a flag."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """The same table with one thing wrong, by what that is."""


def table(name: str, url: str, more: str = "") -> str:
    return f"[[sink]]\nname = '{name}'\nurl = '{url}'\ntrusts = ['RXX']\n{more}"


@contextmanager
def fhir(folder: Path) -> Iterator[System]:
    """The Medplum R4 engine."""
    held, wrong = (f"bearer = 'file:{folder}/{name}'\n" for name in ("token", "wrong"))
    with fhir_engine(TOKEN=TOKEN) as base:

        def seen(flag_id: str) -> str:
            asked = {"identifier": f"{codes.FLAG_ID}|{flag_id}"}
            told = httpx.get(f"{base}/Task", params=asked,
                             headers={"Authorization": f"Bearer {TOKEN}"}).json()  # fmt: skip
            (task,) = [entry["resource"] for entry in told["entry"]]
            level = task["businessStatus"]["coding"][0]["code"]
            return f"Task {task['status']}, priority {task['priority']}, {level}"

        yield System(
            "fhir", table("fhir", f"fhir+{base}", held), "GET /Task?identifier=…", seen,
            {"token": table("fhir", f"fhir+{base}", wrong),
             "path": table("fhir", f"fhir+{base}/elsewhere", held),
             "port": table("fhir", f"fhir+http://{HOST}:{free_port()}", held)},
        )  # fmt: skip


@contextmanager
def hl7(folder: Path) -> Iterator[System]:
    """The library hl7's MLLP server, in mutual TLS."""
    with mllp_server(context=server_context(folder)) as log:

        def rows(ca: str, own: str) -> str:
            files = {"ca_file": f"{ca}.pem", "client_cert_file": f"{own}.pem",
                     "client_key_file": f"{own}.key"}  # fmt: skip
            more = "".join(f"{key} = '{folder}/{name}'\n" for key, name in files.items())
            return table("hl7", f"mllps://{HOST}:{log.port}", more)

        def seen(flag_id: str) -> str:
            message = log.got[-1]
            shown = {str(one(3)).partition("^")[0]: str(one(5)) for one in message.segments("OBX")}
            status, priority = message.segment("OBR")(25), shown["WSIAI-PRI"]
            return f"ORU OBR-25 {status}, {priority}, revision {shown['WSIAI-REV']}"

        yield System(
            "hl7", rows("ca", "client"), "the engine's log of messages", seen,
            {"authority": rows("stranger", "client"),
             "certificate": rows("ca", "impostor"),
             "port": table("hl7", f"mllp://{HOST}:{free_port()}")},
        )  # fmt: skip


@contextmanager
def sectra(folder: Path) -> Iterator[System]:
    """The strict double of a Sectra PACS, in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    slide = SectraSlide("guid-1", "S26-1234-A1-1", "S26-1234")
    with (
        serving_pacs(SectraPacs([slide]), context) as pacs,
        serving_pacs(SectraPacs(api_version="1.8")) as old,
    ):
        (folder / "password").write_text(pacs.password)

        def rows(url: str, ca: str = "ca", user: str = pacs.user) -> str:
            who = f"client_id = '{user}'\nclient_secret = 'file:{folder}/password'\n"
            files = f"ca_file = '{folder}/{ca}.pem'\n[sink.oauth]\n{who}"
            return table("sectra", f"sectra+{url}", files)

        def seen(flag_id: str) -> str:
            trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            url = f"{pacs.url}/applications/wsi-ai/results/slide/guid-1"
            headers = {"Authorization": f"Bearer {pacs.callback()['token']}",
                       "X-Sectra-ApiVersion": "1.5"}  # fmt: skip
            (result,) = httpx.get(url, headers=headers, verify=trusted).json()
            text = result["displayResult"].removesuffix(STATEMENT).strip()
            return f"result {result['id']} {result['versionId']}: {text}"

        yield System(
            "sectra", rows(pacs.url), "GET /applications/wsi-ai/results/slide/…", seen,
            {"user": rows(pacs.url, user="nobody"),
             "path": rows(pacs.url.replace("/v1", "/v9")),
             "authority": rows(pacs.url, "stranger"),
             "version": rows(old.url)},
        )  # fmt: skip


@contextmanager
def cloudevent(folder: Path) -> Iterator[System]:
    """The reference receiver."""
    inbox = open_inbox(folder / "inbox.db")
    try:
        with serving(receiver(inbox, Access((KEY,), TOKEN), time.time)) as base:

            def rows(path: str = "flags", key: str = "key", token: str = "token") -> str:
                secrets = f"signing_keys = ['file:{folder}/{key}']\n"
                secrets += f"bearer = 'file:{folder}/{token}'\n"
                return table("cloudevent", f"{base}/{path}",
                             f"{secrets}read_back = '{base}/{path}'\n")  # fmt: skip

            def seen(flag_id: str) -> str:
                held = {"Authorization": f"Bearer {TOKEN}"}
                lines = httpx.get(f"{base}/worklist", headers=held).json()["worklist"]
                found = [one for one in lines if one["flag_id"] == flag_id]
                shown = [f"{one['level']}, revision {one['revision']}" for one in found]
                return shown[0] if shown else "not on the worklist"

            yield System(
                "cloudevent", rows(), "GET /worklist", seen,
                {"token": rows(token="wrong"), "path": rows("elsewhere")},
            )  # fmt: skip
    finally:
        inbox.close()


@contextmanager
def dicom(folder: Path) -> Iterator[System]:
    """Orthanc."""
    shared = find_shared()
    if shared is None:
        missing("no ../shared/data beside the project: a DICOM slide is not at hand")
        return
    header, slide = pydicom.dcmread(shared / "data" / "dicom" / IMAGE), folder / _SLIDE
    header.AccessionNumber, header.ContainerIdentifier = "S26-1234", "S26-1234-A1-1"
    header.save_as(slide)
    study = image_of(slide)["study_uid"]
    (folder / "login").write_text(LOGIN)
    (folder / "nobody").write_text("nobody:here")
    with orthanc(folder / "orthanc") as archive:
        archive.stored(slide)

        def rows(base: str = archive.base, login: str = "login") -> str:
            return table("dicom", f"dicomweb+{base}", f"basic = 'file:{folder}/{login}'\n")

        def of(modality: str) -> list[pydicom.Dataset]:
            found = archive.query(f"/studies/{study}/series", Modality=modality)
            series = [one["0020000E"]["Value"][0] for one in found]
            return [archive.document(study, uid, sop)
                    for uid in series for sop in archive.instances(study, uid)]  # fmt: skip

        def seen(flag_id: str) -> str:
            newest = max(of("SR"), key=lambda report: int(report.InstanceNumber))
            told, notes = summary(newest), of("KO")
            if told.retracted:
                (note,) = notes
                series = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
                gone = sum(len(one.ReferencedSOPSequence) for one in series)
                return f"SR {told.revision}: taken back; KOS withdraws {gone} reports"
            return f"SR {told.revision}: {told.level}, {newest.VerificationFlag}"

        yield System(
            "dicom", rows(), "QIDO /studies/…/series, WADO", seen,
            {"password": rows(login="nobody"),
             "path": rows(archive.base.replace("dicom-web", "elsewhere")),
             "port": rows(f"http://{HOST}:{free_port()}/dicom-web")},
        )  # fmt: skip


SYSTEMS: list[Callable[[Path], AbstractContextManager[System]]] = [
    cloudevent,
    dicom,
    fhir,
    hl7,
    sectra,
]
"""Each is started when it is needed, with a folder of certificates and secrets."""


def flag(
    flag_id: str, level: Level, score: float, analysed: float, slide: Path
) -> dict[str, object]:
    body = example_body(flag_id, level, score)
    named = {"extensions": {"dicom": image_of(slide)}} if slide.exists() else {}
    return {**body, "qc": {**body["qc"], "analysed_fraction": analysed}, **named}


def transcript(systems: list[System], folder: Path, say: Callable[[str], None]) -> None:
    """The flag's life, and what each system shows of it."""
    sinks = folder / "sinks.toml"
    sinks.write_text("\n".join(system.sink for system in systems))
    flag_id, slide = str(uuid.uuid4()), folder / _SLIDE
    early = flag(flag_id, Level.EXPEDITE, 0.9, 0.2, slide)
    whole = flag(flag_id, Level.EXPEDITE, 0.95, 1.0, slide)
    with open_posting([str(sinks)], str(folder / "outbox.db")) as posting:
        steps = {
            "raised early": lambda: posting.put_early(early),
            "amended": lambda: posting.put(whole),
            "taken back": lambda: posting.relay.outbox.retract(
                flag_id, Retraction.SLIDE_MISIDENTIFIED
            ),
        }
        for words, step in steps.items():
            start = time.perf_counter()
            step()
            posting.relay.wake()
            left = posting.drain(10)
            say(f"## {words} ({1000 * (time.perf_counter() - start):.0f} ms to all, {left} left)")
            for system in systems:
                say(f"  {system.name:10}  {system.query:44}  {system.seen(flag_id)}")


def checks(systems: list[System], folder: Path, say: Callable[[str], None]) -> None:
    """``wsi-ai sinks check`` on each as it should be, and with one thing wrong."""
    path = folder / "checked.toml"

    def check(words: str, rows: str) -> None:
        path.write_text(rows)
        done = CliRunner().invoke(app, ["sinks", "check", str(path)])
        say(f"  {words:24}  [{done.exit_code}] {done.output.strip()}")

    say("## wsi-ai sinks check")
    for system in systems:
        check("as it should be", system.sink)
        for what, rows in system.wrong.items():
            check(f"wrong {what}", rows)


@contextmanager
def running(folder: Path, say: Callable[[str], None]) -> Iterator[list[System]]:
    write_certificates(folder)
    for name, content in {
        "token": TOKEN,
        "wrong": "another",
        "key": KEY,
        "other": OTHER_KEY,
    }.items():
        (folder / name).write_text(content)
    systems = list[System]()
    with ExitStack() as servers:
        for start in SYSTEMS:
            try:
                systems.append(servers.enter_context(start(folder)))
            except pytest.skip.Exception as missing:
                say(f"{start.__name__}: not here: {missing}")
        yield systems


def main(say: Callable[[str], None] = print) -> None:
    say(f"# One flag in every system\n{STATEMENT}")
    with tempfile.TemporaryDirectory() as place, running(Path(place), say) as systems:
        transcript(systems, Path(place), say)
        checks(systems, Path(place), say)


if __name__ == "__main__":
    main()
    sys.exit()
