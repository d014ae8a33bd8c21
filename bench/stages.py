"""The stages, run as a user runs them, at several sizes and with several processes: speed and peak memory."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from ruamel.yaml import YAML

PRESET = Path(__file__).parent.parent / "presets/demo.yaml"
SET = "bench"
TRAINED = "vocab, trained"
STAGES = {"corpus": ["corpus"], "segment": ["segment"], "vocab": ["vocab"], "mask": ["mask", SET]}


class Run(NamedTuple):
    stage: str
    megabytes: float
    processes: int
    seconds: float
    cpu: float  # seconds, all processes
    serial: float  # seconds of CPU, the first process alone: what more cores do not shorten
    memory: float  # MB, most that all processes together held at once (proportional set size)
    tokens: int


def measure(texts: list[str], processes: int, segmenter: Path, vocabulary: Path, folder: Path) -> list[Run]:
    """Runs every stage in `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "text").mkdir(parents=True)
    (folder / "text/all.txt").write_text("\n\n".join(texts), encoding="utf-8")
    shutil.copytree(segmenter, folder / "data/segmenter")
    YAML().dump(params(processes, str(vocabulary.resolve())), folder / "params.yaml")
    megabytes = (folder / "text/all.txt").stat().st_size / 1e6
    runs = [
        Run(stage, megabytes, processes, *watched([sys.executable, "-m", f"wwm.{command[0]}", *command[1:]], folder), 0)
        for stage, command in STAGES.items()
    ]
    YAML().dump(params(processes, "train"), folder / "params.yaml")
    runs.append(Run(TRAINED, megabytes, processes, *watched([sys.executable, "-m", "wwm.vocab"], folder), 0))
    report = json.loads((folder / f"results/mask/{SET}.json").read_text())
    pieces = sum(value["pieces"] for value in report.values() if isinstance(value, dict) and "pieces" in value)
    return [run._replace(tokens=pieces if run.stage == "mask" else 0) for run in runs]


def params(processes: int, vocabulary: str) -> dict:
    """The demo's parameters, with this text and one set at the reference's lengths."""
    values = YAML(typ="safe").load(PRESET.read_text(encoding="utf-8"))
    values["engine"]["processes"] = processes
    values["corpus"] |= {"folder": "text", "sources": {"all": "all.txt"}}
    values["vocab"] |= {"source": vocabulary, "size": 21128}
    values["mask"]["masked_lm_prob"] = 0.15
    lengths = [
        {"max_seq_length": length, "max_predictions_per_seq": most, "dupe_factor": 1}
        for length, most in ((128, 20), (512, 77))
    ]
    values["mask"]["sets"] = {
        SET: {"unit": "whole_word", "masking": "static", "next_sentence_prediction": True, "lengths": lengths}
    }
    values["init"]["models"]["random"]["architecture"]["max_position_embeddings"] = 512
    for model in values["pretrain"]["models"].values():
        model["examples"] = SET
        for phase in model["phases"]:
            phase["max_seq_length"] = 128
    return values


def watched(command: list[str], folder: Path) -> tuple[float, float, float, float]:
    """(seconds, seconds of CPU, those of the first process, MB of memory at most) of a command."""
    # Other ranks than 0 track nothing.
    environment = os.environ | {"RANK": "1", "PYTHONPATH": str(PRESET.parent.parent)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with open(folder / "printed", "w") as printed:
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
    most = own = 0.0
    while process.poll() is None:
        try:
            own = sum(process.cpu_times()[:2])
            most = max(most, sum(part.memory_full_info().pss for part in [process, *process.children(recursive=True)]))
        except psutil.Error:
            pass  # ended between two looks
        # Looking costs time of its own.
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit((folder / "printed").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, own, most / 1e6


def table(runs: list[Run]) -> str:
    """Markdown; the time of one process over that of several stands beside each of these."""
    alone = {(run.stage, run.megabytes): run.seconds for run in runs if run.processes == 1}
    lines = [
        "| stage | MB | processes | seconds | MB/s | tokens/s | memory, MB | times one process |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs, key=lambda run: ([*STAGES, TRAINED].index(run.stage), run.megabytes, run.processes)):
        one = alone.get((run.stage, run.megabytes))
        cells = [
            run.stage,
            f"{run.megabytes:.0f}",
            run.processes,
            f"{run.seconds:.1f}",
            f"{run.megabytes / run.seconds:.1f}",
        ]
        cells += [
            f"{run.tokens / run.seconds / 1e6:.1f}M" if run.tokens else "",
            f"{run.memory:.0f}",
            f"{one / run.seconds:.2f}" if one and run.processes > 1 else "",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def outlook(runs: list[Run], gigabytes: float = 10, cores: tuple[int, ...] = (16, 64)) -> str:
    """Markdown: what so much text would take by what each further megabyte took here: CPU of one process, shared by the
    cores, or what the first of several does alone.
    """
    small, large = (pick(run.megabytes for run in runs) for pick in (min, max))
    found = {(run.stage, run.megabytes, run.processes): run for run in runs}
    most = max(run.processes for run in runs)
    lines = [
        f"| {gigabytes:g} GB of text | " + " | ".join(f"{n} cores" for n in cores) + " | of it in one process |",
        "|---|" + "---|" * (len(cores) + 1),
    ]
    total = dict.fromkeys(cores, 0.0)
    for stage in STAGES:
        per_megabyte = (found[stage, large, 1].cpu - found[stage, small, 1].cpu) / (large - small)
        alone = (found[stage, large, most].serial - found[stage, small, most].serial) / (large - small)
        minutes = {n: max(per_megabyte / n, alone) * gigabytes * 1000 / 60 for n in cores}
        total = {n: total[n] + minutes[n] for n in cores}
        lines.append(
            f"| {stage} | "
            + " | ".join(f"{minutes[n]:.1f} min" for n in cores)
            + f" | {alone * gigabytes * 1000 / 60:.1f} min |"
        )
    return "\n".join([*lines, "| all | " + " | ".join(f"{total[n]:.1f} min" for n in cores) + " | |"])
