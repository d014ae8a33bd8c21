"""What a pipeline run shows in Prefect's UI: the scores, where the report is, and the loss curves."""

import csv
from itertools import groupby
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from wwm.track import lineage

SCORES, CURVES, REPORT, CHAMPIONS, ANSWER = (
    Path("results/report", name) for name in ("scores.md", "curves.csv", "index.html", "champions.txt", "answer.txt")
)
BARS, WIDTH = "▁▂▃▄▅▆▇█", 30


def stamped_report() -> str:
    """The page, with project, date and commit in its head."""
    from wwm.report import page

    return page.stamped(REPORT.read_text(encoding="utf-8"), lineage.stamp())


def publish() -> None:
    """Nothing where the flow stopped short of the scores."""
    if SCORES.is_file():
        # no link: a browser opens no file from a page of a server
        facts = ", ".join(f"{name} {value}" for name, value in lineage.stamp().items())
        text = f"{SCORES.read_text(encoding='utf-8')}\n{facts}\n\nPlots: open `{REPORT.resolve()}`\n"
        create_markdown_artifact(text, key="scores", description="The models compared")
    if CURVES.is_file():
        with open(CURVES, encoding="utf-8", newline="") as file:
            curves = {
                model: [float(row["mlm_loss"]) for row in rows]
                for model, rows in groupby(csv.DictReader(file), lambda row: row["model"])
            }
        rows = [
            {"model": model, "first": losses[0], "curve": curve(losses), "last": losses[-1]}
            for model, losses in curves.items()
        ]
        create_table_artifact(rows, key="curves", description="MLM loss over the steps of pre-training, in nats")


def curve(values: list[float]) -> str:
    """[9.0, 7.0, 5.0] -> █▅▁"""
    shown = values[:: -(-len(values) // WIDTH)]
    low, high = min(shown), max(shown)
    return "".join(BARS[round((value - low) / (high - low or 1) * (len(BARS) - 1))] for value in shown)
