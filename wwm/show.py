"""What a stage wrote, as lines to read; for `wwm show`."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from wwm.common import files
from wwm.common.errors import UserError, reading
from wwm.training import loader


def lines(file: Path, numbers: range, vocab: Path, seed: int) -> list[str]:
    """Of whatever a stage wrote, by its ending. Raises UserError for any other file, or a broken one."""
    if file.is_dir():
        raise UserError(f"{file} is a folder; name an .arrow, .parquet or .jsonl file in it that a stage wrote")
    # Any file may be named: what it lacks is told by whatever looks for it.
    with reading(file, Exception, remedy="name a file that a stage wrote, or run that stage again"):
        match file.suffix:
            case ".arrow":
                return list(examples(file, numbers, vocab, seed))
            case ".parquet":
                return list(documents(file, numbers))
            case ".jsonl":
                return list(dropped(file, numbers))
    raise UserError(
        f"{file}: there is nothing to show of a {file.suffix or 'file without ending'}; name an .arrow, .parquet or"
        " .jsonl file that a stage wrote"
    )


def examples(shard: Path, numbers: range, vocab: Path, seed: int) -> Iterator[str]:
    """How a shard was made, then examples: pieces with bars between units, as they were and as they are masked."""
    found = loader.Examples(shard, vocab, seed)
    tokens = list(files.lines(vocab))
    yield from (f"{key:<26}{value}" for key, value in loader.header(loader.shards(shard)[shard]).items())
    yield f"{'examples':<26}{len(found)}"
    for number in numbers[: max(0, len(found) - numbers.start)]:
        example = found.example(number)
        original = example["input_ids"].copy()
        original[example["masked_lm_positions"]] = example["masked_lm_ids"]
        label = example["next_sentence_label"]
        follows = "" if label is None else ", B is a random sentence" if label else ", B follows A"
        yield f"\nexample {number}: {len(original)} pieces, {len(example['masked_lm_ids'])} to predict{follows}"
        yield f"units   {with_bars([tokens[i] for i in original], example['unit_begins'])}"
        chosen = np.isin(np.arange(len(original)), example["masked_lm_positions"])
        replaced = bracketed([tokens[i] for i in example["input_ids"]], chosen)
        yield f"masked  {with_bars(replaced, example['unit_begins'])}"


def bracketed(pieces: list[str], chosen: Sequence[bool] | np.ndarray) -> list[str]:
    """Pieces after masking; what was chosen and is not [MASK] stands in brackets."""
    return [f"({piece})" if was_chosen and piece != "[MASK]" else piece for piece, was_chosen in zip(pieces, chosen)]


def with_bars(pieces: list[str], begins: np.ndarray) -> str:
    return "".join(
        (" | " if begin and position else " " * (not begin)) + piece
        for position, (piece, begin) in enumerate(zip(pieces, begins))
    )


def documents(shard: Path, numbers: range) -> Iterator[str]:
    """Documents of data/corpus as they are, of data/segment a sentence a line with bars between words."""
    rows = (row for batch in files.batches(shard) for row in batch.to_pylist())
    for number, row in islice(enumerate(rows), numbers.start, numbers.stop):
        yield f"{'' if number == numbers.start else chr(10)}document {number}: {row['id']}, from {row['source']}"
        if "word_ends" not in row:
            yield row["text"]
            continue
        start, sentence_ends = 0, set(row["sentence_ends"])
        words: list[str] = []
        for end in row["word_ends"]:
            words.append(row["text"][start:end].strip())
            start = end
            if end in sentence_ends:
                yield " | ".join(words)
                words = []
        if words:
            yield " | ".join(words)


def dropped(sample: Path, numbers: range) -> Iterator[str]:
    """Documents that the stage corpus left out, by the rule that dropped them: `numbers` of each rule and source."""
    seen: dict[tuple[str, str], int] = {}
    for row in sorted(map(json.loads, files.lines(sample)), key=lambda row: (row["rule"], row["source"])):
        key = (row["rule"], row["source"])
        seen[key] = seen.get(key, 0) + 1
        if seen[key] - 1 in numbers:
            yield (
                f"{'' if len(seen) == seen[key] == 1 else chr(10)}{row['rule']}, {row['source']}, {row['characters']:,}"
                " characters"
            )
            yield row["text"]
