"""Whether sizes of models fit together: those that params.yaml gives, before anything runs, and those of folders."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from wwm.common.errors import UserError


class Size(NamedTuple):
    """Of a model, None for what is not known."""

    name: str
    positions: int | None
    layers: int | None
    width: int | None


class Match(Protocol):
    layer_T: int
    layer_S: int

    @property
    def proj(self) -> Sequence[str | int] | None: ...


def check_taught(key: str, longest: int, matches: Sequence[Match], student: Size, teacher: Size) -> None:
    """key: of the student in params.yaml; longest: of its phases' max_seq_length. Raises UserError where its teacher
    has too few positions for that, one of them too few layers for a match, or a match other widths than they have.
    """
    at_most(f"{key}.phases: max_seq_length", longest, teacher.positions, f"positions of {teacher.name}, its teacher")
    for number, match in enumerate(matches):
        own = f"{key}.intermediate_matches.{number}"
        at_most(f"{own}.layer_S", match.layer_S, student.layers, f"layers of {student.name}")
        at_most(f"{own}.layer_T", match.layer_T, teacher.layers, f"layers of {teacher.name}")
        widths = [student.width, teacher.width]
        if all(widths) and (list(match.proj[1:]) != widths if match.proj else len({*widths}) > 1):
            raise UserError(
                f"{own}.proj: {student.name} is {student.width} wide, {teacher.name} {teacher.width}; write proj:"
                f" [linear, {student.width}, {teacher.width}]"
            )


def at_most(what: str, value: int, limit: int | None, of: str) -> None:
    """Raises UserError."""
    if limit is not None and value > limit:
        raise UserError(f"{what} {value} is more than the {limit} {of}; lower it, or take a model that has as many")
