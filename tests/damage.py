"""What is done to files and params.yaml of a project, in its folder, to see what is made of it.

Files are hard links to those of another project: what is written is written anew.
"""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wwm.params import overrides


def put(path: str | Path, content: bytes | str) -> Callable[[], None]:
    """A file with this content, where it was or was not."""

    def damage() -> None:
        write(path, content.encode() if isinstance(content, str) else content)

    return damage


def write(path: str | Path, content: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    Path(path).write_bytes(content)


def changed(path: str | Path, change: Callable[[bytes], bytes]) -> Callable[[], None]:
    return lambda: write(path, change(Path(path).read_bytes()))


def half(path: str | Path) -> Callable[[], None]:
    """Cut off in the middle."""
    return changed(path, lambda content: content[: len(content) // 2])


def zeroed(path: str | Path, share: float = 0.5) -> Callable[[], None]:
    """With 4096 zeros, or half the file, as of a block that was never written."""

    def change(content: bytes) -> bytes:
        size = min(4096, len(content) // 4)
        start = min(int(len(content) * share), len(content) - size)
        return content[:start] + bytes(size) + content[start + size :]

    return changed(path, change)


def with_keys(path: str | Path, **keys: object) -> Callable[[], None]:
    """A JSON object with these keys replaced, or, with None, left out."""

    def change(content: bytes) -> bytes:
        values = {**json.loads(content), **keys}
        return json.dumps({key: value for key, value in values.items() if value is not None}).encode()

    return changed(path, change)


def params(**keys: object) -> Callable[[], None]:
    """params.yaml with these keys set; `__` stands for a dot."""
    return params_of({key.replace("__", "."): value for key, value in keys.items()})


def params_of(keys: dict[str, object]) -> Callable[[], None]:
    return changed("params.yaml", lambda content: overrides.applied(content.decode(), keys).encode())


def each(*damages: Callable[[], object]) -> Callable[[], None]:
    def damage() -> None:
        for one in damages:
            one()

    return damage


def nothing() -> None:
    pass


def shaped(form: str) -> bytes:
    """A good file of this form, with some text in it; the same bytes at any time, since names of tests show them."""
    stream, text = io.BytesIO(), "今天天气很好。\n".encode() * 50
    match form:
        case "zip":
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr(zipfile.ZipInfo("text.txt"), text)
        case "tar":
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                member = tarfile.TarInfo("text.txt")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
        case "old tar":  # without a mark
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                member = tarfile.TarInfo("text.txt")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
            content = bytearray(stream.getvalue())
            content[257:265] = bytes(8)
            content[148:156] = b" " * 8
            content[148:156] = b"%06o\0 " % sum(content[:512])
            return bytes(content)
        case "tar.gz":
            return gzip.compress(shaped("tar"), mtime=0)
        case "gzip":
            return gzip.compress(text, mtime=0)
        case "Parquet":
            pq.write_table(pa.table({"id": ["1"], "source": ["x"], "text": [text.decode()]}), stream)
        case _:
            raise AssertionError(form)
    return stream.getvalue()
