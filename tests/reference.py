"""The rule of google-research/bert's create_pretraining_data.py, in plain Python and as slow as it reads.

What the tests expect of wwm/masks/examples.py and wwm/masks/masking.py; written from the rule, sharing no code with
them. A document is a list of sentences, a sentence a list of words, a word a list of pieces.
"""

import random

CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"
Words = list[list[str]]


def sentence_pairs(documents: list[list[Words]], max_seq_length: int, short_seq_prob: float, rng: random.Random):
    """Yields (words of A, words of B, whether B is random)."""
    most = max_seq_length - 3
    for index, document in enumerate(documents):
        target = rng.randint(2, most) if rng.random() < short_seq_prob else most
        chunk: list[Words] = []
        position = 0
        while position < len(document):
            chunk.append(document[position])
            if position == len(document) - 1 or sum(map(size, chunk)) >= target:
                cut = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
                first = [word for sentence in chunk[:cut] for word in sentence]
                is_random = len(chunk) == 1 or rng.random() < 0.5
                second: Words = []
                if is_random:
                    other = rng.choice([i for i in range(len(documents)) if i != index])
                    for sentence in documents[other][rng.randint(0, len(documents[other]) - 1) :]:
                        second += sentence
                        if size(second) >= target - size(first):
                            break
                    position -= len(chunk) - cut
                else:
                    second = [word for sentence in chunk[cut:] for word in sentence]
                first, second = [list(word) for word in first], [list(word) for word in second]
                while size(first) + size(second) > most:
                    drop_one(first if size(first) > size(second) else second, rng)
                yield first, second, is_random
                chunk = []
            position += 1


def size(words: Words) -> int:
    return sum(map(len, words))


def drop_one(words: Words, rng: random.Random) -> None:
    """One piece off the front or the back."""
    at = 0 if rng.random() < 0.5 else -1
    words[at].pop(at)
    if not words[at]:
        words.pop(at)


def mask(
    first: Words,
    second: Words,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocabulary: list[str],
    rng: random.Random,
):
    """([CLS] A [SEP] B [SEP] as pieces, masked; {position: original piece}; [(positions of a word)])."""
    pieces, units = [CLS], []
    for segment in (first, second) if second else (first,):
        for word in segment:
            units.append(range(len(pieces), len(pieces) + len(word)))
            pieces += word
        pieces.append(SEP)
    limit = min(max_predictions_per_seq, max(1, round(len(pieces) * masked_lm_prob)))
    labels: dict[int, str] = {}
    for unit in rng.sample(units, len(units)):
        if len(labels) >= limit:
            break
        if len(labels) + len(unit) > limit:
            continue
        for position in unit:
            labels[position] = pieces[position]
            draw = rng.random()
            if draw < 0.8:
                pieces[position] = MASK
            elif draw < 0.9:
                pieces[position] = rng.choice(vocabulary)
    return pieces, labels, units
