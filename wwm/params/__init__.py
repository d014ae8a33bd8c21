"""params.yaml, read and checked.

An unknown, missing or impossible key is an error that names the key, the value and the remedy.
"""

import reprlib
from itertools import accumulate
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wwm.common import files
from wwm.common.errors import UserError, in_a_line
from wwm.params.explain import explain
from wwm.params.fields import one_of
from wwm.params.sizes import check_sizes
from wwm.params.whole import Params, cells, check_circles, check_names

__all__ = ["Params", "cell", "one_of", "parsed", "read"]
DEEPEST = 100


def read(path: str | Path = "params.yaml") -> Params:
    """All of `path`, checked. Raises UserError that names file, key, value and remedy."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist here; run in the project's folder, or write one by `wwm preset demo`")
    return parsed("\n".join(files.lines(path)), path)


def cell(name: str) -> tuple[str, str]:
    """Model and task of what DVC calls finetune@`name`. Raises UserError."""
    known = cells(read())
    return known[one_of("finetune MODEL-TASK", name, known)]


def parsed(text: str, path: Path = Path("params.yaml")) -> Params:
    """As `read`; `path` is what errors call the text."""
    # The parser recurses in C, and would end the process.
    if max(accumulate((one in "[{") - (one in "]}") for one in text), default=0) > DEEPEST:
        raise UserError(f"{path} has brackets in brackets, more than {DEEPEST} deep; write one by `wwm preset demo`")
    try:
        # DVC reads YAML 1.2, where 1e-4 is a number; PyYAML (1.1) would make it a string.
        values = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError) as error:  # the second for a number of thousands of digits
        where = in_a_line(error).replace(' in "<unicode string>"', "")
        raise UserError(f"{path} is not YAML: {where}; mend it, or write one by `wwm preset demo`") from None
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
