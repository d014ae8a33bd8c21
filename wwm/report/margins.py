"""The rule of the tables: a difference counts where it is more than what chance makes of it."""

from typing import NamedTuple


class Margin(NamedTuple):
    """A difference in points, and the spread that it has to exceed."""

    margin: float
    spread: float

    @property
    def holds(self) -> bool:
        return self.margin > self.spread

    def __str__(self) -> str:
        return f"{self.margin:+.1f}, spread {self.spread:.1f}"


def of_seeds(ours: list[float], theirs: list[float]) -> Margin:
    """Between means over seeds, in percent; spread: the wider of the two ranges."""
    spread = max(max(values) - min(values) for values in (ours, theirs))
    return Margin(sum(ours) / len(ours) - sum(theirs) / len(theirs), spread)
