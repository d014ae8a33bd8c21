"""Tables, plots and one page that compare the models.

Reads   results/pretrain/*.{json,csv}, results/cloze/*.json, results/finetune/*/*.json
Writes  results/report/: scores.md, scores.csv (every single figure), curves.csv, index.html (opens from disk, offline); results/scores.json
By hand python -m wwm.scores

What was not run is `n/a` with the reason. Which models were trained, cut or never trained is read from the results, not from names.
"""

import csv
from itertools import product
from pathlib import Path
from typing import NamedTuple

from wwm import files, paired, report, tasks

CLOZE = {"word_accuracy": "whole words", "piece_accuracy": "pieces", "piece_top5": "pieces, top 5"}
# The authors' own scale, which no figure here is to be taken for (base models).
AUTHORS = "102M parameters and 0.4 to 5.4 billion tokens"


class Results(NamedTuple):
    """What the stages measured; a model that was not measured has no entry."""

    models: list[str]
    pretrain: dict[str, dict]
    curves: dict[str, list[tuple[int, float]]]  # (step, training MLM loss in nats)
    cloze: dict[str, dict]
    finetune: dict[str, dict[str, dict]]  # by task, then by model


class Table(NamedTuple):
    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]


class Comparison(NamedTuple):
    """A model against one that it should beat: difference of mean test scores in points, and what chance makes of it."""

    task: str
    model: str
    against: str
    margin: float
    spread: float

    @property
    def holds(self) -> bool:
        return self.margin > self.spread


def main() -> None:
    from wwm import params, track

    _, scores = params.load("scores")
    out, metrics = Path("results/report"), Path("results/scores.json")
    with track.run("scores", params=scores.model_dump(), outs=[out, metrics]) as run:
        results = read(Path("results"), scores.models, scores.tasks)
        caption, statements = scale(results), claims(results)
        tables = [task_table(results), comparison_table(results), relative_table(results, scores.baseline), cloze_table(results)]
        tables += [paired_table(results, pairs) for pairs in scores.pairs]
        with files.new_folder(out) as folder:
            files.write_text(folder / "scores.md", markdown(caption, statements, tables))
            files.write_text(folder / "scores.csv", report.lines(["model", "task", "measure", "seed", "value"], single_figures(results)))
            points = [(model, *point) for model, curve in results.curves.items() for point in curve]
            files.write_text(folder / "curves.csv", report.lines(["model", "step", "mlm_loss"], points))
            files.write_text(folder / "index.html", report.page([caption, *statements], tables, plots(results)))
        flat = flat_metrics(results)
        files.write_json(metrics, flat)
        run.log({f"{task}/{model}/{name}": value for task, rows in flat.items() for model, row in rows.items() for name, value in row.items()})
        for model in scores.models:
            run.annotate_model(model, {f"{task}.{name}": value for task, rows in flat.items() for name, value in rows.get(model, {}).items()})
        run.artifact(out)
        print((out / "scores.md").read_text(encoding="utf-8"))


def read(folder: Path, models: list[str], names: list[str]) -> Results:
    """The results of `models` under `folder`, of the tasks `names`."""

    def found(stage: str) -> dict[str, dict]:
        return {model: files.read_json(path) for model in models if (path := folder / stage / f"{model}.json").exists()}

    curves = {}
    for model in models:
        if (path := folder / f"pretrain/{model}.csv").exists():
            with open(path, encoding="utf-8", newline="") as rows:
                curves[model] = [(int(row["step"]), float(row["mlm_loss"])) for row in csv.DictReader(rows) if row["mlm_loss"]]
    finetuned = {task: found(f"finetune/{task}") for task in names}
    return Results(models, found("pretrain"), curves, found("cloze"), {task: rows for task, rows in finetuned.items() if rows})


def values(results: Results, task: str, model: str, split: str) -> list[float]:
    """Percent, one for each seed; empty where the model was not fine-tuned."""
    return [row[split] for row in results.finetune[task].get(model, {"seeds": []})["seeds"]]


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def measured(results: Results, model: str) -> list[dict]:
    return [rows[model] for rows in (results.cloze, *results.finetune.values()) if model in rows]


def training(results: Results, model: str) -> dict:
    """{"steps", "tokens"} that the model has seen since random weights (None: its folder does not say), "cut_from" of a truncated one; {} of one that was not measured."""
    return next((row["training"] for row in measured(results, model)), {})


def parameters(results: Results, model: str) -> int | None:
    return next((rows[model]["parameters"] for rows in results.finetune.values() if model in rows), None)


def task_table(results: Results) -> Table:
    header = ["model", "parameters", "steps", "tokens", *(f"{task} {split}" for task in results.finetune for split in ("dev", "test"))]
    rows = []
    for model in results.models:
        seen, size = training(results, model), parameters(results, model)
        reason = "n/a (not trained here)" if measured(results, model) else "n/a (not measured)"
        # A model from elsewhere does not say what it saw before.
        own = {key: f"{report.amount(seen[f'own_{key}'])} here" for key in ("steps", "tokens") if seen.get(f"own_{key}")}
        spent = [own.get(key, reason) if seen.get(key) is None else report.amount(seen[key]) for key in ("steps", "tokens")]
        scored = [max_mean(values(results, task, model, split)) for task in results.finetune for split in ("dev", "test")]
        rows.append([model, f"{size / 1e6:.1f}M" if size else "n/a (not fine-tuned)", *spent, *scored])
    runs = {task: {(len(row["seeds"]), row["train_examples"]) for row in rows.values()} for task, rows in results.finetune.items()}
    caption = " ".join(
        f"{task} ({' or '.join(f'seeds: {seeds}, training examples: {examples:,}' for seeds, examples in sorted(runs[task]))}): {tasks.TASKS[task].remark}"
        for task in results.finetune
    )
    caption += " Steps and tokens are all that a model has seen, its starting points' included."
    return Table("Tasks: max (mean) accuracy over seeds, in percent", caption, header, rows)


def max_mean(numbers: list[float]) -> str:
    return f"{max(numbers):.1f} ({mean(numbers):.1f})" if numbers else "n/a (not fine-tuned)"


def relative(figures: dict[str, dict[str, float]], baseline: str, classification: list[str]) -> dict[str, dict[str, float]]:
    """Percent of `baseline` for each model and column, as the authors compute them.

    `overall` is the ratio of the two averages over all columns, `classification` the mean of the percentages of those columns;
    both only for a model that has every column.
    """
    base, table = figures.get(baseline, {}), {}
    for model, row in figures.items():
        table[model] = {column: 100 * value / base[column] for column, value in row.items() if base.get(column)}
        if base and len(table[model]) == len(row) == len(base):
            table[model]["overall"] = 100 * mean(list(row.values())) / mean(list(base.values()))
            table[model]["classification"] = mean([table[model][column] for column in classification])
    return table


def relative_table(results: Results, baseline: str) -> Table:
    best = {model: {task: max(values(results, task, model, "test")) for task, rows in results.finetune.items() if model in rows} for model in results.models}
    percents = relative(best, baseline, list(results.finetune))
    base_size = parameters(results, baseline)
    rows = []
    for model in results.models:
        size = parameters(results, model)
        row, columns = percents[model], (*results.finetune, "overall", "classification")
        cells = [f"{row[column]:.1f}" if column in row else "n/a (a score is missing)" for column in columns]
        rows.append([model, f"{100 * size / base_size:.1f}" if size and base_size else "n/a (not fine-tuned)", *cells])
    caption = f"Best test score of the seeds; {baseline} = 100. Overall: ratio of the averages. Classification: mean of the tasks' percentages."
    return Table("Relative to the baseline, in percent", caption, ["model", "parameters", *results.finetune, "overall", "classification"], rows)


def cloze_table(results: Results) -> Table:
    lengths, sources = (sorted({key for row in results.cloze.values() for key in row[part]}) for part in ("by_length", "by_source"))
    parts = [("by_length", length) for length in lengths] + [("by_source", source) for source in sources]
    rows = []
    for model in results.models:
        if model in results.cloze:
            row = results.cloze[model]
            cells = [row[key] for key in CLOZE] + [row[part].get(name, {}).get("word_accuracy") for part, name in parts]
            rows.append([model, *("n/a (no such word)" if cell is None else f"{cell:.1f}" for cell in cells)])
        else:
            rows.append([model, *["n/a (not measured)"] * (len(CLOZE) + len(parts))])
    words = {row["words"] for row in results.cloze.values()}
    caption = (
        f"One whole word of 1 to 4 Chinese characters of each of {' or '.join(f'{n:,}' for n in sorted(words)) or 'no'} held-out sentences is masked; "
        "all its pieces are guessed at once. From the fifth column on: whole words, by characters in the word and by source."
    )
    header = ["model", *CLOZE.values(), *(f"{n} character{'s' if n > '1' else ''}" for n in lengths), *sources]
    return Table("Cloze: accuracy on held-out text, in percent", caption, header, rows)


def compare(results: Results, model: str, against: str) -> list[Comparison]:
    """One for each task that both have (spread: the wider of the two ranges over seeds), and one for the cloze words
    (measured once: two standard errors of a difference of shares)."""
    found = []
    for task, rows in results.finetune.items():
        if model in rows and against in rows:
            ours, theirs = values(results, task, model, "test"), values(results, task, against, "test")
            found.append(Comparison(task, model, against, mean(ours) - mean(theirs), max(max(v) - min(v) for v in (ours, theirs))))
    if model in results.cloze and against in results.cloze:
        pair = [results.cloze[name] for name in (model, against)]
        error = sum(row["word_accuracy"] * (100 - row["word_accuracy"]) / row["words"] for row in pair) ** 0.5
        found.append(Comparison("cloze", model, against, pair[0]["word_accuracy"] - pair[1]["word_accuracy"], 2 * error))
    return found


def comparisons(results: Results) -> tuple[list[Comparison], list[Comparison]]:
    """Every pre-trained model against every untrained one, and every continued model against the truncation that it began as."""
    others = [model for model in results.models if model not in results.pretrain]
    untrained = [model for model in others if training(results, model).get("steps") == 0]
    trained = [c for model, against in product(results.pretrain, untrained) for c in compare(results, model, against)]
    cut = [model for model in others if "cut_from" in training(results, model)]
    continued = [(model, row["init"]) for model, row in results.pretrain.items() if row.get("init") in cut]
    return trained, [c for model, against in continued for c in compare(results, model, against)]


def claims(results: Results) -> list[str]:
    """What pre-training and continuing are worth, said of these very figures."""
    trained, continued = comparisons(results)
    return [
        claim("Pre-trained models beat random initialisation by more than the spread", trained),
        claim("A truncated model that is trained on beats plain truncation by more than the spread", continued),
    ]


def claim(statement: str, made: list[Comparison]) -> str:
    if not made:
        return f"{statement}: n/a (no such pair of models was measured)."
    each = [(c.holds, f"{c.model} on {c.task} ({c.margin:+.1f}, spread {c.spread:.1f})") for c in made]
    told = {holds: ", ".join(text for held, text in each if held == holds) for holds in (True, False)}
    kept = sum(c.holds for c in made)
    parts = [f"{statement}: {'holds' if kept == len(made) else 'does not hold' if not kept else 'holds in part'}, in {kept} of {len(made)} comparisons."]
    parts += [f"It holds for {told[True]}."] if told[True] else []
    parts += [f"It does NOT hold for {told[False]}."] if told[False] else []
    return " ".join(parts)


def comparison_table(results: Results) -> Table:
    rows = [[c.model, c.against, c.task, f"{c.margin:+.1f}", f"{c.spread:.1f}", "yes" if c.holds else "no"] for made in comparisons(results) for c in made]
    caption = "Margin: difference of mean test scores, in points. Spread: the wider of the two ranges over seeds; for cloze, two standard errors of the margin."
    return Table("What pre-training and continuing are worth", caption, ["model", "against", "on", "margin", "spread", "margin > spread"], rows)


def paired_table(results: Results, pairs) -> Table:
    """On the means over the seeds of fine-tuning, and on cloze."""
    measures = {f"{task} test": {m: mean(values(results, task, m, "test")) for m in rows} for task, rows in results.finetune.items()}
    measures |= {f"cloze {label}": {m: row[key] for m, row in results.cloze.items()} for key, label in CLOZE.items()}
    caption = f"Pairs: {', '.join(f'{one} and {other}' for one, other in zip(pairs.models, pairs.against))}. Percent and points; the interval covers 95 % (Student's paired t)."
    return Table(pairs.name, caption, paired.HEADER, paired.rows(measures, pairs.models, pairs.against))


def scale(results: Results) -> str:
    sizes = [size for model in results.models if (size := parameters(results, model))]
    tokens = [training(results, model).get("tokens") or training(results, model).get("own_tokens") or 0 for model in results.models]
    if not sizes:
        return "Nothing was fine-tuned."
    return (
        f"Scale: the largest model here has {max(sizes) / 1e6:.1f}M parameters and the longest training saw {report.amount(max(tokens))} tokens; "
        f"the authors' base models have {AUTHORS}, and other tasks. These figures compare the rows with each other and with nothing else."
    )


def single_figures(results: Results) -> list[tuple]:
    scored = [
        (model, task, split, row["seed"], row[split])
        for task, rows in results.finetune.items()
        for model, result in rows.items()
        for row in result["seeds"]
        for split in ("dev", "test")
    ]
    return scored + [(model, "cloze", key, "", row[key]) for model, row in results.cloze.items() for key in CLOZE]


def flat_metrics(results: Results) -> dict:
    """{task: {model: {"dev_max", "dev_mean", "test_max", "test_mean"}}, "cloze": {model: ...}} in percent."""
    flat: dict = {}
    for task, rows in results.finetune.items():
        figures = {model: {split: values(results, task, model, split) for split in ("dev", "test")} for model in rows}
        flat[task] = {m: {f"{s}_{n}": round(f(v), 4) for s, v in splits.items() for n, f in (("max", max), ("mean", mean))} for m, splits in figures.items()}
    flat["cloze"] = {model: {key: row[key] for key in CLOZE} for model, row in results.cloze.items()}
    return flat


def plots(results: Results) -> list:
    """Plotly figures: loss curves, cloze bars, and the range over seeds on each task's test set."""
    scored = {task: {model: values(results, task, model, "test") for model in rows} for task, rows in results.finetune.items()}
    cloze = {label: {model: row[key] for model, row in results.cloze.items()} for key, label in CLOZE.items()}
    return [report.curves(results.curves), report.bars(cloze), *(report.ranges(task, rows) for task, rows in scored.items())]


def markdown(caption: str, statements: list[str], tables: list[Table]) -> str:
    parts = ["# Scores", caption, *statements]
    for table in tables:
        grid = [table.header, ["---"] * len(table.header), *table.rows]
        parts += [f"## {table.title}", table.caption, "\n".join(f"| {' | '.join(row)} |" for row in grid)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    from wwm import command

    command.run(main)
