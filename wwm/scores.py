"""Tables, plots and one page that compare the models.

Reads   results/pretrain/*.{json,csv}, results/cloze/*.{json,csv}, results/finetune/*/*.json, results/overlap/*.json,
        results/mask/*.json; params.yaml and presets/, whose bytes the head of the page tells of
Writes  results/report/: scores.md, scores.csv (every single figure), curves.csv, index.html (opens from disk, offline),
        answer.txt (whether training released models on helped), champions.txt (the best models, and how to use them);
        results/scores.json
By hand python -m wwm.scores

What was not run is `n/a` with the reason. Which models were trained, cut or never trained is read from the results, not
from names.
"""

from itertools import chain
from pathlib import Path

from wwm.common import files, preset
from wwm.common.csv_text import csv_text
from wwm.common.model_folder import FILL_MASK
from wwm.report import (
    answer,
    authors,
    averages,
    claims,
    comparison,
    conditions,
    costs,
    gate,
    milestones,
    nats,
    page,
    pairs,
    plot,
    task_tables,
    verdicts,
    words,
)
from wwm.report.champions import Champion, champions
from wwm.report.results import CLOZE, NATS, Results, cloze_figures, mean, parameters, read, training
from wwm.report.tables import Table, amount
from wwm.report.words import known, say, sentences
from wwm.track import Run


def main() -> None:
    from wwm import params, track
    from wwm.track import lineage

    scores = params.read().scores
    out, metrics = Path("results/report"), Path("results/scores.json")
    with (
        track.run("scores", params=scores.model_dump(), outs=[out, metrics]) as run,
        words.spoken(scores.language or "en"),
    ):
        results = read(Path("results"), scores.models, scores.tasks)
        compared = claims.comparisons(results, scores.pairs, answer.comparisons(results))
        answers = answer.answers(results, compared)
        reached = milestones.curves(results)
        tasks = task_tables.task_tables(results)
        cloze = [task_tables.cloze_table(results)] if results.cloze else []
        compared_only = verdicts.verdicts(results, scores.baseline)
        report = page.Report(
            [*chain(*answers.values()), *(one.text for one in compared_only)],
            scale(results),
            [*milestones.verdicts(reached), *claims.claims(compared), *gate.claims(results)],
            champions(results),
            all_tables(results, tasks, cloze, compared, reached, scores.baseline, scores.pairs),
        )
        presets = ", ".join(preset.names())
        title = " – ".join(filter(None, [say("Scores of the models"), presets]))
        facts = {"preset": presets or say("none"), "params.yaml": f"sha256 {preset.digest()}"}
        with files.new_folder(out) as folder:
            files.write_text(folder / "answer.txt", "".join(f"{text}\n" for text in report.answers))
            files.write_text(folder / "champions.txt", "".join(f"{best}\n" for best in report.champions))
            files.write_text(folder / "scores.md", page.markdown(report))
            files.write_text(
                folder / "scores.csv",
                csv_text(["model", "task", "split", "measure", "seed", "value"], single_figures(results)),
            )
            points = [(model, *point) for model, curve in results.curves.items() for point in curve]
            files.write_text(folder / "curves.csv", csv_text(["model", "step", "mlm_loss"], points))
            files.write_text(folder / "index.html", page.page(title, report, plots(results, reached), facts))
        flat = flat_metrics(results)
        files.write_json(metrics, flat)
        for task, rows in flat.items():
            run.log({f"{task}/{model}/{name}": value for model, row in rows.items() for name, value in row.items()})
        release(run, results, report.champions, answers, flat)
        run.artifact(out)
        data = {f"data/tasks/{task}": lineage.of(f"data/tasks/{task}") for task in scores.tasks}
        stamped = page.stamped((out / "index.html").read_text(encoding="utf-8"), lineage.stamp() | data)
        run.text(f"{out.name}/index.html", stamped)
        run.describe((out / "scores.md").read_text(encoding="utf-8"))
        # What a terminal has room for, and what was asked for last, where it is seen.
        claimed = [] if report.answers else report.claims
        print(page.markdown(report._replace(answers=[], claims=claimed, tables=telling([*tasks, *cloze]))))
        print("\n".join([say("All tables: {path}", path=out / "index.html"), *report.answers]))


def release(run: Run, results: Results, best: list[Champion], answers: dict[str, list[str]], flat: dict) -> None:
    """Hands over to MLflow what may be used: models that pass the gate, with the answer on each, and champions."""

    def own(model: str, *measured: str) -> dict[str, float]:
        rows = {task: flat[task].get(model, {}) for task in measured}
        return {f"{task}.{name}": value for task, row in rows.items() for name, value in row.items()}

    for verdict in gate.verdicts(results):
        model = verdict.model
        run.annotate_model(model, own(model, *flat), verdict.outcome, verdict.reason)
        if verdict.outcome == "passed":
            title = f"{model}, {verdict.reason}. {sentences(*answers.get(model, []))}".rstrip(" .。")
            run.release(f"models/{model}", "passed", title, own(model, *flat))
    for one in best:
        task = one.task.name if one.task else FILL_MASK
        measured = own(one.model, one.task.name if one.task else "cloze")
        run.release(one.folder, "champion", f"{one.title}: {one.model}", measured, task, dict(one.contest))


def all_tables(
    results: Results,
    tasks: list[Table],
    cloze: list[Table],
    compared: list[claims.Comparison],
    reached: list[milestones.Curve],
    baseline: str,
    experiments: list[pairs.Pairs],
) -> list[Table]:
    """In their order. tasks, cloze: those that a terminal has room for."""
    made = [
        *tasks,
        milestones.table(reached),
        claims.claim_table(results, compared),
        *averages.average_tables(results, baseline),
        *cloze,
        *(pairs.pair_table(results, each) for each in experiments),
        comparison.baseline_table(results, baseline),
        costs.cost_table(results),
        *conditions.condition_tables(results),
    ]
    return telling(made)


def telling(tables: list[Table]) -> list[Table]:
    """Those that have something to tell."""
    return [each for each in tables if each.rows]


def scale(results: Results) -> str:
    unmeasured = ", ".join(results.unmeasured)
    lacking = say("Without any result: {tasks}.", tasks=unmeasured) if unmeasured else ""
    sizes = [size for model in results.models if (size := parameters(results, model))]
    if not sizes:
        return sentences(say("Nothing was fine-tuned."), lacking)
    seen = [training(results, model) for model in results.models]
    tokens = max(training.get("tokens") or training.get("own_tokens") or 0 for training in seen)
    size = f"{max(sizes) / 1e6:.1f}M"
    here = (
        say(
            "Scale: the largest model here has {size} parameters and the longest training saw {tokens} tokens.",
            size=size,
            tokens=amount(tokens),
        )
        if tokens
        else say("Scale: the largest model here has {size} parameters.", size=size)
    )
    # The authors' own scale, which no figure here is to be taken for.
    theirs = say("The authors' base models have 102M parameters and saw 0.4 to 5.4 billion tokens.")
    compared = (
        say(
            "Their scores stand beside those of models with the same name, on official data alone; that does not mean"
            " these were trained alike."
        )
        if any(task.name in authors.published().tasks for task in results.tasks)
        else say("Their tasks are others: these figures compare the rows with each other and with nothing else.")
    )
    return sentences(here, theirs, compared, lacking)


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
        (model, "cloze", "heldout", name, "", figure)
        for model, figures in cloze_metrics(results).items()
        for name, figure in figures.items()
    ]


def flat_metrics(results: Results) -> dict:
    """{task: {model: {"test_max", "test_mean", of other measures than accuracy "test_em_max", ...}}, "cloze": {model:
    ...}} in percent, and nats per character.
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
    return flat | {"cloze": cloze_metrics(results)}


def cloze_metrics(results: Results) -> dict[str, dict[str, float]]:
    """By model the figures of CLOZE, of all questions and, with the source's name at the end, of those of each; `nats`
    are those of both ways of asking together.
    """
    flat = {}
    for model, row in results.guessed.items():
        parts = {"": row} | {f"_{source}": part for source, part in row["by_source"].items()}
        flat[model] = {"nats": round(nats.together(results.answers[model]).mean, 4)} | {
            f"{name}{end}": figure
            for end, part in parts.items()
            for name, figure in cloze_figures(part).items()
            if figure is not None
        }
    return flat


def plots(results: Results, reached: list[milestones.Curve]) -> list:
    """Plotly figures, the one that tells most first: the models on all tasks, what they scored at milestones, loss
    curves, cloze, and of each task and measure the scores by seed; on the split that claims are made on.
    """
    scores = {
        model: {
            f"{task.title} {known(task.last)}{task.suffix(task.main)}": values
            for task in results.tasks
            if (values := task.values(model, task.last, task.main))
        }
        for model in results.models
    }
    figures = {model: cloze_figures(row) for model, row in results.guessed.items()}
    cloze = {say(CLOZE[name][0]): {model: row[name] for model, row in figures.items()} for name in NATS}
    ranges = [
        plot.ranges(
            say(
                "{task}, {split}: {measure} by seed",
                task=task.title,
                split=known(task.last),
                measure=known(task.measures[measure]),
            ),
            {model: values for model in task.rows if (values := task.values(model, task.last, measure))},
        )
        for task in results.tasks
        for measure in task.measures
    ]
    return [
        *([plot.overview(scores)] if any(scores.values()) else []),
        *milestones.plots(reached),
        *([plot.curves(results.curves)] if results.curves else []),
        *([plot.bars(cloze)] if results.guessed else []),
        *ranges,
    ]


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
