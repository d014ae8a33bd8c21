"""Pictures that go with a run: what a table of numbers does not show at a glance. The only importer of matplotlib."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from wwm.common.csv_text import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = ("mlm_loss", "heldout_mlm_loss")
# Of these fonts a machine has one, or no Chinese labels can be drawn.
FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei", "Microsoft YaHei")


def curves(path: Path) -> "Figure":
    """The losses in a CSV file with a column `step`, in nats, over the steps."""
    from matplotlib.figure import Figure

    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for column in LOSSES:
        points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        if points:
            axes.plot(*zip(*points), label=column, marker="o" if len(points) < 30 else None, markersize=4)
    axes.set(xlabel="step", ylabel="loss (nats)", title=path.stem)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    return figure


def matrix(labels: list[str], counts: list[list[int]]) -> "Figure":
    """A confusion matrix: rows are labels, columns what was said."""
    from matplotlib.figure import Figure

    drawn = drawable(labels)
    side = max(4.0, 0.45 * len(labels) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(counts, cmap="Blues")
    # A label such as $^$ is no formula.
    axes.set_xticks(range(len(labels)), drawn, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(labels)), drawn, parse_math=False)
    axes.set(xlabel="predicted", ylabel="label")
    middle = max(map(max, counts)) / 2
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            axes.text(j, i, str(count), ha="center", va="center", color="white" if count > middle else "black")
    figure.colorbar(picture)
    return figure


def drawable(labels: list[str]) -> list[str]:
    """The labels, or their numbers from 1, as in the CSV, where no font here has their characters."""
    if all(label.isascii() for label in labels):
        return labels
    from matplotlib import font_manager, rcParams

    known = {font.name for font in font_manager.fontManager.ttflist}
    if font := next((name for name in FONTS if name in known), None):
        rcParams["font.family"] = [font, "DejaVu Sans"]
        return labels
    return [str(number) for number in range(1, len(labels) + 1)]


def table(labels: list[str], counts: list[list[int]]) -> str:
    """The same as CSV."""
    rows = [[number, label, *row] for number, (label, row) in enumerate(zip(labels, counts), 1)]
    return csv_text(["number", "label", *labels], rows)
