"""What MLflow did not take from a run that is over: kept on disk, and sent at the end of a later run that reaches the
same server.
"""

import fcntl
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wwm.common import files
from wwm.common.errors import in_a_line, without_secrets
from wwm.track import lineage

FOLDER = files.SCRATCH / "untracked"


def keep(target: list[str], opening: dict, messages: list[dict]) -> None:
    """The messages of one run that were not sent, in a file of its own. target: server and experiment; opening: the
    first message, with the `run_id` if there is one.
    """
    path = FOLDER / f"{opening['time']}-{os.getpid()}-{threading.get_ident()}.jsonl"
    opening = opening | {"scratch": None, "target": list(map(without_secrets, target))}
    deps = [(message["deps"], message["home"]) for message in messages if "deps" in message]
    rest = [message for message in messages if "deps" not in message]
    # At once, for hashing may take longer than anybody waits.
    write(path, opening, rest)
    print(f"tracking: what is missing in MLflow is in {path}, and sent by the next run that reaches it", flush=True)
    # Hashes of inputs are those of now, not of when they are sent.
    tags = {key: value for stage in deps for key, value in lineage.tags("dvc.dep", lineage.of_deps(*stage)).items()}
    write(path, opening | {"tags": opening["tags"] | tags}, rest)


def write(path: Path, opening: dict, messages: list[dict]) -> None:
    files.write_text(path, "".join(json.dumps(message) + "\n" for message in [opening, *messages]))


def send(target: list[str], deliver: Callable[[dict, list[dict], Callable], None]) -> None:
    """Calls `deliver` with each run that is kept for `target`: opening, messages, and what saves those that are still
    to send; then forgets it.
    """
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
                if opening["target"] != list(map(without_secrets, target)):
                    continue
                deliver(opening, messages, partial(write, path))
            except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may reach the work
                print(
                    f"tracking: {path} could not be sent ({in_a_line(error)}); a later run tries again,"
                    " unless you remove it",
                    flush=True,
                )
                continue
            path.unlink()
            print(f"tracking: the run `{opening['run_name']}` that MLflow had missed is recorded now", flush=True)
