"""Says when a folder or a bucket has new files, so that a trigger of prefect.yaml starts a run."""

import hashlib
import json

import fsspec
from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.states import Completed
from prefect.variables import Variable

SEEN, CHANGED, RESOURCE = "wwm_seen_", "wwm.text.changed", "wwm.text"


@flow(name="watch")
def watch(place: str):
    """Emits wwm.text.changed where `place`, such as /srv/text or s3://text, has other files than when it was last
    looked at; the first look only remembers.
    """
    system, path = fsspec.url_to_fs(place)
    found = system.find(path, detail=True)
    files = sorted((name, entry["size"], str(entry.get("ETag", entry.get("mtime")))) for name, entry in found.items())
    seen = f"{SEEN}{digest_of(place)}"
    digest, before = digest_of(files), Variable.get(seen)
    if digest == before:
        return Completed(name="Cached", message=f"{place} is as it was: {len(files)} files")
    get_run_logger().info("%s has %d files now", place, len(files))
    if before:
        emit_event(CHANGED, {"prefect.resource.id": RESOURCE}, payload={"place": place, "files": len(files)})
    Variable.set(seen, digest, overwrite=True)
    return Completed(message=f"{len(files)} files")


def digest_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
