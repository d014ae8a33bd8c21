"""runs/NAME: the branch of git that holds what a team's run was made with, and in the end its dvc.lock.

All of it in a clone whose `origin` may be pushed to. A push is never forced.
"""

import getpass
import os
import socket
import subprocess
from pathlib import Path

from flows.checkout import whole
from wwm import params
from wwm.common.errors import UserError

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
CODE = ("wwm", "flows", "dvc.yaml")


def of(name: str) -> str:
    return f"runs/{name}"


def git(*arguments: str) -> str:
    """What git says. Raises UserError with git's own last words."""
    author = f"{getpass.getuser()}@{socket.gethostname()}"
    # For a machine that was told nothing; git falls back to EMAIL by itself, and to no name.
    fallback = {"GIT_TERMINAL_PROMPT": "0", "EMAIL": author}
    if not subprocess.run(["git", "config", "user.name"], capture_output=True, check=False).stdout:
        fallback |= {"GIT_AUTHOR_NAME": author, "GIT_COMMITTER_NAME": author}
    env = {**fallback, **os.environ}
    done = subprocess.run(["git", *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(line for line in done.stderr.splitlines() if not line.startswith("hint:"))
        raise UserError(f"git {' '.join(arguments)}: {said or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def go_on(name: str, text: str | None) -> str | None:
    """Checks out runs/NAME where `origin` has it, and returns its commit; None where it has none.

    Raises UserError where it was made with other params than `text`, None standing for any, or what is here is not
    committed.
    """
    if changed := git("status", "--porcelain", "--untracked-files=no"):
        raise UserError(f"{Path.cwd()} has changes that are not committed: {changed.split()[-1]}; commit them first")
    if not git("ls-remote", "--heads", "origin", f"refs/heads/{of(name)}"):
        return None
    git("fetch", "--quiet", "origin", f"+refs/heads/{of(name)}:refs/remotes/origin/{of(name)}")
    theirs = git("show", f"refs/remotes/origin/{of(name)}:{PARAMS}")
    if text is not None and params.parsed(theirs) != params.parsed(text):
        raise UserError(
            f"{of(name)} was made with another params.yaml ({different(theirs, text)}): take another name, or the same"
            " preset and overrides to go on with it"
        )
    other = git("diff", "--name-only", "HEAD", f"refs/remotes/origin/{of(name)}", "--", *CODE)
    git("checkout", "--quiet", "-B", of(name), f"refs/remotes/origin/{of(name)}")
    if other:
        print(f"{of(name)} goes on with its own code, in which {other.split()[0]} is another than in this clone")
    return git("rev-parse", "HEAD")


def different(theirs: str, ours: str) -> str:
    """The first line that two texts differ in."""
    pairs = zip([*theirs.strip().splitlines(), ""], [*ours.strip().splitlines(), ""])
    return next((f"{a.strip()!r} there, {b.strip()!r} here" for a, b in pairs if a.strip() != b.strip()), "its form")


def begin(name: str, why: str) -> None:
    """Commits params.yaml and pushes that as runs/NAME. Raises UserError where somebody else just did."""
    git("checkout", "--quiet", "-b", of(name))
    git("add", str(PARAMS))
    git("commit", "--quiet", "--allow-empty", "-m", f"{of(name)}: {why}")
    push(name)


def save(name: str, why: str) -> None:
    """Commits dvc.lock and pushes it; not while DVC is writing it. Raises UserError."""
    if LOCK.is_file() and whole(LOCK):
        git("add", str(LOCK))
        if git("status", "--porcelain", "--untracked-files=no", str(LOCK)):
            git("commit", "--quiet", "-m", f"{of(name)}: {why}", str(LOCK))
        push(name)


def push(name: str) -> None:
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{of(name)}")
