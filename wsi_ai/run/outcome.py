"""What became of a slide."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from wsi_ai.core.cards import ModelCard, ModelRef
from wsi_ai.core.flags import Level
from wsi_ai.core.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of one slide by one model, whatever the model gives."""

    slide: Path
    reason: str
    folder: Path | None
    """Where the results are; ``None`` where nothing could be written."""
    fresh: bool
    """False where the same question had been answered before, and nothing was done."""
    model: str = ""
    """Its name and version, as its folder is called."""
    timing: Timing | None = None
    """Where the time went; ``None`` where nothing of the slide was begun."""
    device: str = ""
    """Of several, the one that it ran on."""
    judged: bool = True
    """False where it is in the hands of another process, or was still being written."""

    def answer_record(self) -> dict[str, Any]:
        """For the run's record: what the slide got."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Ended):
    """Of a slide that gets a flag."""

    level: Level
    flag_id: str = ""
    """Empty where no flag was written."""
    held_back: str = ""
    """Why its flag is not sent: it would take back what a receiver has."""
    unsent: bool = False
    """Its flag could not be kept for sending."""
    judged_again: bool = False
    """Its scores are those of an earlier run; nothing was inferred."""

    def answer_record(self) -> dict[str, Any]:
        words = {"held_back": self.held_back} if self.held_back else {}
        again = {"judged_again": True} if self.judged_again else {}
        return {"level": self.level.value, **words, **again}

    @classmethod
    def not_assessed(
        cls, path: Path, reason: str, card: ModelCard, folder: Path | None, *, fresh: bool
    ) -> Self:
        """Of which no flag that was sent says anything new."""
        return cls(
            slide=path,
            level=Level.NOT_ASSESSED,
            reason=reason,
            folder=folder,
            fresh=fresh,
            model=card.ref.label,
        )

    @classmethod
    def of_flag(cls, slide: Path, flag: dict[str, Any], folder: Path, *, fresh: bool) -> Self:
        """What a written flag says."""
        result, model = flag["result"], flag["model"]
        ref = ModelRef(model["name"], model["version"], model["weights_sha256"])
        return cls(
            slide=slide,
            level=Level(result["level"]),
            flag_id=flag["flag_id"],
            reason=result["explanation"],
            folder=folder,
            fresh=fresh,
            model=ref.label,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded(Ended):
    """Of a slide whose tiles get a vector each."""

    tiles: int | None
    """Number of tiles with a vector; ``None`` where the slide was not embedded."""

    def answer_record(self) -> dict[str, Any]:
        return {"level": None, "embedded": self.tiles}


Out = TypeVar("Out", bound=Ended)
