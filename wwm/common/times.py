"""How long a stage took, how fast it was, in how much memory, on what device: apart from its results.

These DVC hashes, so that the same work leaves the same dvc.lock on any machine. It does not know results/times/, where
a file lies for each of results/STAGE/NAME.json.
"""

from pathlib import Path
from typing import Any

from wwm.common import files

RESULTS = Path("results")


def write(name: str, took: dict[str, Any]) -> None:
    """What the work behind results/`name`.json took, which is there already: the `device`, `seconds` of it in all the
    tries that it took, and what else is known.
    """
    files.write_json(place(RESULTS, name), {"of": files.content_hash(result(RESULTS, name))} | took)


def read(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """{} where that very result was not made here."""
    took = place(results, name)
    if not took.exists() or not result(results, name).exists():
        return {}
    found = files.read_json(took)
    return found if found.pop("of") == files.content_hash(result(results, name)) else {}


def result(results: Path, name: str) -> Path:
    return results / f"{name}.json"


def place(results: Path, name: str) -> Path:
    return results / "times" / f"{name}.json"
