"""Entries that are added to a vocabulary: into its [unused*] first, then behind it."""

import re
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer

from wwm.common import files
from wwm.common.errors import UserError
from wwm.text import vocabulary

UNUSED = re.compile(r"\[unused\d+\]")
LONGEST = 100  # characters of a word; longer ones are [UNK] whatever the entries are
CHINESE = re.compile("[㐀-䶿一-鿿豈-﫿𠀀-𲎯]")


def read(given: list[str] | str) -> list[tuple[str, str]]:
    """(where it stands, entry) of `vocab.add`: a list, or a file with an entry a line. Raises UserError where there is
    no such file.
    """
    if isinstance(given, list):
        return [(f"vocab.add.{place}", entry) for place, entry in enumerate(given)]
    if not Path(given).is_file():
        raise UserError(f"vocab.add: {given} does not exist; name a text file with an entry a line, or give a list")
    return [(f"{given}, line {number}", entry) for number, entry in enumerate(files.lines(given), 1)]


def placed(tokens: list[str], given: list[tuple[str, str]], tokenizer: Tokenizer) -> list[str]:
    """The entries in the order of ids, with those of `given`. tokenizer: of `tokens`. Raises UserError for the first
    that is no new entry or that no text would ever become.
    """
    known = {*tokens}
    for where, entry in given:
        if why := refused(entry, tokenizer, known):
            raise UserError(f"{where}: {entry!r} {why}")
        known.add(entry)
    free = [place for place, token in enumerate(tokens) if UNUSED.fullmatch(token)]
    new = [*tokens, *(entry for _, entry in given[len(free) :])]
    for place, (_, entry) in zip(free, given):
        new[place] = entry
    return new


def refused(entry: str, tokenizer: Tokenizer, known: set[str]) -> str:
    """Why it cannot be added, with the remedy; "" where it can."""
    word = entry.removeprefix("##")
    if not word.strip():
        return "is empty; remove the line"
    if entry in known:
        return "is an entry already; remove it"
    if len(word) > LONGEST:
        return f"has {len(word)} characters, and a word of more than {LONGEST} is [UNK]; remove it"
    read_as = tokenizer.normalizer.normalize_str(word).strip()
    words = [part for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(word))]
    if CHINESE.search(word) and (len(words) > 1 or entry != word):
        return "has Chinese characters, each of which is a piece of its own whatever the entries are; remove it"
    if read_as != word:
        return f"is never found, for text is read as {read_as!r}; write it so, or remove it"
    if words != [word]:
        return f"is never found, for it is cut into {' '.join(words)} before entries are looked up; remove it"
    return ""


def new_ids(old: list[str], tokens: list[str]) -> list[int] | None:
    """Ids of the entries that `tokens` has more than the vocabulary `old`; None where it differs in others."""
    changed = [place for place, (one, other) in enumerate(zip(old, tokens)) if one != other]
    if len(tokens) < len(old) or not all(UNUSED.fullmatch(old[place]) for place in changed):
        return None
    return [*changed, *range(len(old), len(tokens))]


def pieces(old: list[str], entries: list[str], lower_case: bool, mapped: Mapping[str, str]) -> list[list[int]]:
    """Ids in the vocabulary `old` of the pieces that each entry was before."""
    tokenizer, ids = vocabulary.build(old, lower_case, mapped), {token: place for place, token in enumerate(old)}
    return [
        within(ids, entry.removeprefix("##"))
        if entry.startswith("##")
        else tokenizer.encode(entry, add_special_tokens=False).ids
        for entry in entries
    ]


def within(ids: Mapping[str, int], rest: str) -> list[int]:
    """Ids of the pieces of the end of a word, by the longest match from the left; that of [UNK] where there is none."""
    found = []
    while rest:
        end = next((end for end in range(len(rest), 0, -1) if f"##{rest[:end]}" in ids), 0)
        if not end:
            return [ids["[UNK]"]]
        found.append(ids[f"##{rest[:end]}"])
        rest = rest[end:]
    return found
