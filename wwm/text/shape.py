"""Whether documents have what pre-training learns from, sentences that follow each other: counted before any is cut."""

import re
from collections import Counter
from typing import Protocol

from wwm.common.errors import UserError

# About where a sentence ends; `segment` knows better.
END = re.compile(r"[。！？!?…\n]|\.\s")
MORE = re.compile(r"[^\s。！？!?….”’」』）)\"']")
LONGEST = 510  # characters of a sentence that BERT's longest sequence takes; the rest is cut off
MARKS = "。\n.！？!?…"
LINES = 1000  # a text file that is one document has no more; a chapter of a book has fewer
WARNED = 0.5  # above this share, where params.yaml has no limit
HAN = re.compile("[㐀-鿿\U00020000-\U0003ffff]")
MARK_UP = [
    re.compile(pattern, re.M)
    for pattern in (r"'{3}[^'\n]+'{3}", r"\[\[[^\[\]\n]+\]\]", r"\{\{[^{}]+\}\}", r"^==+ ?[^=\n]+ ?==+$", r"</?ref\b")
]
KINDS = 2  # of MARK_UP make it no chance
# Share: (what is counted, of what, what it means).
SHARES = {
    "one_sentence_share": (
        "one_sentence_documents",
        "usable_documents",
        "of its documents are one sentence, which has no next one to predict: give longer documents, or use sets"
        " of single segments",
    ),
    "unbroken_share": (
        "unbroken_characters",
        "usable_characters",
        f"of its characters stand more than {LONGEST} behind the last end of a sentence, and are cut off where"
        " sentences are: give text with punctuation",
    ),
    "no_chinese_share": (
        "no_chinese_documents",
        "usable_documents",
        "of its documents have no Chinese character: are they Chinese, or UTF-8 that was read in another encoding and"
        " saved again (ä¸\xadæ–‡)? Fetch them anew",
    ),
    "wiki_mark_up_share": (
        "wiki_mark_up_documents",
        "usable_documents",
        "of its documents have the mark-up of a wiki, which stays in the text: take a dump with format mediawiki, or"
        " WikiExtractor's output",
    ),
    "undivided_share": (
        "undivided_files",
        "files",
        f"of its files are one document of more than {LINES:,} lines: if a line is a document, separate them by a blank"
        " line",
    ),
}


class Limits(Protocol):
    """What is needed of the section `corpus`."""

    one_sentence_share_limit: float | None
    unbroken_share_limit: float | None


def of(text: str) -> dict[str, int]:
    """Counts of one document."""
    end = END.search(text)
    return {
        "usable_documents": 1,
        "usable_characters": len(text),
        "one_sentence_documents": int(not (end and MORE.search(text, end.end()))),
        "unbroken_characters": unbroken(text),
        "no_chinese_documents": int(not HAN.search(text)),
        "wiki_mark_up_documents": int(sum(mark.search(text) is not None for mark in MARK_UP) >= KINDS),
    }


def unbroken(text: str) -> int:
    """How many characters stand more than LONGEST behind the last of MARKS."""
    count = start = 0
    while len(text) - start > LONGEST:
        window = start + LONGEST + 1
        # A look for any mark in each window is much faster than one at each character.
        if last := next((found for mark in MARKS if (found := text.rfind(mark, start, window)) >= 0), -1) + 1:
            start = last
            continue
        end = min((found for mark in MARKS if (found := text.find(mark, window)) >= 0), default=len(text))
        count += end - start - LONGEST
        start = end + 1
    return count


def shares(counts: Counter) -> dict[str, float]:
    """Those of SHARES that are not 0."""
    return {name: counts[part] / counts[whole] for name, (part, whole, _) in SHARES.items() if counts[part]}


def check(key: str, counts: Counter, corpus: Limits) -> None:
    """Raises UserError for a share above its limit; prints a warning above WARNED where there is none."""
    for name, share in shares(counts).items():
        limit = getattr(corpus, f"{name}_limit", None)
        if share > (WARNED if limit is None else limit):
            told = f"{key}: {share:.0%} {SHARES[name][2]}"
            if limit is not None:
                raise UserError(f"{told}; or raise corpus.{name}_limit, which is {limit}")
            print(f"warning: {told}", flush=True)
