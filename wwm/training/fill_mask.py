"""What a model's MLM head makes of pieces that are masked in a text."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import BertForPreTraining

BATCH_SIZE = 64
TOP = 5


class Guess(NamedTuple):
    """At one masked piece."""

    number: int  # of the piece in its text
    start: int  # the characters that it is read from, [start, end)
    end: int
    piece: str
    nats: float  # -log p of the piece
    right: bool  # the best guess is the piece
    in_top: bool  # the piece is among the TOP best guesses
    said: str


@torch.inference_mode()
def guesses(
    model: BertForPreTraining, tokenizer: Tokenizer, blanks: Sequence[tuple[str, int, int]], max_seq_length: int
) -> list[list[Guess]]:
    """Of each blank, (text, start, end), the guesses at all pieces that touch text[start:end], which are masked
    together; [UNK] is never right.

    A text of more than `max_seq_length` pieces is shown as far as it fits around the blank.
    """
    ids_of = tokenizer.get_vocab()
    room = max_seq_length - 2
    encodings = tokenizer.encode_batch([text for text, _, _ in blanks], add_special_tokens=False)
    asked = [
        [i for i, (first, last) in enumerate(encoding.offsets) if first < end and last > start]
        for encoding, (_, start, end) in zip(encodings, blanks)
    ]
    shown, positions = [], []
    for encoding, pieces in zip(encodings, asked):
        middle = pieces[len(pieces) // 2] if pieces else 0
        first = max(0, min(middle - room // 2, len(encoding.ids) - room))
        shown.append([ids_of["[CLS]"], *encoding.ids[first : first + room], ids_of["[SEP]"]])
        positions.append([1 + i - first for i in pieces])
    found: list[list[Guess]] = [[] for _ in blanks]
    order = sorted(range(len(blanks)), key=lambda i: len(shown[i]))
    for begin in tqdm(range(0, len(order), BATCH_SIZE), desc="cloze", unit=" batches", mininterval=1):
        batch = order[begin : begin + BATCH_SIZE]
        length = len(shown[batch[-1]])
        ids, attention, masked = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(3))
        for row, number in enumerate(batch):
            ids[row, : len(shown[number])] = torch.tensor(shown[number])
            attention[row, : len(shown[number])] = 1
            masked[row, positions[number]] = 1
        labels = ids[masked.bool()]
        inputs = {"input_ids": ids.masked_fill(masked.bool(), ids_of["[MASK]"]), "attention_mask": attention}
        hidden = model.bert(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).last_hidden_state
        logits = model.cls.predictions(hidden[masked.bool().to(model.device)]).float()
        nats = -logits.log_softmax(-1).cpu().gather(1, labels[:, None])[:, 0]
        best = logits.topk(TOP).indices.cpu()
        hits = best.eq(labels[:, None]) & labels.ne(ids_of["[UNK]"])[:, None]
        told = zip(nats.tolist(), hits[:, 0].tolist(), hits.any(1).tolist(), best[:, 0].tolist())
        for number in batch:
            encoding = encodings[number]
            for i in asked[number]:
                loss, right, in_top, said = next(told)
                start, end = encoding.offsets[i]
                found[number].append(
                    Guess(i, start, end, encoding.tokens[i], loss, right, in_top, tokenizer.id_to_token(said) or "")
                )
    return found
