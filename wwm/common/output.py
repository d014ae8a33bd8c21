"""Whether the file that a user names by --output can be written, asked before there is work to be lost."""

import tempfile
from pathlib import Path

from wwm.common.errors import UserError


def check(output: Path, *endings: str) -> None:
    """Raises UserError for a file without one of the `endings`, which tell it from files that are read, for what is no
    file, and for a place that cannot be written. Nothing is left there.
    """
    if output.is_dir():
        raise UserError(f"--output {output} is a folder; name a file")
    if output.suffix not in endings:
        raise UserError(f"--output {output}: its ending says its form; name it {' or '.join(endings)}")
    if output.is_symlink() and not output.exists():
        raise UserError(
            f"--output {output} is a link to {output.readlink()}, which is not there; remove it, or name another file"
        )
    if output.exists() and not output.is_file():
        raise UserError(f"--output {output} is a pipe, socket or device; name a file")
    try:
        tempfile.TemporaryFile(dir=next(one for one in output.absolute().parents if one.exists())).close()
    except OSError as error:
        raise UserError(f"--output {output} cannot be written ({error.strerror}); name another place") from None
