"""Fill-mask accuracy by whole words on held-out text, marked where a model's MLM head was never trained.

Reads   models/MODEL, data/segment/heldout/*.parquet
Writes  results/cloze/MODEL.json: accuracy in percent per piece and per whole word, by word length and by source;
        results/times/cloze/MODEL.json
By hand python -m wwm.cloze MODEL

One word of 1 to 4 Chinese characters of each sentence is masked whole; sentences and words are the same for every
model.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import BertForPreTraining
from transformers.utils import logging

from wwm.common import files, model_folder
from wwm.common.csv_text import csv_text
from wwm.common.errors import UserError
from wwm.text import tokenization
from wwm.training import device
from wwm.training.head import untrained_heads

# What BERT's tokenizer takes for Chinese characters: each is a piece of its own, so a word is as many pieces as
# characters.
CHINESE_WORD = re.compile(
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]{1,4}"
)
BATCH_SIZE = 64
TOP = 5


class Question(NamedTuple):
    """A sentence and the word in it, text[start:end], that is to be guessed."""

    source: str
    text: str
    start: int
    end: int


class Answer(NamedTuple):
    """How the pieces of one word came out: each best guess right, each among the five best, and what they were."""

    question: Question
    right: list[bool]
    in_top: list[bool]
    asked: list[str]
    guesses: list[str]


def main(model: str) -> None:
    from wwm import params, track

    values = params.read()
    base, cloze = values.base, values.cloze
    torch.set_num_threads(base.threads)
    logging.disable_progress_bar()
    begin = time.perf_counter()
    folder, out = Path("models") / model, Path(f"results/cloze/{model}.json")
    place = device.pick()
    with track.run(
        "cloze",
        name=model,
        params={"model": model, "sentences": cloze.sentences, "max_seq_length": cloze.max_seq_length},
        outs=[out],
    ) as run:
        bert = load(folder)
        if cloze.max_seq_length > bert.config.max_position_embeddings:
            raise UserError(
                f"cloze.max_seq_length {cloze.max_seq_length} is more than the {bert.config.max_position_embeddings}"
                f" positions of {folder}"
            )
        shards = sorted(Path("data/segment/heldout").glob("*.parquet"))
        sources = sorted(
            {
                source
                for shard in shards
                for source in pq.read_table(shard, columns=["source"])["source"].unique().to_pylist()
            }
        )
        if len(sources) > cloze.sentences or not sources:
            raise UserError(
                f"cloze.sentences is {cloze.sentences} and data/segment/heldout has {len(sources)} sources; each needs"
                " at least one sentence"
            )
        documents = (
            row for shard in shards for batch in pq.ParquetFile(shard).iter_batches(1000) for row in batch.to_pylist()
        )
        questions, left_out = draw(
            documents,
            sources,
            cloze.sentences // len(sources),
            cloze.max_seq_length - 2,
            np.random.default_rng(base.seed),
        )
        if not questions:
            raise UserError(
                "data/segment/heldout has no sentence with a Chinese word for each source; raise corpus.heldout_share"
            )
        history = model_folder.training_history(folder)
        head_trained = model_folder.MLM_HEAD not in history.get("untrained", untrained_heads(bert))
        answers, unknown = ask(bert.to(place), tokenization.load(folder), questions, cloze.max_seq_length)
        result = {
            "model": model,
            "sentences": len(questions),
            **figures(answers),
            "by_length": {
                str(n): figures([a for a in answers if a.question.end - a.question.start == n]) for n in range(1, 5)
            },
            "by_source": {source: figures([a for a in answers if a.question.source == source]) for source in sources},
            "left_out_share": left_out,
            "unknown_share": unknown,
            "most_frequent": most_frequent(answers),
            "head_trained": head_trained,
            "rows": files.hash_of(questions),
            "weights": model_folder.weights_hash(folder),
            "training": history,
        }
        files.write_json(out, result)
        run.took(f"cloze/{model}", device.named(place), time.perf_counter() - begin)
        run.log({key: result[key] for key in ("piece_accuracy", "piece_top5", "word_accuracy", "head_trained")})
        run.text("answers.csv", table(answers))
        print(
            f"{model}: {result['piece_accuracy']:.1f} % of pieces, {result['word_accuracy']:.1f} % of {len(answers)}"
            " words" + ("" if head_trained else "; its MLM head was never trained, so this says nothing of its encoder")
        )


def load(folder: Path) -> BertForPreTraining:
    """Raises UserError that names the missing tensors if the checkpoint has no MLM head of its own."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not there or is no model; init, pretrain and truncate make the models")
    model, info = BertForPreTraining.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in info["missing_keys"] if name.startswith("cls.predictions."))
    if missing:
        raise UserError(
            f"{folder} has no trained MLM head: {', '.join(missing)} missing; save the model with its head"
            " (BertForPreTraining)"
        )
    return model.eval()


def draw(
    documents: Iterable[dict], sources: list[str], per_source: int, max_characters: int, rng: np.random.Generator
) -> tuple[list[Question], dict]:
    """The first sentences of each source that fit, at most `per_source` and the same number for all, with one word of
    each.

    Also the shares of the sentences looked at that were left out: longer than `max_characters`, or without a Chinese
    word. Characters and words decide, not a model's pieces, so that all models get the same questions.
    """
    found: dict[str, list[Question]] = {source: [] for source in sources}
    seen, too_long, no_word = 0, 0, 0
    for document in documents:
        questions = found[document["source"]]
        for text, words in sentences(document):
            if len(questions) == per_source:
                break
            seen += 1
            if len(text) > max_characters:
                too_long += 1
            elif not words:
                no_word += 1
            else:
                start, end = words[rng.integers(len(words))]
                questions.append(Question(document["source"], text, start, end))
        if all(len(questions) == per_source for questions in found.values()):
            break
    number = min(map(len, found.values()))
    left_out = {"too_long": round(too_long / max(1, seen), 6), "no_chinese_word": round(no_word / max(1, seen), 6)}
    return [question for source in sources for question in found[source][:number]], left_out


def sentences(document: dict) -> Iterable[tuple[str, list[tuple[int, int]]]]:
    """Each sentence and where its words of 1 to 4 Chinese characters begin and end; white space at a word's edge is not
    of it.
    """
    text, word_ends = document["text"], document["word_ends"]
    spans = list(zip([0, *word_ends], word_ends))
    next_word = 0
    for first, last in zip([0, *document["sentence_ends"]], document["sentence_ends"]):
        words = []
        while next_word < len(spans) and spans[next_word][1] <= last:
            start, end = spans[next_word]
            next_word += 1
            word = text[start:end]
            if CHINESE_WORD.fullmatch(word.strip()):
                start += len(word) - len(word.lstrip())
                words.append((start - first, start - first + len(word.strip())))
        yield text[first:last], words


@torch.inference_mode()
def ask(
    model: BertForPreTraining, tokenizer: Tokenizer, questions: list[Question], max_seq_length: int
) -> tuple[list[Answer], float]:
    """The answers, in the order of `questions`, and the share of the asked pieces that the vocabulary lacks: those are
    never right.

    A sentence whose pieces do not fit although its characters do (a few scripts decompose) counts as wrong.
    """
    encodings = tokenizer.encode_batch([question.text for question in questions])
    mask, unknown = tokenizer.token_to_id("[MASK]"), tokenizer.token_to_id("[UNK]")
    asked = [
        [i for i, (start, end) in enumerate(encoding.offsets) if start < question.end and end > question.start]
        for question, encoding in zip(questions, encodings)
    ]
    # What a sentence that does not fit is left with.
    answers = [
        Answer(question, *([False] * len(pieces) for _ in range(2)), [encoding.tokens[i] for i in pieces], [])
        for question, encoding, pieces in zip(questions, encodings, asked)
    ]
    order = sorted(
        (i for i, encoding in enumerate(encodings) if len(encoding.ids) <= max_seq_length),
        key=lambda i: len(encodings[i].ids),
    )
    for first in tqdm(range(0, len(order), BATCH_SIZE), desc="cloze", unit=" batches", mininterval=1):
        rows = order[first : first + BATCH_SIZE]
        length = len(encodings[rows[-1]].ids)
        ids, attention, masked = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(3))
        for i, row in enumerate(rows):
            used = len(encodings[row].ids)
            ids[i, :used] = torch.tensor(encodings[row].ids)
            attention[i, :used] = 1
            masked[i, asked[row]] = 1
        labels = ids[masked.bool()]
        inputs = {"input_ids": ids.masked_fill(masked.bool(), mask), "attention_mask": attention}
        hidden = model.bert(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).last_hidden_state
        best = model.cls.predictions(hidden[masked.bool().to(model.device)]).topk(TOP).indices.cpu()
        hits = (best == labels[:, None]) & (labels != unknown)[:, None]
        told = (hits[:, 0].tolist(), hits.any(1).tolist(), map(tokenizer.id_to_token, best[:, 0].tolist()))
        right, in_top, guesses = map(iter, told)
        for row in rows:
            right_of, in_top_of, guesses_of = ([next(each) for _ in asked[row]] for each in (right, in_top, guesses))
            answers[row] = answers[row]._replace(right=right_of, in_top=in_top_of, guesses=guesses_of)
    lacking = [encodings[i].ids[piece] == unknown for i, pieces in enumerate(asked) for piece in pieces]
    return answers, round(sum(lacking) / max(1, len(lacking)), 6)


def figures(answers: list[Answer]) -> dict:
    """Counts, and percent of right pieces, of pieces among the five best, of words whose pieces are all right; None of
    nothing.
    """
    right = [piece for answer in answers for piece in answer.right]
    in_top = [piece for answer in answers for piece in answer.in_top]
    words = [bool(answer.right) and all(answer.right) for answer in answers]
    return {
        "words": len(words),
        "pieces": len(right),
        "piece_accuracy": percent(right),
        "piece_top5": percent(in_top),
        "word_accuracy": percent(words),
    }


def most_frequent(answers: list[Answer]) -> dict:
    """What a model would get that knows no context: always the piece that is asked for most, the first of equals.

    [UNK] is right of nobody.
    """
    known = Counter(piece for answer in answers for piece in answer.asked if piece != "[UNK]")
    piece = known.most_common(1)[0][0] if known else ""
    return {
        "piece": piece,
        "piece_accuracy": percent([asked == piece for answer in answers for asked in answer.asked]),
        "word_accuracy": percent([set(answer.asked) == {piece} for answer in answers]),
    }


def table(answers: list[Answer]) -> str:
    """A CSV of the questions: the word in its sentence, the guess, whether it is right."""
    rows = []
    for question, right, _, _, guesses in answers:
        text, start, end = question.text, question.start, question.end
        sentence = f"{text[:start]}【{text[start:end]}】{text[end:]}".strip()
        guess = " ".join(guesses) if guesses else "(too long)"
        rows.append([sentence, text[start:end], guess, "yes" if right and all(right) else "no", question.source])
    return csv_text(["sentence", "word", "guess", "right", "source"], rows)


def percent(outcomes: list[bool]) -> float | None:
    return round(100 * sum(outcomes) / len(outcomes), 4) if outcomes else None


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
