"""Streams of raw files, watched as they are read: how far they are, and that no more is in memory than may be, for a
file may unpack to a thousand times its size.
"""

import io
from collections.abc import Callable, Iterator
from typing import IO, Any

from wwm.common import files
from wwm.common.errors import UserError

BYTES = 4  # of a character at most


class Counted(io.RawIOBase):
    """A stream that tells `progress` how many bytes were read."""

    def __init__(self, stream: IO[bytes], progress: Callable[[int], object]):
        self.stream, self.progress = stream, progress

        self.total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.stream.read(len(buffer))
        buffer[: len(found)] = found
        self.total += len(found)
        self.progress(len(found))
        return len(found)


class Bounded:
    """A stream that raises UserError once more than `most` bytes were read since `left` was set to that."""

    def __init__(self, stream: IO[bytes], name: str, most: int):
        self.stream, self.name, self.most, self.left = stream, name, most, most

    def read(self, size: int = -1, /) -> bytes:
        found = self.stream.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise UserError(
                f"{self.name}: no page ends within {self.most:,} bytes: is this a dump? Fetch it again, or raise"
                " corpus.max_characters"
            )
        return found


def short_lines(stream: IO[bytes], name: str, longest: int) -> Iterator[str]:
    """Lines as files.decoded has them. Raises UserError for one of more than `longest` characters before it is in
    memory.
    """
    most = BYTES * longest

    def check(number: int, fits: bool) -> None:
        if not fits:
            raise UserError(
                f"{name}, line {number}: more than {longest:,} characters without a line's end, 10 times"
                " corpus.max_characters: break the line, or raise that key"
            )

    def whole() -> Iterator[bytes]:
        for number, line in enumerate(iter(lambda: stream.readline(most + 1), b""), 1):
            check(number, len(line) <= most)
            yield line

    for number, line in enumerate(files.decoded(whole(), name), 1):
        check(number, len(line) <= longest)
        yield line
