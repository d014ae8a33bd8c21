"""Every stage on a disk that fills up: what it says, what it leaves, and whether it ends well once there is room.

    python tests/full_disk.py [--project FOLDER]

As root, which mounts disks of their own: a copy of the small finished project of bad_inputs.py on each, and a file that
takes all of the rest but FREE bytes.
"""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bad_inputs

FREE = (0, 20_000, 200_000)
SIZE = 100_000_000
# Where a stage looked beforehand, and where it did not.
ONE_LINE = re.compile("error: (.*: some .* MB are needed on the disk of .*; make room|no room on the disk of )")


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(filler: Path, free: int) -> None:
    """Leaves `free` bytes of the disk."""
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(filler.parent).free - free))


def changed(one: Path, other: Path) -> list[str]:
    """Files that are not the same in both, times aside."""
    names = {str(path.relative_to(home)) for home in (one, other) for path in home.rglob("*") if path.is_file()}
    kept = [name for name in names if not name.startswith(("scratch/", "results/times/", "results/report/"))]
    _, unlike, absent = filecmp.cmpfiles(one, other, kept, shallow=False)
    return sorted(unlike + absent)


def tried(stage: str, project: Path, free: int) -> list[str]:
    """What went wrong, nothing where all is well."""
    with tempfile.TemporaryDirectory() as folder, disk(Path(folder, "disk")) as place:
        home, printed, filler = place / "project", Path(folder, "printed"), place / "filler"
        shutil.copytree(project, home, symlinks=True)
        fill(filler, free)
        ended = bad_inputs.status(stage, home, printed)
        said = printed.read_text(encoding="utf-8", errors="replace")
        left = [str(path.relative_to(home)) for path in home.rglob("*") if path.name.endswith(".tmp")]
        wrong = [f"left {', '.join(left)}"] if left else []
        line = said.strip().rpartition("\n")[2]
        if ended and (not ONE_LINE.match(line) or "Traceback" in said):
            wrong.append(f"said {said[-600:]}")
        if ended and (lost := changed(home, project)):
            wrong.append(f"changed {', '.join(lost)}")
        filler.unlink()
        if again := bad_inputs.status(stage, home, printed):
            wrong.append(f"ended with {again} once there was room: {printed.read_text(encoding='utf-8')[-600:]}")
        elif other := changed(home, project):
            wrong.append(f"made other bytes: {', '.join(other)}")
        print(
            f"{'WRONG' if wrong else 'well':<6}{stage:<32}{free:>9,} free  {line if ended else 'had room'}", flush=True
        )
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("scratch/bad-inputs"), help="made where it is not there")
    given = parser.parse_args()
    project = given.project.resolve()
    with bad_inputs.ready():
        if not project.exists():
            bad_inputs.make(project)
        for stage in bad_inputs.STAGES:
            for free in FREE:
                for wrong in tried(stage, project, free):
                    print(f"      {wrong}", flush=True)


if __name__ == "__main__":
    main()
