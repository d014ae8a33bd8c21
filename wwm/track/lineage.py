"""Git's commit, and DVC's hashes of what a stage reads and writes: they tie a run in MLflow to code and files."""

import hashlib
import json
import re
import subprocess
from contextlib import suppress
from pathlib import Path


def git_commit() -> str | None:
    with suppress(OSError):
        return (
            subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True).stdout.strip()
            or None
        )
    return None


def of(path: str | Path) -> str:
    """The hash that dvc.lock will hold for an out, which DVC itself computes only after the stage has ended."""
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    entries = [
        {"md5": of(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def of_deps(address: str) -> dict[str, str]:
    """Path -> hash for all that a stage of dvc.yaml here reads, now; {} where there is no DVC or no such stage.

    DVC remembers the hashes of files that did not change, so that big inputs are not read again.
    """
    with suppress(ImportError):
        from dvc.dependency.base import Dependency
        from dvc.dvcfile import load_file
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        # dvc.yaml alone is read: another stage may be writing dvc.lock right now
        with suppress(DvcException, OSError), Repo() as repo:
            stage = load_file(repo, "dvc.yaml").resolver.resolve_one(address)[address]
            return {path: Dependency(None, path, repo=repo).get_hash().value for path in stage.get("deps", [])}
    return {}


def tags(prefix: str, found: dict[str, str]) -> dict[str, str]:
    """MLflow tags `prefix.path`; its keys hold fewer characters than a path."""
    return {re.sub(r"[^/\w.\- :]|\.\.", "_", f"{prefix}.{path}"): value for path, value in found.items()}
