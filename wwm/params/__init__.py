"""params.yaml, read and checked.

An unknown, missing or impossible key is an error that names the key, the value and the remedy.
"""

import os
import reprlib
from pathlib import Path

from pydantic import ValidationError

from wwm.common import files
from wwm.common.errors import UserError
from wwm.params import parse
from wwm.params.explain import explain
from wwm.params.fields import one_of
from wwm.params.sizes import check_sizes
from wwm.params.whole import Params, cells, check_circles, check_names

__all__ = ["Params", "cell", "one_of", "parsed", "read"]


def read(path: str | Path = "params.yaml") -> Params:
    """All of `path`, checked. Raises UserError that names file, key, value and remedy."""
    path = Path(path)
    if not path.is_file():
        wrong = "is no file" if os.path.lexists(path) else "does not exist here"
        raise UserError(f"{path} {wrong}; run in the project's folder, or write one by `wwm preset demo`")
    return parsed("\n".join(files.lines(path)), path)


def cell(name: str) -> tuple[str, str]:
    """Model and task of what DVC calls finetune@`name`. Raises UserError."""
    known = cells(read())
    return known[one_of("finetune MODEL-TASK", name, known)]


def parsed(text: str, path: Path = Path("params.yaml")) -> Params:
    """As `read`; `path` is what errors call the text."""
    try:
        values = parse.parsed(text)
    except UserError as error:
        raise UserError(f"{path} is not YAML: {error}; mend it, or write one by `wwm preset demo`") from None
    if not isinstance(values, dict):
        found = reprlib.repr(values) if values else "nothing"
        raise UserError(f"{path} holds {found} and no sections; write one by `wwm preset demo`")
    try:
        checked = Params.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(path, error, Params)) from None
    try:
        check_names(checked)
        check_circles(checked)
        check_sizes(checked)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return checked
