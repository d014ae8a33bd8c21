"""Span reading against transformers' BertForQuestionAnswering and BertTokenizerFast."""

from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from transformers import BertForQuestionAnswering, BertTokenizerFast

from wwm.tasks import reader, tuning
from wwm.tasks.metrics import METRICS
from wwm.tasks.questions import Answer, Question
from wwm.text import tokenization
from wwm.training import optim

CPU = torch.device("cpu")
HOW = tuning.How(
    learning_rate=3e-3,
    epochs=3,
    batch_size=8,
    max_seq_length=32,
    stride=8,
    max_query_length=16,
    max_answer_length=4,
    precision="fp32",
    select="last",
    splits=("dev",),
)


def questions(count: int, rng: np.random.Generator) -> list[Question]:
    """The answer is the two characters before 开花, in a context of one to four windows."""
    made = []
    for number in range(count):
        begin, end = ("".join(rng.choice(list("春夏秋冬天气热冷雨雪风"), rng.integers(0, 25))) for _ in range(2))
        season = str(rng.choice(["春天", "夏天", "秋天", "冬天"]))
        context = f"{begin}{season}开花{end}"
        made.append(Question(str(number), "什么时候开花？", context, (Answer(season, len(begin)),), None))
    return made


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Question]]:
    rng = np.random.default_rng(0)
    return {"train": questions(40, rng), "dev": questions(30, rng)}


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    toy.model(folder, "春夏秋冬天气热冷雨雪风开花什么时候？")
    return folder


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_reader_answers_and_scores_as_transformers_model_with_the_same_order_and_optimizer(
    start, splits, tmp_path, seed
):
    job = reader.Answering(start, tokenization.load(start), splits, (), "cmrc", HOW)
    trained = tuning.train(job, HOW, seed, CPU, 1, lambda: None, lambda model: None)
    # From where that seed began.
    torch.manual_seed(seed)
    job.save(job.model(), tmp_path)
    said = peer(tmp_path, BertTokenizerFast.from_pretrained(start), splits, seed)
    assert trained["predictions"]["dev.json"] == said
    scores = METRICS["cmrc"].score(splits["dev"], said)
    assert 5 < scores["em"] < 100 and trained["scores"]["dev"] == pytest.approx(scores, abs=1e-4)


def peer(folder: Path, tokenizer: BertTokenizerFast, splits: dict[str, list[Question]], seed: int) -> dict[str, str]:
    """What transformers' model answers to dev, trained a row at a time: its loss looks at padding, too."""
    model = BertForQuestionAnswering.from_pretrained(folder)
    optimizer = optim.AdamW(
        optim.parameter_groups(model, tuning.WEIGHT_DECAY), HOW.learning_rate, tuning.BETAS, tuning.EPSILON, 0.01
    )
    rows = features(tokenizer, splits["train"])
    rng = np.random.default_rng(seed)
    step, steps = 0, HOW.epochs * -(-len(rows) // HOW.batch_size)
    for _ in range(HOW.epochs):
        order = rng.permutation(len(rows))
        for first in range(0, len(rows), HOW.batch_size):
            batch = order[first : first + HOW.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = HOW.learning_rate * optim.linear_schedule(step, steps, int(0.1 * steps))
            for number in batch:
                inputs, question, offsets = rows[number]
                answer = splits["train"][question].answers[0]
                begin, end = places(offsets, answer.start, answer.start + len(answer.text))
                positions = {"start_positions": torch.tensor([begin]), "end_positions": torch.tensor([end])}
                (model(**inputs, **positions).loss / len(batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), tuning.MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    return answers(model.eval(), features(tokenizer, splits["dev"]), splits["dev"])


def features(tokenizer: BertTokenizerFast, questions: list[Question]) -> list[tuple[dict, int, dict[int, tuple]]]:
    """Of each window the model's inputs, the number of its question, and position -> characters of the context."""
    made = []
    for number, question in enumerate(questions):
        room = HOW.max_seq_length - len(tokenizer.tokenize(question.question)) - 3
        found = tokenizer(
            question.question,
            question.context,
            truncation="only_second",
            max_length=HOW.max_seq_length,
            stride=room - HOW.stride,  # what two windows share
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for i, offsets in enumerate(found["offset_mapping"]):
            inputs = {name: torch.tensor([found[name][i]]) for name in tokenizer.model_input_names}
            second = {at: offsets[at] for at, part in enumerate(found.sequence_ids(i)) if part == 1}
            made.append((inputs, number, second))
    return made


def places(offsets: dict[int, tuple], begin: int, end: int) -> tuple[int, int]:
    """Positions of the first and last piece of an answer, (0, 0) where the window does not hold it whole."""
    inside = [at for at, (first, last) in offsets.items() if first < end and last > begin]
    whole = inside and offsets[inside[0]][0] <= begin and offsets[inside[-1]][1] >= end
    return (inside[0], inside[-1]) if whole else (0, 0)


@torch.inference_mode()
def answers(model: torch.nn.Module, rows: list, questions: list[Question]) -> dict[str, str]:
    """The span with the highest sum of logits; run_squad.py lets it begin where its window has most context."""
    context_of: dict[tuple[int, int], float] = {}
    for _, question, offsets in rows:
        for at, (first, _) in offsets.items():
            context = min(at - min(offsets), max(offsets) - at) + 0.01 * len(offsets)
            context_of[question, first] = max(context, context_of.get((question, first), -1.0))
    best: dict[int, tuple[float, str]] = {}
    for inputs, question, offsets in rows:
        said = model(**inputs)
        for at, (first, _) in offsets.items():
            if min(at - min(offsets), max(offsets) - at) + 0.01 * len(offsets) < context_of[question, first]:
                continue
            for until in range(at, min(at + HOW.max_answer_length, max(offsets) + 1)):
                score = float(said.start_logits[0, at] + said.end_logits[0, until])
                if score > best.get(question, (-np.inf, ""))[0]:
                    best[question] = score, questions[question].context[first : offsets[until][1]]
    return {one.id: best[number][1] for number, one in enumerate(questions)}
