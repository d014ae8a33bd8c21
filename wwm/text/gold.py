"""Gold words: a sentence a line, words separated by blanks, or another layout that can be told for certain.

Read as well are words with tags (`我/r`, `我_PN`, the compounds, article numbers and pronunciations of the People's
Daily), words separated by slashes or bars, tags of characters (BMES, BI) beside them or a line each, columns (CoNLL,
CoNLL-U, a word and its tags), and a word a line with blank lines between sentences.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean

from wwm.common import files
from wwm.common.errors import UserError

Lines = list[tuple[int, list[str]]]  # a line's number and its words
REMEDY = "gold words are a sentence a line, words separated by one space"
TAG = r"[A-Za-z][A-Za-z0-9*+-]{0,11}"
TAGGED = re.compile(rf"\[*(.+)([-/_|#:\\／＿｜＃])({TAG})(?:\{{[^{{}}]*\}})?(?:\](?:[/_]?{TAG})?)*")
COMPOUND = re.compile(rf"\[|\](?:{TAG})?")
ARTICLE = re.compile(r"\d{8}-\d{2}-\d{3}-\d{3}")
CHARACTER_TAG = re.compile(r"([BMESIObmesio])(?:-.*)?")
HAN = re.compile("[㐀-鿿\U00020000-\U0003ffff]")
CLAUSE = re.compile("[，。！？；：、“”（）《》「」]")
FOREIGN = re.compile(r"[A-Za-z/_|#:\\，。！？；：、“”（）《》「」]")
# Words with Han of six gold sets (SIGHAN 2005 pku and cityu, UD GSDSimp dev and train, People's Daily, XNLI) have 1.60
# to 1.76 characters in the mean; at most 0.012 % hold punctuation of clauses and 0.062 % Latin letters or any of these
# signs; of the first thousand 470 to 659 differ. Classical Chinese has means of 1.07.
LEAST_MEAN, MOST_MEAN = 1.03, 2.5
CLAUSE_SHARE, FOREIGN_SHARE, DISTINCT_SHARE = 0.002, 0.05, 0.9
# With tags as words half of the words are Latin; a few words may well be most of them like 卡拉OK.
LATIN_SHARE, FEW_FOREIGN_SHARE = 0.4, 0.75
# The most frequent sign of those sets besides punctuation makes up less than a hundredth of their words.
SIGN, SIGN_SHARE = re.compile(r"(?:(?![，。！？；：、“”‘’（）《》「」…—,.!?;:'\"()%])[\W_])+"), 0.2
ENOUGH = 100  # words, to say that they are too short; 1,000 to say that they never come again
ROWS = 200  # without a blank line, to say that they are words with their tags and no sentences of two words
# What stands beside words: how it is found in a line, and the share and number of lines above which it is no chance.
BESIDE = {
    "blanks on one side of a tab": (re.compile(r"(?=.*\t).*\S[^\S\t]+\S"), 0.01, 0),
    "a number before its words": (re.compile(r"\d+[.．、:：)）]?\s"), 0.99, 1),
    "a sign between two parts": (re.compile(r".*\s(?:\|{2,}|#{2,}|={2,}|[-=]+>)\s"), 0.9, 0),
}


def read(path: Path) -> list[list[str]]:
    """Sentences as lists of words. Raises UserError that names the line that is not UTF-8 or not of the layout of the
    others, and for words that no Chinese text has.
    """
    raw = list(enumerate(files.lines(path), 1))
    lines = [(number, line.split()) for number, line in raw if line.strip()]
    if not lines:
        raise UserError(f"{path}: no sentence in it; {REMEDY}")
    layout, read_lines = layout_of(path, raw, lines)
    read_lines = [
        (number, words[1:] if words and ARTICLE.fullmatch(words[0]) else words) for number, words in read_lines
    ]
    read_lines = [(number, words) for number, words in read_lines if words]
    check(path, read_lines)
    if layout:
        print(f"segmenter: {path} is read as {layout}", flush=True)
    return [words for _, words in read_lines]


def layout_of(path: Path, raw: list[tuple[int, str]], lines: Lines) -> tuple[str | None, Lines]:
    """(what it is called, sentences); None is for words separated by blanks."""
    if (columns := in_columns(path, raw)) is not None:
        return columns
    if tagged := tags_of(path, lines):
        characters = [[CHARACTER_TAG.fullmatch(tag) for _, tag in words] for _, words in tagged]
        if all(match for line in characters for match in line) and any(len(words) > 1 for _, words in tagged):
            return "characters with tags", [(number, joined(path, number, words)) for number, words in tagged]
        return "words with tags", [(number, [word for word, _ in words]) for number, words in tagged]
    for sign in "/|／｜":
        between = re.compile(rf"\s*{re.escape(sign)}\s*")
        written = [(number, line.strip()) for number, line in raw if line.strip()]
        # A title, or an interjection, is a line of one word and has no sign.
        if 2 * sum(sign in line for _, line in written) > len(written) and not any(
            re.search(r"\s", between.sub("", line)) for _, line in written
        ):
            split = [(number, [word for word in between.split(line) if word]) for number, line in written]
            if all(re.match(TAG, word) for _, words in split for word in words[1:]):
                continue  # 我/r爱/v: tags, and no blank between words
            return f"words separated by {sign}", split
    if all(len(words) == 1 for _, words in lines):
        if len(lines) < len(raw) and mean(len(words[0]) for _, words in lines) <= MOST_MEAN:
            return "a word a line", [(block[0][0], [line.strip() for _, line in block]) for block in blocks(raw)]
        number, (word,) = lines[0]
        raise UserError(f"{path}, line {number}: {word[:30]!r} has no space between words, nor has any line; {REMEDY}")
    for what, (pattern, share, few) in BESIDE.items():
        found = [number for number, line in raw if pattern.match(line.strip())]
        if len(found) > max(few, share * len(lines)):
            raise UserError(f"{path}, line {found[0]}: {what}; leave the words alone in a line: {REMEDY}")
    return None, lines


def blocks(raw: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Lines between blank ones."""
    block: list[tuple[int, str]] = []
    for number, line in raw:
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def in_columns(path: Path, raw: list[tuple[int, str]]) -> tuple[str, Lines] | None:
    """Sentences of a file with a word or character a line, columns beside it and blank lines between sentences; None
    for any other.
    """
    found = [
        [(number, line.split("\t") if "\t" in line else line.split()) for number, line in block if not comment(line)]
        for block in blocks(raw)
    ]
    rows = [fields for block in found for _, fields in block]
    if not rows or len({len(fields) for fields in rows}) > 1 or len(rows[0]) < 2:
        return None
    # One block may be numbered sentences, with their texts or kinds.
    if (
        (len(found) > 1 or (len(rows[0]) > 3 and any("\t" in line for _, line in raw)))
        and all(re.fullmatch(r"\d+([-.]\d+)?", fields[0]) and not re.search(r"\s", fields[1]) for fields in rows)
        and all(counts_up(block) for block in found)
    ):
        return "columns of CoNLL", [(block[0][0], forms(block)) for block in found if block]
    for column in range(len(rows[0]) - 1, 0, -1):
        if all(
            CHARACTER_TAG.fullmatch(fields[column]) and (len(fields[0]) == 1 or not HAN.search(fields[0]))
            for fields in rows
        ):
            pairs = [(block[0][0], [(fields[0], fields[column]) for _, fields in block]) for block in found if block]
            return "a character and its tag a line", [(number, joined(path, number, block)) for number, block in pairs]
    # Punctuation often is its own tag.
    if any(re.fullmatch(TAG, fields[1]) for fields in rows) and all(
        re.fullmatch(TAG, fields[1]) or not re.search(r"\w", fields[0]) for fields in rows
    ):
        if len(rows) < (2 * len(found) if len(found) > 1 else ROWS) and any(HAN.search(fields[0]) for fields in rows):
            number, fields = next(row for block in found for row in block)
            raise UserError(
                f"{path}, line {number}: {fields[1]!r} may be a tag or a word; with columns of tags put a blank line"
                f" between sentences, or {REMEDY}"
            )
        return "a word and its tags a line", [
            (block[0][0], [fields[0] for _, fields in block]) for block in found if block
        ]
    return None


def counts_up(block: list[tuple[int, list[str]]]) -> bool:
    """Whether the words are numbered from 1, without what stands for several or none."""
    numbers = [fields[0] for _, fields in block if fields[0].isdigit()]
    return numbers == [str(number) for number in range(1, len(numbers) + 1)]


def comment(line: str) -> bool:
    return re.match(r"# ?\w+ ?=|# newdoc|# newpar", line) is not None


def forms(block: list[tuple[int, list[str]]]) -> list[str]:
    """The second column; of a word with a range of numbers, which is written as one, the words of the range are left
    out, and so are empty nodes.
    """
    words, last = [], 0
    for _, fields in block:
        first, _, end = fields[0].partition("-")
        if "." in first or int(first) <= last:
            continue
        last = int(end or first)
        words.append(fields[1])
    return words


def tags_of(path: Path, lines: Lines) -> list[tuple[int, list[tuple[str, str]]]] | None:
    """(word, tag) of each word; None where words have none. Raises UserError for the first line with words of both
    kinds, or of the kind that fewer lines have. A line without a Chinese word, such as `Wi-Fi e-mail`, is of either.
    """
    parsed = []
    for number, words in lines:
        parts = [(word, TAGGED.fullmatch(word)) for word in words if not COMPOUND.fullmatch(word)]
        parsed.append((number, words, parts))
    whole = [bool(parts) and all(match for _, match in parts) for _, _, parts in parsed]
    tagged = [
        one and any(HAN.search(match[1]) for _, match in parts if match) for one, (_, _, parts) in zip(whole, parsed)
    ]
    if not any(one and len(parts) > 1 for one, (_, _, parts) in zip(tagged, parsed)):
        return None
    if not all(whole):
        fewer = sum(tagged) < len(whole) - sum(whole)
        number, words, parts = parsed[(tagged if fewer else whole).index(fewer)]
        odd = words[0] if fewer else next((word for word, match in parts if not match), words[0])
        raise UserError(
            f"{path}, line {number}: {odd!r} has {'a' if fewer else 'no'} tag, as {'few' if fewer else 'most'} lines'"
            f" words have; take the tags out of all lines, {REMEDY}"
        )
    return [(number, [(match[1], match[3]) for _, match in parts if match]) for number, _, parts in parsed]


def joined(path: Path, number: int, characters: list[tuple[str, str]]) -> list[str]:
    """Words of characters with tags: B, S and O begin one. Raises UserError for a sentence that begins otherwise, and
    for tags of named entities, outside of which O stands for characters and no words.
    """
    words: list[str] = []
    named = next((tag for _, tag in characters if "-" in tag), None)
    if named and any(tag in "Oo" for _, tag in characters):
        raise UserError(
            f"{path}, line {number}: O beside {named!r} are tags of named entities and of no words; {REMEDY}"
        )
    for character, tag in characters:
        if tag[0].upper() in "BSO":
            words.append(character)
        elif words:
            words[-1] += character
        else:
            raise UserError(f"{path}, line {number}: a sentence begins with the tag {tag!r}; B or S begin a word")
    return words


def check(path: Path, lines: Lines) -> None:
    """Raises UserError for words that are none of Chinese text."""
    words = [(number, word) for number, line in lines for word in line if HAN.search(word)]
    if not words:
        raise UserError(f"{path}: no Chinese word in it; {REMEDY}")
    signs = Counter(word for _, line in lines for word in line if SIGN.fullmatch(word))
    for sign, count in signs.most_common(1):
        if count > max(1, SIGN_SHARE * sum(len(line) for _, line in lines)):
            number = next(number for number, line in lines if sign in line)
            raise UserError(
                f"{path}, line {number}: {sign!r} is {count} times a word, as what separates words is; {REMEDY}, and"
                " no signs"
            )
    foreign = FOREIGN_SHARE if len(words) >= ENOUGH else FEW_FOREIGN_SHARE
    for pattern, share, what in (
        (CLAUSE, CLAUSE_SHARE, "punctuation within words"),
        (FOREIGN, foreign, "letters or signs within Chinese words"),
    ):
        wrong = [(number, word) for number, word in words if pattern.search(word)]
        if len(wrong) > share * len(words):
            number, word = wrong[0]
            raise UserError(
                f"{path}, line {number}: {word[:30]!r} is no word: {len(wrong) / len(words):.1%} of them have {what};"
                f" {REMEDY}, and no tags"
            )
    # A few sentences of two or three words may be like `我 OK`.
    texts = [(number, word) for number, line in lines if len(line) > 3 or len(lines) >= ENOUGH for word in line]
    latin = [(number, word) for number, word in texts if re.fullmatch(TAG, word)]
    if len(latin) > LATIN_SHARE * (len(latin) + sum(HAN.search(word) is not None for _, word in texts)):
        number, word = latin[0]
        raise UserError(
            f"{path}, line {number}: {word!r} is one of {len(latin)} Latin words among {len(texts)}, as many as tags"
            f" are; {REMEDY}, and no tags"
        )
    length = mean(len(word) for _, word in words)
    number, word = words[0]
    if length < LEAST_MEAN and len(words) >= ENOUGH:
        raise UserError(
            f"{path}, line {number}: {word!r} is one of {len(words)} Chinese words of {length:.2f} characters in the"
            " mean: of single characters no segmenter learns words; give text cut into words, or name a trained"
            " segmenter in segmenter.source"
        )
    # The mean of a few words varies.
    if length > MOST_MEAN + 4 / len(words) ** 0.5:
        number, word = max(words, key=lambda pair: len(pair[1]))
        raise UserError(
            f"{path}, line {number}: {word[:30]!r} is one of {len(words)} Chinese words of {length:.2f} characters in"
            f" the mean, and Chinese text has at most {MOST_MEAN}; {REMEDY}"
        )
    first = [word for _, word in words[: 10 * ENOUGH]]
    if len(first) == 10 * ENOUGH and len(set(first)) > DISTINCT_SHARE * len(first):
        raise UserError(
            f"{path}, line {words[0][0]}: of the first {len(first)} words {len(set(first))} differ, as in a list of"
            f" words and in no text; {REMEDY}"
        )
