"""What is wrong with an input is said in one line that names it: no traceback, no hang, nothing wrong is accepted."""

import os
import random
import shutil
from pathlib import Path

import bad_inputs
import bad_params
import full_disk
import pytest

from wwm import params
from wwm.common.errors import UserError

ROOT = Path(__file__).parent.parent
ALL = [(door, bad) for door in bad_inputs.DOORS for bad in bad_inputs.cases(door)]
SAMPLE = 40  # of values of params.yaml


def test_there_are_enough_of_them_and_each_is_called_by_its_own_name():
    assert len({(door, bad.name) for door, bad in ALL}) == len(ALL) >= 300


@pytest.mark.parametrize(
    "bad", random.Random(1).sample(bad_params.cases(), SAMPLE), ids=lambda bad: bad.name.encode("ascii", "replace")
)
def test_value_that_no_run_can_have_is_refused_where_params_yaml_is_read(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "presets/tiny.yaml", "params.yaml")
    bad.damage()
    with pytest.raises(UserError, match=bad.says) as error:
        params.read()
    assert all(len(line) < bad_inputs.MOST for line in str(error.value).splitlines())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The small finished project, made once."""
    with bad_inputs.ready():
        made = tmp_path_factory.mktemp("bad") / "project"
        bad_inputs.make(made)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("door", "bad"), ALL, ids=[f"{door}: {bad.name!a}" for door, bad in ALL])
def test_bad_input_is_named_in_one_line(door, bad, project):
    found = bad_inputs.run(bad, project)
    assert found.kind == "named", found.line


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="mounts a disk")
@pytest.mark.parametrize("free", full_disk.FREE)
@pytest.mark.parametrize("stage", bad_inputs.STAGES)
def test_full_disk_is_a_line_and_the_stage_makes_the_same_once_there_is_room(stage, free, project):
    assert not full_disk.tried(stage, project, free)
