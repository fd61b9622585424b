"""The rule for small numbers, and what somebody who knows it can conclude from what is shown."""

from dataclasses import dataclass

NHS_LEAST, NHS_ROUND_TO = 8, 5


@dataclass(frozen=True, slots=True)
class SmallNumbers:
    """0 is shown as 0; below ``least`` as ``*``; the rest to the nearest multiple of ``round_to``.

    As it stands, the NHS's rule for hospital statistics below national level; a protocol may ask
    for more, and not for less.
    """

    least: int = NHS_LEAST
    round_to: int = NHS_ROUND_TO

    def __post_init__(self) -> None:
        if self.least < NHS_LEAST or self.round_to < NHS_ROUND_TO:
            raise ValueError(f"counts below {NHS_LEAST} are hidden, the rest rounded to 5")
        if self.round_to > 2 * self.least:
            raise ValueError("a count that is not small would be rounded to 0")

    def is_small(self, count: int) -> bool:
        return 0 < count < self.least

    def rounded(self, count: int) -> int:
        """Of a count that is not small; a half goes up."""
        return self.round_to * ((2 * count + self.round_to) // (2 * self.round_to))

    def possible(self, shown: int) -> tuple[int, int]:
        """The least and the greatest count that is shown so."""
        if not shown:
            return 0, 0
        low = -(-(2 * shown - self.round_to) // 2)
        high = -(-(2 * shown + self.round_to) // 2) - 1
        return max(self.least, low), high
