"""The command `wwm`: what is beside `dvc repro`."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import typer

from wwm.common import command
from wwm.common.errors import UserError

commands = typer.Typer(
    help="Chinese BERT with whole word masking: look into the pipeline.", no_args_is_help=True, add_completion=False
)

Seeds = Annotated[int | None, typer.Option(min=1, max=1000, help="Fine-tunings of each model; else 5, on a GPU 10.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as scores.language=zh. May be repeated.")]
Place = Literal["h100", "a100", "v3-8", "cpu"]


@commands.command()
def masks(
    text: Annotated[str, typer.Argument(help="Text to segment, tokenize and mask.", callback=command.whole)],
    vocab: Annotated[Path, typer.Option(help="A vocab.txt, or a tokenizer folder.")] = Path("data/vocab"),
    segmenter: Annotated[Path, typer.Option(help="An LTP folder.")] = Path("data/segmenter"),
    draws: Annotated[int, typer.Option(min=1, max=1000, help="Draws of each kind of masking.")] = 3,
    masked_lm_prob: Annotated[float, typer.Option(min=0.01, max=0.99)] = 0.15,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Print words, WordPieces and units of TEXT, and several draws of each kind of masking."""
    from wwm.look import Look

    print("\n".join(Look(vocab, segmenter).lines(text, draws, masked_lm_prob, seed)))


@commands.command()
def show(
    file: Annotated[
        Path, typer.Argument(exists=True, help="A shard of data/mask or data/segment, or data/corpus/dropped.jsonl.")
    ],
    count: Annotated[int, typer.Argument(min=1, max=100_000, help="How many examples or documents.")] = 5,
    start: Annotated[int, typer.Option("--from", min=0, help="The first one to print.")] = 0,
    vocab: Annotated[Path, typer.Option(help="The vocab.txt that examples were made with.")] = Path(
        "data/vocab/vocab.txt"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of masks that are drawn at load time.")] = 1,
) -> None:
    """Print what a stage wrote: masked examples with their units, documents with their words, or dropped documents by
    rule.
    """
    from wwm import show as look

    lines = look.lines(file, range(start, start + count), vocab, seed)
    print("\n".join(lines) or f"{file} has nothing from number {start} on")


@commands.command()
def f1(
    gold: Annotated[
        Path, typer.Argument(help="Gold words: a sentence a line, words separated by white space.", exists=True)
    ],
    segmenter: Annotated[Path, typer.Option(help="An LTP folder.", exists=True)] = Path("data/segmenter"),
) -> None:
    """Print word F1 of the segmenter on GOLD, by script, with and without the conversion to simplified characters."""
    from wwm import f1 as measured

    measured.main(gold, segmenter)


@commands.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A fine-tuned model, models/finetuned/TASK/MODEL.")],
    file: Annotated[
        str, typer.Argument(help="Texts, pairs or questions: .txt, .csv, .tsv, .jsonl, .json, .parquet; - for stdin.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="A .jsonl or .csv file; by default JSON lines on standard output.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="text, csv, tsv, json, jsonl, parquet, squad or conll; by default the ending's."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=NAME: what FILE calls a column, as text=review; label= for none. May be repeated."),
    ] = None,
) -> None:
    """Print the label or the answer that a fine-tuned MODEL gives to each row of FILE, with probabilities."""
    if bare := next((pair for pair in column or [] if pair.find("=") < 1), None):
        raise UserError(f"--column {bare}: give field and name, as --column text=review")
    named = dict(pair.partition("=")[::2] for pair in column or [])
    from wwm.release import predict as said

    said.main(model, file, output, form, named)


@commands.command()
def fill(
    model: Annotated[Path, typer.Argument(help="A model's folder, with its MLM head.")],
    text: Annotated[
        str,
        typer.Argument(
            help="[MASK] for each piece of a word, [WORD] for a word of unknown length; - reads a text a line.",
            callback=command.whole,
        ),
    ],
    top_k: Annotated[int, typer.Option(min=1, max=10_000, help="How many fillings are printed.")] = 5,
    beam: Annotated[
        int, typer.Option(min=1, max=10_000, help="Fillings kept at every step: more find more, and take longer.")
    ] = 32,
    longest: Annotated[int, typer.Option(min=1, max=100, help="Pieces of a [WORD] at most.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each text.")] = False,
) -> None:
    """Print the best words for the gaps of TEXT, all gaps together, and their probability.

    A word of several pieces is one gap: [MASK][MASK]. It has the probability of the word given its number of pieces;
    with a [WORD] that of the number of pieces comes in.
    """
    if beam < top_k:
        raise UserError(f"--beam {beam} keeps fewer fillings than --top-k {top_k} prints; give --beam {top_k} or more")
    from wwm.common import files
    from wwm.release import forms, masked_lm
    from wwm.release.fill import Filler, all_filled, table
    from wwm.release.gaps import read
    from wwm.training import device

    if text == "-":
        lines = enumerate(files.decoded(forms.standard_input(), "standard input"), 1)
        texts = (read(line, longest, f"standard input, line {number}") for number, line in lines if line.strip())
    else:
        texts = iter([read(text, longest, repr(text))])
    number = 0
    for number, (gapped, fillings) in enumerate(
        all_filled(Filler(masked_lm.load(model, device.pick()), beam), texts, top_k), 1
    ):
        if as_json:
            print(
                json.dumps({"text": gapped.text, "fillings": [one._asdict() for one in fillings]}, ensure_ascii=False)
            )
        else:
            print("\n" * (number > 1) + "\n".join(table(gapped, fillings)))
    if not number:
        raise UserError("standard input is empty; give it a text a line, with [MASK] or [WORD] in each")


@commands.command()
def play(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of models; by default all that are in models/ and can be used.", show_default=False
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of 127.0.0.1; no other address is served.")] = 7860,
    vocab: Annotated[Path, typer.Option(help="A vocab.txt, or a tokenizer folder.")] = Path("data/vocab"),
    segmenter: Annotated[Path, typer.Option(help="An LTP folder.")] = Path("data/segmenter"),
) -> None:
    """Serve a page of this machine alone, in which one types a text and sees its words, masks and what models say.

    It asks for a password, which is printed; WWM_PLAY_PASSWORD gives another one.
    """
    # All that is read lies here: nobody is to hear of it from the hub's client.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from wwm.look import Look
    from wwm.play import server
    from wwm.play.models import found

    look = cache(lambda: Look(vocab, segmenter))
    server.main(models or found(), port, lambda *asked: look()(*asked))


@commands.command()
def preset(
    name: Annotated[str, typer.Argument(help="A file of presets/, without its ending.")],
    params_file: Annotated[Path, typer.Option("--output", help="Where to write it.")] = Path("params.yaml"),
    changes: Changes = None,
) -> None:
    """Check presets/NAME.yaml and write it to params.yaml; one that is there and neither in git nor a preset is kept as
    params.yaml.bak, .bak2 and so on.
    """
    from wwm import recipe

    print(recipe.use(name, params_file, changes or []))


@commands.command()
def domain(
    text: Annotated[Path, typer.Option(help="A folder of your text; general text, if any, in its folder general.")],
    model: Annotated[str, typer.Option(help="A model's folder or hub name, as hfl/chinese-roberta-wwm-ext.")],
    task: Annotated[Path, typer.Option(help="A file of texts with labels, which is divided, or a folder of splits.")],
    seeds: Seeds = None,
    changes: Changes = None,
    params_file: Annotated[Path, typer.Option("--output", help="Where to write it.")] = Path("params.yaml"),
) -> None:
    """Write a params.yaml that trains MODEL on with your text and says whether that helped your task; and say how long
    it will take.
    """
    from wwm import domain as fitted

    fitted.main(text, model, task, seeds, changes or [], params_file)


@commands.command()
def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Folders or hub names, as hfl/rbt3.")],
    task: Annotated[Path, typer.Option(help="A file of texts with labels, which is divided, or a folder of splits.")],
    layers: Annotated[int | None, typer.Option(min=1, help="Compare each with its first layers, too.")] = None,
    seeds: Seeds = None,
    changes: Changes = None,
    params_file: Annotated[Path, typer.Option("--output", help="Where to write it.")] = Path("params.yaml"),
    run: Annotated[bool, typer.Option("--run", help="Do it at once, and end with the answer.")] = False,
) -> None:
    """Write a params.yaml that says which MODEL is better on your task, or what its first layers lose, without any
    text; and say how long it will take.
    """
    from flows.plan import in_order, plan
    from wwm import compare as fitted

    fitted.main(models, task, layers, seeds, changes or [], params_file, run, lambda: in_order(plan(["scores"]), True))


@commands.command()
def plan(
    name: Annotated[
        str | None, typer.Argument(help="A file of presets/, without its ending; else params.yaml.")
    ] = None,
    place: Annotated[Place, typer.Option("--device", help="cpu is this machine, measured for a second.")] = "cpu",
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Of the device's peak that training reaches.")] = 0.3,
    characters: Annotated[
        float | None,
        typer.Option(min=1, max=1e15, help="Of the training text, 5.4e9 of the authors' larger corpus."),
    ] = None,
    changes: Changes = None,
) -> None:
    """Print what the recipe NAME takes, before anything is bought: steps, tokens, FLOPs, hours, disk."""
    from wwm import budget, recipe

    values = recipe.chosen(name, changes or [])[1]
    print("\n".join(budget.lines(values, place, share, characters)))


@commands.command()
def lineage(
    what: Annotated[
        str,
        typer.Argument(
            help=(
                "A model of MLflow's registry (reviews, demo.bert@passed), a run's id, a hash of DVC or its first 6"
                " digits, or a path here (models/bert, data/corpus)."
            )
        ),
    ],
) -> None:
    """Print what a model, run or file came from: commit, params, data, weights and scores; and what came of it."""
    from wwm.track import trace

    trace.main(what)


@commands.command()
def check() -> None:
    """List all that is wrong in params.yaml or missing here for the stages that would run, each with its remedy."""
    from flows.plan import check_params, in_order, plan

    check_params()
    todo = in_order(plan(), True)
    print(f"Nothing is missing. To do, if only by taking it from the cache: {', '.join(todo) or 'nothing'}.")


@commands.command()
def doctor() -> None:
    """Print what a bug report needs: versions, machine, and the state of params.yaml here; nothing personal."""
    from wwm import doctor as look

    look.main()


@commands.command()
def clean(
    days: Annotated[float, typer.Option(min=0, max=36500, help="Folders last written so long ago or earlier.")] = 30,
    remove: Annotated[bool, typer.Option("--remove", help="Remove them, and not only name them.")] = False,
) -> None:
    """List checkpoints and clones that runs which were cut off have left on this machine."""
    from wwm import clean as old

    old.main(days, remove)


def app() -> None:
    with command.user_errors("wwm"):
        command.keep_compiled()
        commands()


if __name__ == "__main__":
    app()
