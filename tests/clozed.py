"""Result files of cloze as wwm/cloze.py writes them, with nats that a test chooses."""

from pathlib import Path

import finetuned
import numpy as np

from wwm import cloze
from wwm.common.csv_text import csv_text

DOCUMENTS = 60  # of one question each, a word of two characters
UNIGRAM = 6.5  # nats per character
NOTHING = dict.fromkeys(cloze.figures([])) | {"questions": 0, "pieces": 0, "characters": 0}


def save(
    model: str,
    training: dict,
    words: float,
    characters: float,
    noise: float = 0.1,
    general: float | None = None,
    **changes,
) -> None:
    """words, characters: nats per character in each way of asking. noise: deviation between documents, whose mean is
    exact. general: how many nats more general text has, of which there are as many documents.
    """
    means = {"words": words, "characters": characters}
    rows = []
    for kind, mean in means.items():
        errors = np.random.default_rng([*model.encode(), *kind.encode()]).normal(0, 2 * noise, DOCUMENTS)
        for i, nats in enumerate(2 * mean + errors - errors.mean()):
            said = "使用【语言】模型", "语言", "语 言", "yes"
            rows.append(["news", kind, f"{i:032x}", i, 2, 2, nats, 1, 2, 2 * UNIGRAM, *said])
            if general is not None:
                numbers = i, 2, 2, nats + 2 * general, 1, 2, 2 * UNIGRAM
                rows.append(["general-txt", kind, f"general {i:032x}", *numbers, *said])
    Path("results/cloze").mkdir(parents=True, exist_ok=True)
    Path(f"results/cloze/{model}.csv").write_text(csv_text(cloze.COLUMNS, rows), encoding="utf-8")
    part = {kind: figures(mean, 1 if general is None else 2) for kind, mean in means.items()}
    nothing = dict.fromkeys(means, NOTHING)
    finetuned.write(
        f"results/cloze/{model}.json",
        {
            "model": model,
            "weights": model,
            "questions": DOCUMENTS,
            "documents": DOCUMENTS,
            **part,
            "by_length": {"2": part, "4": nothing},
            "by_source": {"news": part},
            "unigram_nats_per_character": UNIGRAM,
            "head_trained": True,
            "rows": "0",
            "training": training,
        }
        | changes,
    )


def figures(nats: float, sources: int) -> dict:
    return {
        "questions": sources * DOCUMENTS,
        "pieces": 2 * sources * DOCUMENTS,
        "characters": 2 * sources * DOCUMENTS,
        "nats_per_piece": nats,
        "nats_per_character": nats,
        "piece_accuracy": 50.0,
        "piece_top5": 75.0,
        "word_accuracy": 25.0,
    }
