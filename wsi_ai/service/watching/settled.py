"""What has come to rest in a watched folder becomes jobs, or is refused for a reason."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from wsi_ai.errors import IdentityInDoubt, NoSpacing, SlideError
from wsi_ai.service.arrivals import Admitted, Arrival, Choose, admit
from wsi_ai.service.job_table import JobTable
from wsi_ai.service.routing.facts import gathered, of_dicom
from wsi_ai.service.routing.rules import Facts
from wsi_ai.service.watching.book import Entry, WatchState
from wsi_ai.service.watching.folder_look import Kind, Unit
from wsi_ai.service.watching.slides import SiteTable, facts_of, slides_in

log = logging.getLogger(__name__)

SOURCE = "watch"
_NO_SLIDE = "it is no slide"
_LINK = "a link is not followed; watch the folder that it leads to"


class NotYet(SlideError):
    """It may still become what it is to be."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """See ``arrivals``: of slides in folders."""

    table: JobTable
    choose: Choose
    whose: SiteTable

    def come(self, unit: Unit, entry: Entry, *, opens: bool, patient: bool) -> Entry:
        """What became of it.  Not ``opens``: who opened it died.  ``patient``: it may still change.
        Raises OutputError."""
        if unit.kind is Kind.LINK:
            return refused(entry, _LINK)
        try:
            slides = slides_in(unit) if opens else [unit.path]
            if not slides:
                return refused(entry, _NO_SLIDE)
            found = [self._arrival(unit, slide, opens=opens, patient=patient) for slide in slides]
        except NotYet as error:
            return replace(entry, state=WatchState.SETTLING, reason=str(error))
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
            return replace(entry, state=WatchState.SETTLING, reason=reason)
        except IdentityInDoubt as error:
            return self.in_doubt(self._arrival_of(unit, unit.path), entry, str(error))
        jobs = [one for arrival in found for one in admit(self.table, self.choose, arrival)]
        if entry.job_id is not None and entry.job_id not in [one.job_id for one in jobs]:
            self.table.routed(entry.job_id)  # where it was listed as one without a model
        return submitted(entry, jobs)

    def in_doubt(self, arrival: Arrival, entry: Entry, reason: str) -> Entry:
        """It is not judged, and listed as one without a model, so that receivers hear of it."""
        log.error("a slide that is watched for is not judged: %s", reason)
        (job,) = admit(self.table, lambda _: (), arrival)
        return replace(refused(entry, reason), job_id=job.job_id)

    def _arrival(self, unit: Unit, slide: Path, *, opens: bool, patient: bool) -> Arrival:
        whose = self.whose()
        case = whose.case_of(slide)
        if patient and whose.lacks(slide, case):
            raise NotYet("the table does not say yet whose slide it is")
        facts = self._facts(slide, patient=patient) if opens else {}
        return replace(self._arrival_of(unit, slide), case=case, facts=facts)

    def _arrival_of(self, unit: Unit, slide: Path) -> Arrival:
        whose = self.whose()
        return Arrival(
            trust=whose.trust,
            network=whose.network,
            slide_uri=f"file://{quote(str(slide))}",
            source=SOURCE,
            case={},
            facts={},
            same=unit.same,
        )

    def _facts(self, slide: Path, *, patient: bool) -> Facts:
        """Of one that does not open, though it had the time, nothing: it is for a worker to say so
        with a flag."""
        try:
            return facts_of(slide)
        except NoSpacing:
            return gathered(of_dicom(slide))
        except SlideError as error:
            if patient:
                raise NotYet(f"it does not open yet: {error}") from None
            return {}


def refused(entry: Entry, reason: str) -> Entry:
    return replace(entry, state=WatchState.REFUSED, reason=reason)


def submitted(entry: Entry, jobs: Sequence[Admitted]) -> Entry:
    for one in jobs:
        if not one.rule:
            reason = "no rule has a model for it"
            return replace(entry, state=WatchState.UNROUTED, job_id=one.job_id, reason=reason)
    return replace(entry, state=WatchState.SUBMITTED, job_id=jobs[0].job_id, reason=None)
