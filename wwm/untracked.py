"""What MLflow did not take from a run that is over: kept on disk, and sent by the next run that reaches it."""

import fcntl
import json
import os
import threading
from collections.abc import Callable

from wwm import files, hashes

FOLDER = files.SCRATCH / "untracked"


def keep(opening: dict, messages: list[dict]) -> None:
    """The messages of one run that were not sent, in a file of its own; opening: the first of all, with the `run_id` if there is one."""
    # Hashes of inputs are those of now, not of when they are sent.
    deps = [hashes.tags("dvc.dep", hashes.of_deps(message["deps"])) for message in messages if "deps" in message]
    opening = opening | {"scratch": None, "tags": {key: value for tags in [opening["tags"], *deps] for key, value in tags.items()}}
    path = FOLDER / f"{opening['time']}-{os.getpid()}-{threading.get_ident()}.jsonl"
    rest = [message for message in messages if "deps" not in message]
    files.write_text(path, "".join(json.dumps(message) + "\n" for message in [opening, *rest]))
    print(f"tracking: what is missing in MLflow is in {path}, and sent by the next run that reaches it", flush=True)


def send(deliver: Callable[[dict, list[dict]], None]) -> None:
    """Calls `deliver` with opening and messages of each run that is kept, oldest first, and forgets it; an error leaves it and what follows for another time."""
    if not FOLDER.is_dir():
        return
    with open(FOLDER / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another stage's process sends them
        for path in sorted(FOLDER.glob("*.jsonl")):
            try:
                opening, *messages = [json.loads(line) for line in files.lines(path)]
                deliver(opening, messages)
            except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may reach the work
                print(f"tracking: {path} could not be sent ({type(error).__name__}: {error}); the next run tries again, unless you remove it", flush=True)
                return
            path.unlink()
            print(f"tracking: the run `{opening['run_name']}` that MLflow had missed is recorded now", flush=True)
