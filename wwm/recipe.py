"""A whole params.yaml from a preset, with keys of one's own; for `wwm preset` and `wwm plan`."""

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wwm import params
from wwm.common import files
from wwm.common import output as writable
from wwm.common import preset as presets
from wwm.common.errors import UserError
from wwm.params import Params, overrides
from wwm.track import lineage


def chosen(
    name: str | None, changes: Sequence[str], fitted: Mapping[str, Any] = MappingProxyType({})
) -> tuple[str, Params]:
    """Text and values of presets/NAME.yaml, or of params.yaml, with keys set: those that a command has `fitted`, then
    `changes`, as a user gives them by --set. Raises UserError for what is wrong, which names the change where there are
    some.
    """
    source = Path("params.yaml") if name is None else presets.file(name)
    values = params.read(source)  # what is wrong in the file itself
    text = source.read_text(encoding="utf-8")
    asked = overrides.given(changes)
    if asked or fitted:
        try:
            text = overrides.applied(text, {**fitted, **asked})
            values = params.parsed(text, source)
        except UserError as error:
            if not asked:
                raise
            lines = (line.removeprefix(f"{source}: ") for line in str(error).split("\n"))
            raise UserError("\n".join(f"{blamed(changes, line)}: {line}" for line in lines)) from None
        text = f"# From {source}, by wwm\n{text}"
    return text, values


def blamed(changes: Sequence[str], told: str) -> str:
    """Those of the changes, as they were typed, whose key an error names, or leads to; where none is, all."""
    words = re.findall(r"[\w-]+(?:\.[\w-]+)*", told)
    keys = {pair: pair.partition("=")[0] for pair in changes}
    at = [pair for pair, key in keys.items() if any(f"{word}.".startswith(f"{key}.") for word in words)]
    above = [pair for pair, key in keys.items() if any("." in word and key.startswith(f"{word}.") for word in words)]
    return " ".join(f"--set {pair}" for pair in at or above or changes)


def check(output: Path) -> None:
    """Raises UserError where `write` could not. What is YAML is no text, no task and no model."""
    writable.check(output, ".yaml", ".yml")


def write(output: Path, text: str) -> None:
    """Says how to have back the file that is there: one that is neither in git nor a preset is kept as OUTPUT.bak,
    .bak2 and so on.
    """
    if output.is_file() and output.read_bytes() != text.encode():
        print(kept(output))
    files.write_text(output, text)


def kept(output: Path) -> str:
    """How to have it back."""
    content = output.read_bytes()
    if content == lineage.git("-C", str(output.parent), "show", f"HEAD:./{output.name}"):
        return f"`git checkout {output}` brings back {output} as it was committed"
    if preset := presets.names(output):
        to = "" if str(output) == "params.yaml" else f" --output {output}"
        return f"`wwm preset {preset[0]}{to}` brings back {output} as it was"
    names = (Path(f"{output}.bak{number if number > 1 else ''}") for number in count(1))
    place = next(path for path in names if not path.exists() or path.is_file() and path.read_bytes() == content)
    shutil.copy(output, place)
    return f"`cp {place} {output}` brings back {output} as it was"


def use(name: str, output: Path, changes: Sequence[str]) -> str:
    """Writes presets/NAME.yaml with these keys; says so, and which text is to be put there first."""
    check(output)
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
    changed = "".join(f", {key} = {value}" for key, value in overrides.given(changes).items())
    return f"{output} is now preset {name}{changed}; `dvc repro` runs it{missing}"
