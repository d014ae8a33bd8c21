"""The report's language: the code has the English texts, zh.toml what each is in Chinese."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

CATALOGUE = Path(__file__).with_name("zh.toml")
LANGUAGE: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Within the block `say` and `known` speak `en` or `zh`."""
    token = LANGUAGE.set(language)
    try:
        yield
    finally:
        LANGUAGE.reset(token)


def chinese() -> bool:
    return LANGUAGE.get() == "zh"


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """English -> Chinese: `report` has what the code of this room says, `results` what result files may say."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def say(text: str, **values: object) -> str:
    """`text` in the language spoken, with `values` in its braces. Raises KeyError where zh.toml lacks it."""
    return (catalogue()["report"][text] if chinese() else text).format(**values)


def known(text: str) -> str:
    """What a result file says, in the language spoken; as it stands where zh.toml lacks it."""
    if not chinese():
        return text
    texts = catalogue()["results"]
    if text in texts:
        return texts[text]
    for english, template in texts.items():
        if match := pattern(english).fullmatch(text):
            return template.format(**{name: texts.get(value, value) for name, value in match.groupdict().items()})
    return text


@cache
def pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(template)))


def sentences(*texts: str) -> str:
    """One after the other, without those that are empty."""
    return ("" if chinese() else " ").join(filter(None, texts))


def listed(texts: list[str]) -> str:
    return ("、" if chinese() else ", ").join(texts)


def clauses(texts: list[str]) -> str:
    return ("；" if chinese() else "; ").join(texts)
