"""Wikitext -> paragraphs of plain text: the mark-up itself is read by mwparserfromhell."""

import re

import mwparserfromhell
from mwparserfromhell.nodes import Heading, Tag, Template, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

# -{zh-hans:计算机;zh-hant:電腦}-, see
# meta.wikimedia.org/wiki/Automatic_conversion_between_simplified_and_traditional_Chinese
VARIANTS = re.compile(r"-\{((?:(?!-\{|\}-).)*)\}-", re.S)
PREFERRED = ("zh-hans", "zh-cn", "zh-sg", "zh-my", "zh", "zh-hant", "zh-tw", "zh-hk", "zh-mo")
FLAGS = re.compile(r"\s*(?:[A-Z+-]|zh(?:-\w+)?|;|\s)*\s*")
SHOWS_NOTHING = {"H", "T", "D", "-"}
# Pages of these namespaces stand for a picture, a category, another language; a leading colon makes an ordinary link.
NOT_TEXT = re.compile(
    r"\s*(?:file|image|media|category|文件|檔案|档案|图像|圖像|图片|圖片|媒体|媒體|分类|分類|[a-z]{2,3}(?:-[a-z]+)*)\s*:",
    re.I,
)
LIST_ITEM = "\x00"
# What a removed template leaves behind: （，） and the like.
EMPTY_BRACKETS = re.compile(r"[（(][\s，、；：,;:]*[）)]")
SWITCHES = re.compile(r"__[A-Z\u4e00-\u9fff]+__")


def plain_text(wikitext: str) -> str:
    """Paragraphs, one a line. Headings, lists, tables, templates, references, pictures and categories are left out."""
    code = mwparserfromhell.parse(SWITCHES.sub("", resolve_variants(wikitext)))
    prune(code)
    lines = (EMPTY_BRACKETS.sub("", line).strip() for line in code.strip_code().split("\n") if LIST_ITEM not in line)
    return "\n".join(line for line in lines if line)


def prune(code: Wikicode) -> None:
    """Puts plain text in the place of what is no running text, in links and tags too."""
    for i, node in enumerate(code.nodes):
        name = str(node.tag).lower() if isinstance(node, Tag) else None
        if name == "br":
            code.nodes[i] = Text("\n")
        elif isinstance(node, Tag) and node.wiki_markup in ("*", "#", ":", ";"):
            code.nodes[i] = Text(LIST_ITEM)
        elif name in ("table", "ref") or isinstance(node, Heading | Template):
            code.nodes[i] = Text("")
        elif isinstance(node, Tag) and node.contents:
            prune(node.contents)
        elif isinstance(node, Wikilink):
            if NOT_TEXT.match(str(node.title)):
                code.nodes[i] = Text("")
            elif node.text:
                prune(node.text)
            else:
                code.nodes[i] = Text(str(node.title).lstrip(":"))


def resolve_variants(text: str) -> str:
    """Each -{...}- as a reader of simplified Chinese sees it; text outside of them is left as it is."""
    while VARIANTS.search(text):
        text = VARIANTS.sub(lambda found: shown(found[1]), text)
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
