"""The models that the page offers: named at the start, loaded when they are first asked, and kept from then on."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

from wwm.common.errors import UserError
from wwm.release import gaps, masked_lm, predict
from wwm.release.fill import Filler, Filling
from wwm.release.served import Labels
from wwm.tasks import kept
from wwm.training import device

Kind = Literal["mlm", "single", "pair", "reading", "tagging"]


def found() -> list[Path]:
    """Models of the working folder that have an MLM head, and fine-tuned ones that are kept."""
    usable = []
    for folder in sorted([*Path("models").glob("*"), *Path("models/finetuned").glob("*/*")]):
        # Others stand there too: an encoder alone, a fine-tuned model whose weights were not kept.
        with suppress(UserError):
            kind_of(folder)
            usable.append(folder)
    if not usable:
        raise UserError(f"{Path.cwd()} has no models in models/; `make demo` makes some, or name folders of models")
    return usable


def kind_of(folder: Path) -> Kind:
    """What a model is for. Raises UserError for a folder that is none."""
    config = folder / kept.CONFIG
    if config.is_file() and kept.KEY in masked_lm.config_of(folder):
        return predict.read(folder)["kind"]
    masked_lm.check(folder)
    return "mlm"


class Models:
    def __init__(self, folders: list[Path]):
        """Raises UserError for a folder that is no model."""
        self.kinds = {str(folder): kind_of(folder) for folder in folders}
        self.filler = cache(lambda name: Filler(masked_lm.load(Path(name), device.pick()), gaps.BEAM))
        self.labels = cache(lambda name: Labels(Path(name)))

    def fill(self, name: str, text: str) -> list[Filling]:
        """Raises UserError for a text without gaps, or one that is too long for the model."""
        (fillings,) = self.filler(name).fill([gaps.read(text, gaps.LONGEST, "the text")], gaps.FILLINGS)
        return fillings

    def say(self, name: str, values: dict[str, str]) -> tuple[dict, bool]:
        """What `wwm predict` says of a row, whose fields are those of `inputs.given`; whether the row was cut."""
        labels = self.labels(name)
        before = labels.model.cut
        [said] = labels.predict([values])
        return said, labels.model.cut > before
