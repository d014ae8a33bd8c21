"""Sources -> documents: what is kept, what is dropped and counted, and what is said of bad input."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from wwm import corpus


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml for two sources; returns a function that writes a source file."""
    text = (
        Path("presets/tiny.yaml")
        .read_text(encoding="utf-8")
        .replace("folder: data/demo/text", "folder: text")
        .replace("heldout_share: 0.1", "heldout_share: 0.3", 1)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("text").mkdir()
    documents = [f"第{i}篇文章讲的是全词掩码的好处。\n它的第二段更短。" for i in range(20)]
    Path("text/news.txt").write_text("\n\n".join(documents), encoding="utf-8")
    Path("text/reviews.txt").write_text("\n\n".join(f"这本书我读了{i}遍，很喜欢。" for i in range(20)), encoding="utf-8")


def documents(part: str) -> list[dict]:
    return [row for shard in sorted(Path("data/corpus", part).glob("*.parquet")) for row in pq.read_table(shard).to_pylist()]


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


def test_duplicates_and_short_documents_are_dropped_and_counted(project):
    with open("text/reviews.txt", "a", encoding="utf-8") as stream:
        stream.write("\n\n这本书我读了3遍，很喜欢。\n\n好书。\n")
    corpus.main()
    counts = json.loads(Path("results/corpus.json").read_text())
    assert (counts["documents_read"], counts["dropped_duplicate"], counts["dropped_short"]) == (42, 1, 1)


def test_traditional_full_width_and_emoji_are_kept_and_invisible_characters_go():
    assert corpus.clean("\u3000\u3000繁體字１９９９年😀\u200b T恤\u0007 \r") == "繁體字１９９９年😀 T恤"


def test_line_that_is_not_utf8_is_named_and_nothing_half_written_is_left(project):
    Path("text/news.txt").write_bytes("第一行没有问题。\n".encode() + "第二行是国标码。".encode("gb18030") + b"\n")
    with pytest.raises(ValueError, match=r"text/news.txt, line 2: not UTF-8.*iconv"):
        corpus.main()
    assert not Path("data/corpus").exists() and not list(Path("data").glob(".*"))


def test_missing_source_is_named_by_its_key(project):
    Path("text/reviews.txt").unlink()
    with pytest.raises(ValueError, match=r"corpus.sources.reviews: no file matches text/reviews.txt"):
        corpus.main()


def test_empty_source_is_named(project):
    Path("text/reviews.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"text/reviews.txt: no text in it"):
        corpus.main()
