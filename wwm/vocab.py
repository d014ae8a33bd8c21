"""The WordPiece tokenizer: trained on the corpus, or taken from a file, a folder or the hub.

Reads   data/corpus/{train,heldout}/*.parquet
Writes  data/vocab/: vocab.txt, tokenizer.json, tokenizer_config.json (loads with BertTokenizer); results/vocab.json
        with the share of [UNK]
By hand python -m wwm.vocab
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer, trainers
from tqdm import tqdm

from wwm.common import files, hub
from wwm.common.errors import UserError
from wwm.text import vocabulary


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, vocab = values.base, values.vocab
    outs = [Path("data/vocab"), Path("results/vocab.json")]
    with track.run("vocab", params=vocab.model_dump(), outs=outs) as run:
        lower_case = True
        if vocab.source == "train":
            lines = partial(texts, shuffled(shards("train"), base.seed), vocab.train_characters)
            tokens = train(lines, vocab.vocab_size, vocab.min_frequency)
        else:
            tokens, lower_case = load(vocab.source)
        tokenizer = vocabulary.build(tokens, lower_case)
        counts = {"size": len(tokens)} | unknown_share(tokenizer, texts(shards("heldout")))
        if counts["unknown_share"] > vocab.unknown_share_limit:
            raise UserError(
                f"vocab: {counts['unknown_share']:.4f} of the pieces of held-out text are [UNK],"
                f" vocab.unknown_share_limit is {vocab.unknown_share_limit}; take a vocabulary of this script, or a"
                " larger vocab.vocab_size, or raise the limit"
            )
        with files.new_folder(outs[0]) as folder:
            vocabulary.save(tokenizer, tokens, lower_case, folder)
        files.write_json(outs[1], counts)
        run.log(counts)
        print(f"vocab: {len(tokens)} entries, {counts['unknown_share']:.4%} [UNK] in held-out text")


def shards(part: str) -> list[Path]:
    return sorted(Path("data/corpus", part).glob("*.parquet"))


def shuffled(paths: list[Path], seed: int) -> list[Path]:
    """In an order of its own, so that a limit takes shards from all of the corpus."""
    return [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]


def texts(paths: list[Path], limit: float = math.inf) -> Iterator[str]:
    """Lines of the documents of these shards, until they hold `limit` characters."""
    seen = 0
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=["text"]):
            for text in batch["text"].to_pylist():
                if seen >= limit:
                    return
                seen += len(text)
                yield from text.split("\n")


def train(lines: Callable[[], Iterable[str]], size: int, min_frequency: int) -> list[str]:
    """Entries in id order: special tokens, characters, `##` characters, then what the WordPiece trainer joins; `lines`
    is read twice.

    The trainer numbers the `##` characters in the order of a hash table, and so breaks ties differently in every run;
    handed all characters in sorted order, it gives the same vocabulary for the same lines.
    """
    tokenizer = vocabulary.build(vocabulary.SPECIAL, lower_case=True)
    first, later = Counter(), Counter()
    for line in tqdm(lines(), desc="vocab: counting characters", unit=" lines", mininterval=1):
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line)):
            first.update(word[0])
            later.update(f"##{character}" for character in word[1:])
    characters = first + Counter({entry[2:]: count for entry, count in later.items()})
    alphabet = sorted(character for character, count in characters.items() if count >= min_frequency)
    within = sorted(later.keys() & {f"##{character}" for character in alphabet})
    if len(vocabulary.SPECIAL) + len(alphabet) + len(within) > size:
        raise UserError(
            f"vocab.vocab_size {size} is too small: the corpus has {len(alphabet)} characters, {len(within)} of them"
            f" within words too; raise it, or vocab.min_frequency {min_frequency}"
        )
    fixed = [*vocabulary.SPECIAL, *alphabet, *within]
    # Rarer characters stay out: the trainer would add them in no fixed order.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=fixed,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines(), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)


def load(source: str) -> tuple[list[str], bool]:
    """(entries in id order, lower-casing) of a file, a folder or a hub name. Raises UserError if there is none.

    Text is lower-cased where the vocabulary has no capitals, whatever the folder says: bert-base-chinese's own says
    `do_lower_case: false`, which would make [UNK] of every capital (issue 121 of the authors' repository).
    """
    path, configured = find(source)
    tokens = vocabulary.read_vocab(path)
    has_capitals = any(token != token.lower() for token in tokens if not re.fullmatch(r"\[.+\]|<.+>", token))
    return tokens, configured if has_capitals else True


def find(source: str) -> tuple[Path, bool]:
    """(vocab.txt, whether its folder asks for lower-casing) of a file, a folder or a hub name. Raises UserError if
    there is none.
    """
    path = Path(source)
    if path.is_file():
        return path, False
    choices = "`train`, a vocab.txt, a folder, or a hub name such as google-bert/bert-base-chinese"
    path = hub.folder(source, "vocab.source", ["vocab.txt", "tokenizer_config.json"], choices)
    if not (path / "vocab.txt").is_file():
        raise UserError(f"vocab.source: {source} has no vocab.txt; a BERT tokenizer folder has one")
    config = path / "tokenizer_config.json"
    return path / "vocab.txt", files.read_json(config).get("do_lower_case", True) if config.is_file() else False


def unknown_share(tokenizer: Tokenizer, lines: Iterable[str]) -> dict[str, float]:
    unknown = pieces = 0
    lines = iter(tqdm(lines, desc="vocab: measuring [UNK]", unit=" lines", mininterval=1))
    while batch := list(islice(lines, 1000)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            unknown += encoding.tokens.count("[UNK]")
            pieces += len(encoding)
    return {"heldout_pieces": pieces, "unknown_share": unknown / max(1, pieces)}


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
