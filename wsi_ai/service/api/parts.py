"""What the API is made of, and who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.service.access.door import Door
from wsi_ai.service.access.settings import TrustSettings
from wsi_ai.service.access.who import Who
from wsi_ai.service.arrivals import Choose
from wsi_ai.service.job_table import JobTable
from wsi_ai.service.rooms.slides import SlidesOf


@dataclass(frozen=True, slots=True)
class ApiParts:
    engine: Engine
    jobs: JobTable
    door: Door
    clock: Clock
    slides: SlidesOf
    trusts: Mapping[str, TrustSettings] = field(default_factory=dict)
    """By ODS code: whose slides may be submitted, and from where."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Approved ones that callers may name, and how jobs name them; none that is on trial."""
    choose: Choose | None = None
    """The site's rules, for slides that come without a model."""
    most_waiting: int = 20_000
    """Jobs of one trust; more than a region brings in three days."""

    def public_name(self, model: str) -> str:
        """Of a model of a job: never a folder of this machine."""
        known = {ours: public for public, ours in self.models.items()}
        return known.get(model, model.rpartition("/")[2])


def parts_of(request: Request) -> ApiParts:
    found: ApiParts = request.app.state.parts
    return found


def asker(request: Request) -> Who:
    """Read anew for each request.  Raises NotKnown, OutputError."""
    return parts_of(request).door.who(request)


Parts = Annotated[ApiParts, Depends(parts_of)]
Asker = Annotated[Who, Depends(asker)]
