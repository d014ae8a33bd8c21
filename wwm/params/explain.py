"""What is wrong with params.yaml, said with its key, its value and the remedy."""

import difflib
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from wwm.common.errors import UserError

MOST = 20  # problems that are told at once
# What is not worth a line of its own may be a map of a thousand keys, or lead back to itself.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80


def explain(path: Path, error: ValidationError, root: type[BaseModel]) -> str:
    """One line for each problem; `root` is what the whole file was checked against. Raises what a validator raised that
    is no UserError: a bug of ours.
    """
    lines = []
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known, name = known_keys(problem["loc"][:-1], root), str(problem["loc"][-1])
            if same := [place for place, _ in places(root) if place.rpartition(".")[2] == name]:
                remedy = f"there is {' and '.join(same)}"
            elif near := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
                remedy = f"did you mean {near[0]}?"
            else:
                remedy = f"known here: {', '.join(known)}"
            lines.append(f"{path}: unknown key {key[:100]}; {remedy}")
        elif problem["type"] == "missing":
            lines.append(f"{path}: {key} is missing; presets/demo.yaml has an example")
        elif problem["type"] == "value_error":
            if not isinstance(problem["ctx"]["error"], UserError):
                raise problem["ctx"]["error"]
            lines.append(f"{path}: {key + ': ' if key else ''}{problem['ctx']['error']}")
        else:
            lines.append(f"{path}: {key[:100]} is {SHORT.repr(problem['input'])}: {problem['msg']}")
    more = [f"{path}: {len(lines) - MOST} more are wrong in it; is it a params.yaml?"] if lines[MOST:] else []
    return "\n".join([*lines[:MOST], *more])


def known_keys(location: Iterable[str | int], section: type[BaseModel]) -> list[str]:
    """Field names of the section at `location`; a key of a map, or an index of a list, leads to the section of its
    values.
    """
    parts = iter(location)
    for part in parts:
        annotation = section.model_fields[str(part)].annotation
        if get_origin(annotation) in (dict, list):
            next(parts, None)
            annotation = get_args(annotation)[-1]
        elif get_args(annotation):  # a section, or null
            annotation = get_args(annotation)[0]
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        section = annotation
    return list(section.model_fields)


def places(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All keys of a section and of those in it, with `*` for a name or a place in a list, and their fields."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}", field
        for inner in get_args(field.annotation) or [field.annotation]:
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                star = "*." if get_origin(field.annotation) in (dict, list) else ""
                yield from places(inner, f"{prefix}{name}.{star}")
