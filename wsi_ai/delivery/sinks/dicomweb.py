"""An archive (PACS) that speaks DICOMweb: it is asked what it holds, then each object is stored
that it lacks, one a request.

An archive replaces nothing: every revision stays, names the one before it, and what was taken back
is withdrawn by a note.  So no late message can take the place of a newer one.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydicom.dataset import Dataset

from wsi_ai.core.dicom import event_of_uid, flag_of_uid, uid_of_event, uid_of_flag
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.formats.dicom import codes, reading, report, withdrawal
from wsi_ai.delivery.formats.dicom.objects import KINDS, series_of
from wsi_ai.delivery.formats.dicom.source import Reference, image_of, without_objects
from wsi_ai.delivery.formats.event import FlagEvent, event_of
from wsi_ai.delivery.messages import Endpoint, Held, Message, Receipt
from wsi_ai.delivery.sinks.addresses import check_endpoint, refuse_heartbeat
from wsi_ai.delivery.sinks.dicom_archive import Archive, Listed
from wsi_ai.delivery.sinks.dicom_objects import MissingObject, named_objects
from wsi_ai.delivery.succession import is_known
from wsi_ai.errors import Refused, SinkError, TryAgain

log = logging.getLogger(__name__)
_PATIENCE = 5
"""Attempts until a flag goes without the objects that it names."""


def open_sink(endpoint: Endpoint) -> "DicomWebSink":
    """For ``dicomweb+https://host/base``, and ``dicomweb+http://`` on this machine.  Raises
    SinkError."""
    base = endpoint.url.removeprefix("dicomweb+").rstrip("/")
    oauth = endpoint.credentials.oauth
    if oauth is not None and oauth.token_url is None:
        raise SinkError(f"sink {endpoint.name}: an archive does not say its token_url; set it")
    check_endpoint(endpoint, [base, *([oauth.token_url] if oauth and oauth.token_url else [])])
    refuse_heartbeat(endpoint, "an archive")
    if urlsplit(base).query or urlsplit(base).fragment:
        raise SinkError(f"sink {endpoint.name}: the base of an archive has no ? and no #")
    return DicomWebSink(endpoint, Archive(endpoint, base))


class DicomWebSink:
    """See ``contract.Sink``."""

    def __init__(self, endpoint: Endpoint, archive: Archive) -> None:
        self.endpoint = endpoint
        self._archive = archive
        self._missed = Counter[str]()

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contract.Sink.send``.  Of two senders at once both may store; then the higher
        revision holds."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        event = event_of(message)
        if self.endpoint.dicom.objects is None:
            event = without_objects(event)
        self._archive.begin(at)
        header = self._header(event)
        listed = self._reports(event)
        held = self._held(event, listed)
        uid = uid_of_event(event.event_id)
        if not is_known(event.flag, uid, held, [one.sop_uid for one in listed], "archive"):
            self._archive.store(_study(event), uid, report.render(event, header))
            held = Held(message.revision, message.event_id, event.answer, event.is_retraction)
        if event.is_retraction:
            self._withdraw(event, header, listed)
        else:
            self._store_objects(event, header)
        return Receipt(message.flag_id, self.endpoint.name, uid, at, held)

    def held(self, at: datetime) -> Mapping[str, Held]:
        """See ``contract.Sink.held``.  Told by UIDs alone, which are the ids."""
        found: dict[str, Held] = {}
        for one in self._archive.reports(at):
            flag_id, event_id = flag_of_uid(one.series_uid), event_of_uid(one.sop_uid)
            if flag_id is None or event_id is None or one.description != codes.REPORTS:
                continue
            if flag_id not in found or found[flag_id].revision < one.number:
                found[flag_id] = Held(one.number, event_id, None)
        return found

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        return self._archive.check(at)

    def close(self) -> None:
        self._archive.close()

    def _header(self, event: FlagEvent) -> Dataset:
        """The slide's image, as the archive has it.  Raises Refused where that is of another case
        or slide than the flag."""
        image = image_of(event)
        header = self._archive.header(image["study_uid"], image["series_uid"], image["sop_uid"])
        if header is None:
            raise TryAgain("the archive does not hold the slide's image; the flag waits for it")
        flag = event.flag
        for name, ours in (
            ("AccessionNumber", flag["case"]["accession"]["value"]),
            ("ContainerIdentifier", flag["slide"]["slide_id"]["value"]),
        ):
            theirs = str(header.get(name) or "").strip()
            if theirs and theirs != ours:
                raise Refused(f"the archive has the image under another {name} than the flag's")
        return header

    def _reports(self, event: FlagEvent) -> list[Listed]:
        """Those of this flag that are there, the newest last."""
        series = uid_of_flag(event.flag["flag_id"])
        found = self._archive.instances(_study(event), series)
        return sorted(found, key=lambda one: one.number)

    def _held(self, event: FlagEvent, listed: Sequence[Listed]) -> Held | None:
        if not listed:
            return None
        newest = listed[-1]
        document = self._archive.header(_study(event), newest.series_uid, newest.sop_uid)
        if document is None:
            raise TryAgain("the archive lists a report that it does not give")
        try:
            return reading.held(document)
        except reading.NotOurs:
            raise Refused(
                "the archive has a report in the flag's series that is not ours"
            ) from None

    def _withdraw(self, event: FlagEvent, header: Dataset, listed: Sequence[Listed]) -> None:
        """All reports before this one, and every heatmap and hotspot that is there."""
        series, uid = withdrawal.series_uid(event.flag["flag_id"]), withdrawal.sop_uid(event)
        if uid in {one.sop_uid for one in self._archive.instances(_study(event), series)}:
            return
        withdrawn = [*self._before(event, listed), *self._objects_there(event)]
        note = withdrawal.render(without_objects(event), header, withdrawn)
        self._archive.store(_study(event), uid, note)

    def _before(self, event: FlagEvent, listed: Sequence[Listed]) -> Iterator[Reference]:
        own = uid_of_event(event.event_id)
        for one in listed:
            if one.sop_uid != own:
                yield Reference(codes.REPORT, one.sop_uid, one.series_uid)

    def _objects_there(self, event: FlagEvent) -> Iterator[Reference]:
        for kind, sop_class in KINDS.items():
            series = series_of(event.flag["flag_id"], kind)
            for one in self._archive.instances(_study(event), series):
                yield Reference(sop_class, one.sop_uid, series)

    def _store_objects(self, event: FlagEvent, header: Dataset) -> None:
        """The report is the flag, and it is there: what cannot be had of the rest, or is refused,
        must not cost it."""
        try:
            for uid, content in self._lacking(event, header):
                self._archive.store(_study(event), uid, content)
        except MissingObject as error:
            self._missed[event.event_id] += 1
            if self._missed[event.event_id] < _PATIENCE:
                raise TryAgain(f"the report is there; {error}") from None
            del self._missed[event.event_id]
            log.error("a flag went without a heatmap or its hotspots: %s", error)  # noqa: TRY400
        except Refused as error:
            log.error("a flag went without a heatmap or its hotspots: %s", error)  # noqa: TRY400

    def _lacking(self, event: FlagEvent, header: Dataset) -> Iterator[tuple[str, bytes]]:
        folder = self.endpoint.dicom.objects
        for one in named_objects(event) if folder is not None else []:
            there = self._archive.instances(_study(event), one.series_uid)
            if folder is not None and one.sop_uid not in {each.sop_uid for each in there}:
                yield one.sop_uid, one.content(folder, header)


def _study(event: FlagEvent) -> str:
    study: Any = image_of(event)["study_uid"]
    return str(study)


_: type[Sink] = DicomWebSink
