"""Hundreds of bad inputs at every door of the project, and what is made of each.

    python tests/bad_inputs.py [DOOR ...] [--project FOLDER] [--case TEXT]

Each runs as `python -m wwm.STAGE` or `wwm COMMAND` does, in a fork of this process, in a copy of a small finished
project that one thing was done to. It is `named` where it ends in one line that says which file or key is wrong, `poor`
where the line does not say so or has a traceback before it, a `crash` where there is no line, a `hang` where it takes
more than SECONDS, and `accepted` where it does not end in an error at all.
"""

import argparse
import os
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import forked

from wwm.common import files

DOORS = ("params", "text", "models", "results")
KINDS = ("named", "poor", "crash", "hang", "accepted")
SECONDS = 20  # of a CPU, which is no more on a busy machine
NOT_BEGUN = 99  # an exit status that no stage has
MOST = 700  # characters of what can be read at a glance
# What a stage does at toy size, in order.
STAGES = (
    *("demo", "corpus", "segmenter", "segment", "vocab", "mask wordpiece-nsp", "mask whole-word", "init random"),
    *("pretrain bert", "pretrain roberta-wwm-ext", "truncate rbt3-init", "pretrain rbt3"),
    *("cloze random", "cloze roberta-wwm-ext", "cloze rbt3"),
    *(f"finetune {model} reviews" for model in ("random", "roberta-wwm-ext", "rbt3")),
    *("characters reviews", "overlap reviews", "scores"),
)


class Bad(NamedTuple):
    """One bad input: what it is; the command that meets it; what is done beforehand, in the project's folder; what the
    line has to say, a pattern; whether it may be let pass as well.
    """

    name: str
    command: str
    damage: Callable[[], object]
    says: str
    passes: bool = False


class Outcome(NamedTuple):
    kind: str
    line: str  # that it ended in
    seconds: float


def cases(door: str) -> list[Bad]:
    return import_module(f"bad_{door}").cases()


def run(bad: Bad, project: Path) -> Outcome:
    """Of the command in a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        shutil.copytree(project, copy, copy_function=os.link, symlinks=True)
        begin = time.monotonic()
        ended = status(bad.command, copy, Path(folder, "printed"), bad.damage)
        said = Path(folder, "printed").read_text(encoding="utf-8", errors="replace")
    return Outcome(kind(bad, ended, said), said.strip().rpartition("\n")[2], time.monotonic() - begin)


def status(command: str, folder: Path, printed: Path, damage: Callable[[], object] = lambda: None) -> int:
    """The exit status of a command in a fork; below 0 the signal that ended it."""
    first, *arguments = shlex.split(command)
    sys.stdout.flush()
    if not (pid := os.fork()):
        try:
            os.chdir(folder)
            damage()
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            signal.alarm(10 * SECONDS)
            module = "wwm.cli" if first == "wwm" else f"wwm.{first}"
            os._exit(forked.status(module, arguments, dict(os.environ), str(folder), str(printed)))
        except BaseException:
            traceback.print_exc()
            os._exit(NOT_BEGUN)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended != NOT_BEGUN, "the damage itself failed"
    return ended


def kind(bad: Bad, ended: int, said: str) -> str:
    """One of KINDS, `named` too for what may pass and did."""
    if -ended in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM):
        return "hang"
    if not ended:
        return "named" if bad.passes else "accepted"
    if ended == 2 and "Usage: " in said:  # typer's own form of a line
        return "named" if re.search(bad.says, re.sub(r"[\s│]+", " ", said)) else "poor"
    before, error, line = f"\n{said.strip()}".rpartition("\nerror: ")
    if ended < 0 or not error:
        return "crash"
    # Of params.yaml all that is wrong is told at once.
    one = all(each.startswith("params.yaml: ") for each in line.splitlines()[1:])
    whole = re.search(bad.says, line) and "Traceback" not in before and one
    return "named" if whole and len(line) <= MOST * (1 + line.count("\n")) else "poor"


@contextmanager
def ready() -> Iterator[None]:
    """Imports what the stages import, with nobody tracked: a process that imports mlflow takes seconds."""
    import conftest

    import wwm.pretrain  # noqa: F401 - for what it imports

    os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    with conftest.unread():
        yield


def make(project: Path) -> None:
    """The small project: all stages of presets/tiny.yaml, each run once."""
    with files.new_folder(project) as made:
        shutil.copytree("presets", made / "presets")
        shutil.copy("presets/tiny.yaml", made / "params.yaml")
        for stage in STAGES:
            print(stage, flush=True)
            if ended := status(stage, made, made / "printed"):
                sys.exit(f"{stage} ended with {ended}:\n{(made / 'printed').read_text(encoding='utf-8')}")
        shutil.rmtree(made / "scratch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=f"of {', '.join(DOORS)}; by default all")
    parser.add_argument("--project", type=Path, default=Path("scratch/bad-inputs"), help="made where it is not there")
    parser.add_argument("--case", default="", help="only those with this in their names")
    given = parser.parse_args()
    project = given.project.resolve()
    counts: dict[str, Counter] = {}
    with ready():
        if not project.exists():
            make(project)
        for door in given.doors or DOORS:
            counts[door] = Counter()
            for bad in cases(door):
                if given.case not in bad.name:
                    continue
                found = run(bad, project)
                counts[door][found.kind] += 1
                print(f"{found.kind:<9}{found.seconds:5.1f} s  {door}: {bad.name}: {found.line[:1000]}", flush=True)
    print("\n| Door | " + " | ".join(KINDS) + " | all |\n|---|" + "---:|" * (len(KINDS) + 1))
    for door, found in {**counts, "all": sum(counts.values(), Counter())}.items():
        print(f"| {door} | " + " | ".join(str(found[kind]) for kind in KINDS) + f" | {found.total()} |")


if __name__ == "__main__":
    main()
