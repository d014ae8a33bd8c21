"""What params.yaml need not say: no default hides from DVC."""

from typing import get_args

from pydantic import BaseModel

from wwm.params import Params
from wwm.params.fields import Section

EMPTY = (None, False, [], {})


def defaults(section: type[Section], place: str = ""):
    """(dotted key, default) of every key that may be absent, in sections of sections too."""
    for name, field in section.model_fields.items():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from defaults(inner, f"{place}{name}.")
        # The keys of a section that may be absent were just told.
        if not field.is_required() and not isinstance(field.default, Section):
            yield f"{place}{name}", field.default


def test_a_default_that_can_change_a_byte_lives_in_code_that_dvc_sees():
    """A key absent from params.yaml has no hash in dvc.lock, and the schema is no dep of a stage."""
    found = dict(defaults(Params))
    assert len(found) > 10
    assert not {
        key: value
        for key, value in found.items()
        if not any(type(value) is type(empty) and value == empty for empty in EMPTY)
    }
