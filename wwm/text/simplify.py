"""Traditional characters -> simplified ones, each where it was."""

from collections.abc import Callable
from functools import cache


@cache
def converter() -> Callable[[str], str]:
    from opencc import OpenCC

    return OpenCC("t2s").convert


def simplified(text: str) -> str:
    """In simplified characters, each where it was."""
    return same_length(text, converter())


def same_length(sentence: str, convert: Callable[[str], str]) -> str:
    """Converted, by characters where converting the whole would change its length."""
    converted = convert(sentence)
    if len(converted) == len(sentence):
        return converted
    return "".join(one if len(one := convert(character)) == 1 else character for character in sentence)
