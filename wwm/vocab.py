"""The WordPiece tokenizer: trained on the corpus, or taken from a file, a folder or the hub.

Reads   data/corpus/{train,heldout}/*.parquet
Writes  data/vocab/: vocab.txt, tokenizer.json, tokenizer_config.json (loads with BertTokenizer); results/vocab.json
        with the shares of [UNK]; results/vocab.csv: what is [UNK], rare characters, words of many pieces
By hand python -m wwm.vocab
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np
from tokenizers import Tokenizer, trainers
from tqdm import tqdm

from wwm.common import files, hub
from wwm.common.csv_text import csv_text
from wwm.common.errors import UserError
from wwm.text import added, coverage, tokenization, vocabulary

SHOWN = 10  # of the texts that became [UNK]
LISTED = 1000  # of each kind in results/vocab.csv
READ = 20_000_000  # characters of the text to train on, in which these are counted


def main() -> None:
    from wwm import params, track

    values = params.read()
    base, vocab = values.base, values.vocab
    outs = [Path("data/vocab"), Path("results/vocab.json"), Path("results/vocab.csv")]
    with track.run("vocab", params=vocab.model_dump(), outs=outs) as run:
        trained_on, heldout = ([*files.shards("corpus", part)] for part in ("train", "heldout"))
        if vocab.source == "train":
            lower_case, mapped = vocab.do_lower_case is not False, vocab.map_characters or {}
            lines = partial(texts, shuffled(trained_on, base.seed), vocab.train_characters)
            empty = vocabulary.build(vocabulary.SPECIAL, lower_case, mapped)
            tokens = train(empty, lines, vocab.vocab_size, vocab.min_frequency)
        else:
            tokens, lower_case, mapped = load(vocab.source, vocab.do_lower_case, vocab.map_characters)
        tokenizer = vocabulary.build(tokens, lower_case, mapped)
        check_map(tokenizer, mapped)
        before = {}
        if vocab.add:
            given = added.read(vocab.add)
            new = added.placed(tokens, given, tokenizer)
            before = {"size": len(tokens)}
            before |= unknown_shares(tokenizer, tokens, texts(heldout))[0]
            tokens, tokenizer = new, vocabulary.build(new, lower_case, mapped)
        counts, unknown = unknown_shares(tokenizer, tokens, texts(heldout))
        shown = ", ".join(f"{word} {count:,}" for word, count in unknown.most_common(SHOWN))
        letters = (
            f"{counts['unknown_share']:.2%} of letters and {counts['unknown_punctuation_share']:.2%} of punctuation in"
            f" held-out text are [UNK]{f' ({shown})' if shown else ''}"
        )
        if counts["unknown_share"] > vocab.unknown_share_limit:
            raise UserError(
                f"vocab: {letters}; vocab.unknown_share_limit is {vocab.unknown_share_limit} for letters: take a"
                " vocabulary of this script, or a larger vocab.vocab_size, or raise the limit"
            )
        with files.new_folder(outs[0]) as folder:
            vocabulary.save(tokenizer, tokens, lower_case, folder, mapped)
        counts = {"size": len(tokens)} | counts
        found = coverage.measure(tokenizer, tokens, texts(shuffled(trained_on, base.seed), READ))
        fits = {
            "unknown_texts": len(found.unknown),
            "rare_characters": len(found.rare),
            "words_of_many_pieces": found.split.total(),
        }
        told = {"before": before, "added": [entry for _, entry in given]} if before else {}
        shown_words = [[text, count, found.pieces[text]] for text, count in coverage.ordered(found.split)[:SHOWN]]
        lists = {"most_frequent_unknown": unknown.most_common(SHOWN), "most_frequent_split": shown_words}
        files.write_json(outs[1], counts | fits | told | lists)
        files.write_text(outs[2], csv_text(["kind", "text", "count", "pieces"], found.rows(LISTED)))
        run.log(counts | fits | {f"before.{name}": number for name, number in before.items()})
        run.text("unknown.csv", csv_text(["text", "count"], unknown.most_common(1000)))
        print(f"vocab: {len(tokens):,} entries; {casing(tokens, lower_case)}; {letters}")
        if before:
            print(f"vocab: {len(given)} entries were added; {before['unknown_share']:.2%} of letters were [UNK] before")
        if found.split:
            words = ", ".join(f"{text} {count:,}" for text, count in coverage.ordered(found.split)[:SHOWN])
            print(
                f"vocab: words of {coverage.MANY} pieces or more in the text: {words}; {outs[2]} lists more (a Chinese"
                " character is a piece by itself, so these are of other scripts); vocab.add makes entries of them"
            )


def shuffled(paths: list[Path], seed: int) -> list[Path]:
    """In an order of its own, so that a limit takes shards from all of the corpus."""
    return [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]


def texts(paths: list[Path], limit: float = math.inf) -> Iterator[str]:
    """Lines of the documents of these shards, until they hold `limit` characters."""
    seen = 0
    for path in paths:
        for batch in files.batches(path, columns=["text"]):
            for text in batch["text"].to_pylist():
                if seen >= limit:
                    return
                seen += len(text)
                yield from text.split("\n")


def train(tokenizer: Tokenizer, lines: Callable[[], Iterable[str]], size: int, min_frequency: int) -> list[str]:
    """Entries in id order: special tokens, characters, `##` characters, then what the WordPiece trainer joins; `lines`
    is read twice. tokenizer: one that has the special tokens alone.

    The trainer numbers the `##` characters in the order of a hash table, and so breaks ties differently in every run;
    handed all characters in sorted order, it gives the same vocabulary for the same lines.
    """
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


def load(
    source: str, lower_case: bool | None = None, mapped: dict[str, str] | None = None
) -> tuple[list[str], bool, dict[str, str]]:
    """(entries in id order, lower-casing, mapped characters) of a file, a folder or a hub name; those two as given, or
    else what is right for this vocabulary. Raises UserError if there is none.

    Text is lower-cased where the vocabulary does not cover capitals, whatever the folder says: bert-base-chinese's own
    says `do_lower_case: false`, which would make [UNK] of every capital (issue 121 of the authors' repository).
    """
    path, config = find(source)
    tokens = vocabulary.read_vocab(path)
    if lower_case is None:
        lower_case = config.get("do_lower_case", False) if covers_capitals(tokens) else True
    return tokens, lower_case, config.get("map_characters", {}) if mapped is None else mapped


def covers_capitals(tokens: list[str]) -> bool:
    """Whether the vocabulary has half as many of A to Z as of a to z; a few entries with capitals make it no cased one
    (issue 16039 of transformers).
    """
    return 2 * len({*tokens} & {*ascii_uppercase}) > len({*tokens} & {*ascii_lowercase})


def casing(tokens: list[str], lower_case: bool) -> str:
    """In words, with the entries that no lower-cased text ever has."""
    covered = f"{len({*tokens} & {*ascii_uppercase})} of A to Z are entries"
    if not lower_case:
        return f"text keeps its case ({covered})"
    never = [token for token in tokens if token != token.lower() and not re.fullmatch(r"\[.+\]|<.+>", token)]
    more = f"; never found: {', '.join(never[:5])}{', ...' if len(never) > 5 else ''}, {len(never):,} in all"
    return f"text is lower-cased ({covered}{more if never else ''})"


def find(source: str) -> tuple[Path, dict[str, Any]]:
    """(vocab.txt, tokenizer_config.json of its folder) of a file, a folder or a hub name. Raises UserError if there is
    none.
    """
    path = Path(source)
    if path.is_file():
        return path, {}
    path = hub.folder(source, "vocab.source", ["vocab.txt", "tokenizer_config.json"], hub.CHOICES["vocab"])
    if not (path / "vocab.txt").is_file():
        raise UserError(f"vocab.source: {source} has no vocab.txt; a BERT tokenizer folder has one")
    config = path / "tokenizer_config.json"
    if not config.is_file():
        return path / "vocab.txt", {}
    found = files.read_json(config)
    given = found.get("do_lower_case", True) if isinstance(found, dict) else None
    if not isinstance(given, bool) or not isinstance(found.get("map_characters", {}), dict):
        raise UserError(
            f"vocab.source: {config} is no tokenizer's: an object in which do_lower_case is true or false, and"
            " map_characters an object; copy it anew"
        )
    return path / "vocab.txt", {"do_lower_case": True} | found


def check_map(tokenizer: Tokenizer, mapped: dict[str, str]) -> None:
    """Raises UserError for a character that is mapped to what the vocabulary has not."""
    for character, text in mapped.items():
        pieces = tokenizer.encode(character, add_special_tokens=False).tokens
        if not pieces or "[UNK]" in pieces:
            raise UserError(
                f"vocab.map_characters: {character} is mapped to {text!r}, which the vocabulary has not; map it to"
                " entries of it, which are no keys here themselves"
            )


def unknown_shares(tokenizer: Tokenizer, tokens: list[str], lines: Iterable[str]) -> tuple[dict[str, float], Counter]:
    """Shares of [UNK] among pieces with letters or digits, and among all others, with the number of pieces; and how
    often each text became [UNK].
    """
    encoder, unknown_id = tokenization.CorpusTokenizer(tokenizer), tokens.index("[UNK]")
    with_letters = np.array([is_letters(token) for token in tokens])
    pieces, letters, unknown = 0, 0, Counter()
    lines = iter(tqdm(lines, desc="vocab: measuring [UNK]", unit=" lines", mininterval=1))
    while batch := list(islice(lines, 1000)):
        ids, starts, ends = encoder.encode(batch)
        of_entries = ids != unknown_id
        text = "".join(batch)
        unknown.update(text[start:end] for start, end in zip(starts[~of_entries], ends[~of_entries]))
        pieces += len(ids)
        letters += int(with_letters[ids[of_entries]].sum())
    unknown_letters = sum(count for text, count in unknown.items() if is_letters(text))
    punctuation = pieces - letters - unknown_letters
    return {
        "heldout_pieces": pieces,
        "unknown_share": unknown_letters / max(1, letters + unknown_letters),
        "unknown_punctuation_share": (unknown.total() - unknown_letters) / max(1, punctuation),
    }, unknown


def is_letters(text: str) -> bool:
    return any(map(str.isalnum, text))


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
