"""Tables, plots and one page that compare the models.

Reads   results/pretrain/*.{json,csv}, results/cloze/*.json, results/finetune/*/*.json
Writes  results/report/: scores.md, scores.csv (every single figure), curves.csv, index.html (opens from disk, offline),
        champions.txt (the best models, and how to use them); results/scores.json
By hand python -m wwm.scores

What was not run is `n/a` with the reason. Which models were trained, cut or never trained is read from the results, not
from names.
"""

from pathlib import Path

from wwm.common import files
from wwm.report import authors, averages, champions, comparison, conditions, gate, page, task_tables
from wwm.report.results import CLOZE, Results, mean, parameters, read, training
from wwm.report.tables import Table, amount
from wwm.track import Run

# The authors' own scale, which no figure here is to be taken for (base models).
AUTHORS = "102M parameters and 0.4 to 5.4 billion tokens"


def main() -> None:
    from wwm import params, track

    scores = params.read().scores
    out, metrics = Path("results/report"), Path("results/scores.json")
    with track.run("scores", params=scores.model_dump(), outs=[out, metrics]) as run:
        results = read(Path("results"), scores.models, scores.tasks)
        best = champions.champions(results)
        statements = [scale(results), *comparison.claims(results), gate.statement(results), *best]
        tables = all_tables(results, scores.baseline, scores.pairs)
        with files.new_folder(out) as folder:
            files.write_text(folder / "champions.txt", "\n".join([*best, ""]))
            files.write_text(folder / "scores.md", page.markdown(statements, tables))
            files.write_text(
                folder / "scores.csv",
                page.lines(["model", "task", "split", "measure", "seed", "value"], single_figures(results)),
            )
            points = [(model, *point) for model, curve in results.curves.items() for point in curve]
            files.write_text(folder / "curves.csv", page.lines(["model", "step", "mlm_loss"], points))
            files.write_text(folder / "index.html", page.page(statements, tables, plots(results)))
        flat = flat_metrics(results)
        files.write_json(metrics, flat)
        for task, rows in flat.items():
            run.log({f"{task}/{model}/{name}": value for model, row in rows.items() for name, value in row.items()})
        release(run, results, flat)
        run.artifact(out)
        run.describe((out / "scores.md").read_text(encoding="utf-8"))
        print((out / "scores.md").read_text(encoding="utf-8"))


def release(run: Run, results: Results, flat: dict) -> None:
    """Hands over to MLflow what may be used: models that pass the gate, and champions."""
    for verdict in gate.verdicts(results):
        model = verdict.model
        own = {f"{task}.{name}": value for task, rows in flat.items() for name, value in rows.get(model, {}).items()}
        run.annotate_model(model, own, f"{verdict.outcome}: {verdict.reason}")
        if verdict.outcome == "passed":
            run.release(f"models/{model}", "passed", f"{model}, {verdict.reason}", own)
    for one in champions.best(results):
        task = one.task.name if one.task else "fill-mask"
        run.release(one.folder, "champion", f"{champions.title(one)}: {one.model}", one.scores, task, dict(one.contest))


def all_tables(results: Results, baseline: str, pairs: list) -> list[Table]:
    """Those that have something to tell."""
    made = [
        *task_tables.task_tables(results),
        comparison.comparison_table(results),
        *averages.average_tables(results, baseline),
        *([task_tables.cloze_table(results)] if results.cloze else []),
        *(comparison.paired_table(results, each) for each in pairs),
        comparison.seed_table(results, baseline),
        *conditions.condition_tables(results),
    ]
    return [each for each in made if each.rows]


def scale(results: Results) -> str:
    lacking = f" Without any result: {', '.join(results.unmeasured)}." if results.unmeasured else ""
    sizes = [size for model in results.models if (size := parameters(results, model))]
    if not sizes:
        return f"Nothing was fine-tuned.{lacking}"
    seen = [training(results, model) for model in results.models]
    tokens = max(training.get("tokens") or training.get("own_tokens") or 0 for training in seen)
    trained = f" and the longest training saw {amount(tokens)} tokens" if tokens else ""
    text = (
        f"Scale: the largest model here has {max(sizes) / 1e6:.1f}M parameters{trained}; the authors' base models have"
        f" {AUTHORS}"
    )
    if any(task.name in authors.published().tasks for task in results.tasks):
        return (
            f"{text}. Their scores stand beside those of models with the same name, on official data alone; that does"
            f" not mean these were trained alike.{lacking}"
        )
    return f"{text}, and other tasks. These figures compare the rows with each other and with nothing else.{lacking}"


def single_figures(results: Results) -> list[tuple]:
    scored = [
        (model, task.name, split, measure, seed["seed"], value)
        for task in results.tasks
        for model, row in task.rows.items()
        for seed in row["seeds"]
        for split, measures in seed["scores"].items()
        for measure, value in measures.items()
    ]
    return scored + [
        (model, "cloze", "heldout", key, "", row[key]) for model, row in results.cloze.items() for key in CLOZE
    ]


def flat_metrics(results: Results) -> dict:
    """{task: {model: {"test_max", "test_mean", of other measures than accuracy "test_em_max", ...}}, "cloze": {model:
    ...}} in percent.
    """
    flat: dict = {task.name: {model: {} for model in task.rows} for task in results.tasks}
    for task in results.tasks:
        for model, row in task.rows.items():
            for split, measures in row["seeds"][0]["scores"].items():
                for measure in measures:
                    values, name = (
                        task.values(model, split, measure),
                        split if measure == "accuracy" else f"{split}_{measure}",
                    )
                    flat[task.name][model] |= {
                        f"{name}_max": round(max(values), 4),
                        f"{name}_mean": round(mean(values), 4),
                    }
    flat["cloze"] = {model: {key: row[key] for key in CLOZE} for model, row in results.cloze.items()}
    return flat


def plots(results: Results) -> list:
    """Plotly figures: loss curves, cloze bars, and of each task and measure the range over seeds on the split that
    claims are made on.
    """
    cloze = {label: {model: row[key] for model, row in results.cloze.items()} for key, label in CLOZE.items()}
    ranges = [
        page.ranges(
            f"{task.title}: {task.last} {task.measures[measure]}",
            {model: values for model in task.rows if (values := task.values(model, task.last, measure))},
        )
        for task in results.tasks
        for measure in task.measures
    ]
    return [
        *([page.curves(results.curves)] if results.curves else []),
        *([page.bars(cloze)] if results.cloze else []),
        *ranges,
    ]


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
