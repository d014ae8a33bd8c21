"""A folder of files by its path here or its name on the Hugging Face hub."""

from pathlib import Path
from zipfile import is_zipfile

from wwm.common.errors import UserError


def folder(source: str, key: str, patterns: list[str], choices: str, repo_type: str = "model") -> Path:
    """`source` itself if it is a folder, else the files of NAME or NAME@REVISION on the hub that match `patterns`,
    downloaded.

    REVISION is a commit, a branch or a tag; without one the newest commit is taken, or the newest that was downloaded
    if the hub does not answer, and told. Raises UserError that names the params `key` and the `choices` there are.
    """
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_file():
        remedy = "unpack it and name the folder that comes of it" if is_zipfile(source) else "name the folder it is in"
        raise UserError(f"{key}: {source} is a file; {remedy}")
    from huggingface_hub import errors, snapshot_download

    name, _, revision = source.partition("@")
    try:
        found = Path(snapshot_download(name, allow_patterns=patterns, repo_type=repo_type, revision=revision or None))
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        mirror = (
            ", or set HF_ENDPOINT to a mirror of the hub" if isinstance(error, errors.LocalEntryNotFoundError) else ""
        )
        raise UserError(
            f"{key}: {source} is not here, and the hub does not give it ({type(error).__name__}: {reason}); use"
            f" {choices}{mirror}"
        ) from None
    if found.name != revision:
        print(f"{key}: {source} is {name}@{found.name}; name that to have the same files again", flush=True)
    return found


def origin(folder: Path) -> dict[str, str]:
    """{"commit": COMMIT} of a folder that `folder` took from the hub, {} of any other."""
    return {"commit": folder.name} if folder.parent.name == "snapshots" else {}
