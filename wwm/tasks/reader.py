"""Questions on texts: BERT and one linear layer on every position, which says where an answer begins and ends."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import MODEL_FOR_QUESTION_ANSWERING_MAPPING, AutoModel, PreTrainedModel

from wwm.common.errors import UserError
from wwm.tasks import kept, spans
from wwm.tasks.classifier import check_loaded, count_parameters, padded, rounded, taken
from wwm.tasks.metrics import METRICS
from wwm.tasks.questions import Question, taught
from wwm.tasks.tuning import How, passes
from wwm.training import weight_files

N_BEST = 20
# What weights are called in a kept model: transformers has two outputs of a position, the choices are ours.
SPANS, CHOICES = "qa_outputs", "choice_outputs"


class Reader(torch.nn.Module):
    """Positions of a row compete with the answers that are no span, YES and NO, whose logits are read at [CLS]; [CLS]
    itself stands for none.
    """

    def __init__(self, encoder: PreTrainedModel, n_choices: int):
        super().__init__()
        self.encoder = encoder
        self.outputs = torch.nn.Linear(encoder.config.hidden_size, 2 * (1 + n_choices))
        torch.nn.init.normal_(self.outputs.weight, std=encoder.config.initializer_range)
        torch.nn.init.zeros_(self.outputs.bias)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(R, 2, L + choices) logits of start and end over positions, then choices; float32, -inf at padding."""
        said = self.outputs(self.encoder(**taken(self.encoder, inputs)).last_hidden_state).float()
        spans = said[:, :, :2].masked_fill(inputs["attention_mask"][:, :, None] == 0, -torch.inf)
        return torch.cat([spans.transpose(1, 2), said[:, 0, 2:].unflatten(1, (2, -1))], 2)


class Answering:
    """A wwm.tasks.tuning.Job. splits: questions; choices: answers that are no span, "" for none; metric: of
    wwm/tasks/metrics.py.

    A window that does not hold the answer, and a question without one, point to [CLS].
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        splits: dict[str, list],
        choices: tuple[str, ...],
        metric: str,
        how: How,
    ):
        self.folder, self.choices, self.metric, self.how = folder, choices, metric, how
        self.spoken = [choice for choice in choices if choice]  # those with logits of their own
        # A question whose answers stand nowhere is scored and teaches nothing.
        train = [question for question in splits.get("train", []) if taught(question, choices)]
        if not train:
            raise UserError(
                "none of the questions to train on has an answer that stands in its context; take more of them, or look"
                " at the train file"
            )
        self.questions = splits | {"train": train}
        self.windows = {
            split: spans.windows(tokenizer, questions, how.max_seq_length, how.stride, how.max_query_length)
            for split, questions in self.questions.items()
        }
        self.lengths = {split: np.array([len(window.ids) for window in found]) for split, found in self.windows.items()}
        self.targets = np.array([self.target(window, train[window.question]) for window in self.windows["train"]])

    def target(self, window: spans.Window, question: Question) -> tuple[int, int]:
        """Where the answer begins and ends: a position, or -1 - the number of a choice."""
        answer = taught(question, self.choices)
        assert answer is not None  # `train` has no other questions
        if answer.start >= 0:
            return spans.target(window, answer)
        choice = -1 - self.spoken.index(answer.text) if answer.text else 0
        return choice, choice

    def model(self) -> Reader:
        return Reader(load_encoder(self.folder), len(self.spoken))

    def loss(self, model: torch.nn.Module, rows: np.ndarray, place: torch.device) -> torch.Tensor:
        said = model(collate([self.windows["train"][row] for row in rows], place))
        targets, length = self.targets[rows], max(self.lengths["train"][rows])
        wanted = torch.from_numpy(np.where(targets < 0, length - 1 - targets, targets)).to(place)
        return cross_entropy(said.flatten(0, 1), wanted.flatten(), reduction="sum") / 2

    def score(
        self, model: torch.nn.Module, split: str, place: torch.device, positions: int
    ) -> tuple[dict[str, float], dict[str, object]]:
        """EM and F1 in percent; predictions in the form of the official scripts, and the n best of each question with
        their scores.
        """
        questions = self.questions[split]
        n_best = answered(
            model, self.windows[split], questions, self.choices, self.how.max_answer_length, place, positions
        )
        best = {question.id: found[0][0] for question, found in zip(questions, n_best)}
        scores = rounded(METRICS[self.metric].score(questions, best)) if any(q.answers for q in questions) else {}
        official = [{"id": number, "answer": text} for number, text in best.items()] if self.metric == "cjrc" else best
        told = {
            question.id: [[text, round(score, 4)] for text, score in found]
            for question, found in zip(questions, n_best)
        }
        return scores, {f"{split}.json": official, f"{split}_nbest.json": told}

    def save(self, model: Reader, folder: Path) -> None:
        """As transformers' model for questions; what tells the choices from each other, which that has not, stands
        beside.
        """
        encoder = model.encoder
        architecture: Any = MODEL_FOR_QUESTION_ANSWERING_MAPPING[type(encoder.config)]
        with torch.device("meta"):
            known = architecture(encoder.config).state_dict()
        tensors = {f"{encoder.base_model_prefix}.{name}": tensor for name, tensor in encoder.state_dict().items()}
        for name, tensor in model.outputs.named_parameters():
            tensors |= {f"{SPANS}.{name}": tensor[:2], f"{CHOICES}.{name}": tensor[2:]}
        kept.save(
            folder,
            encoder.config,
            architecture.__name__,
            {name: tensor for name, tensor in tensors.items() if name in known or len(tensor) and CHOICES in name},
        )

    def unreachable(self) -> dict[str, int]:
        """By split that has answers, the questions that cannot be answered to the letter."""
        return {
            split: spans.unreachable(self.windows[split], questions, self.how.max_answer_length, self.choices)
            for split, questions in self.questions.items()
            if split not in self.how.unlabelled
        }

    def parameters(self) -> int:
        return count_parameters(self.folder, 2)


def answered(
    reader: torch.nn.Module,
    windows: list[spans.Window],
    questions: list[Question],
    choices: tuple[str, ...],
    max_answer_length: int,
    place: torch.device,
    positions: int,
) -> list[list[tuple[str, float]]]:
    """For each question its best answers and their scores, as spans.answers has them."""
    lengths = np.array([len(window.ids) for window in windows])
    spoken = [choice for choice in choices if choice]
    starts, ends, said_at_cls = ([np.empty(0, np.float32)] * len(windows) for _ in range(3))
    for rows in passes(lengths, positions):
        said = reader(collate([windows[row] for row in rows], place)).cpu().numpy()
        length = max(lengths[rows])
        for row, logits in zip(rows, said):
            starts[row], ends[row] = logits[0, :length], logits[1, :length]
            said_at_cls[row] = np.array(
                [logits[:, length + spoken.index(choice)] if choice else logits[:, 0] for choice in choices]
            )
    return spans.answers(windows, starts, ends, questions, N_BEST, max_answer_length, choices, said_at_cls)


def collate(windows: list[spans.Window], place: torch.device) -> dict[str, torch.Tensor]:
    return padded([window.ids for window in windows], [window.types for window in windows], place)


def load_encoder(folder: Path) -> PreTrainedModel:
    """Raises UserError that names what its weights lack."""
    encoder, info = weight_files.from_pretrained(AutoModel, folder, dtype=torch.float32)
    check_loaded(folder, [name for name in info["missing_keys"] if not name.startswith("pooler.")])
    return encoder
