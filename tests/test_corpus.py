"""Sources -> documents: what is kept, what is dropped and counted, and what is said of bad input."""

import bz2
import gzip
import http.server
import json
import lzma
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wwm import corpus
from wwm.common.errors import UserError
from wwm.text import cleaning, sources

ROOT = str(Path.cwd())
COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": sources.zstd.compress}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml for two sources; returns a function that writes a source file."""
    text = (
        Path("presets/tiny.yaml")
        .read_text(encoding="utf-8")
        .replace("folder: data/demo/text", "folder: text")
        .replace("heldout_share: 0.1", "heldout_share: 0.3", 1)
        .replace("near_duplicate_similarity: 0.8", "near_duplicate_similarity: null")
    )
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("text").mkdir()
    documents = [f"第{i}篇文章讲的是全词掩码的好处。\n它的第二段更短。" for i in range(20)]
    Path("text/news.txt").write_text("\n\n".join(documents), encoding="utf-8")
    Path("text/reviews.txt").write_text(
        "\n\n".join(f"这本书我读了{i}遍，很喜欢。" for i in range(20)), encoding="utf-8"
    )


def documents(part: str) -> list[dict]:
    return [
        row for shard in sorted(Path("data/corpus", part).glob("*.parquet")) for row in pq.read_table(shard).to_pylist()
    ]


def test_every_document_is_in_one_part_with_its_source_and_the_same_input_gives_the_same_bytes(project):
    corpus.main()
    train, heldout = documents("train"), documents("heldout")
    assert len(train) + len(heldout) == 40 and heldout
    assert not {row["id"] for row in train} & {row["id"] for row in heldout}
    assert {row["source"] for row in train} == {"news", "reviews"}
    assert "第3篇文章讲的是全词掩码的好处。\n它的第二段更短。" in {row["text"] for row in train + heldout}
    before = {path: path.read_bytes() for path in Path("data/corpus").rglob("*.parquet")}
    corpus.main()
    assert before == {path: path.read_bytes() for path in Path("data/corpus").rglob("*.parquet")}


def test_held_out_sentences_that_stand_in_the_text_to_train_on_are_counted(project, monkeypatch):
    corpus.main()
    found = counts()
    # Of each article of the news the second sentence is that of all; the reviews have one, with a number.
    assert found["news.heldout_sentences"] == 2 * found["news.heldout_documents"]
    assert (found["news.heldout_verbatim_share"], found["reviews.heldout_sentences"]) == (
        0.5,
        found["reviews.heldout_documents"],
    )
    assert "reviews.heldout_verbatim_share" not in found
    assert found["heldout_verbatim_share"] == found["news.heldout_documents"] / found["heldout_sentences"]
    monkeypatch.setattr(corpus, "SENTENCES", 5)
    corpus.main()
    assert counts()["heldout_sentences"] == 5


def test_duplicates_and_short_documents_are_dropped_and_counted(project):
    with open("text/reviews.txt", "a", encoding="utf-8") as stream:
        stream.write("\n\n这本书我读了3遍，很喜欢。\n\n好书。\n")
    corpus.main()
    counts = json.loads(Path("results/corpus.json").read_text())
    assert (counts["documents_read"], counts["dropped_duplicate"], counts["dropped_short"]) == (42, 1, 1)


def test_traditional_full_width_and_emoji_are_kept_and_invisible_characters_go():
    assert cleaning.clean("\u3000\u3000繁體字１９９９年😀\u200b T恤\u0007 \r") == "繁體字１９９９年😀 T恤"


def test_characters_that_this_unicode_does_not_know_are_kept_and_each_kind_of_line_end_ends_a_line():
    assert cleaning.clean("甲\rU+31350 \U00031350\r\n\ue000乙\ufffe") == "甲\nU+31350 \U00031350\n\ue000乙"


def test_comments_and_scripts_go_where_they_are_closed_and_time_is_linear_where_they_are_not():
    assert cleaning.clean("甲<!-- 乙 -->丙<script>if (a<b) {}</script>丁<!-- 戊 <b>己</b>") == "甲丙丁<!-- 戊 己"
    start = time.process_time()
    for junk in ("<!--", "<script>", "a<b" + " " * 1000, "<div "):
        cleaning.clean(junk * (1_000_000 // len(junk)))
    assert time.process_time() - start < 30  # quadratic would be hours


def test_line_that_is_not_utf8_is_named_and_nothing_half_written_is_left(project):
    Path("text/news.txt").write_bytes("第一行没有问题。\n".encode() + "第二行是国标码。".encode("gb18030") + b"\n")
    with pytest.raises(UserError, match=r"text/news.txt, line 2: not UTF-8.*GB18030"):
        corpus.main()
    assert not Path("data/corpus").exists() and not list(Path("data").glob(".*"))


def test_missing_source_is_named_by_its_key(project):
    Path("text/reviews.txt").unlink()
    with pytest.raises(UserError, match=r"corpus.sources.reviews: no file matches text/reviews.txt"):
        corpus.main()


def test_empty_source_is_named(project):
    Path("text/reviews.txt").write_text("\n \n")
    with pytest.raises(UserError, match=r"text/reviews.txt: no text in it"):
        corpus.main()


def set_sources(*lines: str, similarity: str = "null") -> None:
    """Puts other entries under corpus.sources of params.yaml."""
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = re.sub(
        r"(  sources:\n)(?:    .*\n)+",
        lambda found: found[1] + "".join(f"    {line}\n" for line in lines),
        text,
        count=1,
    )
    Path("params.yaml").write_text(text.replace("similarity: null", f"similarity: {similarity}"), encoding="utf-8")


def counts() -> dict[str, int]:
    return json.loads(Path("results/corpus.json").read_text())


LONG = "全词掩码把同一个词的所有字一起遮住，模型便不能只靠词里剩下的字去猜，于是要看得更远，学到的东西也更多。"


def test_near_duplicate_is_dropped_and_the_first_one_is_kept(project):
    texts = [LONG, LONG.replace("更多。", "更多！"), LONG[::-1], *(f"{i}号文章：" + LONG[i : i + 9] for i in range(9))]
    Path("text/news.txt").write_text("\n\n".join(texts), encoding="utf-8")
    set_sources("news: news.txt", similarity="0.8")
    corpus.main()
    assert counts()["dropped_near_duplicate"] == 1 and LONG in {
        row["text"] for part in ("train", "heldout") for row in documents(part)
    }
    set_sources("news: news.txt", similarity="null")
    Path("params.yaml").write_text(
        Path("params.yaml").read_text(encoding="utf-8").replace("similarity: 0.8", "similarity: null"), encoding="utf-8"
    )
    corpus.main()
    assert "dropped_near_duplicate" not in counts()


def test_documents_that_are_no_language_are_dropped_and_can_be_looked_at(project, capsys):
    with open("text/news.txt", "a", encoding="utf-8") as stream:
        stream.write("\n\n| 12.5 | 30 % | +4 | -- |\n|---|---|---|\n")
    corpus.main()
    assert counts()["dropped_not_language"] == 1 and counts()["news.dropped_not_language"] == 1
    (row,) = [json.loads(line) for line in Path("data/corpus/dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (row["rule"], row["source"]) == ("not_language", "news") and row["text"].startswith("| 12.5 |")


def test_source_weighs_as_much_as_asked(project):
    Path("text/many.txt").write_text(
        "\n\n".join(f"第{i}号文件里讲的是当天发生的第{i}件大事。" for i in range(2000)), encoding="utf-8"
    )
    set_sources("many: {files: many.txt, weight: 0.3}", "news: {files: news.txt, weight: 2.5}")
    corpus.main()
    kept = counts()["many.train_documents"] + counts()["many.heldout_documents"]
    assert abs(kept - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5
    copies = Counter(row["id"] for row in documents("train") if row["source"] == "news")
    assert set(copies.values()) == {2, 3}
    # What is measured on is there once.
    assert set(Counter(row["id"] for row in documents("heldout")).values()) == {1}


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_files_are_read_to_their_end_even_in_several_parts(project, ending):
    compress = COMPRESS[ending]
    rows = [
        json.dumps({"title": f"题{i}", "desc": f"题{i}", "content": f"第{i}条新闻的正文在这里。"}, ensure_ascii=False)
        + "\n"
        for i in range(20)
    ]
    Path(f"text/news.json.{ending}").write_bytes(
        b"".join(compress("".join(part).encode()) for part in (rows[:10], rows[10:]))
    )
    set_sources(f"news: {{files: 'news.json.{ending}', format: news2016zh}}")
    corpus.main()
    assert counts()["documents_read"] == 20
    assert "题19\n第19条新闻的正文在这里。" in {row["text"] for part in ("train", "heldout") for row in documents(part)}


@pytest.mark.parametrize("ending", COMPRESS)
def test_cut_off_file_is_named(project, ending):
    whole = COMPRESS[ending](Path("text/news.txt").read_bytes())
    Path(f"text/news.txt.{ending}").write_bytes(whole + whole[:-20])
    set_sources(f"news: news.txt.{ending}")
    with pytest.raises(UserError, match=f"text/news.txt.{ending} cannot be read, .*cut off"):
        corpus.main()
    assert not Path("data/corpus").exists()


def test_byte_that_is_not_utf8_in_the_middle_of_a_large_file_is_named_by_its_line(project):
    lines = [f"第{i}行说的是这一天里发生的第{i}件事，一共有许多件。\n\n".encode() for i in range(120_000)]
    lines[70_000] = "坏".encode()[:2] + lines[70_000]
    Path("text/news.txt").write_bytes(b"".join(lines))
    assert Path("text/news.txt").stat().st_size > 9e6
    with pytest.raises(UserError, match=f"text/news.txt, line {70_000 * 2 + 1}: not UTF-8"):
        corpus.main()
    assert not Path("data/corpus").exists()


def test_line_of_15_megabytes_is_dropped_and_counted(project):
    with open("text/news.txt", "a", encoding="utf-8") as stream:
        stream.write("\n\n" + LONG * (15_000_000 // len(LONG.encode())) + "\n")
    corpus.main()
    assert counts()["dropped_long"] == 1 and counts()["news.train_documents"] + counts()["news.heldout_documents"] == 20
    (row,) = [json.loads(line) for line in Path("data/corpus/dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert row["rule"] == "long" and row["characters"] > 4_900_000 and len(row["text"]) == 2000


def test_disk_that_fills_up_is_named_and_nothing_looks_whole(project):
    characters = np.random.default_rng(1).integers(0x4E00, 0x9000, size=(400, 500))
    Path("text/news.txt").write_text(
        "\n\n".join("".join(map(chr, row)) for row in characters.tolist()), encoding="utf-8"
    )

    def run(limit: int) -> subprocess.CompletedProcess:
        # A file that may not grow fails as one does on a full disk.
        command = (
            "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            f" resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        )
        command += "from wwm import corpus; from wwm.common import command; command.run(corpus.main)"
        return subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ROOT}
        )

    failed = run(100_000)
    assert failed.returncode and "error: no room on the disk of" in failed.stderr and "Traceback" not in failed.stderr
    assert not Path("data/corpus").exists() and not list(Path("data").glob(".*"))
    assert all((path / "done.json").exists() for path in Path("scratch").glob("*/*"))
    assert run(100_000_000).returncode == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "好"', "line 2: no JSON"),
        ('["好"]', "line 2: .* is no JSON object"),
    ],
)
def test_line_of_json_that_is_wrong_is_named(project, line, message):
    Path("text/wiki_00").write_text('{"text": "第一条没有问题。"}\n' + line + "\n", encoding="utf-8")
    set_sources("wiki: {files: wiki_00, format: wiki2019zh}")
    with pytest.raises(UserError, match=f"text/wiki_00, {message}"):
        corpus.main()


def test_half_of_a_character_and_lists_of_paragraphs_in_json_are_taken_as_the_text_they_hold(project):
    rows = [
        '{"text": "今天天气很好\\ud83d我们去公园"}',
        '{"text": ["第一段写得很短。", "第二段写得更短。"]}',
        '{"text": "好的\\ud83d\\ude00，明天再去公园。"}',
    ]
    Path("text/wiki_00").write_text(
        "\n".join([*rows, *(f'{{"text": "第{i}条没有问题的文字。"}}' for i in range(20))]), encoding="utf-8"
    )
    set_sources("wiki: {files: wiki_00, format: wiki2019zh}")
    corpus.main()
    texts = {row["text"] for part in ("train", "heldout") for row in documents(part)}
    assert {"今天天气很好我们去公园", "第一段写得很短。\n第二段写得更短。", "好的😀，明天再去公园。"} <= texts


def test_document_that_weight_leaves_out_of_one_source_stays_in_another(project):
    Path("text/copy.txt").write_bytes(Path("text/news.txt").read_bytes())
    set_sources("thin: {files: copy.txt, weight: 0.4}", "news: news.txt")
    corpus.main()
    kept = Counter(row["id"] for part in ("train", "heldout") for row in documents(part))
    assert len(kept) == 20 and set(kept.values()) == {1} and counts()["thin.dropped_weight"] > 5


def test_a_source_may_hold_out_more_whatever_its_weight(project):
    set_sources("news: {files: news.txt, weight: 0.3, heldout_share: 0.6}")
    corpus.main()
    own = counts()
    left = own["train_documents"] + own["news.dropped_weight"]
    assert own["heldout_documents"] + left == 20 and 6 <= own["heldout_documents"] <= 18


def test_shard_is_as_large_with_a_weight_as_without(project):
    set_sources("news: {files: news.txt, weight: 30}")
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(
        re.sub("characters_per_shard: .*", "characters_per_shard: 2000", text), encoding="utf-8"
    )
    corpus.main()
    sizes = [
        sum(map(len, pq.read_table(shard)["text"].to_pylist()))
        for shard in sorted(Path("data/corpus/train").glob("*.parquet"))
    ]
    assert len(sizes) > 3 and max(sizes) <= 2 * 2000 + 30 * 30


def test_fields_of_parquet_and_json_lines_make_the_paragraphs(project):
    rows = [{"q": f"问题{i}是什么？", "a": f"答案{i}是这样的。", "n": i} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), "text/qa.parquet")
    Path("text/qa.jsonl").write_text(
        "".join(json.dumps(row | {"q": "又一个" + row["q"]}, ensure_ascii=False) + "\n" for row in rows),
        encoding="utf-8",
    )
    set_sources(
        "p: {files: qa.parquet, format: parquet, fields: [q, a]}", "j: {files: qa.jsonl, format: jsonl, fields: [q, a]}"
    )
    corpus.main()
    texts = {row["text"] for part in ("train", "heldout") for row in documents(part)}
    assert {"问题3是什么？\n答案3是这样的。", "又一个问题3是什么？\n答案3是这样的。"} <= texts


def test_data_set_in_the_layout_of_the_hub_is_read(project, tmp_path):
    hub = tmp_path / "hub/org/name/data"
    hub.mkdir(parents=True)
    pq.write_table(
        pa.table({"text": [f"数据集里的第{i}篇。" for i in range(20)]}), hub / "train-00000-of-00001.parquet"
    )
    set_sources(f"set: {{dataset: {hub.parent}, files: 'data/*.parquet', format: parquet, fields: [text]}}")
    corpus.main()
    assert counts()["documents_read"] == 20


def test_file_is_read_from_a_server(project):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory="text")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        set_sources(f"news: {{files: '{address}/news.txt'}}")
        corpus.main()
        assert counts()["documents_read"] == 20
        set_sources(f"news: {{files: '{address}/nwes.txt'}}")
        with pytest.raises(UserError, match="corpus.sources.news: http.*/nwes.txt cannot be read, HTTPError: 404"):
            corpus.main()
        server.shutdown()


def test_fields_without_a_format_that_has_them_are_named(project):
    set_sources("news: {files: news.txt, fields: [text]}")
    with pytest.raises(
        ValueError,
        match=(
            "corpus.sources.news: `fields` is needed with the formats jsonl and parquet and null with any other, this"
            " is text"
        ),
    ):
        corpus.main()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("新闻: news.txt", "corpus.sources.新闻.*: '新闻' is no name: .* letters of A to Z"),
        ("a.b: news.txt", "'a.b' is no name"),
        (f"a: {{files: news.txt, sha1: {'0' * 39}a}}", "`sha1` is of a file at a URL, news.txt is none"),
        ("a: {files: news.txt, on_bad: drop}", "`on_bad` is of JSON and Parquet, this is text"),
    ],
)
def test_key_of_a_source_that_cannot_be_is_named_in_one_line(project, line, message):
    set_sources(line)
    with pytest.raises(UserError, match=message) as error:
        corpus.main()
    assert "\n" not in str(error.value)


def test_values_and_lines_that_are_left_out_are_published(project):
    rows = [json.dumps({"q": f"问题{i}是什么？它很难。", "a": i % 2 or None}, ensure_ascii=False) for i in range(20)]
    Path("text/qa.jsonl").write_text(
        "\n".join([*rows, "{", '{"q": "问题甲是什么？", "a": "答案乙。"}']), encoding="utf-8"
    )
    set_sources("qa: {files: qa.jsonl, format: jsonl, fields: [q, a], on_bad: drop}")
    corpus.main()
    found = counts()
    assert (found["qa.missing_values"], found["qa.bad_values"], found["qa.bad_lines"]) == (10, 10, 1)
    assert found["documents_read"] == 21


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "QQQ第{i}座城市QQQ是[[中国|中华]]的城市。\n它很大，很美。",
            "100% of its documents have the mark-up of a wiki",
        ),
        (
            "{{{{城市|名={i}}}}}在海边。\n== 历史 ==\n它很大，很美，也很老，人人都喜欢去那里走走看看。",
            "100% of its documents have",
        ),
        ("第{i}篇讲[[双链]]和笔记。\n它很大，很美，也很老。", None),
        ("第{i}篇讲a == b和xQQQ。\n它很大，很美，也很老。", None),
        ("MOJIBAKE 第{i}篇文章讲的是今天的天气。\n它很大，很美，也很老，还有别的。", "have no Chinese character"),
        ("Text number {i} is all in English. It has two sentences.", "have no Chinese character"),
    ],
)
def test_mark_up_that_stays_and_text_without_chinese_are_warned_of(project, capsys, text, said):
    written = "\n\n".join(text.replace("QQQ", "'" * 3).format(i=i) for i in range(40))
    if text.startswith("MOJIBAKE"):
        written = written.encode().decode("latin-1")
    Path("text/odd.txt").write_text(written, encoding="utf-8")
    set_sources("news: news.txt", "odd: odd.txt")
    corpus.main()
    told = capsys.readouterr().out
    assert f"warning: corpus.sources.odd: {said}" in told if said and said[0] == "1" else (said or "") in told
    assert said or "warning" not in told
    assert "corpus.sources.news" not in told


def test_text_that_cannot_teach_is_counted_and_warned_of_and_an_error_above_a_limit(project, capsys):
    Path("text/titles.txt").write_text("\n\n".join(f"第{i}条新闻只有标题" for i in range(60)), encoding="utf-8")
    Path("text/run.txt").write_text("\n\n".join(f"第{i}篇" + "没有标点" * 500 for i in range(20)), encoding="utf-8")
    set_sources("news: news.txt", "titles: titles.txt", "run: run.txt")
    corpus.main()
    found = counts()
    assert (found["one_sentence_documents"], found["titles.one_sentence_share"]) == (80, 1.0)
    assert 0.74 < found["run.unbroken_share"] < 0.75 and "news.one_sentence_share" not in found
    said = capsys.readouterr().out
    assert "warning: corpus.sources.titles: 100% of its documents are one sentence" in said
    assert "warning: corpus.sources.run: 75% of its characters" in said and "corpus.sources.news" not in said
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(
        text.replace("corpus:\n", "corpus:\n  unbroken_share_limit: 0.5\n"), encoding="utf-8"
    )
    with pytest.raises(UserError, match="corpus.sources.run: 75% .*or raise corpus.unbroken_share_limit, which is 0.5"):
        corpus.main()
