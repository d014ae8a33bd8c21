"""What a stage took stands apart from its results."""

from pathlib import Path

import pytest
import torch

from wwm.common import files, times
from wwm.training import device


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_a_result_took_is_told_of_that_result_alone():
    files.write_json("results/cloze/bert.json", {"words": 400})
    assert times.read("cloze/bert") == {}
    times.write("cloze/bert", {"device": "CPU", "seconds": 1.5})
    assert times.read("cloze/bert") == times.read("cloze/bert", Path.cwd() / "results")
    assert times.read("cloze/bert") == {"device": "CPU", "seconds": 1.5}
    files.write_json("results/cloze/bert.json", {"words": 401})  # made elsewhere, as `dvc pull` brings it
    assert times.read("cloze/bert") == {}


def test_devices_are_named_with_their_number():
    assert device.named(torch.device("cpu")) == "CPU" and device.named(torch.device("cpu"), 2) == "2 x CPU"
