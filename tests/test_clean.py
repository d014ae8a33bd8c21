"""What old runs have left is listed, and removed where one says so."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wwm import clean
from wwm.common import files
from wwm.track import untracked

OLD = time.time() - 40 * clean.DAY


def made(path: Path, when: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("今天天气很好")
    for each in (path, *path.parents[:3]):
        os.utime(each, (when, when))
    return path


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Folders by name: old and new scratch folders, clones, and what must stay."""
    scratch, clones = tmp_path / "scratch", tmp_path / "clones"
    monkeypatch.setattr(files, "SCRATCH", scratch)
    monkeypatch.setattr(untracked, "FOLDER", scratch / "untracked")
    monkeypatch.setattr("tempfile.tempdir", str(clones))
    return {
        "old": made(scratch / "pretrain-bert-0123456789abcdef/step-1.pt"),
        "held": made(scratch / "pretrain-rbt3-0123456789abcdef/step-1.pt"),
        "new": made(scratch / "finetune-x-0123456789abcdef/1.json", time.time()),
        "unsent": made(scratch / "untracked/1.jsonl"),
        "clone": made(clones / "tmpaprefect/wwm/flows/run.py"),
        "in use": made(clones / "tmpbprefect/wwm/flows/run.py"),
        "foreign": made(clones / "tmpcprefect/other/main.py"),
    }


def test_only_what_is_old_and_in_nobodys_use_is_named_and_then_removed(left, capsys):
    stay = {"held", "new", "unsent", "in use", "foreign"}
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(waits, cwd=left["in use"].parent, **options) as process, files.locked(left["held"].parent):
        process.stdout.readline()
        clean.main(30, remove=False)
        said = capsys.readouterr().out
        assert all(path.is_file() for path in left.values())
        named = {name for name, path in left.items() if any(str(up) in said.split() for up in path.parents)}
        assert named == {"old", "clone"} and "in 2 folders" in said and "--remove" in said
        clean.main(30, remove=True)
        assert "Removed" in capsys.readouterr().out
        assert {name for name, path in left.items() if path.is_file()} == stay
        clean.main(30, remove=True)
        assert "Nothing that was last written 30 days ago" in capsys.readouterr().out
        process.stdin.close()
