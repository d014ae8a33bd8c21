"""Outputs appear whole or not at all; long work keeps its state in a locked scratch folder."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from wwm.common import encoding
from wwm.common.errors import UserError, reading

# Once: to ask for it is to set it for a moment, for all threads.
os.umask(UMASK := os.umask(0))
SCRATCH = Path(os.environ.get("WWM_SCRATCH", "scratch"))  # shared by clones where it is set, see docs/team.md


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, renamed to `path` if the block ends well, removed if it raises.

    What a killed run left under the temporary name is thrown away at the next start.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    make_readable(temporary)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(temporary, path)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed to `path` if the block ends well, removed if it raises."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        make_readable(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_readable(path: Path) -> None:
    """Modes as `open` and `mkdir` give them, of a file, or of a folder and all in it: safetensors and tempfile leave
    theirs to their owner alone.
    """
    for each in (path, *path.rglob("*")):
        mode = each.lstat().st_mode
        missing = (0o777 if each.is_dir() else 0o666) & ~UMASK & ~mode
        if missing and not each.is_symlink():
            # What is linked from a shared scratch/ may be another user's.
            with suppress(PermissionError):
                each.chmod(mode | missing)


def write_text(path: str | Path, text: str) -> None:
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_json_lines(path: str | Path, rows: Iterable[object]) -> None:
    """A row a line, as they come."""
    with new_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def read_json(path: str | Path) -> Any:
    """Raises UserError that names a file that is missing, endless or no JSON."""
    check_ends(path)
    with reading(path, ValueError, RecursionError, FileNotFoundError):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def check_ends(path: str | Path) -> None:
    """Raises UserError for what stands among files and is none: to read it may never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise UserError(f"{path} is a pipe, socket or device; put a file in its place")


@contextmanager
def opened(path: str | Path) -> Iterator[BufferedReader]:
    """A file that a user named or laid down, to be read. Raises UserError where that cannot be."""
    with reading(path, OSError, remedy="see that it is there and that you may read it"), open(path, "rb") as stream:
        yield stream


def lines(path: str | Path) -> Iterator[str]:
    """Lines of a UTF-8 file without their ends. Raises UserError that names the line that is not UTF-8."""
    with opened(path) as stream:
        yield from decoded(stream, path)


def decoded(stream: Iterable[bytes], name: str | Path) -> Iterator[str]:
    """Lines of UTF-8 without their ends, cut at \\n alone: U+2028 and U+0085 are characters of a line.

    A byte order mark is left out. Raises UserError that names the line and byte of `name` that is not UTF-8, and what
    it may be.
    """
    begun, offset, foreign = b"", 0, False
    lines = iter(stream)
    for number, raw in enumerate(lines, 1):
        try:
            # UTF-16 of nothing but ASCII, and the head of a tar, are UTF-8 as well.
            if number == 1 and b"\0" in raw:
                raise UnicodeDecodeError("utf-8", raw, raw.index(0), raw.index(0) + 1, "no text")
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            sample = raw
            while len(sample) < encoding.SAMPLE and (more := next(lines, b"")):
                sample += more
            if len(begun) == offset:
                begun += sample
            raise UserError(
                f"{name}, line {number}: not UTF-8 (byte {raw[error.start]:#04x} at column {error.start + 1}, offset"
                f" {offset + error.start:,} of the file); {encoding.remedy(begun, sample, foreign)}"
            ) from None
        if len(begun) == offset < encoding.SAMPLE:
            begun += raw
        offset += len(raw)
        foreign = foreign or not line.isascii()
        yield line.rstrip("\r\n")


def shards(stage: str, parts: str = "*") -> dict[Path, Any]:
    """The Parquet files that `stage` wrote to data/STAGE/PART, each with its metadata. Raises UserError where it wrote
    none, or one is broken.
    """
    found = sorted(Path("data", stage).glob(f"{parts}/*.parquet"))
    if not found:
        raise UserError(f"data/{stage} has no shards; run `dvc repro`, or by hand `python -m wwm.{stage}` first")
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {}
    for path in found:
        with reading(path, pa.ArrowException, OSError, remedy=f"run the stage {stage} again"):
            metadata[path] = pq.read_metadata(path)
    return metadata


def column_bytes(metadata: Any, name: str) -> int:
    """What a column of a Parquet file takes once it is no longer compressed."""
    groups = [metadata.row_group(number).to_dict()["columns"] for number in range(metadata.num_row_groups)]
    return sum(
        column["total_uncompressed_size"] for group in groups for column in group if column["path_in_schema"] == name
    )


def batches(path: str | Path, rows: int = 1000, columns: list[str] | None = None) -> Iterator[Any]:
    """Of `rows` rows each, of a Parquet file that a stage wrote. Raises UserError that names one that is broken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, pa.ArrowException, OSError, remedy="run the stage that wrote it again"):
        yield from pq.ParquetFile(path).iter_batches(rows, columns=columns)


def content_hash(path: str | Path) -> str:
    """sha256 of a file's bytes, or of a folder's file names and bytes."""
    path = Path(path)
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(path)}\n".encode())
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


@contextmanager
def scratch(stage: str, inputs: Sequence[str | Path], settings: dict) -> Iterator[Path]:
    """Yields the folder `scratch/<stage>-<hash of inputs and settings>`, held by one process at a time.

    It outlives a kill (DVC deletes outs before a re-run, this it does not know), so that the next run of the same work
    goes on from what lies there; other inputs or settings give another folder. The caller removes it when the work is
    done.
    """
    key = {"inputs": {str(path): content_hash(path) for path in inputs}, "settings": settings}
    digest = hash_of(key)[:16]
    folder = SCRATCH / f"{stage}-{digest}"
    if not folder.exists() and "WWM_SCRATCH" not in os.environ:
        for other in SCRATCH.glob(f"{stage}-{'[0-9a-f]' * 16}"):
            print(
                f"{stage} starts from the beginning; what lies in {other} was begun with other inputs, settings or"
                " code: go back to those to go on with it, or remove it",
                flush=True,
            )
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        folder.mkdir(exist_ok=True)
        yield folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder`.lock: one process at a time works on what the folder is for, others wait and say so."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        told = f"{folder} is in use: another process does this very work; waiting for it"
        wait_for(lock, lambda: print(told, flush=True))
        yield


def wait_for(lock: IO[str], say: Callable[[], object]) -> None:
    """Locks an open file for this process; `say` is called once where another one holds it."""
    waiting = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waiting:
                say()
            waiting = True
            time.sleep(1)


def held(folder: Path) -> bool:
    """Whether a process has `folder` locked."""
    with suppress(FileNotFoundError), open(folder.with_name(f"{folder.name}.lock"), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hash_of(value: object) -> str:
    """sha256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def link(source: Path, target: Path) -> None:
    """`target` becomes the same file as `source`, or a copy where they are on different disks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
