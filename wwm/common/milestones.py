"""After which steps a training keeps the model as it then is."""

from collections.abc import Iterable
from typing import Protocol


class Phase(Protocol):
    steps: int


def steps(every: int | None, phases: Iterable[Phase]) -> range:
    """Every so many, counted over all phases; not the last one, after which it is the model itself. None: nowhere."""
    return range(every, sum(phase.steps for phase in phases), every) if every else range(0)
