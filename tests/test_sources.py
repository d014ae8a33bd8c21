"""Files -> documents: layouts that are told apart, values that are no text, files that are none of ours."""

import gzip
import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import threading
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import shaped

from wwm.common import files
from wwm.common.errors import UserError
from wwm.text import download, shape, sources


def read(path: Path, counts: Counter | None = None, **keys) -> list[str]:
    """The documents of one file, or of all files of a folder."""
    source = SimpleNamespace(**{"format": None, "fields": None, "dataset": None, "on_bad": None, "sha1": None} | keys)
    places = [sources.Place(str(one), 0) for one in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return list(sources.documents(places, source, Counter() if counts is None else counts))


def said(path: Path, **keys) -> str:
    with pytest.raises(UserError) as error:
        read(path, **keys)
    assert "\n" not in str(error.value)
    return str(error.value)


def archive(ending: str) -> bytes:
    stream = io.BytesIO()
    if ending == "zip":
        with zipfile.ZipFile(stream, "w") as made:
            made.writestr("a.txt", "新闻。")
    elif ending == "docx":
        with zipfile.ZipFile(stream, "w") as made:
            made.writestr("[Content_Types].xml", "<Types/>")
    else:
        with tarfile.open(fileobj=stream, mode="w:gz" if ending == "tgz" else "w") as made:
            made.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (archive("zip"), "zip is not read: unpack it"),
        (archive("tar"), "tar is not read: unpack it"),
        (archive("tgz"), "tar is not read: unpack it"),
        (archive("docx"), "an office document .docx, xlsx and such. is not read: save it as plain text"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z is not read: unpack it"),
        (b"Rar!\x1a\x07\x01\0", "rar is not read: unpack it"),
        (b"%PDF-1.7\n", "PDF is not read: save it as plain text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "an office document .doc and such. is not read"),
        (b"{\\rtf1\\ansi", "RTF is not read"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>", "a web page is not read: save it as plain text"),
        (b"<HTML lang=zh>", "a web page is not read: save it as plain text"),
        (b"SQLite format 3\0", "SQLite is not read: convert it"),
        (b"\x89PNG\r\n", "a picture, sound or program is not read"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS .* `git lfs pull`"),
        (b"PAR1\x15\x04", "this is Parquet; set the source's `format` to parquet"),
    ],
    # An archive has the second of its making in it, and each process of pytest-xdist makes its own.
    ids=lambda value: value if isinstance(value, str) else "raw",
)
def test_file_that_is_no_text_is_named_for_what_it_is_whatever_its_name(tmp_path, raw, message):
    path = tmp_path / "news.txt"
    path.write_bytes(raw)
    assert re.search(f"news.txt: {message}", said(path))


def test_tar_without_a_mark_is_told_by_its_zero_bytes(tmp_path):
    (tmp_path / "news.txt").write_bytes(shaped("old tar"))
    assert re.search("news.txt, line 1: not UTF-8 .byte 0x00 .*is it another kind of file", said(tmp_path / "news.txt"))


def test_link_that_leads_nowhere_is_named_and_not_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("新闻。\n", encoding="utf-8")
    for name, target in (("b.txt", "nowhere"), ("c.txt", "c.txt")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(UserError, match=f"corpus.sources.news: .*{name} is a link to {target}, which is not there"):
            sources.find(tmp_path, "corpus.sources.news", SimpleNamespace(files="*.txt", dataset=None))
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "text", ["ID3算法", "PAR1蛋白", "RIFF格式", "GIF89a图", "MZ头", "PK大战", "BZh是", "7z包", "Rar!", "%", "]", ""]
)
def test_text_that_begins_with_the_name_of_another_format_is_text(tmp_path, text):
    (tmp_path / "a").write_text(f"{text}讲的是文件的第一行。\n", encoding="utf-8")
    assert read(tmp_path / "a") == [f"{text}讲的是文件的第一行。"]


def test_compression_is_told_by_the_first_bytes_and_not_by_the_name(tmp_path):
    for name in ("a.txt", "a.zip", "a.bz2"):
        (tmp_path / name).write_bytes(gzip.compress("甲。\n\n乙。\n".encode()))
        assert read(tmp_path / name) == ["甲。", "乙。"]
    (tmp_path / "b.gz").write_text("甲。\n", encoding="utf-8")
    assert read(tmp_path / "b.gz") == ["甲。"]


DOC = '<doc id="%d" revid="7" url="https://zh.wikipedia.org/wiki?curid=%d" title="%s">\n%s\n</doc>\n'
ARTICLES = [("数学", "数学\n\n数学研究数量。\n\n古代就有。\n"), ('"引"的<题>', '"引"的<题>\n\n正文。'), ("空", "空\n")]


@pytest.mark.parametrize("json_lines", [False, True])
def test_articles_of_wikiextractor_lose_their_tags_and_titles_and_are_refused_as_plain_text(tmp_path, json_lines):
    path = tmp_path / "wiki_00"
    rows = [{"id": "1", "revid": "7", "url": "u", "title": title, "text": text} for title, text in ARTICLES]
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if json_lines
        else "".join(DOC % (i, i, title, text) for i, (title, text) in enumerate(ARTICLES)),
        encoding="utf-8",
    )
    found = [[line for line in text.split("\n") if line] for text in read(path, format="wikiextractor")]
    assert found == [["数学研究数量。", "古代就有。"], ["正文。"], []]
    assert "line 1: this is no plain text, set the source's `format` to wikiextractor" in said(path)
    assert said(path).endswith("wiki2019zh if it is of that corpus") == json_lines
    if not json_lines:
        wrong = said(path, format="jsonl", fields=["text"])
        assert wrong.endswith("line 1: this is no JSON, set the source's `format` to wikiextractor")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<doc id='1'>\n甲\n", "line 1: <doc id='1'> stands in no <doc"),
        (DOC % (1, 1, "甲", "文。") + "乙\n", "line 4: 乙 stands in no <doc"),
        ((DOC % (1, 1, "甲", "文。"))[:-7], "line 2: the last article does not end; is the file cut off"),
        (DOC.replace("</doc>\n", "") % (1, 1, "甲", "文。") * 2, "line 3: an article begins within another"),
        ('{"title": "甲", "text": "文。"', "line 1: no JSON"),
    ],
)
def test_what_is_not_wikiextractors_output_is_named_by_its_line(tmp_path, text, message):
    (tmp_path / "wiki_00").write_text(text, encoding="utf-8")
    assert message in said(tmp_path / "wiki_00", format="wikiextractor")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('\n{"title": "甲", "content": "乙。"}\n', "jsonl, and `fields`"),
        ('[\n{"a": "甲。"},\n', "jsonl, once each object stands on a line of its own"),
        ('{\n\n  "a": "甲。"\n', "jsonl, once each object stands on a line of its own"),
        ('[{\n"a":\n', "jsonl, once each object stands on a line of its own"),
        ('<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n', "mediawiki"),
    ],
)
def test_another_format_that_is_read_as_plain_text_is_recognised(tmp_path, text, format):
    (tmp_path / "a").write_text(text, encoding="utf-8")
    assert f"set the source's `format` to {format}" in said(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "format", "fields", "message"),
    [
        ('{"content": "甲。"}\n', "wikiextractor", None, "set another `format`: wikiextractor has text"),
        ('{"body": "甲。"}\n', "news2016zh", None, "set another `format`: news2016zh has title, desc, content"),
        ('{"body": "甲。"}\n', "jsonl", ["text"], "set the source's `fields`"),
        ("甲文。\n", "mediawiki", None, "no XML, and so no MediaWiki dump .*; set another `format`"),
        ("<mediawiki><page>\n", "mediawiki", None, "no whole MediaWiki dump, .*; fetch it again"),
        ('[{"text": "甲。"}]\n', "jsonl", ["text"], "line 1: a list of JSON .*jq -c '...'`.$"),
        ('[\n{"text": "甲。"},\n]\n', "jsonl", ["text"], "line 1: a list of JSON"),
        ('<?xml version="1.0"?>\n<doc>甲</doc>\n', "text", None, "set .*`format` to jsonl, once this XML is converted"),
        (
            '<?xml version="1.0" encoding="GB18030"?>\n<mediawiki>\n',
            "mediawiki",
            None,
            "no XML, and so no MediaWiki dump .multi-byte encodings are not supported.",
        ),
        ('<?xml version="1.0"?>\n<mediawiki>\n', "text", None, "set the source's `format` to mediawiki"),
        ("text,label\n很好,1\n", "text", None, "to jsonl, once this table is converted"),
        ("id\tcontent\n1\t很好\n", "text", None, "to jsonl, once this table is converted"),
    ],
)
def test_remedy_for_a_wrong_format_names_what_is_wrong(tmp_path, text, format, fields, message):
    (tmp_path / "a").write_text(text, encoding="utf-8")
    assert re.search(message, said(tmp_path / "a", format=format, fields=fields))


VALUES = [
    (None, "missing_values"),
    (float("nan"), "missing_values"),
    (7, "bad_values"),
    (1.5, "bad_values"),
    (True, "bad_values"),
    ({"a": "乙。"}, "bad_values"),
    (["甲。", {"a": "乙。"}], "bad_values"),
    ([["甲。"]], "bad_values"),
    (["甲。", None], "missing_values"),
    ("甲。", None),
    ("nan", None),
    ("", None),
    ([], None),
    (["甲。", "丙。"], None),
]


def texts(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


@pytest.mark.parametrize(("value", "counted"), VALUES)
def test_json_value_that_is_no_text_becomes_no_paragraph_and_is_counted_or_an_error(tmp_path, value, counted):
    path = tmp_path / "a.jsonl"
    rows = [{"t": "题", "x": "第一行没有问题。"}, {"t": "目", "x": value}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    counts: Counter = Counter()
    found = read(path, counts, format="jsonl", fields=["t", "x"])
    assert found == ["题\n第一行没有问题。", "\n".join(["目", *texts(value)])]
    assert {key for key in counts if key.endswith("_values")} == ({counted} if counted else set())
    if counted:
        message = said(path, format="jsonl", fields=["t", "x"], on_bad="error")
        assert re.search("a.jsonl, line 2: field 'x' (is null|holds a|is absent)", message)
    else:
        assert read(path, format="jsonl", fields=["t", "x"], on_bad="error") == found


@pytest.mark.parametrize("text", ["{\n    int x;\n}", "[\n(甲)\n]", "{\n“甲”：乙。", "[\n", "{"])
def test_text_that_begins_with_a_bracket_is_text(tmp_path, text):
    (tmp_path / "a").write_text(text, encoding="utf-8")
    assert read(tmp_path / "a") == [text.strip()]


def test_field_may_be_absent_from_some_files_of_a_source_and_on_bad_drop_lets_it_be_absent_from_all(tmp_path):
    keys = {"format": "jsonl", "fields": ["title", "text"]}
    (tmp_path / "a").write_text('{"text": "甲。"}\n', encoding="utf-8")
    assert "a, line 1: field 'title' is absent; it has text, and no row has text there" in said(tmp_path, **keys)
    (tmp_path / "b").write_text('{"title": 2020, "text": "乙。"}\n{"title": null, "text": "丙。"}\n', encoding="utf-8")
    assert "a, line 1: field 'title' is absent" in said(tmp_path, **keys)
    assert read(tmp_path, **keys, on_bad="drop") == ["甲。", "乙。", "丙。"]
    (tmp_path / "c").write_text('{"title": "题", "text": "丁。"}\n', encoding="utf-8")
    assert read(tmp_path, **keys) == ["甲。", "乙。", "丙。", "题\n丁。"]


@pytest.mark.parametrize(
    "column",
    [[None, "甲。"], [None, None], [1, 2], [1.5, float("nan")], [b"a", b"b"], [{"a": 1}, {"a": 2}], [["甲。"], [None]]],
)
def test_parquet_value_that_is_no_text_becomes_no_paragraph_and_a_column_without_any_is_an_error(tmp_path, column):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["题", "目"], "x": column}), path)
    if any(texts(value) for value in column):
        found = read(path, format="parquet", fields=["t", "x"])
        assert found == ["\n".join([title, *texts(value)]) for title, value in zip("题目", column)]
    else:
        message = said(path, format="parquet", fields=["t", "x"])
        assert re.search(r"row 1: field 'x' (?:holds .*|is null); it has t, x, and no row has text there; set", message)
    assert "no column 'y'; it has t, x" in said(path, format="parquet", fields=["t", "y"])


@pytest.mark.parametrize("line", ['{"x": "好"', '["好"]', "7", "好", '{"x": "好"} {"x": "好"}', "[" * 100_000])
def test_broken_line_of_json_is_an_error_or_left_out_and_counted(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"x": "甲。"}}\n{line}\n{{"x": "乙。"}}\n', encoding="utf-8")
    for on_bad in (None, "error"):
        assert "a.jsonl, line 2: " in said(path, format="jsonl", fields=["x"], on_bad=on_bad)
    counts: Counter = Counter()
    assert read(path, counts, format="jsonl", fields=["x"], on_bad="drop") == ["甲。", "乙。"]
    assert counts["bad_lines"] == 1


def test_field_that_no_row_has_is_an_error_and_one_that_some_lack_is_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": "甲。"}\n{"y": "乙。"}\n', encoding="utf-8")
    counts: Counter = Counter()
    assert read(path, counts, format="jsonl", fields=["x"]) == ["甲。", ""]
    assert counts["missing_values"] == 1
    assert "line 1: field 'text' is absent; it has x, and no row has text there" in said(
        path, format="jsonl", fields=["x", "text"]
    )


@pytest.mark.parametrize(
    ("text", "one_sentence", "unbroken"),
    [
        ("好书。", 1, 0),
        ("他说：“好。”", 1, 0),
        ("没有标点的一行", 1, 0),
        ("第一句。第二句。", 0, 0),
        ("第一行\n第二行", 0, 0),
        ("One. Two.", 0, 0),
        ("版本是3.5版", 1, 0),
        ("字" * 10_000, 1, 9_490),
        ("字" * 600 + "。" + "字" * 511 + "！", 0, 91),
        ("字字。" * 1000, 0, 0),
    ],
)
def test_one_sentence_and_what_is_cut_off_for_want_of_punctuation_are_counted(text, one_sentence, unbroken):
    counts = shape.of(text)
    assert (counts["one_sentence_documents"], counts["unbroken_characters"]) == (one_sentence, unbroken)


def test_file_whose_lines_are_one_document_is_counted(tmp_path):
    (tmp_path / "a").write_text("一行一篇。\n" * 2000, encoding="utf-8")
    (tmp_path / "b").write_text("一行一篇。\n\n" * 2000, encoding="utf-8")
    counts: Counter = Counter()
    assert (len(read(tmp_path / "a", counts)), len(read(tmp_path / "b", counts))) == (1, 2000)
    assert (counts["files"], counts["undivided_files"]) == (2, 1)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`, from where it is asked to; each answer breaks off after the next of `limits` bytes."""

    content, tag, sent = b"", "1", 0
    limits: list[int] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        part = self.answer()[: self.server.limits.pop(0) if self.server.limits else None]
        # Before it is written: the client may look at it as soon as it has the last byte.
        self.server.sent += len(part)
        self.wfile.write(part)

    def answer(self) -> bytes:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200 if self.server.content else 404)
        self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        return self.server.content[start:]

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def fetch(server: Server, sha1: str | None = None) -> bytes:
    address = f"http://127.0.0.1:{server.server_port}/zhwiki-latest.xml.bz2"
    path = download.download(address, "corpus.sources.wiki", sha1)
    assert path.name == "zhwiki-latest.xml.bz2"
    return path.read_bytes()


def test_file_at_a_url_is_fetched_once_from_where_it_broke_off_and_again_when_it_changed(server):
    server.content = bytes(range(256)) * 10_000
    server.limits = [1_000_000, 0, 700_000]
    assert fetch(server) == server.content
    assert fetch(server) == server.content and server.sent == len(server.content)
    server.content, server.tag = b"another", "2"
    assert fetch(server) == b"another"


def test_transfer_that_was_given_up_goes_on_in_the_next_run(server):
    server.content, server.limits = b"0123456789", [4, *[0] * download.TRIES]
    with pytest.raises(UserError, match=r"corpus.sources.wiki: http.*latest.xml.bz2 cannot be read.*4 bytes are kept"):
        fetch(server)
    server.limits = []
    assert fetch(server) == server.content and server.sent == len(server.content)


def test_file_is_checked_by_its_sha1_and_needs_no_server_once_it_is_right(server):
    server.content = b"dump"
    right = hashlib.sha1(b"dump").hexdigest()
    with pytest.raises(UserError, match=f"has the sha1 {right} and not {'0' * 40}"):
        fetch(server, "0" * 40)
    assert not list(files.SCRATCH.rglob("*.bz2"))
    assert fetch(server, right) == b"dump"
    server.content = b""
    assert fetch(server, right) == b"dump"


def test_file_of_last_time_is_taken_where_the_server_does_not_answer_and_a_wrong_url_is_named(server, capsys):
    with pytest.raises(UserError, match="cannot be read, HTTPError: 404"):
        fetch(server)
    server.content = b"dump"
    fetch(server)
    server.content = b""
    assert fetch(server) == b"dump"
    assert "the file of last time is taken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://x.org/a%2F..%2F..%2F..%2Fevil", "evil"),
        ("http://x.org/%2e%2e", "file"),
        ("http://x.org/.bashrc", "bashrc"),
        ("http://x.org/tag.json", "file"),
        ("http://x.org/a%00%0Ab.xz", "ab.xz"),
        ("http://x.org/" + "文" * 300 + ".txt", "文" * 56 + ".txt"),
        ("http://x.org/新闻%20一.txt?a=b/c", "新闻 一.txt"),
    ],
)
def test_name_of_a_file_at_a_url_leads_nowhere_else(address, name):
    path = download.place(address, None)
    assert path.name == name and path.parent.parent == files.SCRATCH / "downloads"


def test_url_that_is_none_is_not_tried_again(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: pytest.fail("tried again"))
    with pytest.raises(UserError, match="corpus.sources.news: http:///x cannot be read, InvalidURL"):
        download.download("http:///x", "corpus.sources.news", None)


@pytest.mark.parametrize("glob", ["***/x", "a**b", "."])
def test_glob_that_is_none_is_named(tmp_path, glob):
    source = SimpleNamespace(files=glob, dataset=None)
    with pytest.raises(UserError, match="corpus.sources.news: .* (?:no glob|no file matches)"):
        sources.find(tmp_path, "corpus.sources.news", source)


def test_pipe_among_files_is_named_and_not_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("新闻。\n", encoding="utf-8")
    os.mkfifo(tmp_path / "b.txt")
    with pytest.raises(UserError, match="b.txt is a pipe, socket or device; put a file in its place"):
        sources.find(tmp_path, "corpus.sources.news", SimpleNamespace(files="*.txt", dataset=None))


def unread(path: Path, longest: int, format: str | None = None) -> tuple[str, int]:
    """What is said of a file, and how many bytes were in memory at most."""
    source = SimpleNamespace(format=format, fields=["text"], dataset=None, on_bad=None, sha1=None, files="")
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            list(sources.documents([sources.Place(str(path), 0)], source, Counter(), longest=longest))
        return str(error.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", [None, "jsonl", "wikiextractor"])
def test_a_line_that_unpacks_to_a_thousand_times_its_file_is_named_and_never_in_memory(tmp_path, format):
    bomb = tmp_path / "bomb.txt"
    begun = '<doc id="1" title="题">\n' if format == "wikiextractor" else '{"text": "好"}\n' if format else "好。\n"
    bomb.write_bytes(gzip.compress(begun.encode() + "我们".encode() * 10_000_000))
    assert bomb.stat().st_size < 200_000
    said, most = unread(bomb, 100_000, format)
    assert said.startswith(f"{bomb}, line 2: more than 100,000 characters without a line's end") and most < 20_000_000


def test_a_line_of_one_character_too_many_is_named(tmp_path):
    (tmp_path / "a.txt").write_text(f"短。\n\n{'长' * 101}\n", encoding="utf-8")
    assert "a.txt, line 3: more than 100 characters" in unread(tmp_path / "a.txt", 100)[0]
    assert "a.txt, line 3" in unread(tmp_path / "a.txt", 40)[0]
    (tmp_path / "a.txt").write_text(f"短。\n\n{'长' * 100}\n", encoding="utf-8")
    assert len(read(tmp_path / "a.txt")) == 2


def test_a_dump_that_is_one_endless_page_is_named_and_not_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("wwm.text.dumps.LARGEST", 1 << 20)
    dump = tmp_path / "wiki.xml.gz"
    dump.write_bytes(gzip.compress(b"<mediawiki><page><title>a</title><revision><text>" + b"a" * 50_000_000))
    assert "no page ends within 1,048,576 bytes" in unread(dump, 1000, "mediawiki")[0]


def test_of_a_document_without_an_end_no_more_is_kept_than_tells_that_it_is_too_long(tmp_path):
    (tmp_path / "a.txt").write_text("一行字。\n" * 1000 + "\n下一篇。\n", encoding="utf-8")
    source = SimpleNamespace(format=None, fields=None, dataset=None, on_bad=None, sha1=None, files="")
    place = sources.Place(str(tmp_path / "a.txt"), 0)
    long, other = sources.documents([place], source, Counter(), longest=100)
    assert 100 < len(long) < 110 and other == "下一篇。"
