"""Fields of the form -> the page, as HTML."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from wwm.common.errors import UserError
from wwm.masks.draws import UNITS, Draw, Looked
from wwm.play import texts
from wwm.play.models import Models
from wwm.release.gaps import MARKS

Look = Callable[[str, int, float, int], Looked]
LONGEST = {"text": 1000, "text_b": 1000, "question": 200}  # characters
NUMBERS = {"draws": (int, 1, 10), "masked_lm_prob": (float, 0.01, 0.99), "seed": (int, 0, 2**32 - 1)}
START = {"text": "", "text_b": "", "question": "", "draws": "3", "masked_lm_prob": "0.15", "seed": "1"}
# The boxes that a kind of model reads, by the field of its rows.
READS = {
    "single": {"text": "text"},
    "pair": {"text_a": "text", "text_b": "text_b"},
    "reading": {"question": "question", "context": "text"},
    "tagging": {"text": "text"},
}
TEMPLATE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string(Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8"))


class Refused(Exception):
    """What a person has to type otherwise: a key of the catalogue, and what stands in its braces."""

    def __init__(self, key: str, **values: object):
        self.key, self.values = key, values


class Asked(NamedTuple):
    fields: dict[str, str]  # as typed
    numbers: dict[str, Any]
    chosen: list[str]  # names of models


def empty(models: Models, language: str) -> str:
    """The page before anything was typed; of the models that need no other box the first ones are chosen."""
    first = {kind: name for name, kind in reversed(models.kinds.items()) if kind in ("mlm", "single", "tagging")}
    return render(models, language, START, [*first.values()])


def answer(models: Models, look: Look, language: str, given: Mapping[str, list[str]]) -> tuple[int, str]:
    """HTTP status and page for a form that was sent; `given`: what was sent under each name."""
    fields = {name: given.get(name, [START[name]])[-1].replace("\r\n", "\n") for name in START}
    chosen = given.get("model", [])
    try:
        asked = checked(models, fields, chosen, texts.of(language))
        return 200, render(models, language, fields, chosen, **results(models, look, asked))
    except Refused as refused:
        message = texts.of(language)[refused.key].format(**refused.values)
        return 400, render(models, language, fields, chosen, message=message)


def checked(models: Models, fields: dict[str, str], chosen: list[str], say: dict[str, str]) -> Asked:
    """Raises Refused."""
    if not fields["text"].strip():
        raise Refused("empty")
    for name, limit in LONGEST.items():
        if (length := len(fields[name])) > limit:
            raise Refused("too_long", name=say[name], length=length, limit=limit)
    numbers = {}
    for name, (read, low, high) in NUMBERS.items():
        try:
            numbers[name] = read(fields[name])
        except ValueError:
            numbers[name] = None
        if numbers[name] is None or not low <= numbers[name] <= high:
            raise Refused("no_number", name=say[name], low=low, high=high)
    for name in chosen:
        if name not in models.kinds:
            raise Refused("no_model", given=name[:100])
    return Asked(fields, numbers, chosen)


def results(models: Models, look: Look, asked: Asked) -> dict[str, Any]:
    """What the template shows. What a model or the segmenter refuses stands in its own place."""
    text = asked.fields["text"]
    gapped = MARKS.search(text) is not None
    fillers = [name for name in models.kinds if name in asked.chosen and models.kinds[name] == "mlm"]
    if gapped and not fillers:
        raise Refused("no_filler")
    return {
        # Gaps are no words: where there are some, there is nothing to cut or to mask.
        "looked": None if gapped else attempt(seen, look, asked),
        "fillings": [(name, attempt(models.fill, name, text)) for name in fillers if gapped],
        "said": [
            (name, kind, attempt(said, models, name, kind, asked.fields))
            for name, kind in models.kinds.items()
            if name in asked.chosen and kind != "mlm"
        ],
    }


def attempt(work: Callable[..., Any], *given: Any) -> dict[str, Any]:
    """What `work` returns under `ok`; or, under `problem`, the text of a UserError or the key of what is lacking."""
    try:
        return {"ok": work(*given)}
    except UserError as error:
        return {"problem": str(error)}
    except Refused as refused:
        return {"lacks": refused.key}


def said(models: Models, name: str, kind: str, fields: dict[str, str]) -> tuple[dict, bool]:
    """Raises Refused where a box that this kind of model reads is empty, and UserError."""
    for box in READS[kind].values():
        if not fields[box].strip():
            raise Refused(f"lacks_{box}")
    return models.say(name, {field: fields[box].strip() for field, box in READS[kind].items()})


def seen(look: Look, asked: Asked) -> dict[str, Any]:
    """units: lists of pieces; draws: by unit, of each draw its pieces as (now, before, what was done with it)."""
    looked = look(asked.fields["text"], *asked.numbers.values())
    units: list[list[str]] = []
    for piece, begins in zip(looked.pieces, looked.unit_begins):
        if begins:
            units.append([])
        units[-1].append(piece)

    def done(draw: Draw) -> list[tuple[str, str, str]]:
        return [
            (now, was, "" if not chosen else "masked" if now == "[MASK]" else "same" if now == was else "random")
            for now, was, chosen in zip(draw.pieces, looked.pieces, draw.chosen)
        ]

    draws = {unit: [done(draw) for draw in looked.draws[unit]] for unit in UNITS}
    return {"words": looked.words, "pieces": looked.pieces, "units": units, "limit": looked.limit, "draws": draws}


def render(
    models: Models, language: str, fields: dict[str, str], chosen: list[str], message: str = "", **found: Any
) -> str:
    say = texts.of(language)
    (other,) = {*texts.LANGUAGES} - {language}
    groups = {kind: [name for name in models.kinds if models.kinds[name] == kind] for kind in ("mlm", *READS)}
    nothing: dict[str, Any] = {"looked": None, "fillings": [], "said": []}
    return TEMPLATE.render(
        nothing | found,
        say=say,
        language=language,
        other=other,
        fields=fields,
        chosen=chosen,
        message=message,
        longest=LONGEST,
        numbers=NUMBERS,
        groups={kind: names for kind, names in groups.items() if names},
    )
