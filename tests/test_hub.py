"""Files by a hub name, from a cache in the hub's own layout: nothing is downloaded."""

from pathlib import Path

import pytest

from wwm.common import hub
from wwm.common.errors import UserError

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Two commits of the model org/bert, the second of which is its branch main."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for commit in (OLD, NEW):
        snapshot = tmp_path / "models--org--bert/snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "vocab.txt").write_text(commit)
    (tmp_path / "models--org--bert/refs").mkdir()
    (tmp_path / "models--org--bert/refs/main").write_text(NEW)


def found(source: str) -> str:
    return (hub.folder(source, "vocab.source", ["vocab.txt"], "a folder") / "vocab.txt").read_text()


def test_a_name_with_a_commit_is_always_the_same_files(capsys):
    assert found(f"org/bert@{OLD}") == OLD
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("source", ["org/bert", "org/bert@main"])
def test_a_name_without_a_commit_says_which_one_it_is(source, capsys):
    assert found(source) == NEW
    assert f"vocab.source: {source} is org/bert@{NEW};" in capsys.readouterr().out


def test_a_commit_that_the_hub_does_not_have_is_named_with_its_key():
    with pytest.raises(UserError, match="vocab.source: org/bert@v9 is not here, and the hub does not give it"):
        found("org/bert@v9")


def test_a_folder_here_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("org/bert").mkdir(parents=True)
    assert hub.folder("org/bert", "vocab.source", [], "a folder") == Path("org/bert")
