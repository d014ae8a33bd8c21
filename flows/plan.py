"""What DVC says is to do: the stages of dvc.yaml as a graph."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import networkx
from dvc.exceptions import NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import Stage

from flows.checkout import remove_stale_rwlock, set_aside_cut_lock
from wwm import check, params
from wwm.common.errors import UserError
from wwm.tasks import table as tasks

PARAMS = Path("params.yaml")
# Stages that any params.yaml has, and that nothing reads where no model is trained on text.
TEXT = {"demo", "corpus", "segmenter", "segment", "vocab"}


def plan(targets: list[str] | None = None, allow_missing: bool = False) -> networkx.DiGraph:
    """The stages that `dvc repro targets` looks at, without targets those of use; an edge leads to what a stage needs.

    Each has `todo`, whether it changed or follows from one that did, and `outs`, path -> hash as in dvc.lock. With
    `allow_missing` a stage whose files are not here, but in DVC's cache or remote, has not changed by that. Raises
    UserError that lists all that is missing for the stages to do, and that no stage makes.
    """
    check_folder()
    remove_stale_rwlock()
    set_aside_cut_lock()
    # One reading of dvc.yaml serves all that is asked: Repo.status would read it anew before and after.
    with undisturbed(), Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        stages = {stage.addressing: stage for stage in repo.index.graph}
        graph = networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)
        chosen = (
            {stage.addressing for target in targets for stage in repo.stage.collect(target)}
            if targets
            else of_use(graph)
        )
        wanted = chosen.union(*(networkx.descendants(graph, name) for name in chosen))
        changed = {
            name
            for name in wanted
            if stages[name].changed(allow_missing, [stages[needed] for needed in graph.successors(name)])
        }
        if allow_missing:
            changed |= lost(repo, [stages[name] for name in wanted - changed])
        all_outs = {Path(out.fs_path) for out in repo.index.outs}
        outs = {name: {out.def_path: out.hash_info.value for out in stage.outs} for name, stage in stages.items()}
    # against the edges: what follows from a stage are networkx's ancestors
    todo = changed.union(*(networkx.ancestors(graph, name) for name in changed))
    problems = list(missing_inputs([stages[name] for name in wanted & todo], all_outs))
    if PARAMS.is_file():
        made = [Path(out.def_path) for name in todo for out in stages[name].outs]
        problems += check.problems(params.read(), wanted & todo, made)
    if problems:
        raise UserError("\n".join([f"{len(problems)} things are missing:", *problems] if problems[1:] else problems))
    networkx.set_node_attributes(graph, {name: {"todo": name in todo, "outs": outs[name]} for name in graph})
    return graph.subgraph(wanted).copy()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Raises UserError where another DVC is at work in this folder."""
    try:
        yield
    except LockError as error:
        raise UserError(f"another DVC is at work here, wait for its end: {' '.join(str(error).split())}") from None


def check_folder() -> None:
    """Raises UserError anywhere but in the project's folder: DVC looks for it above, we read params.yaml here."""
    try:
        root = Path(Repo.find_root())
    except NotDvcRepoError:
        raise UserError(f"{Path.cwd()} is no DVC project, and lies in none; run in the project's folder") from None
    if not root.samefile(Path.cwd()):
        raise UserError(f"{Path.cwd()} is only a part of the project; run in {root}")


def of_use(graph: networkx.DiGraph) -> set[str]:
    """All stages but those of TEXT that no other reads."""
    return {name for name in graph if name not in TEXT or networkx.ancestors(graph, name) - TEXT}


def lost(repo: Repo, stages: Iterable[Stage]) -> set[str]:
    """Those which have made something that is neither in DVC's cache nor in its remote."""
    made = {stage.addressing: set().union(*stage.get_used_objs().values()) for stage in stages}
    # One question for all: each is a round of requests.
    if not (everything := set().union(*made.values())) or not repo.cloud.status(everything).missing:
        return set()
    return {name for name, own in made.items() if own and repo.cloud.status(own).missing}


def missing_inputs(stages: Iterable[Stage], outs: set[Path]) -> Iterator[str]:
    """A line for each dep that is not there and in no stage's outs; DVC would only say that there is no such file."""
    keys = {"corpus": "corpus.folder", "segmenter": "segmenter.gold"}
    folders = {folder for out in outs for folder in out.parents}
    for stage in stages:
        for dep in stage.deps:
            path = Path(dep.fs_path)
            if not (path.exists() or path in folders or outs & {path, *path.parents}):
                name = stage.addressing.partition("@")[0]
                remedy = f"set {keys[name]} in params.yaml to what there is" if name in keys else "put it there"
                if Path(dep.def_path).parent == Path("data/tasks") and (data := tasks.TASKS.get(path.name)):
                    remedy += f": its home is {data.source} (licence: {data.licence})" + (
                        f", or fetch it by fetch.tasks.{data.name}: hub" if data.hub else ""
                    )
                yield f"{dep.def_path} does not exist, and no stage makes it ({stage.addressing} reads it); {remedy}"


def in_order(graph: networkx.DiGraph, todo: bool) -> list[str]:
    """The stages that are to do, or those that are not, each after what it needs."""
    return [name for name in reversed(list(networkx.topological_sort(graph))) if graph.nodes[name]["todo"] == todo]


def check_params() -> None:
    """Raises UserError with our words for what DVC would only call a template that it cannot resolve."""
    if PARAMS.is_file():
        params.read()
