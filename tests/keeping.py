"""Kept models of each kind, not trained, for tests of what one does with them."""

from pathlib import Path

import torch
import toy

from wwm.tasks import classifier, kept, reader, tagger, tuning
from wwm.tasks.questions import Answer, Question
from wwm.tasks.rows import Example
from wwm.tasks.seeds import Finished
from wwm.tasks.tags import Sentence
from wwm.text import tokenization

CHARACTERS = "春夏秋冬天气很热冷多雨雪风大什么时候在了的开花结果山上河里鱼鸟飞游是吗不会？。"
HOW = tuning.How(1e-3, 1, 4, 32, 8, 16, 6, "fp32", "last", ("dev",))


def model(kind: str, labels: tuple[str, ...], simplify: bool = False, **changes) -> Path:
    """models/finetuned/weather/bert of this kind in the working folder; `changes` replace what its config says."""
    source = Path("models/bert")
    toy.model(source, CHARACTERS)
    tokenizer = tokenization.load(source)
    torch.manual_seed(1)
    if kind == "reading":
        questions = [Question("1", "什么时候？", "春天很热。", (Answer("春天", 0),), None)]
        job = reader.Answering(source, tokenizer, {"train": questions, "dev": questions}, labels, "cmrc", HOW)
    elif kind == "tagging":
        sentences = [Sentence(("春",), labels[:1])]
        splits = {"train": sentences, "dev": sentences}
        job = tagger.Tagging(source, tokenizer, splits, labels, "entity_f1", HOW)
    else:
        examples = [Example(("春天",) * (1 + (kind == "pair")), 0)]
        job = classifier.Classification(source, tokenizer, {"train": examples, "dev": examples}, labels, 32, "accuracy")
    folder = Path("finished")
    folder.mkdir()
    trained = job.model()
    for parameter in trained.parameters():  # a fresh head says much the same of everything
        torch.nn.init.normal_(parameter, std=0.3)
    job.save(trained, folder)
    described = {
        "model": "bert",
        "task": "weather",
        "kind": kind,
        "labels": list(labels),
        "spellings": {},
        "columns": {},
        "ignored_labels": [],
        "language": "",
        "segmented": False,
        "simplify": simplify,
        **{name: getattr(HOW, name) for name in ("max_seq_length", "stride", "max_query_length", "max_answer_length")},
    } | changes
    home = kept.home("weather", "bert")
    kept.write(home, "best", [Finished({"scores": {"dev": {"em": 1.0}}}, folder)], [1], 0, described, source)
    return home
