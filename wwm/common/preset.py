"""Which preset a params.yaml is."""

import difflib
import hashlib
from pathlib import Path

from wwm.common.errors import UserError

DIGITS = 8


def names(params: Path = Path("params.yaml"), presets: Path = Path("presets")) -> list[str]:
    """Of the files of `presets` that `params` equals byte for byte; none where it is not there."""
    if not params.is_file():
        return []
    own = params.read_bytes()
    return [path.stem for path in sorted(presets.glob("*.yaml")) if path.read_bytes() == own]


def file(name: str, presets: Path = Path("presets")) -> Path:
    """Raises UserError that names those that are there."""
    known = sorted(path.stem for path in presets.glob("*.yaml"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"no preset {name!r}; {f'did you mean {near[0]}? ' if near else ''}presets/ has"
            f" {', '.join(known) or 'none here: run in the project folder'}"
        )
    return presets / f"{name}.yaml"


def digest(params: Path = Path("params.yaml")) -> str | None:
    """The first digits of its sha256, which `wwm doctor` shows whole; None where it is not there."""
    return hashlib.sha256(params.read_bytes()).hexdigest()[:DIGITS] if params.is_file() else None
