"""`wwm show`: what a stage wrote, and of any other file one line that names it."""

from pathlib import Path

import pyarrow as pa
import pytest
import toy
from damage import shaped, zeroed

from wwm import show
from wwm.common.errors import UserError
from wwm.training import loader

NOTHING = Path("vocab.txt")


@pytest.fixture
def shard(tmp_path):
    toy.shards(tmp_path / "32")
    toy.model(tmp_path)
    return tmp_path / "32/00000.arrow"


def test_examples_are_shown_as_they_were_and_as_they_are_masked(shard):
    lines = show.lines(shard, range(2), shard.parents[1] / "vocab.txt", 1)
    assert sum(line.startswith("\nexample") for line in lines) == 2
    assert [line for line in lines if line.startswith("masked") and "[MASK]" in line]


def test_a_folder_is_told_to_be_one(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is a folder; name an .arrow"):
        show.lines(tmp_path, range(5), NOTHING, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("x.arrow", content) for content in (b"", b"x", shaped("Parquet"), bytes(9000))),
        *(("x.parquet", content) for content in (b"", b"x", shaped("zip"), shaped("Parquet")[:100])),
        *(("x.jsonl", content) for content in (b"[", b"[1]\n", b'{"a": 1}\n', bytes(100), b"[" * 200_000)),
        *(("x.jsonl", content) for content in ("天".encode("gb18030"), b'{"rule": %s}' % (b"9" * 5000))),
        *((name, b"base: 1\n") for name in ("params.yaml", "x", "x.tar")),
    ],
    ids=lambda value: value if isinstance(value, str) else ascii(value[:12]),
)
def test_file_that_no_stage_wrote_is_named_in_a_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name) as error:
        show.lines(tmp_path / name, range(5), NOTHING, 1)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


def test_another_vocabulary_than_that_of_the_examples_is_named(shard):
    other = shard.with_name("other.txt")
    other.write_text("[PAD]\n", encoding="utf-8")
    with pytest.raises(UserError, match="other.txt"):
        show.lines(shard, range(1), other, 1)


def test_shard_that_is_damaged_within_is_named_where_it_is_read(shard):
    """Zeroed bytes leave an Arrow file that opens."""
    batch = pa.ipc.open_file(shard).get_batch(0)
    ids = batch.column("input_ids").values.buffers()[1].to_pybytes()
    content = shard.read_bytes()
    assert content.count(ids) == 1
    shard.write_bytes(content.replace(ids, bytes(len(ids))))
    with pytest.raises(UserError, match="00000.arrow is damaged: example 0 does not begin with .CLS.; run the stage"):
        loader.Examples(shard.parent, shard.parents[1] / "vocab.txt", 1).example(0)
    zeroed(shard, 0.0)()
    with pytest.raises(UserError, match="00000.arrow cannot be read"):
        loader.Examples(shard.parent, shard.parents[1] / "vocab.txt", 1)
