"""Git's commit, and DVC's hashes of what a stage reads and writes: they tie a run in MLflow to code and files."""

import hashlib
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.repo import Repo


def git_commit() -> str | None:
    with suppress(OSError):
        return (
            subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True).stdout.strip()
            or None
        )
    return None


def of(path: str | Path) -> str:
    """The hash that dvc.lock will hold for an out, which DVC itself asks for only after the stage has ended.

    DVC computes it where it is installed and `path` is in its repository: it remembers the hash of each file, so that
    what a stage wrote is read once and not twice. Elsewhere, as on a rented training host, it is computed here.
    """
    path = Path(path)
    # Whatever DVC cannot do now, the work is done and must not fail over a tag.
    with suppress(Exception), repository() as repo:
        if Path(os.path.abspath(path)).is_relative_to(repo.root_dir):
            return known(repo, path)
    return computed(path)


def computed(path: Path) -> str:
    """As DVC computes it."""
    if path.is_file():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    inside = [file for file in path.rglob("*") if file.is_file()]
    entries = [{"md5": computed(file), "relpath": file.relative_to(path).as_posix()} for file in inside]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def of_deps(address: str) -> dict[str, str]:
    """Path -> hash for all that a stage of dvc.yaml here reads, now; {} where there is no DVC or no such stage."""
    with suppress(ImportError):
        from dvc.dvcfile import load_file
        from dvc.exceptions import DvcException

        # dvc.yaml alone is read: another stage may be writing dvc.lock right now
        with suppress(DvcException, OSError), repository() as repo:
            stage = load_file(repo, "dvc.yaml").resolver.resolve_one(address)[address]
            return {path: known(repo, path) for path in stage.get("deps", [])}
    return {}


@contextmanager
def repository() -> Iterator["Repo"]:
    """Yields DVC's Repo of the working folder, silent meanwhile. Raises ImportError, DvcException."""
    from dvc.logger import set_loggers_level
    from dvc.repo import Repo

    with set_loggers_level(logging.CRITICAL), Repo() as repo:
        yield repo


def known(repo: "Repo", path: str | Path) -> str:
    """The hash of a file or folder; files whose time and size are as DVC last saw them are not read.

    DVC's locks are not asked for, so it works while `dvc repro` runs the very stage that calls it.
    """
    from dvc.dependency.base import Dependency

    return Dependency(None, str(path), repo=repo).get_hash().value


def tags(prefix: str, found: dict[str, str]) -> dict[str, str]:
    """MLflow tags `prefix.path`; its keys hold fewer characters than a path."""
    return {re.sub(r"[^/\w.\- :]|\.\.", "_", f"{prefix}.{path}"): value for path, value in found.items()}
