"""Articles of Wikipedia: of its XML dump, still in wiki mark-up, and of what WikiExtractor made of one."""

import re
from collections.abc import Iterable, Iterator
from typing import IO
from xml.etree import ElementTree

from wwm.common.errors import UserError
from wwm.text import streams

REDIRECT = re.compile(r"\s*#(?:redirect|重定向)\b", re.I)
LARGEST = 1 << 24  # bytes of a page: MediaWiki saves 2 MB at most, which XML's &lt; and the like make longer
# The opening line of an article; a title is not escaped.
ARTICLE = re.compile(r'<doc id="[^"]*".* title="(.*)">$')


def articles(stream: IO[bytes], name: str, longest: int) -> Iterator[str]:
    """The articles of a MediaWiki dump (pages-articles XML), in its mark-up: no redirects, no pages of other
    namespaces. Raises UserError for what is no such dump, and for more than `longest` bytes, or LARGEST, within a page.
    """
    root = None
    bounded = streams.Bounded(stream, name, max(longest, LARGEST))
    try:
        others: set[str] = set()
        for event, element in ElementTree.iterparse(bounded, ("start", "end")):
            if root is None:
                root = element
                if local(root) != "mediawiki":
                    raise UserError(f"{name}: <{local(root)}> is no MediaWiki dump; set another `format`")
            if event != "end":
                continue
            if local(element) == "namespace" and element.text:
                others.add(element.text)
            if local(element) != "page":
                continue
            bounded.left = bounded.most
            parts = {local(child): child for child in element.iter()}
            text = parts["text"].text or "" if "text" in parts else ""
            if namespace(parts, others) == "0" and "redirect" not in parts and text and not REDIRECT.match(text):
                yield text
            # Finished pages would stay in memory.
            root.clear()
    except UserError:
        raise
    except (ElementTree.ParseError, ValueError) as error:  # the second for an encoding that expat has not
        if root is None:
            raise UserError(f"{name}: no XML, and so no MediaWiki dump ({error}); set another `format`") from None
        raise UserError(f"{name}: no whole MediaWiki dump, {error}; fetch it again") from None


def namespace(parts: dict[str, ElementTree.Element], others: set[str]) -> str | None:
    """The number of a page's namespace; dumps that do not say it have it in the title alone."""
    if "ns" in parts:
        return parts["ns"].text
    prefix, colon, _ = (parts["title"].text or "" if "title" in parts else "").partition(":")
    return None if colon and prefix in others else "0"


def local(element: ElementTree.Element) -> str:
    """The tag without its namespace, which changes with the version of the export format."""
    return element.tag.rpartition("}")[2]


def extracted(lines: Iterable[str], name: str) -> Iterator[str]:
    """The articles of WikiExtractor's text output, without their titles. Raises UserError that names the line."""
    title, number = None, 0
    text: list[str] = []
    for number, line in enumerate(lines, 1):
        if opening := ARTICLE.match(line):
            if title is not None:
                raise UserError(f"{name}, line {number}: an article begins within another; fetch the file again")
            title, text = opening[1], []
        elif title is None:
            if line.strip():
                raise UserError(
                    f"{name}, line {number}: {line[:40]} stands in no <doc …>: not WikiExtractor's output, set another"
                    " `format`"
                )
        elif line.strip() == "</doc>":
            yield untitled("\n".join(text), title)
            title = None
        else:
            text.append(line)
    if title is not None:
        raise UserError(f"{name}, line {number}: the last article does not end; is the file cut off? Fetch it again")


def untitled(text: str, title: str) -> str:
    """An article without its title, which WikiExtractor writes as the first line of it."""
    first, _, rest = text.lstrip().partition("\n")
    return rest if first.strip() == title.strip() else text


def untitled_rows(rows: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, dict]]:
    for where, row in rows:
        if isinstance(row.get("text"), str):
            row["text"] = untitled(row["text"], str(row.get("title")))
        yield where, row
