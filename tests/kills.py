"""Kills flows and `dvc repro` by -9 at random moments of a run at toy size, and holds what comes of it against a run
that nobody killed.

    python tests/kills.py FOLDER --kills 100 --seed 1

A moment falls into a stage as often as the stage is long. Every kill is followed by a run that goes on; after a round,
which lays the project out anew, dvc.lock must be that of the other run, nothing half-written may lie about, and MLflow
must have each stage with its hashes and each curve with all its points.
"""

import argparse
import csv
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from project import checkout, environment
from ruamel.yaml import YAML

COMMANDS = {"flow": ["-m", "flows.pipeline", "--concurrency", "1"], "dvc": ["-m", "dvc", "--wait-for-lock", "repro"]}
BUSY = "is busy, it is being blocked by"
A_ROUND = 20
PATIENCE = 3600  # seconds, for one run


class Told(NamedTuple):
    kills: dict[str, int]  # by stage
    missed: int  # the stage was over before its moment
    completions: int


def kill(folder: Path, kills: int, seed: int) -> Told:
    """Raises AssertionError for what differs. The first run in `folder` is the one that is not killed."""
    base, reference = folder / "base", folder / "reference"
    if not (reference / "dvc.lock").is_file():
        shutil.copytree(checkout(base), reference, symlinks=True)
        begin(reference, "flow").wait(PATIENCE)
    lengths = seconds(printed(reference))
    random = np.random.default_rng(np.random.SeedSequence(seed))
    hit: dict[str, int] = {}
    missed = completions = rounds = 0
    while sum(hit.values()) < kills:
        rounds += 1
        victim = shutil.copytree(base, folder / f"killed-{rounds}", symlinks=True)
        wanted = min(A_ROUND, kills - sum(hit.values()))
        for moment in np.sort(random.uniform(0, sum(lengths.values()), wanted)):
            stage, offset = within(lengths, moment)
            if kill_once(victim, str(random.choice([*COMMANDS])), stage, offset):
                hit[stage] = hit.get(stage, 0) + 1
            else:
                missed += 1
        assert begin(victim, "flow").wait(PATIENCE) == 0, printed(victim)[-5000:]
        completions += wanted
        check(victim, reference)
    return Told(hit, missed, completions)


def begin(folder: Path, command: str) -> subprocess.Popen:
    with open(folder / "printed", "wb") as output:
        return subprocess.Popen(
            [sys.executable, *COMMANDS[command]],
            cwd=folder,
            env=environment(folder),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def seconds(said: str) -> dict[str, float]:
    """Stage -> what it took, in the order of the run, from the table at the end of a flow."""
    rows = re.findall(r"^(\S+) +(?:Completed|Cached) +(\d+) min (\d+) s$", said, re.M)
    return {name: 60 * int(minutes) + int(rest) + 0.5 for name, minutes, rest in rows}


def within(lengths: dict[str, float], moment: float) -> tuple[str, float]:
    for stage, length in lengths.items():
        if moment < length:
            return stage, moment
        moment -= length
    raise AssertionError(moment)


def kill_once(folder: Path, command: str, stage: str, offset: float) -> bool:
    """Whether `stage` was reached, and the run killed `offset` seconds later."""
    process = begin(folder, command)
    deadline = time.monotonic() + PATIENCE
    while f"Running stage '{stage}':" not in (said := printed(folder)):
        if process.poll() is not None:
            if process.returncode == 0:
                return False
            # A stage that lost its flow has some seconds to end in, in which plain DVC does not wait.
            assert command == "dvc" and BUSY in said, said[-5000:]
            process = begin(folder, command)
        assert time.monotonic() < deadline, f"{stage} does not begin"
        time.sleep(0.05)
    time.sleep(offset)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def printed(folder: Path) -> str:
    return (folder / "printed").read_text(encoding="utf-8", errors="replace")


def stages(folder: Path) -> dict[str, dict]:
    return YAML(typ="safe").load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]


def check(victim: Path, reference: Path) -> None:
    assert stages(victim) == stages(reference)
    assert not [path for path in victim.rglob(".*.tmp") if ".git" not in path.parts]
    assert not list(victim.glob("scratch/untracked/*.jsonl"))
    with closing(sqlite3.connect(victim / "mlflow.db")) as database:
        made = recorded(database)
        for name, entry in stages(victim).items():
            outs = {out["path"]: out["md5"] for out in entry["outs"]}
            found = [run for run, tags in made.items() if tags.get("stage") == name.partition("@")[0]]
            whole = [run for run in found if (own := hashes(made[run])) and own.items() <= outs.items()]
            assert whole, f"{name} is in MLflow by no run that is finished and has its hashes"
            if name.startswith("pretrain@"):
                points = {row[0] for run in whole for row in database.execute(CURVE, (run,))}
                with open(victim / f"results/pretrain/{name.partition('@')[2]}.csv", encoding="utf-8") as file:
                    assert points >= {int(row["step"]) for row in csv.DictReader(file)}, name


CURVE = "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'mlm_loss'"


def recorded(database: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Tags of each run that is finished."""
    made: dict[str, dict[str, str]] = {}
    query = "SELECT run_uuid, key, value FROM tags JOIN runs USING (run_uuid) WHERE status = 'FINISHED'"
    for run, key, value in database.execute(query):
        made.setdefault(run, {})[key] = value
    return made


def hashes(tags: dict[str, str]) -> dict[str, str]:
    """Of what a run made."""
    return {
        key.removeprefix("dvc."): value
        for key, value in tags.items()
        if key.startswith("dvc.") and not key.startswith("dvc.dep.")
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills runs at random moments and compares what comes of it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    told = kill(given.folder.resolve(), given.kills, given.seed)
    for stage, count in told.kills.items():
        print(f"{count:4d}  {stage}")
    print(f"{sum(told.kills.values())} kills, {told.missed} came too late, {told.completions} runs went on to the end")
