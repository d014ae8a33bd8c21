"""What a stage has made and DVC may have had no room for: noted in scratch/made/, with the scratch folder that it came
from, until DVC has stored it.

DVC deletes the outs of a stage before it runs it again. By its note a flow sees that they are what the stage would make
now, and has them stored instead; where the stage does run again, it goes on from the end of what lies in its scratch
folder.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wwm.common import files
from wwm.common.errors import UserError
from wwm.track import lineage

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

FOLDER = files.SCRATCH / "made"


def note(address: str) -> Path:
    """Of a stage of this folder; clones may share scratch/."""
    return FOLDER / f"{address}-{files.hash_of(str(Path.cwd()))[:16]}.json"


def leave(address: str, scratch: Path | None) -> None:
    """For a stage at its end; where there is no DVC, or no such stage, its scratch folder is of no more use."""
    try:
        entry = of(address)
    except Exception:  # noqa: BLE001 - whatever DVC cannot do now, the work is done
        if scratch:
            shutil.rmtree(scratch)
        return
    files.write_json(note(address), entry | {"address": address, "scratch": str(scratch) if scratch else None})


def waits(address: str) -> bool:
    """Whether what is here is what the stage made from the same deps, params and code, and nobody stored it yet."""
    with suppress(Exception):
        left = files.read_json(note(address))
        return of(address).items() <= left.items()
    return False


def forget(address: str) -> None:
    """Once DVC has stored what the stage made."""
    path = note(address)
    with suppress(UserError, KeyError, TypeError):  # a broken note names no folder: `wwm clean` finds that
        scratch = files.read_json(path)["scratch"]
        if scratch and not files.held(Path(scratch)):
            shutil.rmtree(scratch, ignore_errors=True)
    path.unlink(missing_ok=True)


def tidy() -> None:
    """Forgets what DVC has stored, as after a plain `dvc repro`, at whose end nobody looks."""
    if not (paths := [*FOLDER.glob("*.json")]):
        return
    with suppress(Exception), lineage.repository() as repo:
        from dvc.dvcfile import load_file

        stages = load_file(repo, "dvc.yaml").stages
        for path in paths:
            with suppress(Exception):
                left = files.read_json(path)
                if path == note(left["address"]) and stored(stages[left["address"]], left):
                    forget(left["address"])


def stored(stage: "PipelineStage", left: dict) -> bool:
    """Whether dvc.lock has what was made, and DVC's cache too: it writes the one where it had no room in the other."""
    if {out.def_path: out.hash_info.value for out in stage.outs} != left["outs"]:
        return False
    return not any(out.use_cache and out.changed_cache() for out in stage.outs)


def of(address: str) -> dict[str, Any]:
    """What DVC would write into dvc.lock for a stage of dvc.yaml now, in short. Raises DvcException, ImportError, and
    what a missing file raises.
    """
    from dvc.dependency.param import ParamsDependency
    from dvc.dvcfile import load_file

    with lineage.repository() as repo:
        # Without dvc.lock, which another stage may be writing right now.
        file = load_file(repo, "dvc.yaml")
        stage: PipelineStage = file.LOADER(file, file.contents)[address]
        params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
        deps = [dep for dep in stage.deps if dep not in params]
        return {
            "cmd": stage.cmd,
            "deps": {dep.def_path: dep.get_hash().value for dep in deps},
            "params": {dep.def_path: dep.get_hash().value for dep in params},
            "outs": {out.def_path: out.get_hash().value for out in stage.outs},
        }
