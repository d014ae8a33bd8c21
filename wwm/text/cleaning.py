"""What is taken out of raw text, and which documents are no natural language. Everything else stays as it is."""

import html
import re
import unicodedata
from collections.abc import Callable

# Elements of HTML; what else stands in angle brackets (vector<int>, a < b) is text.
BLOCK = (
    "address|article|aside|blockquote|br|center|dd|div|dl|dt|figure|footer|form|h[1-6]|"
    "header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
INLINE = (
    "a|abbr|acronym|audio|b|bdi|bdo|big|body|button|cite|code|del|dfn|em|embed|font|"
    "head|html|i|iframe|img|input|ins|kbd|label|link|map|mark|meta|object|q|ruby|rp|rt|"
    "s|samp|small|source|span|strike|strong|sub|sup|time|title|tt|u|var|video|wbr"
)
OPENED = re.compile(r"<!--|<(script|style|noscript)\b[^<>]*>", re.I)
CLOSED = {"": re.compile("-->")} | {
    name: re.compile(rf"</{name}\s*>", re.I) for name in ("script", "style", "noscript")
}
BLOCK_TAG = re.compile(rf"</?(?:{BLOCK})(?:\s[^<>]*)?/?>", re.I)
INLINE_TAG = re.compile(rf"</?(?:{INLINE})(?:\s[^<>]*)?/?>", re.I)
# Without its semicolon an entity may be a part of an address (?a=1&copy=2).
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.I)


class Kept(dict):
    """For str.translate: drops the characters that `keep` refuses, asked once for each."""

    def __init__(self, keep: Callable[[str], bool]):
        super().__init__()
        self.keep = keep

    def __missing__(self, code: int) -> int | None:
        self[code] = code if self.keep(chr(code)) else None
        return self[code]


# Code points that no Unicode will ever assign; what this Python's Unicode has not assigned yet may be a Chinese
# character.
NONCHARACTERS = {*range(0xFDD0, 0xFDF0), *(plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF))}
VISIBLE = Kept(
    lambda character: (
        character in "\n\t"
        or (unicodedata.category(character) not in ("Cc", "Cf", "Cs") and ord(character) not in NONCHARACTERS)
    )
)
LETTERS = Kept(lambda character: unicodedata.category(character)[0] in "LM")
NOT_SPACE = Kept(lambda character: not character.isspace())


def clean(text: str) -> str:
    """Text without HTML, without control and invisible characters, and without blanks at line ends and empty lines."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "<" in text:
        text = INLINE_TAG.sub("", BLOCK_TAG.sub("\n", without_hidden(text)))
    if "&" in text:
        text = ENTITY.sub(lambda found: html.unescape(found[0]), text)
    lines = (line.strip() for line in text.translate(VISIBLE).split("\n"))
    return "\n".join(line for line in lines if line)


def without_hidden(text: str) -> str:
    """Without comments, scripts and styles; one that is not closed stays. Reads on from each opening once only, however
    many there are.
    """
    kept, position, endless = [], 0, set()
    while opened := OPENED.search(text, position):
        kind = (opened[1] or "").lower()
        closed = None if kind in endless else CLOSED[kind].search(text, opened.end())
        kept.append(text[position : opened.start() if closed else opened.end()])
        position = closed.end() if closed else opened.end()
        if not closed:
            endless.add(kind)
    return "".join([*kept, text[position:]])


def letter_share(text: str) -> float:
    """Share of letters (Chinese characters among them) and their marks in what is not white space; low in tables, code
    and decoration.
    """
    return len(text.translate(LETTERS)) / max(1, len(text.translate(NOT_SPACE)))
