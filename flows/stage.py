"""One DVC stage as a process: the only place that runs dvc.

    python flows/stage.py repro -s NAME < a pipe        runs it, and stops it when the pipe closes

dvc runs under a small supervisor that holds one end of a pipe to the flow. However the flow ends (return, Ctrl-C,
cancel, kill -9), the pipe closes and the supervisor stops dvc and everything below it: killing dvc alone leaves a
training running.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

PROGRESS_SECONDS = 5  # progress bars are shown this often: two stages at once would overwrite each other's
GRACE_SECONDS = 30  # a stage that is told to stop may save a checkpoint first
TAIL_LINES = 60
WORTH_A_RETRY = (
    75,
    -signal.SIGTERM,
    128 + signal.SIGTERM,
    -signal.SIGKILL,
    128 + signal.SIGKILL,
)  # 75: it saved a checkpoint and left
DVC_FAILED = "ERROR: failed to reproduce"
# What DVC says where another one reads or writes the same: who, and how to remove a lock, which is not for us.
BUSY = re.compile(r"ERROR: .*is busy, it is being blocked by:|If there are no processes with such PIDs")
BLOCKER = re.compile(r"^  \(PID (\d+)\): (.*)", re.M)
BUSY_SECONDS = 5
UNSTORED = "ERROR: failed to transfer"
HINTS = re.compile(
    r"(Generating|Updating) lock file|To track the changes with git|\s+git add |To enable auto staging|\s+dvc config"
    r" core.autostage|Use `dvc push`"
)


class StageFailed(RuntimeError):
    """A stage that did not end well. `code` is its own exit code, `retryable` whether the same again may work."""

    def __init__(self, name: str, code: int, tail: list[str]):
        super().__init__(f"{name} failed with exit code {code}:\n{own_words(tail)}")
        self.name, self.code, self.retryable = name, code, code in WORTH_A_RETRY


class PushFailed(RuntimeError):
    """What was made is here and not in the remote."""


class Stopped(BaseException):
    """A stage that was ended by `Stages.stop`; no Exception, for nothing went wrong."""


class Stages:
    """The stages that a flow runs, so that all can be stopped at once; with `pull` DVC's remote is asked first."""

    def __init__(self, pull: bool = False):
        self.pull, self.running, self.stopping, self.lock = pull, set(), False, threading.Lock()

    def run(self, name: str, show: Callable[[str], None], env: dict[str, str] | None = None) -> str:
        """Brings one stage up to date: "ran", "restored" (from the run cache or the remote, or made earlier and stored
        only now) or "unchanged". Raises StageFailed, Stopped.
        """
        tail, outcome, code, unstored = deque(maxlen=TAIL_LINES), "ran", None, ""

        def read(line: str, lasting: bool) -> None:
            nonlocal outcome, code, unstored
            if HINTS.match(line):
                return
            # What failed is told by StageFailed, once; whom a stage waits for, in our words.
            if BUSY.match(line) or BLOCKER.match(line):
                pass
            elif not line.startswith(("error: ", DVC_FAILED, UNSTORED)):
                show(line)
            if not lasting:
                return
            tail.append(line)
            if line == f"Stage '{name}' is cached - skipping run, checking out outputs":
                outcome = "restored"
            elif line.startswith("Pulling data for "):
                outcome = "restored"
            elif line.startswith("Unable to pull data for "):
                outcome = "ran"
            elif line == f"Stage '{name}' didn't change, skipping":
                outcome = "unchanged"
            elif outcome == "ran" and line.startswith(UNSTORED):
                unstored = line
            elif found := re.match(r"ERROR: .*failed to run: .*, exited with (-?\d+)$", line):
                code = int(found[1])

        from wwm.track import made  # the supervisor has no use for it

        again = made.waits(name)
        if again:
            show(f"{name} made its outs before, and DVC has yet to store them")
        repro = ["repro", "-s", name, *(["--pull"] if self.pull else [])]
        waiting_for = ""
        while status := self.dvc(["commit", "--force", name] if again else repro, read, env):
            if not (blocker := BLOCKER.search("\n".join(tail))):
                break
            if blocker[0] != waiting_for:
                show(f"{name} waits for process {blocker[1]}, which is at work in this checkout: {blocker[2]}")
            waiting_for = blocker[0]
            tail.clear()
            time.sleep(BUSY_SECONDS)
        # DVC may end with 0 all the same.
        if unstored or (status and code is None and made.waits(name)):
            why = unstored or next((line for line in reversed(tail) if line.startswith("ERROR: ")), "")
            raise StageFailed(
                name,
                status or 1,
                [
                    f"error: DVC could not store what {name} made: {why.removeprefix('ERROR: ')}",
                    f"Nothing is lost: make room, then `dvc commit {name}`; or run the flow again, which does that",
                ],
            )
        if status:
            raise StageFailed(name, status if code is None else code, list(tail))
        made.forget(name)
        return "restored" if again else outcome

    def push(self, *arguments: str) -> None:
        """`dvc push`. Raises PushFailed, Stopped."""
        tail = deque(maxlen=TAIL_LINES)
        if self.dvc(["push", *arguments], lambda line, lasting: tail.append(line)):
            raise PushFailed("\n".join([line for line in tail if line.startswith("ERROR")] or list(tail)[-3:]))

    def dvc(self, arguments: list[str], read: Callable[[str, bool], None], env: dict[str, str] | None = None) -> int:
        """The exit status of dvc; `read` is called with each line of it, see `follow`. Raises Stopped."""
        from flows import checkout

        environment = {
            **os.environ,
            **(env or {}),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with self.lock:
            if self.stopping:
                raise Stopped(arguments[-1])
            checkout.remove_stale_rwlock()
            # -P keeps flows/ off sys.path
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
            self.running.add(process)
        try:
            for line, lasting in follow(process.stdout):
                read(line, lasting)
        finally:
            with suppress(OSError):
                process.stdin.close()
            process.wait()
            self.running.discard(process)
        if self.stopping:
            raise Stopped(arguments[-1])
        return process.returncode

    def stop(self) -> None:
        """Ends every stage and what it started; returns when none is left."""
        with self.lock:
            self.stopping = True
        for process in list(self.running):
            with suppress(OSError):
                process.stdin.close()
        for process in list(self.running):
            process.wait()


def pull_run_cache() -> str | None:
    """Fetches what DVC's remote knows of earlier runs; else why not, in words."""
    from dvc.repo import Repo

    with Repo(_wait_for_lock=True) as repo:
        if not (remote := repo.config["core"].get("remote")):
            return "DVC has no remote, so no other machine would see what this one makes: docs/team.md sets one up"
        try:
            with repo.lock:
                repo.stage_cache.pull(None)
        except Exception as error:  # noqa: BLE001 - whatever kind of store it is
            return f"DVC's remote {remote} does not answer: {type(error).__name__}: {error}"
    return None


def follow(stream) -> Iterator[tuple[str, bool]]:
    """Lines of a process as they come: (text, True), and every few seconds the state of its progress bar: (text,
    False).
    """
    rest, shown = b"", time.monotonic()
    while chunk := os.read(stream.fileno(), 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if text := line.rpartition(b"\r")[2].decode(errors="replace").rstrip():
                yield text, True
        # the last \r is followed by a state that may not be whole yet; the one before is
        states = [state for state in rest.split(b"\r")[1:-1] if state.strip()]
        rest = rest[max(rest.rfind(b"\r"), 0) :]
        if states and time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            yield states[-1].decode(errors="replace").rstrip(), False
    if text := rest.rpartition(b"\r")[2].decode(errors="replace").rstrip():
        yield text, True


def own_words(tail: list[str]) -> str:
    """What a stage itself said at its end: its error without the traceback and without what DVC adds, else its last
    lines.
    """
    # where DVC itself fails (a missing dep, say) this line is all there is
    lines = [line for line in tail if not (line.startswith(DVC_FAILED) and "failed to run:" in line)]
    if told := [i for i, line in enumerate(lines) if line.startswith("error: ")]:
        return "\n".join([lines[told[-1]].removeprefix("error: "), *lines[told[-1] + 1 :]])
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts:
        lines = [line for line in lines[starts[-1] + 1 :] if not line.startswith("  ")]
    return "\n".join(lines[-10:])


def supervise(*arguments: str) -> int:
    """Runs dvc until it ends or stdin closes; its exit code. Leaves no process behind."""
    dvc = subprocess.Popen(
        [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )

    def stop_with_the_flow() -> None:
        sys.stdin.buffer.read()
        import psutil

        # dvc puts its locks in order when the stage ends or when it is interrupted, not on SIGTERM
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            below = psutil.Process(dvc.pid).children(recursive=True)
            dvc.send_signal(signal.SIGINT)
            for process in below:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            time.sleep(GRACE_SECONDS)
            os.killpg(dvc.pid, signal.SIGKILL)

    threading.Thread(target=stop_with_the_flow, daemon=True).start()
    code = dvc.wait()
    with suppress(ProcessLookupError):
        os.killpg(dvc.pid, signal.SIGKILL)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    # a daemon thread holds stdin's lock, which a normal exit would wait for
    os._exit(supervise(*sys.argv[1:]))
