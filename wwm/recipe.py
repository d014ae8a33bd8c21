"""A whole params.yaml from a preset, with keys of one's own; for `wwm preset` and `wwm plan`."""

import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from wwm import params
from wwm.common import files
from wwm.common import preset as presets
from wwm.params import Params, overrides


def chosen(name: str | None, changes: Mapping[str, Any]) -> tuple[str, Params]:
    """Text and values of presets/NAME.yaml, or of params.yaml, with the keys `changes` set. Raises UserError for what
    is wrong in it.
    """
    source = presets.file(name) if name else Path("params.yaml")
    values = params.read(source)  # what is wrong in the file itself
    text = source.read_text(encoding="utf-8")
    if changes:
        text = overrides.applied(text, changes)
        values = params.parsed(text, source)
    return text, values


def write(output: Path, text: str) -> None:
    """A file that is no preset is kept as OUTPUT.bak, .bak2 and so on."""
    if output.is_file() and not presets.names(output):
        kept = next(
            path for number in count(1) if not (path := Path(f"{output}.bak{number if number > 1 else ''}")).exists()
        )
        shutil.copy(output, kept)
        print(f"{output} as it was is kept as {kept}")
    files.write_text(output, text)


def use(name: str, output: Path, changes: Mapping[str, Any]) -> str:
    """Writes presets/NAME.yaml with these keys; says so, and which text is to be put there first."""
    text, values = chosen(name, changes)
    write(output, text)
    corpus = values.corpus
    wanted = [
        str(Path(corpus.folder, source.files))
        for source in corpus.sources.values()
        if not source.dataset and "://" not in source.files
    ]
    # What the stage demo lays out needs nobody to put it there.
    missing = (
        ""
        if Path(corpus.folder).exists() or corpus.folder.startswith("data/demo")
        else f", once the text is there: {', '.join(wanted)}"
    )
    changed = "".join(f", {key} = {value}" for key, value in changes.items())
    return f"{output} is now preset {name}{changed}; `dvc repro` runs it{missing}"
