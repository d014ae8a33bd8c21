"""Whether the disk has room for what a stage is going to write: in scratch/, in its outs and in DVC's cache."""

import shutil
from collections import defaultdict
from pathlib import Path

from wwm.common import files
from wwm.common.errors import UserError


def check(
    what: str,
    made: float = 0.0,
    *,
    shared: float = 0.0,
    alone: float = 0.0,
    passing: float = 0.0,
    there: float = 0.0,
    remedy: str = "",
) -> None:
    """Raises UserError where a disk has not the bytes that `what` takes.

    made: in outs; shared: in scratch/ and in outs, the same files where both are on one disk; alone: in scratch/ until
    DVC has stored the outs; passing: in scratch/ until the outs are written; there: of all that what scratch/ has
    already; remedy: besides those of any stage.
    """
    try:
        files.SCRATCH.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"WWM_SCRATCH {files.SCRATCH}: {error.strerror}; name a folder where files can be written"
        ) from None
    store, copies_back = cache()
    together = disk(files.SCRATCH) == disk(Path())
    needed: dict[int, float] = defaultdict(float)
    needed[disk(Path())] += made + (0 if together else shared)
    if store:
        needed[disk(store)] += made + shared
        # Beside the files that scratch/ goes on having.
        needed[disk(Path())] += shared if together and copies_back else 0
    needed[disk(files.SCRATCH)] = max(passing, needed[disk(files.SCRATCH)]) + alone + shared - there
    for place in (files.SCRATCH, Path(), *([store] if store else [])):
        size, free = needed[disk(place)], shutil.disk_usage(place).free
        if free < size:
            remedies = ["make room", *([remedy] if remedy else [])]
            if place == files.SCRATCH:
                remedies.append("set WWM_SCRATCH to another disk")
            if store and disk(store) == disk(place) == disk(Path()):
                remedies.append("have DVC link by `dvc config cache.type hardlink`")
            raise UserError(
                f"{what}: some {size / 1e6:,.0f} MB are needed on the disk of {place.absolute()}, which has"
                f" {free / 1e6:,.0f} MB left; {', or '.join(remedies)}"
            )


def disk(place: Path) -> int:
    return place.stat().st_dev


def cache() -> tuple[Path | None, bool]:
    """DVC's cache, where DVC copies outs, None where it links them there or there is no DVC; and whether it copies them
    back, too.
    """
    try:
        from dvc.config import Config
        from dvc.fs import LocalFileSystem
        from dvc_objects.fs.generic import test_links
    except ImportError:
        return None, False
    config = Config.from_cwd()
    if config.dvc_dir is None:
        return None, False
    place = Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache"))
    place.mkdir(parents=True, exist_ok=True)
    given = config["cache"].get("type")
    try:
        # As DVC itself chooses.
        local = LocalFileSystem()
        kinds = test_links(given or ["reflink", "copy"], local, str(place), local, str(Path("x").absolute()))
    except OSError:  # as on a full disk, where nothing can be tried
        kinds = given or []
    match kinds[:1]:
        case ["hardlink" | "reflink"]:
            return None, False
        case ["symlink"]:  # to the cache, where they are all the same
            return place, False
    return place, True


def size_of(folder: Path) -> int:
    """Bytes of the files there."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
