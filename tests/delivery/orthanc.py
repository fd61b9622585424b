"""A real archive: Orthanc with its DICOMweb plug-in, on loopback, with slides of ../shared."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydicom

from tests.delivery.servers import HOST, free_port, missing, until
from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.messages import Credentials, DicomSettings, Endpoint, Message, Secret
from wsi_ai.testing import example_body

USER = "wsiai"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOGIN = f"{USER}:{USER}"
IMAGE = "highdicom/sm_image.dcm"


@dataclass(frozen=True)
class Orthanc:
    """As the tests look at it, beside what the sink does."""

    base: str
    client: httpx.Client

    def stored(self, *slides: Path) -> None:
        for slide in slides:
            place = f"{self.base.removesuffix('/dicom-web')}/instances"
            self.client.post(place, content=slide.read_bytes()).raise_for_status()

    def query(self, place: str, **asked: Any) -> list[dict[str, Any]]:
        answer = self.client.get(f"{self.base}{place}", params=asked)
        return answer.json() if answer.content else []

    def instances(self, study: str, series: str) -> list[str]:
        found = self.query(f"/studies/{study}/series/{series}/instances")
        return [one["00080018"]["Value"][0] for one in found]

    def document(self, study: str, series: str, sop: str) -> pydicom.Dataset:
        """As WADO-RS gives it, whole."""
        place = f"{self.base}/studies/{study}/series/{series}/instances/{sop}"
        kind = {"Accept": 'multipart/related; type="application/dicom"'}
        body = self.client.get(place, headers=kind).content
        start = body.index(b"\r\n\r\n") + 4
        end = body.rindex(b"\r\n--")
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            file.write(body[start:end])
            file.flush()
            return pydicom.dcmread(file.name)


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        missing("no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")
        return
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = {
        "Name": "wsi_ai_test",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "HttpBindAddresses": [HOST],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: USER},
        "DicomServerEnabled": False,
        "OverwriteInstances": True,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Ssl": False,
                     "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }  # fmt: skip
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([program, path], cwd=folder, **quiet)  # type: ignore[call-overload]
    try:
        with httpx.Client(auth=(USER, USER), timeout=10) as client:
            base = f"http://{HOST}:{port}"
            until(lambda: _answers(client, base), "Orthanc did not start")
            yield Orthanc(f"{base}/dicom-web", client)
    finally:
        server.kill()
        server.wait(20)


def _answers(client: httpx.Client, base: str) -> bool:
    try:
        return client.get(f"{base}/system").status_code == 200
    except httpx.TransportError:
        return False


def archive_endpoint(
    base: str, objects: Path | None = None, login: str = LOGIN, timeout_s: float = 10.0
) -> Endpoint:
    return Endpoint(
        name="pacs",
        url=f"dicomweb+{base}",
        trusts=frozenset({"RXX"}),
        credentials=Credentials(basic=lambda: Secret(login.encode())),
        timeout_s=timeout_s,
        allowed_hosts=frozenset({"127.0.0.1", "localhost"}),
        dicom=DicomSettings(objects),
    )


def image_of(slide: Path) -> dict[str, str]:
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    names = ("Study", "Series", "SOP")
    return {f"{n.lower()}_uid": str(header[f"{n}InstanceUID"].value) for n in names}


def dicom_body(slide: Path, flag_id: str, **changes: Any) -> dict[str, Any]:
    """A flag about that very image."""
    header = pydicom.dcmread(slide, stop_before_pixels=True)
    body = example_body(flag_id)
    return {
        **body,
        "case": {"accession": {"value": str(header.AccessionNumber), "issuer": None}},
        "slide": body["slide"]
        | {"slide_id": {"value": str(header.ContainerIdentifier), "issuer": None}},
        "extensions": {"dicom": image_of(slide)},
        **changes,
    }


def dicom_message(slide: Path, flag_id: str, **changes: Any) -> Message:
    return message_of(dicom_body(slide, flag_id, **changes))
