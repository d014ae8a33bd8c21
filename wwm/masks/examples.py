"""Sentences -> examples: google-research/bert's create_instances_from_document, on flat arrays of pieces.

Sentences of a document follow each other in one array of pieces, so a segment of an example is a range of that array:
an example is the row (a_start, a_end, b_start, b_end, is_random_next), the last three 0 where there is no second
segment.
"""

import numpy as np
from numba import njit


def in_pairs(settings: dict) -> bool:
    """Whether the examples of a set's `settings`, as in a shard's header, are sentence pairs; a set that does not say
    has them for the loss that needs them.
    """
    return settings.get("input", "pairs" if settings["next_sentence_prediction"] else "segments") == "pairs"


@njit(cache=True)
def sentence_pairs(
    sentence_ends: np.ndarray,
    document_ends: np.ndarray,
    text_ends: np.ndarray,
    max_seq_length: int,
    short_seq_prob: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Two segments, the second what follows the first or something else: (n_examples, 5) int64 rows over the whole
    shard, one pass.

    sentence_ends: (n_sentences,) end of each sentence in the array of pieces, none empty; document_ends: (n_documents,)
    end of each document in sentences; text_ends: (n_texts,) end of each text in documents, which are its copies, at
    least two texts.
    """
    rows = np.empty((len(sentence_ends), 5), np.int64)
    n = 0
    max_pieces = max_seq_length - 3
    text = 0
    for document in range(len(document_ends)):
        text += document == text_ends[text]
        first = document_ends[document - 1] if document else 0
        last = document_ends[document]
        target = rng.integers(2, max_pieces + 1) if rng.random() < short_seq_prob else max_pieces
        chunk = first
        i = first
        while i < last:
            begin = sentence_ends[chunk - 1] if chunk else 0
            if i < last - 1 and sentence_ends[i] - begin < target:
                i += 1
                continue
            size = i + 1 - chunk
            a_sentences = rng.integers(1, size) if size >= 2 else 1
            a_start, a_end = begin, sentence_ends[chunk + a_sentences - 1]
            is_random_next = size == 1 or rng.random() < 0.5
            if is_random_next:
                b_start, b_end = random_segment(
                    sentence_ends, document_ends, text_ends, text, target - (a_end - a_start), rng
                )
                # The sentences of the chunk that were not used are put back.
                i = chunk + a_sentences - 1
            else:
                b_start, b_end = a_end, sentence_ends[i]
            # Truncate at the front or at the back, at random, to leave no bias.
            while a_end - a_start + b_end - b_start > max_pieces:
                front = rng.random() < 0.5
                if a_end - a_start > b_end - b_start:
                    if front:
                        a_start += 1
                    else:
                        a_end -= 1
                elif front:
                    b_start += 1
                else:
                    b_end -= 1
            rows[n] = a_start, a_end, b_start, b_end, int(is_random_next)
            n += 1
            i += 1
            chunk = i
    return rows[:n]


@njit(cache=True)
def random_segment(
    sentence_ends: np.ndarray,
    document_ends: np.ndarray,
    text_ends: np.ndarray,
    text: int,
    target: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """(start, end) in pieces: sentences of a document of another text from a random one on, until `target` pieces or
    its end.
    """
    begin, end = text_ends[text - 1] if text else 0, text_ends[text]
    other = rng.integers(0, len(document_ends) - (end - begin))
    if other >= begin:
        other += end - begin
    first = document_ends[other - 1] if other else 0
    sentence = rng.integers(first, document_ends[other])
    start = sentence_ends[sentence - 1] if sentence else 0
    while sentence_ends[sentence] - start < target and sentence + 1 < document_ends[other]:
        sentence += 1
    return start, sentence_ends[sentence]


@njit(cache=True)
def full_sentences(
    sentence_ends: np.ndarray,
    document_ends: np.ndarray,
    max_seq_length: int,
    short_seq_prob: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Single segments: consecutive sentences of one document up to the length, (n_examples, 5) int64 rows.

    A sentence that does not fit begins the next example; one that is longer than an example is cut.
    """
    max_pieces = max_seq_length - 2
    rows = np.empty((len(sentence_ends) + sentence_ends[-1] // 2 + 1, 5), np.int64)
    n = 0
    for document in range(len(document_ends)):
        first = document_ends[document - 1] if document else 0
        start = sentence_ends[first - 1] if first else 0
        end = start
        target = rng.integers(2, max_pieces + 1) if rng.random() < short_seq_prob else max_pieces
        for sentence in range(first, document_ends[document]):
            if end > start and sentence_ends[sentence] - start > target:
                rows[n] = start, end, 0, 0, 0
                n += 1
                start = end
                target = rng.integers(2, max_pieces + 1) if rng.random() < short_seq_prob else max_pieces
            while sentence_ends[sentence] - start > max_pieces:
                rows[n] = start, start + max_pieces, 0, 0, 0
                n += 1
                start += max_pieces
                target = rng.integers(2, max_pieces + 1) if rng.random() < short_seq_prob else max_pieces
            end = sentence_ends[sentence]
        rows[n] = start, end, 0, 0, 0
        n += 1
    return rows[:n]


@njit(cache=True)
def write(
    rows: np.ndarray, pieces: np.ndarray, unit_begins: np.ndarray, cls_id: int, sep_id: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of examples -> the flat values of the columns and their offsets, not masked.

    pieces, unit_begins: (n_pieces,) ids and whether a unit begins there. Returns input_ids, token_type_ids (uint8) and
    unit_begins (bool) of [CLS] A [SEP] (B [SEP]), and the offsets (n_examples + 1,) int32 of all three.
    """
    offsets = np.zeros(len(rows) + 1, np.int32)
    for i in range(len(rows)):
        a_start, a_end, b_start, b_end = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
        offsets[i + 1] = offsets[i] + a_end - a_start + 2 + (b_end - b_start + 1 if b_end else 0)
    input_ids = np.empty(offsets[-1], pieces.dtype)
    token_type_ids = np.zeros(offsets[-1], np.uint8)
    begins = np.ones(offsets[-1], np.bool_)
    for i in range(len(rows)):
        position = offsets[i]
        input_ids[position] = cls_id
        position += 1
        for segment in range(2 if rows[i, 3] else 1):
            start, end = rows[i, 2 * segment], rows[i, 2 * segment + 1]
            after = position + end - start
            input_ids[position:after] = pieces[start:end]
            # The first piece begins a unit even in the middle of a word: a word cut by truncation is the unit of what
            # remains.
            begins[position + 1 : after] = unit_begins[start + 1 : end]
            input_ids[after] = sep_id
            position = after + 1
            if segment == 0:
                token_type_ids[position : offsets[i + 1]] = 1
    return input_ids, token_type_ids, begins, offsets
