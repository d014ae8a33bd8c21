"""A folder of files by its path here or its name on the Hugging Face hub."""

from pathlib import Path


def folder(source: str, key: str, patterns: list[str], choices: str, repo_type: str = "model", revision: str | None = None) -> Path:
    """`source` itself if it is a folder, else the hub's files of that name (at `revision`) that match `patterns`, downloaded.

    Raises ValueError that names the params `key` and the `choices` there are.
    """
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=patterns, repo_type=repo_type, revision=revision))
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        mirror = ", or set HF_ENDPOINT to a mirror of the hub" if isinstance(error, errors.LocalEntryNotFoundError) else ""
        raise ValueError(f"{key}: {source} is not here, and the hub does not give it ({type(error).__name__}: {reason}); use {choices}{mirror}") from None
