"""`wwm masks | show | preset`: what a person types beside `dvc repro`."""

import difflib
import shutil
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from wwm import command

NGRAM_PROBS = [0.4, 0.3, 0.2, 0.1]  # MacBERT's

commands = typer.Typer(help="Chinese BERT with whole word masking: look into the pipeline.", no_args_is_help=True, add_completion=False)


@commands.command()
def masks(
    text: Annotated[str, typer.Argument(help="Text to segment, tokenize and mask.")],
    vocab: Annotated[Path, typer.Option(help="A vocab.txt, or a tokenizer folder.")] = Path("data/vocab"),
    segmenter: Annotated[Path, typer.Option(help="An LTP folder.")] = Path("data/segmenter"),
    draws: Annotated[int, typer.Option(min=1, help="Draws of each kind of masking.")] = 3,
    masked_lm_prob: Annotated[float, typer.Option(min=0.01, max=0.99)] = 0.15,
    seed: int = 1,
) -> None:
    """Print words, WordPieces and units of TEXT, and several draws of each kind of masking."""
    for path, stage in ((vocab, "vocab"), (segmenter / "config.json", "segmenter")):
        if not path.exists():
            raise ValueError(f"{path} does not exist; `dvc repro {stage}` makes it, or name another by --{stage}")
    import numpy as np

    from wwm import align, masking, segment
    from wwm.segmenter import perceptron_file
    from wwm.vocab import build, load

    perceptron_file(segmenter, str(segmenter))
    tokens, lower_case = load(str(vocab))
    encoding = build(tokens, lower_case).encode(text, add_special_tokens=False)
    if not encoding.ids:
        raise ValueError(f"{text!r} has no pieces to mask; give some text")
    _, word_ends = segment.segment_texts([text], segment.load_ltp(str(segmenter)), batch_size=1)
    starts, ends = np.array(encoding.offsets).T
    continuation = np.array([token.startswith("##") for token in encoding.tokens])
    whole_words, _ = align.units(starts, ends, continuation, word_ends[0])
    words = [text[start:end].strip() for start, end in zip([0, *word_ends[0]], word_ends[0])]
    print(f"text        {text}\nwords       {' '.join(words)}\nWordPieces  {' '.join(encoding.tokens)}\nunits       {units_text(encoding.tokens, whole_words)}")

    settings = {"masked_lm_prob": masked_lm_prob, "max_predictions_per_seq": len(encoding.ids), "random_token": "vocabulary", "ngram_probs": NGRAM_PROBS}
    print(
        f"\n{masking.predictions(len(encoding.ids) + 2, masked_lm_prob, len(encoding.ids))} of {len(encoding.ids)} pieces ({masked_lm_prob:.0%} of them and of [CLS] and [SEP]); "
        "of the chosen 80 % are masked, 10 % kept (in brackets), 10 % replaced at random (in brackets)"
    )
    rng = np.random.default_rng(seed)
    special = tokens.index("[CLS]"), tokens.index("[SEP]")
    for kind, unit in (("WordPiece", "wordpiece"), ("whole word", "whole_word"), ("n-gram", "ngram")):
        begins = np.concatenate(([True], np.ones(len(whole_words), bool) if unit == "wordpiece" else whole_words, [True]))
        for _ in range(draws):
            ids = np.array([special[0], *encoding.ids, special[1]])
            positions, _, _ = masking.mask_examples(ids, begins, np.array([0, len(ids)], np.int32), masking.of_set(tokens, settings | {"unit": unit}), rng)
            print(f"{kind:<12}{' '.join(shown(tokens, ids, positions)[1:-1])}")


def shown(tokens: list[str], ids, positions) -> list[str]:
    """Masked ids as entries of the vocabulary; what was chosen and is not [MASK] stands in brackets."""
    chosen = set(positions.tolist())
    return [tokens[i] if position not in chosen or tokens[i] == "[MASK]" else f"({tokens[i]})" for position, i in enumerate(ids)]


def units_text(pieces: list[str], begins) -> str:
    return "".join(
        (" | " if begin and position else "") + ("" if begin else " ") + piece for position, (piece, begin) in enumerate(zip(pieces, begins))
    ).strip()


@commands.command()
def show(
    shard: Annotated[Path, typer.Argument(help="A shard of the stage mask, say data/mask/whole-word/64/train/00000.arrow.", exists=True)],
    count: Annotated[int, typer.Argument(min=1, help="How many examples, from the first one on.")] = 5,
    start: Annotated[int, typer.Option("--from", min=0, help="The first example to print.")] = 0,
    vocab: Annotated[Path, typer.Option(help="The vocab.txt that the shard was made with.", exists=True)] = Path("data/vocab/vocab.txt"),
    seed: Annotated[int, typer.Option(help="Of masks that are drawn at load time.")] = 1,
) -> None:
    """Print how SHARD was made, and COUNT of its examples: pieces with units between bars, as they were and as they are masked."""
    from wwm import files, loader

    examples = loader.Examples(shard, vocab, seed)
    tokens = list(files.lines(vocab))
    for key, value in loader.header(loader.shards(shard)[0]).items():
        print(f"{key:<26}{value}")
    print(f"{'examples':<26}{len(examples)}")
    for number in range(start, min(start + count, len(examples))):
        example = examples.example(number)
        original = example["input_ids"].copy()
        original[example["masked_lm_positions"]] = example["masked_lm_ids"]
        label = example["next_sentence_label"]
        follows = "" if label is None else ", B is a random sentence" if label else ", B follows A"
        print(f"\nexample {number}: {len(original)} pieces, {len(example['masked_lm_ids'])} to predict{follows}")
        print(f"units   {units_text([tokens[i] for i in original], example['unit_begins'])}")
        print(f"masked  {units_text(shown(tokens, example['input_ids'], example['masked_lm_positions']), example['unit_begins'])}")


@commands.command()
def preset(
    name: Annotated[str, typer.Argument(help="A file of presets/, without its ending.")],
    params_file: Annotated[Path, typer.Option("--output", help="Where to write it.")] = Path("params.yaml"),
) -> None:
    """Check presets/NAME.yaml and write it to params.yaml; a params.yaml that is no preset is kept as params.yaml.bak, .bak2 and so on."""
    from wwm import files, params

    presets = {path.stem: path.read_bytes() for path in Path("presets").glob("*.yaml")}
    names = sorted(presets)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ValueError(
            f"no preset {name!r}{f'; did you mean {near[0]}?' if near else ''} presets/ has {', '.join(names) or 'none here: run in the project folder'}"
        )
    source = Path("presets", f"{name}.yaml")
    params.read(source)
    if params_file.is_file() and params_file.read_bytes() not in presets.values():
        kept = next(path for number in count(1) if not (path := Path(f"{params_file}.bak{number if number > 1 else ''}")).exists())
        shutil.copy(params_file, kept)
        print(f"{params_file} as it was is kept as {kept}")
    files.write_text(params_file, source.read_text(encoding="utf-8"))
    print(f"{params_file} is now preset {name}; `dvc repro` runs it")


def app() -> None:
    with command.user_errors():
        commands()
