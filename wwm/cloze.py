"""How well a model fills in words of held-out text, marked where its MLM head was never trained.

Reads   models/MODEL, data/segment/heldout/*.parquet
Writes  results/cloze/MODEL.json: nats per character and piece, accuracy in percent, by word length and by source;
        results/cloze/MODEL.csv: a row for each question and way of asking; results/times/cloze/MODEL.json
By hand python -m wwm.cloze MODEL

One word of 1 to 4 Chinese characters of each sentence is asked for in two ways: masked whole, as models with whole word
masks learn it, and each of its characters masked alone, as WordPiece masks mostly do. Documents, sentences and words
are drawn at random and are the same for every model.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertForPreTraining
from transformers.utils import logging

from wwm.common import files, model_folder
from wwm.common.csv_text import csv_text
from wwm.common.errors import UserError
from wwm.text import blanks, tokenization
from wwm.text.blanks import Question
from wwm.training import device, fill_mask, weights
from wwm.training.fill_mask import Guess
from wwm.training.head import untrained_heads

KINDS = ("words", "characters")  # masked whole, or each character alone
BLIND = 0.05  # nats between both ways of asking for a word: with random weights 0.002 to 0.02, with trained ones 2 to 6
COLUMNS = [
    *("source", "kind", "document", "question", "pieces", "characters", "nats", "hits", "top5", "unigram_nats"),
    *("sentence", "word", "guess", "right"),
]


class Answer(NamedTuple):
    """What a model makes of one question asked in one way: a guess at each piece of the word."""

    question: Question
    kind: str
    guesses: list[Guess]

    @property
    def nats(self) -> float:
        """-log p of the word's characters. A piece that several characters are read as gives each the same share."""
        start, end = self.question.start, self.question.end
        return sum(
            self.surprise(guess) * (min(end, guess.end) - max(start, guess.start)) / (guess.end - guess.start)
            for guess in self.guesses
        )

    @property
    def right(self) -> bool:
        return bool(self.guesses) and all(guess.right for guess in self.guesses)

    @staticmethod
    def surprise(guess: Guess) -> float:
        """Who says [UNK] says nothing of which of all Chinese characters it is."""
        return guess.nats + (math.log(blanks.CHINESE_CHARACTERS) if guess.piece == "[UNK]" else 0.0)


def main(model: str) -> None:
    from wwm import params, track

    values = params.read()
    base, cloze = values.base, values.cloze
    torch.set_num_threads(base.threads)
    logging.disable_progress_bar()
    begin = time.perf_counter()
    place = device.pick()
    folder, outs = Path("models") / model, [Path(f"results/cloze/{model}.{form}") for form in ("json", "csv")]
    with track.run(
        "cloze",
        name=model,
        params={"model": model, "sentences": cloze.sentences, "max_seq_length": cloze.max_seq_length},
        outs=outs,
    ) as run:
        bert = load(folder)
        if cloze.max_seq_length > bert.config.max_position_embeddings:
            raise UserError(
                f"cloze.max_seq_length {cloze.max_seq_length} is more than the {bert.config.max_position_embeddings}"
                f" positions of {folder}"
            )
        drawn = draw(cloze.sentences, cloze.max_seq_length - 2, base.seed)
        if not drawn.questions:
            raise UserError(
                "data/segment/heldout has no sentence with a Chinese word for each source; raise corpus.heldout_share"
            )
        history = model_folder.training_history(folder)
        head_trained = model_folder.MLM_HEAD not in history.get("untrained", untrained_heads(bert))
        answers = ask(bert.to(place), tokenization.load(folder), drawn.questions, cloze.max_seq_length)
        if not all(math.isfinite(answer.nats) for answer in answers):
            raise UserError(
                f"{folder}: its guesses are NaN or infinite; its training diverged: take another checkpoint"
            )
        unigram = [unigram_nats(question, drawn.characters) for question in drawn.questions]
        lengths = {str(n): [a for a in answers if len(a.question.word) == n] for n in range(1, blanks.LONGEST + 1)}
        sources = {
            source: [answer for answer in answers if answer.question.source == source]
            for source in dict.fromkeys(question.source for question in drawn.questions)
        }
        result = {
            "model": model,
            "questions": len(drawn.questions),
            "documents": len({question.document for question in drawn.questions}),
            **by_kind(answers),
            "by_length": {length: by_kind(part) for length, part in lengths.items()},
            "by_source": {source: by_kind(part) for source, part in sources.items()},
            "left_out_share": drawn.left_out,
            "unknown_share": unknown_share(answers),
            "unigram_nats_per_character": round(
                sum(unigram) / sum(len(question.word) for question in drawn.questions), 4
            ),
            "head_trained": head_trained,
            "rows": files.hash_of(drawn.questions),
            "weights": model_folder.weights_hash(folder),
            "training": history,
        }
        table = csv_text(COLUMNS, rows(answers, unigram))
        files.write_json(outs[0], result)
        files.write_text(outs[1], table)
        run.took(f"cloze/{model}", device.named(place), time.perf_counter() - begin)
        run.log(
            {f"{kind}_{key}": result[kind][key] for kind in KINDS for key in ("nats_per_character", "word_accuracy")}
            | {"head_trained": head_trained}
        )
        run.text("answers.csv", table)
        told = [f"{result[kind]['nats_per_character']:.3f} with {kind} masked" for kind in KINDS]
        if not head_trained:
            remark = "; its MLM head was never trained, so this says nothing of its encoder"
        elif blind(answers):
            remark = "; what it guesses hardly depends on the characters around"
        else:
            remark = ""
        right = f"{result['words']['word_accuracy']:.1f} % of {len(drawn.questions)} words right"
        print(f"{model}: nats per character {', '.join(told)}; {right}{remark}")


def blind(answers: Sequence[Answer]) -> bool:
    """Whether it makes no difference to a model's answers that it sees the other characters of a word."""
    both = {(answer.kind, answer.question): answer.nats for answer in answers if len(answer.question.word) > 1}
    gaps = [abs(nats - both[KINDS[1], question]) for (kind, question), nats in both.items() if kind == KINDS[0]]
    return bool(gaps) and float(np.mean(gaps)) < BLIND


def load(folder: Path) -> BertForPreTraining:
    """Raises UserError for what is no model, or has no MLM head of its own."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not there or is no model; one of init, pretrain, distill, truncate makes it")
    return weights.pretrained(folder).eval()


def draw(sentences: int, max_characters: int, seed: int) -> blanks.Drawn:
    """The questions, at most `sentences`, out of data/segment/heldout. Raises UserError for fewer than sources."""
    shards = sorted(Path("data/segment/heldout").glob("*.parquet"))
    found = {
        source
        for shard in shards
        for batch in files.batches(shard, columns=["source"])
        for source in batch["source"].unique().to_pylist()
    }
    if len(found) > sentences or not found:
        raise UserError(
            f"cloze.sentences is {sentences} and data/segment/heldout has {len(found)} sources; each needs at least one"
            " sentence"
        )
    documents = (row for shard in shards for batch in files.batches(shard) for row in batch.to_pylist())
    rng = np.random.default_rng([seed, *b"cloze"])
    return blanks.draw(documents, sorted(found), sentences // len(found), max_characters, rng)


def ask(
    model: BertForPreTraining, tokenizer: Tokenizer, questions: Sequence[Question], max_seq_length: int
) -> list[Answer]:
    """Two answers to each question, in the order of KINDS."""
    asked = [
        (question, kind, [(question.text, *span) for span in spans])
        for question in questions
        for kind, spans in (
            ("words", [(question.start, question.end)]),
            ("characters", [(i, i + 1) for i in range(question.start, question.end)]),
        )
    ]
    # A word of one character is masked alone in either way.
    every = list(dict.fromkeys(blank for *_, found in asked for blank in found))
    said = dict(zip(every, fill_mask.guesses(model, tokenizer, every, max_seq_length)))
    return [
        # A piece of several characters is asked for with each of them: by number it counts once.
        Answer(question, kind, list({guess.number: guess for blank in found for guess in said[blank]}.values()))
        for question, kind, found in asked
    ]


def by_kind(answers: list[Answer]) -> dict[str, dict]:
    return {kind: figures([answer for answer in answers if answer.kind == kind]) for kind in KINDS}


def figures(answers: list[Answer]) -> dict:
    """Counts; means of nats; percent of pieces that are right, of pieces among the five best, of words whose pieces are
    all right. None of nothing.
    """
    guesses = [guess for answer in answers for guess in answer.guesses]
    characters, nats = sum(len(answer.question.word) for answer in answers), sum(answer.nats for answer in answers)
    return {
        "questions": len(answers),
        "pieces": len(guesses),
        "characters": characters,
        "nats_per_piece": round(nats / len(guesses), 4) if guesses else None,
        "nats_per_character": round(nats / characters, 4) if characters else None,
        "piece_accuracy": percent([guess.right for guess in guesses]),
        "piece_top5": percent([guess.in_top for guess in guesses]),
        "word_accuracy": percent([answer.right for answer in answers]),
    }


def unknown_share(answers: list[Answer]) -> float:
    """Of the pieces asked for, those that the vocabulary lacks."""
    asked = [guess.piece for answer in answers if answer.kind == "words" for guess in answer.guesses]
    return round(asked.count("[UNK]") / max(1, len(asked)), 6)


def unigram_nats(question: Question, characters: Counter[str]) -> float:
    """What the word costs who knows no context, but how often each character stands in held-out text."""
    total = sum(characters.values())
    return -sum(math.log(characters[character] / total) for character in question.word)


def rows(answers: list[Answer], unigram: list[float]) -> Iterator[list]:
    """What COLUMNS name of each answer; `unigram`: nats by question."""
    for i, (question, kind, guesses) in enumerate(answers):
        number, text = i // len(KINDS), question.text
        sentence = f"{text[: question.start]}【{question.word}】{text[question.end :]}".strip()
        hits, top = sum(guess.right for guess in guesses), sum(guess.in_top for guess in guesses)
        counts = [len(guesses), len(question.word), round(answers[i].nats, 4), hits, top, round(unigram[number], 4)]
        said = " ".join(guess.said for guess in guesses)
        right = "yes" if answers[i].right else "no"
        yield [question.source, kind, question.document, number, *counts, sentence, question.word, said, right]


def percent(outcomes: list[bool]) -> float | None:
    return round(100 * sum(outcomes) / len(outcomes), 4) if outcomes else None


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
