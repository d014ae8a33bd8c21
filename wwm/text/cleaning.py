"""What is taken out of raw text, and which documents are no natural language. Everything else stays as it is."""

import html
import html.entities
import itertools
import re
import unicodedata
from collections.abc import Callable

# Elements of HTML, those of older versions among them. No others: <T>, <你的名字> and <3 are text.
BLOCK = (
    "address|article|aside|blockquote|body|br|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|fieldset|"
    "figcaption|figure|footer|form|frameset|h[1-6]|head|header|hgroup|hr|html|legend|li|main|menu|nav|noframes|ol|"
    "optgroup|option|p|pre|search|section|select|summary|table|tbody|td|template|textarea|tfoot|th|thead|title|tr|ul"
)
INLINE = (
    "a|abbr|acronym|applet|area|audio|b|base|basefont|bdi|bdo|big|blink|button|canvas|cite|code|data|datalist|del|dfn|"
    "em|embed|font|frame|i|iframe|img|input|ins|kbd|label|link|map|mark|marquee|meta|meter|nobr|noscript|object|output|"
    "param|picture|progress|q|rb|rp|rt|rtc|ruby|s|samp|script|slot|small|source|span|strike|strong|style|sub|sup|time|"
    "track|tt|u|var|video|wbr"
)
# What a tag may have besides its name. `a<b 且 c>d` has none of it; without quotes only known attributes count.
BOOLEAN = (
    "allowfullscreen|async|autofocus|autoplay|border|checked|compact|controls|defer|disabled|hidden|ismap|itemscope|loop|"
    "multiple|muted|nohref|noresize|noshade|novalidate|nowrap|open|readonly|required|reversed|selected"
)
VALUED = (
    "abbr|accept|action|align|alink|alt|background|bgcolor|bordercolor|cellpadding|cellspacing|charset|cite|"
    "class|clear|color|cols|colspan|content|coords|data|datetime|dir|download|enctype|face|for|frameborder|headers|"
    "height|href|hreflang|hspace|id|itemprop|itemtype|lang|language|link|marginheight|marginwidth|max|maxlength|media|"
    "method|min|name|placeholder|poster|rel|rows|rowspan|scope|scrolling|shape|size|span|src|srcset|start|style|"
    "summary|tabindex|target|text|title|type|usemap|valign|value|vlink|vspace|width|xml:lang|"
    r"data-[-\w]+|aria-[-\w]+|on[a-z]+"
)
ATTRIBUTES = (
    r"""(?>\s+(?>[a-z_:][-\w:.]*\s*=\s*(?:"[^"]*"|'[^']*')"""
    rf"""|(?:{VALUED}|{BOOLEAN})\s*=\s*[^\s"'<>=`][^\s"'<>`]*|(?:{BOOLEAN})(?![^\s/>])))*+"""
)
TAG = re.compile(rf"<(/?)(?:({BLOCK})|({INLINE}))(?![^\s/>])({ATTRIBUTES})\s*(/?)>", re.I | re.A)
# Those that need nothing to close them: a bare <source>, <b> or <Object> is a placeholder, a comparison or a type; so
# is what may do without when it follows a Latin letter, as in a<p>b.
ALONE = re.compile(r"(?:br|hr|wbr|(?<![A-Za-z]<)(?:p|li|d[dt]|t[dhr]|thead|tbody|tfoot))\s*", re.I)
HIDDEN = ("script", "style", "noscript")
OPENED = re.compile(rf"<!--|<({'|'.join(HIDDEN)})(?![^\s/>]){ATTRIBUTES}\s*>", re.I | re.A)
CLOSED = {"": re.compile("-->")} | {name: re.compile(rf"</{name}\s*>", re.I) for name in HIDDEN}
DECLARATION = re.compile(r"<!doctype\s[^<>]*>|<\?xml\s[^<>]*\?>", re.I)
# Without its semicolon an entity may be a part of an address (?a=1&copy=2).
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# Text about mark-up, `<td>` between backticks; and other code between them, so that no tag is between two of those.
CODE = re.compile(r"`<[^`\n]+>`|`[^`<\n]+`")
SCRIPTED = re.compile(
    rf"<(sup|sub)(?![^\s/>]){ATTRIBUTES}\s*>((?:(?!</?su[bp]\b).){{0,400}}?)</\1\s*>", re.I | re.A | re.S
)
NESTED = 3  # how deep an exponent has exponents
# What is raised or lowered in a formula, and stands for itself: 6, -3, 0.5, n, 2+. No st, no [1].
SIMPLE = re.compile(r"[+−-]?(?:\d[\d.,]*|[A-Za-zα-ωΑ-Ω]|\([A-Za-z]\))?[+−-]?")
COMPOUND = re.compile(r"(?!.*[A-Za-z]{4})(?=.*[\dA-Za-z])(?=.*[\d+−=*/×^_-])[\dA-Za-zα-ωΑ-Ω\s+−=*/×·.,()^_-]+")
DIGIT_BEFORE = re.compile(r"\d(?:</?[a-z][^<>]*>|\s)*$", re.I)
DIGIT_AFTER = re.compile(r"(?:<(?!su[bp]\b)[a-z][^<>]*>)*\d", re.I)


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
        code = []
        if "`<" in text:
            text = text.replace("\0", "")
            code = CODE.findall(text)
            numbers = itertools.count()
            text = CODE.sub(lambda found: f"\0{next(numbers)}\0", text)
        text = without_tags(in_line(DECLARATION.sub("", without_hidden(text))))
        if code:
            text = re.sub("\0([0-9]+)\0", lambda found: code[int(found[1])], text)
    if "&" in text:
        text = ENTITY.sub(entity, text)
    lines = (line.strip() for line in text.translate(VISIBLE).split("\n"))
    return "\n".join(line for line in lines if line)


def without_tags(text: str) -> str:
    """A tag is one by its name and by what else it has: attributes, a tag of that name that closes it, or the right to
    stand alone.
    """
    found = list(TAG.finditer(text))
    closed = {name(tag) for tag in found if tag[1]}
    kept, position = [], 0
    for tag in found:
        if tag[1] or tag[4] or tag[5] or name(tag) in closed or ALONE.fullmatch(text, tag.start() + 1, tag.end() - 1):
            kept += [text[position : tag.start()], "\n" if tag[2] else ""]
            position = tag.end()
    return "".join([*kept, text[position:]])


def name(tag: re.Match) -> str:
    return (tag[2] or tag[3]).lower()


def in_line(text: str) -> str:
    """Text with <sup> and <sub> written in a line: 10^6, 2^(n+1), H2O; no number runs into another."""
    for _ in range(NESTED):
        if "<su" in text.lower():
            text = SCRIPTED.sub(scripted, text)
    return text


def scripted(found: re.Match) -> str:
    """What one <sup> or <sub> comes to. Digits beyond ASCII, such as ⁶, would be unknown to most vocabularies."""
    raised, content = found[1].lower() == "sup", without_tags(found[2]) if "<" in found[2] else found[2]
    text = " ".join(ENTITY.sub(entity, content).split())
    after = " " if text[-1:].isdecimal() and DIGIT_AFTER.match(found.string, found.end()) else ""
    if not SIMPLE.fullmatch(text):
        if not COMPOUND.fullmatch(text):
            return content.strip()
        text = text if re.fullmatch(r"\([^()]*\)", text) else f"({text})"
        return f"{'^' if raised else '_'}{text}"
    if raised:
        return f"^{text}{after}" if text else ""
    before = text[:1].isdecimal() and DIGIT_BEFORE.search(found.string, max(0, found.start() - 80), found.start())
    return f"{'_' if before or after else ''}{text}{after}"


def entity(found: re.Match) -> str:
    """What an entity stands for; &it; and &foo; that HTML does not have stay."""
    return html.unescape(found[0]) if found[0][1] == "#" or found[0][1:] in html.entities.html5 else found[0]


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
