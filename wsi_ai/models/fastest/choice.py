"""How ``--device auto`` came to a device, and what run.json says of it."""

from dataclasses import asdict, dataclass
from typing import Any


class NotMeasured(Exception):
    """Nothing can be said of any device now; the message says why."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one device did, or why it could not."""

    device: str
    """As ``--device`` names it."""
    runtime: str = ""
    """Its description; empty where it did not open."""
    tiles_per_s: float | None = None
    reason: str = ""
    """Why there is no rate."""

    def __str__(self) -> str:
        if self.tiles_per_s is None:
            return f"{self.device}: {self.reason}"
        return f"{self.device}: {self.tiles_per_s:g} tiles/s ({self.runtime})"


@dataclass(frozen=True, slots=True)
class Measured:
    """The fastest of the devices that give the same flags."""

    device: str
    rates: tuple[Rate, ...]
    at: str
    """When it was measured, as RFC 3339."""
    kept: bool = False
    """By an earlier run, or another process."""

    @property
    def best(self) -> float:
        """Tiles per second of the device that was chosen."""
        return next(r.tiles_per_s or 0.0 for r in self.rates if r.device == self.device)

    def as_record(self) -> dict[str, Any]:
        return {
            "by": "measurement",
            "device": self.device,
            "measured": "earlier" if self.kept else "now",
            "at": self.at,
            "rates": [asdict(rate) for rate in self.rates],
        }

    def __str__(self) -> str:
        return f"{self.device} of {'; '.join(map(str, self.rates))}"


@dataclass(frozen=True, slots=True)
class ByRule:
    """Nothing was chosen by measurement, and why: ``registry.open_on_host`` has the rule."""

    reason: str
    rates: tuple[Rate, ...] = ()

    def as_record(self) -> dict[str, Any]:
        rates = [asdict(rate) for rate in self.rates]
        return {"by": "rule", "reason": self.reason, "rates": rates}

    def __str__(self) -> str:
        return f"by rule, for {self.reason}"


Choice = Measured | ByRule
