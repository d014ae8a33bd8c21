"""Where sentences end: at punctuation and at line ends, and never within a number, an address, an abbreviation, a
quotation or a bracket, where these are not longer than SPAN.
"""

import re
import sys
import unicodedata

QUOTES = ["“”", "‘’", "「」", "『』", "﹁﹂", "﹃﹄", "〝〞", "«»", "‹›"]
BRACKETS = ["(（)）", "[［]］", "{｛}｝", "【】", "〔〕", "〖〗", "⟨⟩"]
TITLES = ["《》", "〈〉"]
CLOSING = "".join(
    re.escape(chr(code)) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Pe", "Pf")
)
FULL = "。｡！？…⋯᠁"  # end a sentence whatever is beside them
BLANK = r"[^\S\r\n]"
HAN = "㐀-鿿"
# Of these a full stop is a part. Single letters are, too: U.S., e.g., J. K.
ABBREVIATIONS = (
    "Mr Ms Dr St Jr Sr Mt Co vs cf pp al ca Mrs Inc Ltd Vol vol Fig fig Eqs Figs Ave Gen Gov Rev Sec sec Ch ch ed eds"
    " etc Jan Feb Mar Apr Jun Jul Aug Sep Oct Nov Dec Sept Prof Corp Dept dept Univ approx"
).split()
# 1. 1.2. (3). 一. iv. A. where a sentence begins, behind the marks of a list or a heading in Markdown.
LIST_NUMBER = (
    rf"(?:[-*+>\#•·]+{BLANK}+)?[(（]?(?:[0-9０-９]{{1,3}}|[一二三四五六七八九十百]{{1,3}}|[ivxIVX]{{1,4}}|[A-Za-z])"
    r"(?:[.．][0-9０-９]{1,3})*+[)）]?[.．](?![0-9０-９])"
)


# Characters of a quotation or bracket that is not cut. A longer one is a speech, or its marks are no pair: 27"的屏幕.
SPAN = 200


def span(opening: str, closing: str) -> str:
    """A quotation or bracket within a line, with others of its kind in it, one deep, each of which counts as one
    character.
    """
    opening, closing = re.escape(opening), re.escape(closing)
    plain = rf"[^{opening}{closing}\r\n]"
    return rf"[{opening}](?:{plain}|[{opening}]{plain}{{0,{SPAN}}}+[{closing}]){{0,{SPAN}}}+[{closing}]"


def spans(pairs: list[str]) -> str:
    return "|".join(span(pair[: len(pair) // 2], pair[len(pair) // 2 :]) for pair in pairs)


def after(words: list[str]) -> str:
    """A look-behind: one of these, each as long as the others, and its full stop stand before."""
    return rf"(?<=(?a:\b)(?:{'|'.join(words)})\.)"


LENGTHS = sorted({len(word) for word in ABBREVIATIONS})
ABBREVIATION = "|".join(after([word for word in ABBREVIATIONS if len(word) == length]) for length in LENGTHS)
QUOTE_ENDS = re.escape("".join(pair[1] for pair in QUOTES)) + "\"'"
OPENING = re.escape("".join(pair[: len(pair) // 2] for pair in [*QUOTES, *BRACKETS, *TITLES]))

# What may follow the mark that ends a sentence, and what shows that the sentence goes on.
TAIL = rf"""(?:[{FULL}!?]|\.(?!\w)|{BLANK}*[{CLOSING}。！？]|"(?=\s|[^"\r\n]*(?:[\r\n]|\Z))|'(?!\w))*+
    (?!{BLANK}*[，、；：]|[,;:])"""
QUOTATION = rf"""{spans(QUOTES)}|"[^"\r\n]{{0,{SPAN}}}+"
    |(?<![A-Za-z0-9])'(?:[^'\r\n]|(?<=[A-Za-z])'(?=[A-Za-z])){{0,{SPAN}}}+'"""
END = rf"""(?:
    (?:
        (?:{QUOTATION})(?:(?<=[{FULL}!?].)|(?<=[{FULL}!?][{QUOTE_ENDS}].)|(?<=\..)(?=\s))
      | [{FULL}]
      | [!?]++ (?![=&/_%\#\[\\-]) (?!\.?(?<=[\sA-Za-z0-9=/(][!?])[A-Za-z0-9]) (?!\.[A-Za-z0-9])
      | \.\.++ (?![A-Za-z0-9_/\\])
      | \.(?![.A-Za-z0-9_/\\%$&=+~@\#*-]|{BLANK}+[a-z])
        (?!{ABBREVIATION}|(?<=[A-Za-z]\.)(?<![\w=+*/^<>|$~-][A-Za-z]\.))
        (?!(?<=[0-9]\.)(?<![=<>≈.][0-9]\.)(?<!\.[0-9]{{2}}\.)(?<!\.[0-9]{{3}}\.)[{HAN}])
        (?!(?:(?<=[^\w.][0-9]\.)|(?<=[^\w.][0-9][0-9]\.)){BLANK}+[{HAN}])
        (?!(?<=(?a:\b)[Nn]o\.){BLANK}*[0-9])
    ) {TAIL}
  | (?=[\r\n]|\Z)
)"""
PLAIN = rf"""[^{FULL}.!?{OPENING}"':\r\n]"""
SENTENCE = re.compile(
    # Most sentences are of the first kind; the pattern for all of them takes twice as long.
    rf"""{PLAIN}++[。！？](?:(?=\w)|[\r\n]\s*+|\Z)
  | (?=.)\s*+(?:{LIST_NUMBER})?+
    (?:
        (?:{spans(BRACKETS)})(?<=[{FULL}!?][{CLOSING}]){TAIL}
      | (?:
            {PLAIN}++
          | {QUOTATION}
          | {spans([*BRACKETS, *TITLES])}
          | ://(?:[^\s{FULL}.!?，；：、{OPENING}{CLOSING}"'<>]++|[.!?](?=[A-Za-z0-9/_=&\#%+-]))*+
          | .
        )*? {END}
    )\s*+""",
    re.VERBOSE | re.DOTALL,
)
# ． is the full stop of a line that it ends; in others it stands in names and numbers.
FULL_WIDTH_LINE = re.compile(rf"^[^\r\n]*．[{CLOSING}\s]*$", re.MULTILINE)
FULL_WIDTH_STOP = re.compile(
    rf"(?:^|(?<=[\s．。！？]))(?:{LIST_NUMBER})|(?<![A-Za-z0-9０-９Ａ-Ｚａ-ｚ](?=．[A-Za-z0-9０-９Ａ-Ｚａ-ｚ]))(?<!\b[A-ZＡ-Ｚ])．"
)


def ends(text: str, unbroken: re.Pattern | None = None) -> list[int]:
    """End offsets of the sentences of `text`, which they partition; blanks and line ends go to the one before them. No
    sentence ends within what `unbroken` matches.
    """
    if "．" in text:
        text = FULL_WIDTH_LINE.sub(
            lambda line: FULL_WIDTH_STOP.sub(lambda stop: "。" if stop[0] == "．" else stop[0], line[0]), text
        )
    found = [sentence.end() for sentence in SENTENCE.finditer(text)]
    if unbroken:
        within = {end for match in unbroken.finditer(text) for end in range(match.start() + 1, match.end())}
        found = [end for end in found if end not in within]
    return found


def pattern_of(words: list[str]) -> re.Pattern | None:
    """What finds those of `words` in which a sentence could end; None if there is no such word."""
    ending = [re.escape(word) for word in sorted(words, key=len, reverse=True) if re.search(rf"[{FULL}.!?．].", word)]
    return re.compile("|".join(ending)) if ending else None
