"""Shards side by side: the same bytes however many processes work, and nothing that was finished is made again."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from wwm import corpus, engine, mask, segment, segmenter
from wwm.common import files
from wwm.common.errors import UserError
from wwm.text import vocabulary

GOLD = [
    line.split()
    for line in ("我们 研究 语言 模型 。", "他們 喜歡 讀 這 本 書 。", "北京 是 中国 的 首都 。", "今天 天气 很 好 。")
] * 5
WORDS = np.array(
    "我们 研究 语言 模型 他們 喜歡 電腦 程式 北京 首都 公园 天气 今天 明天 意思 概率 预测 掩码 文字 历史 新闻 经济 学校"
    " 老师 学生 音乐 電影 城市 河流 山川".split()
)
DOCUMENTS = ["".join(np.random.default_rng(i).choice(WORDS, 20)) + "。" for i in range(120)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml over six files of text, cut into many small shards; a segmenter with a dictionary, and a
    vocabulary.
    """
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    text = re.sub(r"  sources:\n(?:    .*\n)+", "  sources:\n    news: '*.txt'\n", text, count=1)
    text = (
        text.replace("folder: data/demo/text", "folder: text")
        .replace("characters_per_shard: 10000", "characters_per_shard: 250")
        .replace("dictionary: null", "dictionary: words.txt")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(corpus, "BLOCK_CHARACTERS", 300)
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("words.txt").write_text("電腦程式\n", encoding="utf-8")
    Path("text").mkdir()
    for number in range(6):
        Path(f"text/{number}.txt").write_text("\n\n".join(DOCUMENTS[number * 20 : number * 20 + 20]), encoding="utf-8")
    tokens = [*vocabulary.SPECIAL, *sorted(set("".join(DOCUMENTS)))]
    for folder in ("data/vocab", "data/segmenter"):
        Path(folder).mkdir(parents=True)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, Path("data/vocab"))
    segmenter.train_perceptron(GOLD, GOLD[:4], epochs=2, seed=1, folder=Path("data/segmenter"))
    files.write_json("data/segmenter/origin.json", {"source": "train", "sha256": "toy"})
    return tmp_path


def name(key: str) -> str:
    """Of a finished shard's folder."""
    return files.hash_of([key, engine.VERSIONS])


def set_engine(processes: int = 1, scheduler: str = "null") -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = re.sub(r"processes: .*\n  scheduler: .*", f"processes: {processes}\n  scheduler: {scheduler}", text)
    Path("params.yaml").write_text(text, encoding="utf-8")


def stages() -> dict[str, bytes]:
    """Runs corpus, segment and mask from nothing; what they wrote."""
    shutil.rmtree("scratch", ignore_errors=True)
    corpus.main()
    segment.main()
    mask.main("whole-word")
    return {
        str(path): path.read_bytes()
        for stage in ("corpus", "segment", "mask")
        for path in sorted(Path("data", stage).rglob("*"))
        if path.is_file()
    }


@contextmanager
def cluster(folder: Path, workers: int):
    """(address, worker processes) of a Dask scheduler of its own, as a user starts it."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    folder.mkdir(exist_ok=True)
    dask = Path(sys.executable).parent / "dask"
    start = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [
        subprocess.Popen(
            [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json"],
            **start,
        )
    ]
    try:
        # The scheduler makes the file before it fills it.
        while not (folder / "s.json").exists() or not (folder / "s.json").read_text().rstrip().endswith("}"):
            time.sleep(0.1)
        address = files.read_json(folder / "s.json")["address"]
        for _ in range(workers):
            running.append(
                subprocess.Popen([dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"], **start)
            )
        with Client(address) as client:
            client.wait_for_workers(workers)
        yield address, running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_a_disk_without_room_is_named_before_shards_are_made(project, monkeypatch):
    stages()
    full = shutil.disk_usage(".")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    for name, run in (("corpus", corpus.main), ("segment", segment.main), ("mask", lambda: mask.main("whole-word"))):
        for path in Path("scratch").glob(f"{name}*"):
            if path.is_dir():
                shutil.rmtree(path)
        with pytest.raises(UserError, match=f"^{name}.*: some 0 MB are needed on the disk of .*has 0 MB left; make"):
            run()
        assert not [path for path in Path("scratch").glob(f"{name}*") if path.is_dir()]
        assert Path("data", name).exists() and not list(Path("data").rglob("*.tmp"))


def test_two_processes_and_a_cluster_write_the_bytes_that_one_process_writes(project):
    alone = stages()
    assert len([path for path in alone if path.startswith("data/corpus/train")]) > 4
    set_engine(processes=2)
    assert stages() == alone
    with cluster(project / "elsewhere", 2) as (address, _):
        set_engine(scheduler=address)
        assert stages() == alone


def slow_shard(folder: Path, number: int, started: str) -> dict:
    Path(started, f"{os.getpid()}-{number}").touch()
    time.sleep(0.5)
    (folder / "shard").write_text(str(number))
    return {"number": number}


def test_work_completes_when_a_worker_is_killed_in_the_middle(project):
    started = project / "started"
    started.mkdir()
    with cluster(project / "elsewhere", 2) as (address, workers):
        set_engine(scheduler=address)
        made = engine.each("slow", slow_shard, ((f"k{number}", (number, str(started))) for number in range(8)))
        counts = [next(made)[1]]
        while not list(started.glob(f"{workers[0].pid}-*")):
            time.sleep(0.1)
        workers[0].send_signal(signal.SIGKILL)
        counts += [own for _, own in made]
    assert counts == [{"number": number} for number in range(8)]
    assert {path.name for path in Path("scratch/slow").iterdir()} == {name(f"k{number}") for number in range(8)}
    assert len({path.name.split("-")[0] for path in started.iterdir()}) == 2


def failing_shard(folder: Path, number: int, limit: int) -> dict:
    (folder / "half").touch()
    if number >= limit:
        raise UserError(f"shard {number} is wrong")
    return {"number": number}


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_finished_before_an_error_is_kept_and_nothing_half_written_is_left(project, processes):
    set_engine(processes=processes)
    with pytest.raises(UserError, match="shard 3 is wrong"):
        list(engine.each("some", failing_shard, ((str(number), (number, 3)) for number in range(6))))
    assert {name("0"), name("1"), name("2")} == {path.name for path in Path("scratch/some").iterdir()}
    before = Path("scratch/some", name("2"), "done.json").stat().st_ino
    assert [
        own["number"]
        for _, own in engine.each("some", failing_shard, ((str(number), (number, 9)) for number in (0, 2, 5)))
    ] == [0, 2, 5]
    assert {path.name for path in Path("scratch/some").iterdir()} == {name("0"), name("2"), name("5")}
    assert Path("scratch/some", name("2"), "done.json").stat().st_ino == before


def test_added_and_changed_files_redo_only_the_shards_around_them(project):
    before = stages()
    finished = {
        what: {path.name for path in Path("scratch", what).iterdir()}
        for what in ("corpus-blocks", "corpus", "segment", "mask-whole-word")
    }
    Path("text/2b.txt").write_text("新来的一篇文章写的是别的事情。", encoding="utf-8")
    Path("text/4.txt").write_text("\n\n".join(DOCUMENTS[81:100]), encoding="utf-8")
    corpus.main()
    segment.main()
    mask.main("whole-word")
    for what, names in finished.items():
        new = {path.name for path in Path("scratch", what).iterdir()} - names
        assert 0 < len(new) <= 6 < len(names), what
    # What is kept gives the bytes that a run from nothing gives.
    after = {path: Path(path).read_bytes() for path in before if Path(path).exists()}
    again = stages()
    assert all(again[path] == content for path, content in after.items()) and after != before


def test_matches_of_a_dictionary_in_all_shards_are_told_and_none_at_all_is_warned_of(project, capsys):
    corpus.main()
    for words, said in (
        ("電腦程式", f"words of words.txt stand {''.join(DOCUMENTS).count('電腦程式')} times in the text"),
        ("武警官兵", "warning: segment.dictionary: no word of words.txt stands in the text"),
    ):
        Path("words.txt").write_text(f"{words}\n", encoding="utf-8")
        segment.main()
        assert said in capsys.readouterr().out


def test_shards_of_the_outputs_are_the_files_of_the_cache_and_take_no_room_of_their_own(project):
    stages()
    kept = {path.stat().st_ino for path in Path("scratch").rglob("*") if path.is_file()}
    assert {path.stat().st_ino for path in Path("data").rglob("0*.*")} <= kept


def test_worker_with_other_code_or_without_the_folder_is_named(project):
    with pytest.raises(UserError, match="a worker does not see .* or runs other code"):
        engine.finish(str(project), "other code", str(project / "scratch/some/1"), failing_shard, 1, 2)
    with pytest.raises(UserError, match="a worker does not see /nowhere"):
        engine.finish("/nowhere", engine.SOURCE, "scratch/some/1", failing_shard, 1, 2)


def test_scheduler_that_does_not_answer_is_named(project, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE", "1s")
    set_engine(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(UserError, match="engine.scheduler: no cluster with a worker answers at tcp://127.0.0.1:9"):
        list(engine.each("some", failing_shard, [("0", (0, 1))]))


def test_finished_shard_that_is_no_longer_whole_is_made_again(project):
    before = stages()
    shard = max(Path("scratch/segment").glob("*/shard.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    max(Path("scratch/corpus").glob("*/shard.parquet")).unlink()
    corpus.main()
    segment.main()
    assert all(
        Path(path).read_bytes() == content for path, content in before.items() if not path.startswith("data/mask")
    )


def marked_shard(folder: Path, text: str) -> dict:
    (folder / "shard").write_text(text)
    return {"text": text}


def test_two_projects_on_one_cluster_each_get_their_own_shards(project, monkeypatch):
    with cluster(project / "elsewhere", 1) as (address, _):
        set_engine(scheduler=address)
        other = project / "other"
        other.mkdir()
        (other / "params.yaml").write_bytes(Path("params.yaml").read_bytes())
        ours = engine.each("some", marked_shard, [("0", ("ours",)), ("1", ("ours",))])
        folder, _ = next(ours)
        monkeypatch.chdir(other)
        ((theirs, _),) = engine.each("some", marked_shard, [("1", ("theirs",))])
        assert (theirs / "shard").read_text() == "theirs"
        monkeypatch.chdir(project)
        assert [(path / "shard").read_text() for path in (folder, next(ours)[0])] == ["ours", "ours"]


@pytest.mark.parametrize("processes", [1, 2])
def test_shard_that_comes_twice_is_made_once(project, processes):
    started = project / "started"
    started.mkdir()
    set_engine(processes=processes)
    made = list(
        engine.each(
            "slow",
            slow_shard,
            [("a", (1, str(started))), ("a", (1, str(started))), ("b", (2, str(started))), ("a", (1, str(started)))],
        )
    )
    assert [counts["number"] for _, counts in made] == [1, 1, 2, 1] and len({folder for folder, _ in made}) == 2 == len(
        list(started.iterdir())
    )


def fatal_shard(folder: Path) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_shard_that_kills_every_process_is_an_error_with_a_remedy(project):
    set_engine(processes=2)
    with pytest.raises(UserError, match="some: every process that worked on one of the shards was killed.*lower"):
        list(engine.each("some", fatal_shard, [("0", ())]))


def crashing_shard(folder: Path, how: str) -> dict:
    os.abort() if how == "abort" else ctypes.string_at(0)
    return {}


@pytest.mark.parametrize("how", ["abort", "segmentation fault"])
def test_process_that_crashes_is_not_said_to_lack_memory(project, how):
    set_engine(processes=2)
    with pytest.raises(RuntimeError, match="some: every process .* crashed, which is no lack of memory") as caught:
        list(engine.each("some", crashing_shard, [("0", (how,))]))
    assert "crashing_shard" in str(caught.value) and not list(Path("scratch/some").glob("*.fault"))
