"""Text of YAML -> values, whatever it holds."""

from itertools import accumulate
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import MappingEndEvent, MappingStartEvent, SequenceEndEvent, SequenceStartEvent

from wwm.common.errors import UserError, in_a_line

DEEPEST = 100
DEEPER = {SequenceStartEvent: 1, MappingStartEvent: 1, SequenceEndEvent: -1, MappingEndEvent: -1}


def parsed(text: str, yaml: YAML | None = None) -> Any:
    """The values, by default as DVC has them: of YAML 1.2, where 1e-4 is a number; in PyYAML's 1.1 it is a string.
    Raises UserError that says what is wrong, and of what is the caller's to say.
    """
    yaml = yaml or YAML(typ="safe")
    try:
        # What makes values of them recurses in C, and would end the process.
        depths = accumulate(DEEPER.get(type(event), 0) for event in YAML(typ="safe").parse(text))
        if any(depth > DEEPEST for depth in depths):
            raise UserError(f"lists or sections in each other, more than {DEEPEST} deep")
        return yaml.load(text)
    except UserError:
        raise
    except Exception as error:  # whatever its constructors raise: of `!!bool x` a KeyError
        raise UserError(in_a_line(error).replace(' in "<unicode string>"', "")) from None
