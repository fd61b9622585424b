"""Notices of images, as jobs: one that is there is queued, one that is withdrawn takes its flags
back."""

import logging
from dataclasses import dataclass

from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.outbox import Outbox
from wsi_ai.delivery.withdrawal import take_back
from wsi_ai.service.arrivals import Arrival, Choose, admit
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.facts import gathered
from wsi_ai.service.slide_places import address_of, state_of

log = logging.getLogger(__name__)

SUBMITTER = "lab-104"


@dataclass(frozen=True, slots=True)
class Site:
    """For whom notices come in, and what is to be run."""

    trust: str
    choose: Choose
    template: str
    """Where a slide is: see ``slide_places.address_of``."""
    network: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class QueuedNotices:
    """See ``listener.Notices``."""

    queue: Queue
    outbox: Outbox
    site: Site

    def available(self, notice: ImageNotice) -> None:
        """Raises InputError where the notice does not say where the slide is."""
        site = self.site
        values = {"accession": notice.accession, "slide_id": notice.slide_id,
                  "study_uid": notice.study_uid, "series_uid": notice.series_uid}  # fmt: skip
        address = address_of(site.template, values)
        same = (notice.series_uid,) if notice.series_uid else state_of(address)
        case = {"trust": site.trust, "network": site.network, "issuer": site.issuer,
                "accession": notice.accession, "slide_id": notice.slide_id}  # fmt: skip
        arrival = Arrival(
            trust=site.trust,
            network=site.network,
            slide_uri=address,
            source=SUBMITTER,
            case={field: value for field, value in case.items() if value},
            facts=gathered(notice.said),
            same=same,
        )
        for found in admit(self.queue, site.choose, arrival):
            log.info("%s %s", "queued" if found.new else "known already:", found.job_id)

    def withdrawn(self, notice: ImageNotice) -> None:
        """First nobody goes on with it, then what was said is taken back: so nothing comes out
        in between."""
        stopped = self.queue.withdraw(self.site.trust, notice.slide_id, notice.accession)
        taken = take_back(self.outbox, notice, self.site.trust)
        log.warning("an image was withdrawn: %d jobs stopped, %d flags taken back", stopped, taken)
