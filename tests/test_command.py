"""What a user sees when a command fails."""

import traceback

import pytest
from pydantic import ValidationError, field_validator

from wwm import params
from wwm.common import command
from wwm.masks import masking
from wwm.params.explain import explain
from wwm.params.fields import Section


def test_mistake_of_the_user_is_one_line():
    with pytest.raises(SystemExit, match="error: models: 'bret' is none of bert"), command.user_errors():
        params.one_of("models", "bret", ["bert"])


def test_error_that_c_code_raises_in_a_module_of_ours_keeps_its_traceback():
    with pytest.raises(ValueError, match="is not in list") as raised, command.user_errors():
        masking.of_set(["[PAD]"], {"unit": "whole_word"})
    # `list.index` has no frame of its own: nothing but the class of the error tells it from a message.
    assert traceback.extract_tb(raised.value.__traceback__)[-1].filename == masking.__file__


def test_bug_in_a_check_of_params_keeps_its_traceback(tmp_path):
    class Broken(Section):
        seed: int

        @field_validator("seed")
        @classmethod
        def check(cls, value):
            return int("no number")

    with pytest.raises(ValidationError) as found:
        Broken.model_validate({"seed": 1})
    with pytest.raises(ValueError, match="invalid literal for int"), command.user_errors():
        explain(tmp_path, found.value, Broken)
