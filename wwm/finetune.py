"""Fine-tune one model on one task, all seeds.

Reads   models/MODEL, data/tasks/TASK/
Writes  results/finetune/TASK/MODEL.json: the scores of each seed, in percent, and what they were measured with;
        results/finetune/TASK/MODEL.parquet: what each seed scores on each example;
        results/predictions/TASK/MODEL/: what the seed with the best dev score says of each row, SPLIT.jsonl, test files
        without labels included, and of a reading task SPLIT.json besides, for official scripts;
        models/finetuned/TASK/MODEL/: that seed's model, and with `keep: all` the others' in seeds/SEED/;
        results/times/finetune/TASK/MODEL.json
By hand python -m wwm.finetune MODEL TASK

Seeds that are finished survive a kill. Where there are several GPUs each takes seeds.
"""

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import AutoConfig

from wwm.common import code, files, model_folder
from wwm.common.errors import UserError
from wwm.common.result_files import Finetuned
from wwm.tasks import classifier, figures, kept, mistakes, predictions, reader, seeds, spans, tagger, tuning
from wwm.tasks.conditions import conditions
from wwm.tasks.metrics import METRICS
from wwm.tasks.rows import Split, converted, only_label
from wwm.tasks.splits import Data, load_given, task_of, texts
from wwm.tasks.task import KEEP, USUAL_RATES, Keep, Task
from wwm.text import simplify, tokenization
from wwm.track import Run
from wwm.training import device, weight_files


class Cell(NamedTuple):
    """One model on one task, ready to be trained."""

    table: Task
    data: Data
    tokenizer: Tokenizer
    how: tuning.How
    job: tuning.Job
    conditions: dict[str, Any]  # of the task and its data
    simplify: bool


def main(model: str, task: str) -> None:
    from wwm import params, track

    values = params.read()
    base, finetune = values.base, values.finetune
    given = finetune.tasks[params.one_of("finetune TASK", task, finetune.tasks)]
    options = finetune.models[params.one_of("finetune MODEL", model, finetune.models)]
    folder, place = Path("models", model), Path("data/tasks", task)
    out, said = Path(f"results/finetune/{task}/{model}.json"), Path("results/predictions", task, model)
    home, keep = kept.home(task, model), options.keep or KEEP
    cell = prepare(folder, task, given, finetune, options.learning_rates or USUAL_RATES, options.simplify)
    numbers = [base.seed + number for number in range(finetune.seeds)]
    settings = {
        "base": base.model_dump(),
        "task": given.model_dump(),
        "how": cell.how._asdict(),
        "simplify": options.simplify,
        "keep": keep,
    }
    with track.scratch(f"finetune-{model}-{task}", [folder, place], settings | {"code": code.key("finetune")}) as work:
        known = {"model": model, "seeds": finetune.seeds, **settings}
        if given.sweep:
            known |= {"how": cell.how._asdict() | {"learning_rate": "swept"}}
        kept.check_room(cell.job.parameters(), keep, finetune.seeds, home, work)
        outs = [out, out.with_suffix(".parquet"), said, home]
        with track.run("finetune", name=f"{model}-{task}", params=known, outs=outs, scratch=work) as run:
            swept, how = {}, cell.how
            if given.sweep:
                swept = sweep(cell, given.sweep, numbers[0], work, base.threads, f"sweep {model} {task}", keep)
                how = how._replace(learning_rate=max(swept, key=swept.get))
            runs = [(how, number) for number in numbers]
            finished = seeds.run(cell.job, runs, work, base.threads, f"finetune {model} {task}", keep)
            rows = [one.trained for one in finished]
            best = seeds.best(rows)
            with files.new_folder(said) as written:
                named = {**cell.data.splits, **cell.data.unlabelled}
                predictions.write(written, cell.table.kind, named, rows[best]["predictions"], cell.data.labels)
            kept.write(home, keep, finished, numbers, best, description(cell, model, task), folder)
            scored = {split: cell.data.splits[split].examples for split in cell.how.splits}
            said_by = [(number, row["predictions"]) for number, row in zip(numbers, rows)]
            figures.write(outs[1], METRICS[cell.table.metric], scored, cell.data.labels, said_by)
            show_mistakes(run, cell, rows[best]["predictions"])
            for step, (number, row) in enumerate(zip(numbers, rows)):
                del row["predictions"], row["seconds"]
                measured = {"loss": row["loss"]} | by_split(row["scores"])
                run.log(measured, step=step)
                told = {"model": model, "task": task, "seed": number}
                told |= {"learning_rate": how.learning_rate, "epoch": row["epoch"]}
                run.child(f"{model}-{task} seed {number}", told, measured)
            result: Finetuned = {
                "model": model,
                "task": task,
                **cell.conditions,
                **of_model(cell),
                "kept": keep,
                "how": how._asdict() | {"simplify": options.simplify},
                "swept": {f"{rate:g}": score for rate, score in swept.items()},
                "seeds": [{"seed": number, **row} for number, row in zip(numbers, rows)],
                "weights": model_folder.weights_hash(folder),
                "training": model_folder.training_history(folder),
            }
            files.write_json(out, result)
            run.took(f"finetune/{task}/{model}", device.named(device.places()[0]), took := seeds.seconds(work))
            print(f"finetune {model} {task}: {summary(result)} in {took:,.0f} s")


def summary(result: Finetuned) -> str:
    """Max (mean) of each measure over the seeds, as the tables have it."""
    found = [by_split(row["scores"]) for row in result["seeds"]]
    columns = {name: [scores[name] for scores in found] for name in found[0]}
    said = [f"{name} {max(column):.1f} ({sum(column) / len(column):.1f})" for name, column in columns.items()]
    return f"{', '.join(said)}: max (mean) of {len(found)} seeds"


def show_mistakes(run: Run, cell: Cell, predicted: dict[str, Any]) -> None:
    """What is wrong on dev: who looks at the errors of test tunes on them."""
    examples, said, labels = cell.data.splits["dev"].examples, predicted["dev.json"], list(cell.data.labels)
    match cell.table.kind:
        case "reading":
            run.text("errors_dev.csv", mistakes.of_reader(examples, figures.by_id(said)))
        case "tagging":
            run.text("errors_dev.csv", mistakes.of_tagger(examples, said))
            gold = [labels.index(tag) for sentence in examples for tag in sentence.tags]
            run.matrix("confusion_dev", labels, mistakes.confusion(gold, list(chain(*said)), labels))
        case _:
            run.text("errors_dev.csv", mistakes.of_classifier(examples, predicted["dev_probabilities.json"], labels))
            gold = [example.label for example in examples]
            run.matrix("confusion_dev", labels, mistakes.confusion(gold, said, labels))


def by_split(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """{"dev": {"accuracy": 90.0}} -> {"dev_accuracy": 90.0}"""
    return {f"{split}_{name}": value for split, measures in scores.items() for name, value in measures.items()}


def sweep(
    cell: Cell, rates: list[float], seed: int, work: Path, threads: int, title: str, keep: Keep
) -> dict[float, float]:
    """The dev score of each learning rate, without those whose loss is not finite. Raises tuning.Diverged if all are
    so.
    """
    scores = {}
    for rate in rates:
        try:
            [found] = seeds.run(
                cell.job, [(cell.how._replace(learning_rate=rate), seed)], work, threads, f"{title} {rate:g}", keep
            )
        except tuning.Diverged as error:
            print(f"{title}: {error}", flush=True)
            last = error
            continue
        scores[rate] = tuning.main_measure(found.trained["scores"]["dev"])
    if not scores:
        raise last
    return scores


def prepare(folder: Path, task: str, given, finetune, rates: str, simplified: bool) -> Cell:
    """folder: of the model; rates: which learning rates of the table. Raises UserError for
    what is missing in either.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} is not there or is no model; one of init, load, pretrain, distill, truncate makes it"
        )
    if not [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]:
        raise UserError(f"{folder} has a config.json and no weights (model.safetensors); copy the whole model")
    weight_files.read_config(folder, str(folder))
    with weight_files.loading(str(folder)):
        config = AutoConfig.from_pretrained(folder)
    tokenizer = tokenization.load(folder)
    if (entries := tokenizer.get_vocab_size()) > config.vocab_size:
        raise UserError(
            f"{folder} has a vocabulary of {entries:,} entries and weights for {config.vocab_size:,}; its"
            " tokenizer.json is another model's"
        )
    if (folder / "vocab.txt").is_file() and entries < (listed := len(list(files.lines(folder / "vocab.txt")))):
        raise UserError(
            f"{folder}: tokenizer.json has {entries:,} entries and vocab.txt {listed:,}; one of them is another model's"
        )
    table = task_of(task, given.define)
    how = recipe(task, given, table, finetune, rates, config.max_position_embeddings)
    data = load_given(table, given)
    if alone := only_label(data.splits["train"].examples, data.labels):
        file = data.splits["train"].file
        raise UserError(f"data/tasks/{task}/{file}: all of train is {alone}, so nothing is learnt; add others")
    of_task = conditions(table, data)
    if simplified:
        data = data._replace(splits=simple(data.splits), unlabelled=simple(data.unlabelled))
    scored = tuple(split for split in table.splits if split in data.splits)
    how = how._replace(splits=scored, unlabelled=tuple(data.unlabelled))
    examples = {split: found.examples for split, found in {**data.splits, **data.unlabelled}.items()}
    match table.kind:
        case "reading":
            job = reader.Answering(folder, tokenizer, examples, data.labels, table.metric, how)
        case "tagging":
            job = tagger.Tagging(folder, tokenizer, examples, data.labels, table.metric, how)
        case "single" | "pair":
            job = classifier.Classification(folder, tokenizer, examples, data.labels, how.max_seq_length, table.metric)
        case _:
            raise AssertionError(table.kind)
    return Cell(table, data, tokenizer, how, job, of_task, simplified)


def simple(splits: dict[str, Split]) -> dict[str, Split]:
    return {
        split: found._replace(examples=[converted(example, simplify.simplified) for example in found.examples])
        for split, found in splits.items()
    }


def description(cell: Cell, model: str, task: str) -> kept.Kept:
    lengths = ("max_seq_length", "stride", "max_query_length", "max_answer_length")
    return {
        "model": model,
        "task": task,
        "kind": cell.table.kind,
        "labels": list(cell.data.labels),
        "spellings": {other: label for other, label in cell.data.spellings.items() if other != label},
        "columns": cell.table.columns,
        "ignored_labels": list(cell.table.ignored_labels),
        "language": cell.table.language,
        "segmented": cell.table.segmented,
        "simplify": cell.simplify,
        **{name: getattr(cell.how, name) for name in lengths},
    }


def of_model(cell: Cell) -> dict:
    """What the scores of this model are measured with, as `scores` tells it."""
    scored = [example for split in cell.how.splits for example in cell.data.splits[split].examples]
    return {
        "unreachable": cell.job.unreachable() if cell.table.kind == "reading" else {},
        "parameters": cell.job.parameters(),
        "unknown_share": unknown_share(cell.tokenizer, [text for example in scored for text in texts(example)]),
    }


def recipe(task: str, given, table: Task, finetune, kind: str, positions: int) -> tuning.How:
    """What params.yaml gives, and the table where it does not. Raises UserError for what neither has, and for inputs
    longer than the model's `positions`.
    """
    key = f"finetune.tasks.{task}"
    if given.max_seq_length and given.max_seq_length > positions:
        raise UserError(
            f"{key}.max_seq_length {given.max_seq_length} is more than the {positions} positions of the model"
        )
    known = asdict(table.recipe) if table.recipe else {}
    rate = given.learning_rate or (given.sweep[0] if given.sweep else known.get("learning_rates", {}).get(kind))
    length = given.max_seq_length or (known and min(known["max_seq_length"], positions))
    values = {
        "learning_rate": rate,
        "epochs": given.epochs or known.get("epochs"),
        "batch_size": given.batch_size or known.get("batch_size"),
        "max_seq_length": length,
    }
    if lacking := [name for name, value in values.items() if not value]:
        raise UserError(
            f"{key}.{lacking[0]} is missing, and wwm/tasks/table.py has none for {task}; set it, say {key}:"
            " {learning_rate: 2.0e-5, epochs: 3, batch_size: 64, max_seq_length: 128}"
        )
    windows = {
        "stride": given.stride or length // (2 if table.kind == "tagging" else 4),
        "max_query_length": given.max_query_length or spans.MAX_QUERY_LENGTH,
        "max_answer_length": given.max_answer_length or spans.MAX_ANSWER_LENGTH,
    }
    settings = {"precision": finetune.precision, "select": finetune.select}
    return tuning.How(**values, **windows, **settings, splits=())


def unknown_share(tokenizer: Tokenizer, texts: list[str]) -> float:
    """Share of [UNK] among the pieces of the texts, uncut."""
    ids = [id for encoding in tokenizer.encode_batch(texts, add_special_tokens=False) for id in encoding.ids]
    return round(ids.count(tokenizer.token_to_id("[UNK]")) / max(1, len(ids)), 6)


if __name__ == "__main__":
    from wwm import params
    from wwm.common import command

    command.run(main, params.cell)
