"""`wwm masks | preset`: what a person types beside `dvc repro`."""

import difflib
import shutil
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from wwm import command

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
    """Print words, WordPieces and units of TEXT, and several draws of both kinds of masking."""
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
    begins = {"WordPiece": np.ones(len(starts), bool), "whole word": align.units(starts, ends, continuation, word_ends[0])}
    words = [text[start:end].strip() for start, end in zip([0, *word_ends[0]], word_ends[0])]
    units = ["".join(unit) for unit in np.split(np.array(encoding.tokens, object), np.flatnonzero(begins["whole word"])[1:])]
    print(f"text        {text}\nwords       {' '.join(words)}\nWordPieces  {' '.join(encoding.tokens)}\nunits       {' | '.join(units)}")

    rng = np.random.default_rng(seed)
    mask_id, replacements = tokens.index("[MASK]"), masking.replacement_ids(tokens, "vocabulary")
    limit = masking.predictions(len(encoding.ids) + 2, masked_lm_prob, len(encoding.ids))
    print(
        f"\n{limit} of {len(encoding.ids)} pieces ({masked_lm_prob:.0%} of them and of [CLS] and [SEP]); of the chosen 80 % are masked, 10 % kept (in brackets), 10 % replaced at random (in brackets)"
    )
    for kind, begin in begins.items():
        unit_starts = np.flatnonzero(begin).astype(np.int32)
        unit_ends = np.append(unit_starts[1:], len(begin)).astype(np.int32)
        for _ in range(draws):
            ids = np.array(encoding.ids)
            chosen = masking.choose_units(unit_starts, unit_ends, limit, rng)
            masking.replace(ids, chosen, mask_id, replacements, rng)
            shown = [tokens[i] if position not in chosen or i == mask_id else f"({tokens[i]})" for position, i in enumerate(ids)]
            print(f"{kind:<12}{' '.join(shown)}")


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
