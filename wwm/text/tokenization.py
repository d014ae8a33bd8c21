"""The tokenizer of a vocabulary's or model's folder, as every stage loads it, and a fast way to the pieces of much
text.
"""

from pathlib import Path

import numpy as np
from numba import njit
from tokenizers import Tokenizer

from wwm.common.errors import UserError

NOWHERE = "𪚥"  # a character that no vocabulary has: that it can be read is seen at once
UNSEEN, RUN, NOTHING = -3, -2, -1


def load(folder: str | Path) -> Tokenizer:
    """A literal [MASK] or [SEP] in a text is text; nothing is cut or padded. Raises UserError if there is no
    tokenizer.json that can be read.
    """
    path = Path(folder, "tokenizer.json")
    if not path.is_file():
        raise UserError(f"{path} is not there; vocab writes it, and every model's folder has a copy")
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.encode(NOWHERE)
    except Exception as error:  # tokenizers has no class of its own for it
        raise UserError(f"{path} cannot be read as a tokenizer ({error}); copy it again from where it comes") from None
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class CorpusTokenizer:
    """What a BERT tokenizer says of much text, each different part of which it is asked about once.

    BERT's words never reach over white space, punctuation or a Chinese character, so text falls into such characters
    and the runs between them, and the pieces of each part are the same wherever it stands.
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        # By code point: the id of a character that stands alone, NOTHING if it is no piece, RUN if neighbours matter.
        self.kinds = np.full(0x110000, UNSEEN, np.int32)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ids int32, starts int64, ends int64) of the pieces of all texts; offsets are characters of the texts put
        together.

        They are those of `Tokenizer.encode` for each text, without special tokens.
        """
        joined = "".join(texts)
        characters = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
        kinds = self.kinds[characters]
        unseen = np.unique(characters[kinds == UNSEEN])
        if len(unseen):
            self.kinds[unseen] = [self.kind(chr(character)) for character in unseen]
            kinds = self.kinds[characters]
        breaks = np.zeros(len(kinds) + 1, bool)
        breaks[np.cumsum([0, *map(len, texts)])] = True
        run_starts, run_ends = runs(kinds, breaks)
        number_of: dict[str, int] = {}
        numbers = [
            number_of.setdefault(joined[a:b], len(number_of)) for a, b in zip(run_starts.tolist(), run_ends.tolist())
        ]
        encodings = self.tokenizer.encode_batch(list(number_of), add_special_tokens=False)
        first = np.cumsum([0, *map(len, encodings)])
        ids = np.array([i for encoding in encodings for i in encoding.ids], np.int32)
        offsets = np.array([pair for encoding in encodings for pair in encoding.offsets], np.int64).reshape(-1, 2)
        return assemble(kinds, np.array(numbers, np.int64), run_ends, first, ids, offsets)

    def kind(self, character: str) -> int:
        def words(text: str) -> list[str]:
            return [
                word
                for word, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(
                    self.tokenizer.normalizer.normalize_str(text)
                )
            ]

        between = words(f"a{character}a")
        if len(between) < 2 or between[0] != "a" or between[-1] != "a":
            return RUN
        encoding = self.tokenizer.encode(character, add_special_tokens=False)
        if not encoding.ids:
            return NOTHING
        return encoding.ids[0] if encoding.offsets == [(0, 1)] else RUN


@njit(cache=True)
def runs(kinds: np.ndarray, breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the longest stretches of RUN; breaks: (n + 1,) bool, one ends there at the latest."""
    starts, ends = np.empty(len(kinds), np.int64), np.empty(len(kinds), np.int64)
    count = 0
    for i in range(len(kinds)):
        if kinds[i] != RUN:
            continue
        if i == 0 or kinds[i - 1] != RUN or breaks[i]:
            starts[count] = i
            count += 1
        ends[count - 1] = i + 1
    return starts[:count], ends[:count]


@njit(cache=True)
def assemble(
    kinds: np.ndarray,
    numbers: np.ndarray,
    run_ends: np.ndarray,
    first: np.ndarray,
    run_ids: np.ndarray,
    run_offsets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces in the order of the text: of single characters, and of runs; `numbers` says which of the different runs
    each is.
    """
    total = (kinds >= 0).sum()
    for number in numbers:
        total += first[number + 1] - first[number]
    ids, starts, ends = np.empty(total, np.int32), np.empty(total, np.int64), np.empty(total, np.int64)
    count = position = run = 0
    while position < len(kinds):
        if kinds[position] == RUN:
            for piece in range(first[numbers[run]], first[numbers[run] + 1]):
                ids[count], starts[count], ends[count] = (
                    run_ids[piece],
                    position + run_offsets[piece, 0],
                    position + run_offsets[piece, 1],
                )
                count += 1
            position = run_ends[run]
            run += 1
            continue
        if kinds[position] >= 0:
            ids[count], starts[count], ends[count] = kinds[position], position, position + 1
            count += 1
        position += 1
    return ids, starts, ends
