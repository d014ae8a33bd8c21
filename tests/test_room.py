"""Room on disks: what a stage asks for before it begins."""

import os
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from wwm.common import files, room
from wwm.common.errors import UserError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")


def dvc(*arguments):
    subprocess.run(["dvc", *arguments], check=True, capture_output=True)


def needs(megabytes, monkeypatch, place=".", **sizes):
    """On the disk of `place`: so much is enough, and a byte less is not."""
    usage, there = shutil.disk_usage("."), room.disk(Path(place))
    for free in (megabytes * 10**6, megabytes * 10**6 - 1):

        def left(path, free=free):
            return usage._replace(free=free if room.disk(Path(path)) == there else 10**12)

        enough = free == megabytes * 10**6
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", left)
            with nullcontext() if enough else pytest.raises(UserError, match="it: some .* MB are needed on"):
                room.check("it", **{key: size * 10**6 for key, size in sizes.items()})


def test_room_is_asked_for_what_dvc_copies_into_its_cache_and_back(repository, monkeypatch):
    dvc("config", "cache.type", "copy")
    needs(6, monkeypatch, made=3)
    # In scratch/, in the cache, and as a file of its own in the checkout.
    needs(9, monkeypatch, shared=3)
    needs(7, monkeypatch, shared=3, there=2)
    dvc("config", "cache.type", "hardlink,copy")
    needs(3, monkeypatch, made=3)
    needs(3, monkeypatch, shared=3)


def test_links_into_the_cache_take_its_disk_alone(repository, monkeypatch):
    dvc("config", "cache.type", "symlink")
    needs(6, monkeypatch, made=3)
    needs(6, monkeypatch, shared=3)


def test_what_goes_before_the_outs_are_stored_is_not_asked_for_twice(repository, monkeypatch):
    dvc("config", "cache.type", "copy")
    needs(9, monkeypatch, made=1, alone=3, passing=6)
    # As ten milestones are.
    needs(3 + 2 + 30, monkeypatch, made=1, shared=10, alone=3, passing=6)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no second disk")
def test_each_disk_is_asked_for_what_lies_on_it(repository, monkeypatch):
    elsewhere = Path("/dev/shm", f"wwm-{os.getpid()}")
    monkeypatch.setattr(files, "SCRATCH", elsewhere)
    dvc("config", "cache.type", "copy")
    elsewhere.mkdir()
    try:
        needs(14, monkeypatch, place=elsewhere, shared=5, alone=3, passing=6)
        needs(12, monkeypatch, made=1, shared=5, alone=3, passing=6)
        dvc("cache", "dir", str(elsewhere / "cache"))
        needs(6, monkeypatch, made=1, shared=5, alone=3, passing=6)
        needs(14, monkeypatch, place=elsewhere, made=1, shared=5, alone=3, passing=6)
        usage = shutil.disk_usage(".")._replace(free=10**6)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: usage)
            with pytest.raises(UserError) as told:
                room.check("it", shared=5e6)
        # DVC makes none from one disk to another.
        assert "hardlink" not in str(told.value)
    finally:
        shutil.rmtree(elsewhere)


def test_without_dvc_nothing_is_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needs(3, monkeypatch, shared=3)


def test_a_scratch_that_cannot_be_made_is_named(monkeypatch):
    monkeypatch.setattr(files, "SCRATCH", Path("/proc/x"))
    with pytest.raises(UserError, match="^WWM_SCRATCH /proc/x: No such file or directory; name a folder"):
        room.check("it")
