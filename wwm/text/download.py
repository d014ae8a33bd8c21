"""Files at URLs: fetched once into the scratch folder, from where a broken transfer stopped."""

import hashlib
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from tqdm import tqdm

from wwm.common import files
from wwm.common.errors import UserError, without_secrets

CHUNK = 1 << 20  # bytes read at once
TRIES = 5  # in a row that bring nothing new
PAUSE = 1.0  # seconds after the first of them, then twice as long each time
HEADERS = {"Accept-Encoding": "identity"}  # lengths are those of the file
UNTOLD = (403, 405, 501)  # where a server answers no HEAD, though it may give the file
TAG = "tag.json"  # beside a file: what its server said of it
UNNAMED = dict.fromkeys(range(32))  # what no name of a file should have, or can
LONGEST = 60  # characters of one: a file system takes 255 bytes
TIMEOUT = 60  # seconds without a byte


class Stopped(Exception):
    """The transfer ended too early; what came is kept."""


def download(address: str, key: str, sha1: str | None) -> Path:
    """The file at `address`, here. It is fetched again when the server has another one (by ETag, time or size), or
    never if it has the `sha1` that is asked for.

    Raises UserError that names the params `key` for what cannot be had or has another sha1.
    """
    whole = place(address, sha1)
    folder = whole.parent
    part, tag = whole.with_name(f"{whole.name}.part"), folder / TAG
    with files.locked(folder):
        if sha1 and whole.exists():
            return whole
        tries = 0
        while True:
            before = size(part)
            try:
                fetch(address, whole, part, tag)
                break
            except (Stopped, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                answer = error.response if isinstance(error, requests.HTTPError) else None
                tries = 0 if size(part) > before else tries + 1
                # Of a URL that is none, requests raises a ValueError as well.
                if tries == TRIES or isinstance(error, ValueError) or (answer is not None and answer.status_code < 500):
                    if whole.exists():
                        told = f"{key}: {address} does not answer ({error}); the file of last time is taken"
                        print(without_secrets(told), flush=True)
                        return whole
                    raise UserError(
                        f"{key}: {address} cannot be read, {type(error).__name__}: {error}; mend the URL, or run again"
                        f" when the server answers: {size(part):,} bytes are kept"
                    ) from None
                time.sleep(PAUSE * 2**tries)
        if part.exists():
            if sha1 and (found := digest(part)) != sha1:
                part.unlink()
                raise UserError(f"{key}: {address} has the sha1 {found} and not {sha1}; mend `sha1`, or fetch it again")
            part.replace(whole)
    return whole


def is_url(files: str) -> bool:
    return urlsplit(files).scheme in ("http", "https")


def place(address: str, sha1: str | None) -> Path:
    folder = files.SCRATCH / "downloads" / files.hash_of([address, sha1])[:16]
    name = Path(unquote(urlsplit(address).path)).name.translate(UNNAMED).lstrip(".")
    return folder / ("file" if name in ("", TAG) else name[-LONGEST:])


def check(address: str, key: str, sha1: str | None) -> None:
    """Raises UserError where `download` would at once, and fetches nothing."""
    if place(address, sha1).exists():
        return
    try:
        with requests.head(address, headers=HEADERS, allow_redirects=True, timeout=TIMEOUT) as told:
            if told.status_code not in UNTOLD:
                told.raise_for_status()
    except requests.RequestException as error:
        raise UserError(
            f"{key}: {address} cannot be read, {type(error).__name__}: {error}; mend the URL, or run again when the"
            " server answers"
        ) from None


def fetch(address: str, whole: Path, part: Path, tag: Path) -> None:
    """Brings `part` to its end; leaves none if `whole` is still what the server has. Raises Stopped."""
    with requests.head(address, headers=HEADERS, allow_redirects=True, timeout=TIMEOUT) as told:
        if told.status_code not in UNTOLD:
            told.raise_for_status()
        now = {name: told.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")} if told.ok else {}
    if not any(now.values()) or not tag.exists() or files.read_json(tag) != now:
        part.unlink(missing_ok=True)
        files.write_json(tag, now)
    elif whole.exists():
        return
    start, length = size(part), int(now.get("Content-Length") or 0)
    if start and start == length:
        return
    headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        receive(answer, part, start if answer.status_code == requests.codes.partial else 0, length)


def receive(answer: requests.Response, part: Path, start: int, length: int) -> None:
    """Writes what comes behind the first `start` bytes of `part`."""
    with (
        open(part, "r+b" if start else "wb") as written,
        tqdm(desc=part.stem, initial=start, total=length or None, unit="B", unit_scale=True, mininterval=1) as bar,
    ):
        written.seek(start)
        # Not iter_content, which loses what came of a chunk before the connection broke.
        while chunk := answer.raw.read1(CHUNK):
            bar.update(written.write(chunk))
    if size(part) < length:
        raise Stopped(f"{size(part):,} of {length:,} bytes came")


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()
