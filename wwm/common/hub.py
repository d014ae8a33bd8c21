"""A folder of files by its path here or its name on the Hugging Face hub."""

from contextlib import suppress
from pathlib import Path
from zipfile import is_zipfile

from wwm.common.errors import UserError

# What each stage that asks for something of the hub can have instead.
CHOICES = {
    "corpus": "a folder in the layout of a hub data set, or a hub name",
    "segmenter": "`train`, an LTP folder, or a hub name such as LTP/small",
    "vocab": "`train`, a vocab.txt, a folder, or a hub name such as google-bert/bert-base-chinese",
    "init": "`random`, a model folder or a hub name",
    "load": "a model folder or a hub name",
    "fetch": "`hub`, a data set on the hub, or a folder in its layout",
}
SECONDS = 10  # that the hub has to answer


class Away(UserError):
    """The hub does not answer, so nobody knows whether it has what was asked for."""


def folder(source: str, key: str, patterns: list[str], choices: str, repo_type: str = "model") -> Path:
    """`source` itself if it is a folder, else the files of NAME or NAME@REVISION on the hub that match `patterns`,
    downloaded.

    REVISION is a commit, a branch or a tag; without one the newest commit is taken, or the newest that was downloaded
    if the hub does not answer, and told. Raises UserError that names the params `key` and the `choices` there are, Away
    where the hub may have it.
    """
    if Path(source).is_dir():
        return Path(source)
    refuse_file(source, key)
    from huggingface_hub import snapshot_download

    name, _, revision = source.partition("@")
    try:
        found = Path(snapshot_download(name, allow_patterns=patterns, repo_type=repo_type, revision=revision or None))
    except Exception as error:
        raise refused(source, key, choices, error) from None
    if found.name != revision:
        print(f"{key}: {source} is {name}@{found.name}; name that to have the same files again", flush=True)
    return found


def check(source: str, key: str, choices: str, repo_type: str = "model") -> None:
    """Raises UserError where `folder` would, and downloads nothing."""
    if Path(source).is_dir():
        return
    refuse_file(source, key)
    from huggingface_hub import HfApi, errors, snapshot_download

    name, _, revision = source.partition("@")
    try:
        with suppress(errors.LocalEntryNotFoundError):
            snapshot_download(name, repo_type=repo_type, revision=revision or None, local_files_only=True)
            return
        HfApi().repo_info(name, repo_type=repo_type, revision=revision or None, timeout=SECONDS)
    except Exception as error:
        raise refused(source, key, choices, error) from None


def refuse_file(source: str, key: str) -> None:
    if Path(source).is_file():
        remedy = "unpack it and name the folder that comes of it" if is_zipfile(source) else "name the folder it is in"
        raise UserError(f"{key}: {source} is a file; {remedy}")


def refused(source: str, key: str, choices: str, error: Exception) -> UserError:
    from huggingface_hub import errors

    reason = (str(error).splitlines() or [""])[0]
    known = errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.HFValidationError
    away = not isinstance(error, known)
    mirror = ", or set HF_ENDPOINT to a mirror of the hub" if away else ""
    return (Away if away else UserError)(
        f"{key}: {source} is not here, and the hub does not give it ({type(error).__name__}: {reason}); use"
        f" {choices}{mirror}"
    )


def origin(folder: Path) -> dict[str, str]:
    """{"commit": COMMIT} of a folder that `folder` took from the hub, {} of any other."""
    return {"commit": folder.name} if folder.parent.name == "snapshots" else {}
