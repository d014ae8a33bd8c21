"""Wikitext -> paragraphs of plain text: the mark-up itself is read by mwparserfromhell."""

import re
from collections import Counter

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

from wwm.text import cleaning, templates

# -{zh-hans:计算机;zh-hant:電腦}-, see
# meta.wikimedia.org/wiki/Automatic_conversion_between_simplified_and_traditional_Chinese
VARIANTS = re.compile(r"-\{((?:(?!-\{|\}-).)*)\}-", re.S)
PREFERRED = ("zh-hans", "zh-cn", "zh-sg", "zh-my", "zh", "zh-hant", "zh-tw", "zh-hk", "zh-mo")
# Possessive: else there are as many ways to read zh-AA as letters, and no end to them all.
FLAGS = re.compile(r"(?:[A-Z+;\s-]|zh(?:-\w++)?+)*+")
SHOWS_NOTHING = {"H", "T", "D", "-"}
# Pages of these namespaces stand for a picture, a category, another language; a leading colon makes an ordinary link.
NOT_TEXT = re.compile(
    r"\s*(?:file|image|media|category|文件|檔案|档案|图像|圖像|图片|圖片|媒体|媒體|分类|分類|[a-z]{2,3}(?:-[a-z]+)*)\s*:",
    re.I,
)
LIST_ITEM, HOLE = "\x00", "\x01"  # what stands for a list's bullet, and for what is not known
FORMULAS = ("math", "chem", "ce", "hiero", "score")
# What is read in a line as it is written: a + b, x, n = 2.
FORMULA = re.compile(r"[\w\s.,+\-−=<>()/|!'%]*", re.A)
NO_TEXT = ("table", "ref", "rt", "rp", "gallery", "timeline", "imagemap", "syntaxhighlight", "templatedata")
BRACKETED_HOLE = re.compile(rf"[（(][^（()）]*{HOLE}[^（()）]*[）)]")
# Behind the end of the last sentence stand notes alone.
LAST_HOLES = re.compile(rf"(?:^|(?<=[。！？!?…”’」』）)]))[\s{HOLE}]+$")
SENTENCE = re.compile(r"[^。！？!?]*[。！？!?]+[”’」』）)]*|[^。！？!?]+$")
# What a removed template leaves behind: （，） and the like.
EMPTY_BRACKETS = re.compile(r"[（(][\s，、；：，;:,]*[）)]")
LOOSE_MARKS = re.compile(r"(?<=[（(])[，、；,;]\s*|[，、；,;：:]\s*(?=[）)])")
REPEATED = re.compile(rf"(?<=[约約])\s*{templates.ADDED}约|(?<=截[至止])\s*{templates.ADDED}截至|{templates.ADDED}")
# What opens and closes; the brace of a template is none of the dash before it, nor of an empty argument's bar. A link
# out of the wiki ends with its line.
MARKS = re.compile(
    r"(?P<open>\{\{|\[\[|-\{(?!\{(?!\{))|\{\||<!--|\[(?=//|[a-z][a-z\d+.-]*+:))"
    r"|(?P<close>\}\}|\]\]?|\}-|\|\}(?!\})|-->|\n)"
    r"|<(?P<end>/?)(?P<tag>[a-z]++)(?:[^<>]*+(?:(?<=(?P<alone>/)))?(?P<shut>>))?",
    re.I,
)
OPENED_BY = {"}}": "{{", "]]": "[[", "}-": "-{", "|}": "{|", "-->": "<!--", "]": "[", "\n": "["}
UNCLOSED = {"br", "hr", "wbr", "img", "li", "dd", "dt", "td", "tr", "th"}  # tags that need no end, once they are shut
DEEPEST = 100  # the parser takes no more than 40 into each other, and reads on to the page's end from what never closes
SWITCHES = re.compile(r"__[A-Z\u4e00-\u9fff]+__")


def depth(wikitext: str) -> int:
    """How many templates, links, variants, tables and tags are open at once where most are, with those that nothing
    closes: what the time of `plain_text` grows with.
    """
    opened: Counter[str] = Counter()
    now = most = 0
    for found in MARKS.finditer(wikitext):
        tag, close = (found["tag"] or "").lower(), found["close"]
        closed = OPENED_BY.get(close) or (tag if found["end"] else None)
        if closed and opened[closed]:
            ended = opened[closed] if close == "\n" else 1
            opened[closed] -= ended
            now -= ended
        elif found["open"] or (tag and not (found["end"] or found["alone"] or (tag in UNCLOSED and found["shut"]))):
            opened[found["open"] or tag] += 1
            now += 1
            most = max(most, now)
    return most


def plain_text(wikitext: str) -> tuple[str, int]:
    """(paragraphs, one a line; how many sentences were left out of them).

    Headings, lists, tables, references, pictures and categories are left out. Of a template or formula the text is
    kept that it shows; where that is not known, the brackets are left out in which it stands, or else its sentence, so
    that none keeps a hole.
    """
    code = mwparserfromhell.parse(SWITCHES.sub("", resolve_variants(wikitext)))
    prune(code)
    lines: list[str] = []
    left_out = 0
    for line in cleaning.in_line(REPEATED.sub("", code.strip_code())).split("\n"):
        if LIST_ITEM in line:
            continue
        if HOLE in line:
            line, lost = without_holes(line)
            left_out += lost
        if line := LOOSE_MARKS.sub("", EMPTY_BRACKETS.sub("", line)).strip():
            lines.append(line)
    return "\n".join(lines), left_out


def without_holes(line: str) -> tuple[str, int]:
    """(the sentences of a line that have no hole, how many have one)."""
    line = LAST_HOLES.sub("", BRACKETED_HOLE.sub("", line))
    sentences = SENTENCE.findall(line)
    whole = [sentence for sentence in sentences if HOLE not in sentence]
    return "".join(whole), len(sentences) - len(whole)


def prune(code: Wikicode) -> None:
    """Puts plain text in the place of what is no running text, in links and tags too."""
    for i, node in enumerate(code.nodes):
        name = str(node.tag).lower() if isinstance(node, Tag) else None
        if name == "br":
            code.nodes[i] = Text("\n")
        elif isinstance(node, Tag) and node.wiki_markup in ("*", "#", ":", ";"):
            code.nodes[i] = Text(LIST_ITEM)
        elif name in NO_TEXT or isinstance(node, Heading):
            code.nodes[i] = Text("")
        elif isinstance(node, Template):
            text = templates.shown(node, plain)
            code.nodes[i] = Text(HOLE if text is None else text)
        elif isinstance(node, Tag) and name in FORMULAS:
            formula = str(node.contents or "").strip()
            code.nodes[i] = Text(formula if FORMULA.fullmatch(formula) else HOLE)
        elif isinstance(node, Tag) and node.contents:
            prune(node.contents)
            if name in ("sup", "sub"):
                code.nodes[i] = Text(f"<{name}>{plain(node.contents)}</{name}>")
        elif isinstance(node, ExternalLink) and node.title:
            prune(node.title)
        elif isinstance(node, Wikilink):
            if NOT_TEXT.match(str(node.title)):
                code.nodes[i] = Text("")
            elif node.text:
                prune(node.text)
            else:
                code.nodes[i] = Text(str(node.title).lstrip(":"))


def plain(code: Wikicode) -> str:
    prune(code)
    return code.strip_code(collapse=False)


def resolve_variants(text: str) -> str:
    """Each -{...}- as a reader of simplified Chinese sees it; text outside of them is left as it is."""
    for _ in range(DEEPEST):
        text, made = VARIANTS.subn(lambda found: shown(found[1]), text)
        if not made:
            break
    return text


def shown(content: str) -> str:
    """What one -{content}- comes to."""
    flags, bar, body = content.partition("|")
    if not bar or not FLAGS.fullmatch(flags):
        flags, body = "", content
    if set(flags.replace(" ", "").split(";")) & SHOWS_NOTHING:
        return ""
    rules = {}
    for rule in body.split(";"):
        code, colon, text = rule.rpartition("=>")[2].partition(":")
        if colon:
            rules[code.strip()] = text.strip()
    return next((rules[code] for code in PREFERRED if code in rules), body)
