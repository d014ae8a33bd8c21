"""Which code a stage's bytes come from, by following imports: the one list behind the `deps:` of dvc.yaml and the keys
of scratch/.
"""

import ast
from collections.abc import Callable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from wwm.common import files

PACKAGE = Path(__file__).resolve().parents[1]
# A log format, how params.yaml is checked, how an error is worded or what is shown must not retrain a model.
CHANGES_NOTHING = {
    *(f"wwm.common.{name}" for name in ("code", "command", "encoding", "errors", "room", "sizes", "times")),
    *("wwm.params", "wwm.track", "wwm.show", "wwm.tasks.mistakes"),
}
# They read, write and hand on; what they read is in the keys of scratch/ itself.
HANDS_ON = {
    *("wwm.common.files", "wwm.common.hub", "wwm.common.kinds", "wwm.engine"),
    *(f"wwm.text.{name}" for name in ("sources", "download", "dumps", "records", "streams")),
}


def changing(stage: str) -> list[Path]:
    """The files of wwm that can change what a stage writes, sorted: its module, all that this imports, and the files
    beside them that they name.
    """
    return sorted(file for module in reached(f"wwm.{stage}") for file in (path_of(module), *named(module)))


@cache
def key(stage: str) -> str:
    """sha256 of the code that makes what a stage keeps in scratch/."""
    return files.hash_of([files.content_hash(path_of(module)) for module in sorted(reached(f"wwm.{stage}") - HANDS_ON)])


def everything() -> str:
    """sha256 of all of wwm."""
    return files.hash_of([files.content_hash(path) for path in sorted(PACKAGE.rglob("*.py"))])


@cache
def reached(module: str) -> frozenset[str]:
    """Modules of wwm that `module` imports anywhere, directly or not, itself included, without those that change no
    byte.
    """
    return frozenset(followed(module, lambda name: not exempt(name)))


def followed(module: str, wanted: Callable[[str], bool]) -> set[str]:
    """Itself, and all `wanted` modules of wwm that it imports anywhere, directly or by others of these."""
    found: set[str] = set()
    new = {module}
    while new:
        found |= new
        new = set(filter(wanted, {name for one in new for name in imported(one)})) - found
    return found


def exempt(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:count]) in CHANGES_NOTHING for count in range(1, len(parts) + 1))


@cache
def source(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def names_in(module: str, needed: bool = False) -> set[str]:
    """Dotted names in the import statements of a module, within functions too: modules, and what is taken from them.

    needed: without those whose ImportError is caught.
    """
    names: set[str] = set()
    done_without = optional(source(module)) if needed else set()
    for node in ast.walk(source(module)):
        if node in done_without:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module}: imports of wwm are absolute"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported(module: str) -> set[str]:
    """Modules of wwm that one of them names in its import statements, within functions too, with the packages that they
    lie in.
    """
    ours = [name.split(".") for name in names_in(module) if name.split(".")[0] == "wwm"]
    # Python runs a package before what lies in it.
    within = {".".join(parts[:count]) for parts in ours for count in range(1, len(parts) + 1)}
    return {name for name in within if path_of(name).is_file() and does_something(name)}


def packages(module: str) -> set[str]:
    """What a module of wwm and all that it imports need beside Python, as pip calls it, of what is installed here."""
    everywhere = followed(module, lambda name: True)
    names = {name.partition(".")[0] for one in everywhere for name in names_in(one, needed=True)}
    known = packages_distributions()
    # `ruamel` is a part of ruamel.yaml.clib as well.
    return {min(known[name], key=len) for name in names - {"wwm"} if name in known}


def optional(module: ast.Module) -> set[ast.AST]:
    """All nodes of statements whose ImportError is caught."""
    return {
        inner
        for node in ast.walk(module)
        if isinstance(node, ast.Try)
        and any(isinstance(each.type, ast.Name) and each.type.id == "ImportError" for each in node.handlers)
        for one in node.body
        for inner in ast.walk(one)
    }


def does_something(module: str) -> bool:
    """Not so an empty `__init__.py`, or one that holds a docstring alone."""
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in source(module).body
    )


def path_of(module: str) -> Path:
    """Where the source of `wwm.x.y` lies, or would lie."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def named(module: str) -> set[Path]:
    """Files beside a module whose names it has in its code: tables and templates."""
    texts = {
        node.value
        for node in ast.walk(source(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {path for path in path_of(module).parent.iterdir() if path.name in texts and path.is_file()}
