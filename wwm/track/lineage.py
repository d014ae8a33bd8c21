"""Git's commit, params.yaml, and DVC's hashes of what a stage reads and writes: they tie a run in MLflow to code and
files.
"""

import getpass
import hashlib
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from wwm.common import preset
from wwm.common.errors import without_secrets
from wwm.track import server

if TYPE_CHECKING:
    from dvc.repo import Repo


LONGEST_DIFF = 1_000_000  # bytes
CODE = ("wwm", "flows")
SOURCE = "mlflow.source.name"  # tag of what did the work itself; a run that stands in for it has none


def git(*arguments: str) -> bytes:
    """What git says, nothing where there is no git or no repository."""
    with suppress(OSError):
        return subprocess.run(["git", *arguments], check=False, capture_output=True).stdout
    return b""


def git_commit() -> str | None:
    return git("rev-parse", "HEAD").decode().strip() or None


def changes() -> str:
    """What is not committed, as a patch for `git apply` as far as it is UTF-8, with the names of modules that git
    does not know at its head; dvc.lock, which every run writes, is kept whole.
    """
    others = git("ls-files", "--others", "--exclude-standard", "-z", "--", *CODE).split(b"\0")[:-1]
    diff = git("diff", "--binary", "--no-ext-diff", "--no-color", "HEAD", "--", ".", ":(exclude)dvc.lock")
    cut = f"# cut at {LONGEST_DIFF:,} of {len(diff):,} bytes\n".encode() if len(diff) > LONGEST_DIFF else b""
    told = b"".join(b"# not known to git: %s\n" % name for name in others)
    return (told + cut + diff[:LONGEST_DIFF]).decode(errors="replace")


def settings() -> dict[str, str]:
    """`preset`, or `own`, and `params`, the hash of params.yaml; {} where that is not there."""
    params = preset.digest()
    return {"preset": next(iter(preset.names()), "own"), "params": params} if params else {}


def state(diff: str) -> dict[str, str]:
    """Tags that say who runs what: `mlflow.user`, the commit and `settings`; `dirty` where there is a `diff` besides
    the commit, `experiment` under `dvc exp run`.
    """
    tags = {
        "mlflow.source.git.commit": git_commit() or "",
        "dirty": "yes" if diff else "",
        "experiment": os.environ.get(server.EXPERIMENT, ""),
        **settings(),
    }
    with suppress(OSError, KeyError):
        tags["mlflow.user"] = getpass.getuser()
    return {key: value for key, value in tags.items() if value}


def label(tags: dict[str, str]) -> str:
    """`demo-1a2b3c4d` or `own-1a2b3c4d-dirty`: what tells runs and models of one name apart. "" where no tag says."""
    return "-".join(filter(None, [tags.get("preset"), tags.get("params"), "dirty" if "dirty" in tags else ""]))


def stamp() -> dict[str, str]:
    """What a copy of the report says of where and when it was made, by name."""
    commit = f"{git_commit() or 'unknown'}{' (with changes)' if changes() else ''}"
    return {"project": Path.cwd().name, "date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}", "commit": commit}


def explaining(diff: str) -> dict[str, str]:
    """Text by file name: what a run was made with, what is not committed among it."""
    found = {name: Path(name) for name in ("params.yaml", "dvc.lock")}
    texts = {name: without_secrets(path.read_text(encoding="utf-8")) for name, path in found.items() if path.is_file()}
    return texts | ({"changes.diff": without_secrets(diff)} if diff else {})


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


def of_deps(address: str, home: str | Path = ".") -> dict[str, str]:
    """Path -> hash for all that a stage of dvc.yaml in `home` reads, now; {} where there is no DVC or no such stage."""
    with suppress(ImportError):
        from dvc.dvcfile import load_file
        from dvc.exceptions import DvcException

        # dvc.yaml alone is read: another stage may be writing dvc.lock right now
        with suppress(DvcException, OSError), repository(home) as repo:
            stage = load_file(repo, f"{home}/dvc.yaml").resolver.resolve_one(address)[address]
            return {path: known(repo, Path(home, path)) for path in stage.get("deps", [])}
    return {}


@contextmanager
def repository(folder: str | Path = ".") -> Iterator["Repo"]:
    """Yields DVC's Repo of a folder, silent meanwhile. Raises ImportError, DvcException."""
    from dvc.logger import set_loggers_level
    from dvc.repo import Repo

    with set_loggers_level(logging.CRITICAL), Repo(str(folder)) as repo:
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
