"""A job's slide from the PACS, for as long as it is judged."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.sinks.sectra_api import SectraApi, UnknownSlide, open_api
from wsi_ai.errors import DeliveryError, OutputError
from wsi_ai.service.jobs import Job
from wsi_ai.service.local_runs import ReadySlide, SlideGone
from wsi_ai.service.queue import Queue
from wsi_ai.service.sectra.download import save
from wsi_ai.service.sectra.image_info import PacsSite, case_of, slide_id_of
from wsi_ai.service.slide_places import NotReady

_GONE = "the PACS does not have the slide any more"


@dataclass(frozen=True, slots=True)
class PacsFetch:
    """See ``local_runs.Fetch``.  Asks with a token of its own: that of a notice lives no longer
    than the notice, and is kept nowhere."""

    endpoint: Endpoint
    queue: Queue
    scratch: Path | None = None
    """Where the files lie meanwhile; by default where the system keeps such."""

    @contextmanager
    def __call__(self, mine: Job) -> Iterator[ReadySlide]:
        with tempfile.TemporaryDirectory(prefix="wsi-ai-pacs-", dir=self.scratch) as folder:
            yield self._ready(mine, Path(folder))

    def _ready(self, mine: Job, folder: Path) -> ReadySlide:
        try:
            with closing(open_api(self.endpoint)) as api:
                return self._fetched(mine, api, folder)
        except UnknownSlide:
            raise SlideGone(_GONE) from None
        except DeliveryError as error:
            raise NotReady(f"the PACS: {error}") from None
        except OSError as error:
            raise OutputError(f"the slide cannot be kept: {error.strerror}") from None

    def _fetched(self, mine: Job, api: SectraApi, folder: Path) -> ReadySlide:
        slide_id, at = slide_id_of(mine.asked.slide_uri), datetime.now(UTC)
        api.begin()
        site = PacsSite(self.endpoint, mine.asked.trust, mine.asked.network)
        case = case_of(api.slide(slide_id, at), site)
        if case and case != mine.asked.case:
            self.queue.know(mine, case)
        with api.files(slide_id, at) as (answer, pieces):
            return ReadySlide(save(answer, pieces, folder), case)
