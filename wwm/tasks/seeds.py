"""The seeds of one model on one task: finished ones are kept, others run one by one, or one on each GPU."""

import multiprocessing
import pickle
import queue
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from hashlib import sha256
from multiprocessing.queues import Queue
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm
from transformers.utils import logging

from wwm.common import files
from wwm.tasks import tuning
from wwm.tasks.task import Keep
from wwm.training import device

LOOK_SECONDS = 0.5
theirs: dict = {}  # what a process that takes seeds over was given


class Finished(NamedTuple):
    """One run: what came of it, and the folder of its weights, where they are kept."""

    trained: tuning.Trained
    folder: Path


def run(
    job: tuning.Job, runs: list[tuple[tuning.How, int]], work: Path, threads: int, title: str, keep: Keep
) -> list[Finished]:
    """What comes of each (how, seed); it is kept in `work` as soon as it is there, and taken from there the next time.

    Of `runs` the weights of none, of the one with the best dev score, or of all of them are there in the end.
    """
    kept = [work / f"{sha256(repr(one).encode()).hexdigest()[:16]}.json" for one in runs]
    left = [(how, seed, path) for (how, seed), path in zip(runs, kept) if not path.exists()]
    steps = [how.epochs * -(-len(job.lengths["train"]) // how.batch_size) for how, _ in runs]
    begun = sum(count for count, path in zip(steps, kept) if path.exists())
    places = device.places()
    with tqdm(total=sum(steps), initial=begun, desc=title, unit=" steps", mininterval=1) as bar:
        if min(len(places), len(left)) > 1:
            side_by_side(job, left, places, threads, bar, kept, keep)
        else:
            for how, seed, path in left:
                one(job, how, seed, path, places[0], threads, bar.update, kept, keep)
    return [Finished(files.read_json(path), path.with_suffix("")) for path in kept]


def best(trained: Sequence[tuning.Trained]) -> int:
    """The place of the one with the best dev score, the first of equals."""
    return max(range(len(trained)), key=lambda i: tuning.main_measure(trained[i]["scores"]["dev"]))


def seconds(work: Path) -> float:
    """What all runs that are kept in `work` took, those of a killed try included; side by side, of each."""
    return sum(files.read_json(path)["seconds"] for path in work.glob("*.json"))


def one(
    job: tuning.Job,
    how: tuning.How,
    seed: int,
    path: Path,
    place: torch.device,
    threads: int,
    done: Callable[[], object],
    kept: list[Path],
    keep: Keep,
) -> None:
    """kept: where this run and those that it is compared with are written."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else each seed prints a table of the heads that are left out

    def save(model: torch.nn.Module) -> None:
        if keep != "none":
            with files.new_folder(path.with_suffix("")) as folder:
                job.save(model, folder)

    begin = time.perf_counter()
    trained = tuning.train(job, how, seed, place, threads, done, save)
    trained["seconds"] = time.perf_counter() - begin
    files.write_json(path, trained)
    if keep == "best":
        there = [path for path in kept if path.exists()]
        first = best([files.read_json(path) for path in there])
        for path in there[:first] + there[first + 1 :]:
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def side_by_side(
    job: tuning.Job,
    left: list[tuple[tuning.How, int, Path]],
    places: list[torch.device],
    threads: int,
    bar: tqdm,
    kept: list[Path],
    keep: Keep,
) -> None:
    """One process for each place, which takes one seed after the other. Raises what a seed raised, once the others are
    through.
    """
    context = multiprocessing.get_context("spawn")
    steps, free = context.Queue(), context.Queue()
    for place in places:
        free.put(place)
    packed = left[0][2].with_name("job.pickle")
    # Through a file: a pipe would hold up one process after the other until each has imported what it needs.
    with files.new_file(packed) as written:
        written.write_bytes(pickle.dumps(job))
    with ProcessPoolExecutor(len(places), context, begin, (packed, threads, steps, free, kept, keep)) as pool:
        futures = [pool.submit(in_other_process, *how_seed_path) for how_seed_path in left]
        try:
            while not all(future.done() for future in futures):
                with suppress(queue.Empty):
                    bar.update(steps.get(timeout=LOOK_SECONDS))
            for future in futures:
                future.result()
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def begin(packed: Path, threads: int, steps: Queue, free: Queue, kept: list[Path], keep: Keep) -> None:
    device.end_with_parent()
    # Nobody may be left to read when a stage is told to stop.
    steps.cancel_join_thread()
    theirs.update(
        job=pickle.loads(packed.read_bytes()), threads=threads, steps=steps, place=free.get(), kept=kept, keep=keep
    )


def in_other_process(how: tuning.How, seed: int, path: Path) -> None:
    given = {name: theirs[name] for name in ("job", "place", "threads", "kept", "keep")}
    one(how=how, seed=seed, path=path, done=lambda: theirs["steps"].put(1), **given)
