"""What a user sees when a command fails."""

import errno
import os

import pyarrow as pa
import pytest
from pydantic import ValidationError, field_validator

from wwm import params
from wwm.common import command
from wwm.common.errors import UserError, reading
from wwm.masks import masking
from wwm.params.explain import explain
from wwm.params.fields import Section


@pytest.fixture
def failed(capsys):
    """A function that raises an error in a command; the line that it ends with, and what is printed before."""

    def said(function) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end, command.user_errors("mask"):
            function()
        assert "\n" not in end.value.code
        return end.value.code, capsys.readouterr().err

    return said


def test_mistake_of_the_user_is_one_line(failed):
    line, before = failed(lambda: params.one_of("models", "bret", ["bert"]))
    assert line == "error: models: 'bret' is none of bert" and not before


def test_error_that_c_code_raises_in_a_module_of_ours_keeps_its_traceback_and_ends_in_a_line(failed):
    # `list.index` has no frame of its own: nothing but the class of the error tells it from a message.
    line, before = failed(lambda: masking.of_set(["[PAD]"], {"unit": "whole_word"}))
    assert line == "error: mask: ValueError: '[CLS]' is not in list"
    assert before.startswith("Traceback (most recent call last)") and masking.__file__ in before


def test_file_that_was_being_read_when_a_bug_showed_is_named_the_innermost_one(failed):
    def read() -> None:
        with reading("models/bert"), reading("models/bert/config.json"):
            raise KeyError("no\nkey")

    line, before = failed(read)
    assert line == "error: mask, while reading models/bert/config.json: KeyError: 'no\\nkey'" and "Traceback" in before


def test_file_that_its_library_finds_broken_is_named_with_the_remedy_and_no_traceback(failed):
    def read() -> None:
        with reading("00000.arrow", pa.ArrowInvalid, remedy="run the stage mask again"):
            pa.ipc.open_file(pa.py_buffer(b"no Arrow file at all"))

    line, before = failed(read)
    assert line.startswith("error: 00000.arrow cannot be read (ArrowInvalid: ") and not before
    assert line.endswith("; run the stage mask again")


def test_what_says_itself_where_it_is_wrong_says_no_more_for_being_read(failed):
    def read() -> None:
        with reading("words.txt", ValueError):
            raise UserError("words.txt, line 3: empty entry; remove it")

    assert failed(read) == ("error: words.txt, line 3: empty entry; remove it", "")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG])
def test_file_that_the_system_refuses_is_a_line_of_its_own_wherever_it_was_opened(failed, code):
    def write() -> None:
        raise OSError(code, os.strerror(code), "data/mask")

    line, before = failed(write)
    assert line.startswith(f"error: mask: data/mask: {os.strerror(code)}; ") and not before


def test_bug_in_a_check_of_params_keeps_its_traceback(tmp_path, failed):
    class Broken(Section):
        seed: int

        @field_validator("seed")
        @classmethod
        def check(cls, value):
            return int("no number")

    with pytest.raises(ValidationError) as found:
        Broken.model_validate({"seed": 1})
    line, before = failed(lambda: explain(tmp_path, found.value, Broken))
    assert line.startswith("error: mask: ValueError: invalid literal for int") and "Traceback" in before
