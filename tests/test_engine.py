"""Shards side by side: the same bytes however many processes work, and nothing that was finished is made again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from wwm import corpus, engine, files, mask, segment, vocab

DOCUMENTS = [f"第{i}篇文章讲的是全词掩码的好处。\n它的第{i * 7}段写得更短，也更难懂。" for i in range(120)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """presets/tiny.yaml over six files of text, cut into many small shards, without a segmenter."""
    text = Path("presets/tiny.yaml").read_text(encoding="utf-8")
    text = re.sub(r"  sources:\n(?:    .*\n)+", "  sources:\n    news: '*.txt'\n", text, count=1)
    text = (
        text.replace("folder: data/demo/text", "folder: text")
        .replace("characters_per_shard: 10000", "characters_per_shard: 200")
        .replace("backend: ltp", "backend: none")
    )
    text = text.replace("near_duplicate_similarity: 0.8", "near_duplicate_similarity: null")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    monkeypatch.setattr(corpus, "BLOCK_CHARACTERS", 300)
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("text").mkdir()
    for number in range(6):
        Path(f"text/{number}.txt").write_text("\n\n".join(DOCUMENTS[number * 20 : number * 20 + 20]), encoding="utf-8")
    tokens = [*vocab.SPECIAL, *sorted(set("".join(DOCUMENTS)) - {"\n"})]
    Path("data/vocab").mkdir(parents=True)
    vocab.save(vocab.build(tokens, True), tokens, True, Path("data/vocab"))
    return tmp_path


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
    return {str(path): path.read_bytes() for stage in ("corpus", "segment", "mask") for path in sorted(Path("data", stage).rglob("*")) if path.is_file()}


@contextmanager
def cluster(folder: Path, workers: int):
    """(address, worker processes) of a Dask scheduler of its own, as a user starts it."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    folder.mkdir(exist_ok=True)
    dask = Path(sys.executable).parent / "dask"
    start = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen([dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json"], **start)]
    try:
        while not (folder / "s.json").exists():
            time.sleep(0.1)
        address = files.read_json(folder / "s.json")["address"]
        for _ in range(workers):
            running.append(subprocess.Popen([dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"], **start))
        yield address, running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


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
        workers[0].send_signal(signal.SIGKILL)
        counts += [own for _, own in made]
    assert counts == [{"number": number} for number in range(8)]
    assert {path.name for path in Path("scratch/slow").iterdir()} == {f"k{number}" for number in range(8)}
    assert len({path.name.split("-")[0] for path in started.iterdir()}) == 2


def failing_shard(folder: Path, number: int, limit: int) -> dict:
    (folder / "half").touch()
    if number >= limit:
        raise ValueError(f"shard {number} is wrong")
    return {"number": number}


@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_finished_before_an_error_is_kept_and_nothing_half_written_is_left(project, processes):
    set_engine(processes=processes)
    with pytest.raises(ValueError, match="shard 3 is wrong"):
        list(engine.each("some", failing_shard, ((str(number), (number, 3)) for number in range(6))))
    assert {"0", "1", "2"} == {path.name for path in Path("scratch/some").iterdir()}
    before = {number: Path("scratch/some", str(number), "counts.json").stat().st_ino for number in range(3)}
    assert [own["number"] for _, own in engine.each("some", failing_shard, ((str(number), (number, 9)) for number in (0, 2, 5)))] == [0, 2, 5]
    assert {path.name for path in Path("scratch/some").iterdir()} == {"0", "2", "5"}
    assert Path("scratch/some/2/counts.json").stat().st_ino == before[2]


def test_added_and_changed_files_redo_only_the_shards_around_them(project):
    before = stages()
    finished = {what: {path.name for path in Path("scratch", what).iterdir()} for what in ("corpus-blocks", "corpus", "segment", "mask-whole-word")}
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


def test_shards_of_the_outputs_are_the_files_of_the_cache_and_take_no_room_of_their_own(project):
    stages()
    kept = {path.stat().st_ino for path in Path("scratch").rglob("*") if path.is_file()}
    assert {path.stat().st_ino for path in Path("data").rglob("0*.*")} <= kept


def test_worker_with_other_code_or_without_the_folder_is_named(project):
    with pytest.raises(ValueError, match="a worker does not see .* or has other code"):
        engine.finish(str(project), "other code", str(project / "scratch/some/1"), failing_shard, 1, 2)
    with pytest.raises(ValueError, match="a worker does not see /nowhere"):
        engine.finish("/nowhere", engine.source_hash(), "scratch/some/1", failing_shard, 1, 2)


def test_scheduler_that_does_not_answer_is_named(project, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE", "1s")
    set_engine(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match="engine.scheduler: no cluster with a worker answers at tcp://127.0.0.1:9"):
        list(engine.each("some", failing_shard, [("0", (0, 1))]))


def fatal_shard(folder: Path) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_shard_that_kills_every_process_is_an_error_with_a_remedy(project):
    set_engine(processes=2)
    with pytest.raises(ValueError, match="some: every process that worked on one of the shards was killed.*lower"):
        list(engine.each("some", fatal_shard, [("0", ())]))
