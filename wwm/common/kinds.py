"""What a file is by its first bytes, whatever its name ends with: compressed, or nothing that text is read from."""

import re

from wwm.common.errors import UserError

COMPRESSED = {
    "gzip": rb"\x1f\x8b\x08",
    "bz2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\0",
    "zstd": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
}
UNPACK = "unpack it"
SAVE = "save it as plain text in UTF-8, a table as CSV"
CONVERT = "convert it to text, JSON lines or Parquet"
# The first that matches; office documents are zip files with files of known names within.
FOREIGN = [
    (rb"PK\x03\x04.{26}mimetypeapplication/epub", "an e-book (EPUB)", SAVE),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd", "an office document (ODF)", SAVE),
    (
        rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|word/|xl/|ppt/)",
        "an office document (docx, xlsx and such)",
        SAVE,
    ),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "zip", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "7z", UNPACK),
    (rb"Rar!\x1a\x07", "rar", UNPACK),
    (rb".{257}ustar[\0 ]", "tar", UNPACK),
    (rb"\x1f\x9d|\x1f\xa0", "compress (.Z)", UNPACK),
    (rb"\x04\x22\x4d\x18", "lz4", UNPACK),
    (rb"\x5d\0\0.{2}\0*\xff", "lzma", UNPACK),
    (rb"MSCF\0", "cab", UNPACK),
    (rb"%PDF-", "PDF", SAVE),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document (doc and such)", SAVE),
    (rb"\{\\rtf", "RTF", SAVE),
    (rb".{60}BOOKMOBI", "an e-book (MOBI)", SAVE),
    (rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype html|html)[\s>]", "a web page", SAVE),
    (rb"SQLite format 3\0", "SQLite", CONVERT),
    (rb"ARROW1\0", "Arrow", CONVERT),
    (rb"\x93NUMPY|\x80[\x02-\x05]", "numpy or pickle", CONVERT),
    (
        rb"\x89PNG|\xff\xd8\xff|GIF8[79]a.{0,7}\0|II\*\0|MM\0\*|RIFF.{4}(?:WAVE|AVI |WEBP)|OggS\0|ID3[\2-\4]\0|"
        rb"\x7fELF|MZ.{2}\0",
        "a picture, sound or program",
        "remove it",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS and not the file", "run `git lfs pull` where it is from"),
]
PATTERNS = [(re.compile(pattern, re.S), kind, remedy) for pattern, kind, remedy in FOREIGN]


def compression(head: bytes) -> str | None:
    """The name by which fsspec knows what these first bytes were compressed by."""
    return next((name for name, pattern in COMPRESSED.items() if re.match(pattern, head, re.S)), None)


def foreign(head: bytes) -> tuple[str, str] | None:
    """(what a file with these first bytes is, what to do with it); None for what may be text, XML or Parquet."""
    return next(((kind, remedy) for pattern, kind, remedy in PATTERNS if pattern.match(head)), None)


def refuse_foreign(head: bytes, name: str, parquet: bool) -> None:
    """Raises UserError for first bytes that are none of text, XML or, as asked for, Parquet."""
    if known := foreign(head):
        raise UserError(f"{name}: {known[0]} is not read: {known[1]}")
    if bool(re.match(rb"PAR1[\0-\x1f]", head)) != parquet:
        raise UserError(
            f"{name}: no Parquet, which the source's `format` says; set another `format`"
            if parquet
            else f"{name}: this is Parquet; set the source's `format` to parquet, and `fields`"
        )
