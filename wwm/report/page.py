"""One page of tables and plots that opens from disk without a network: plotly.js is inside."""

import csv
import io
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from wwm.report.tables import Table

TEMPLATE = Path(__file__).with_name("page.html.jinja")
FONT = "'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"


def page(statements: list[str], tables: list[Table], plots: list[go.Figure]) -> str:
    """HTML; the same arguments give the same bytes."""
    # Plotly would name each plot at random.
    divs = [
        plot.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{i}", config={"displaylogo": False})
        for i, plot in enumerate(plots)
    ]
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(statements=statements, tables=tables, plots=divs, plotly=get_plotlyjs(), font=FONT)


def markdown(statements: list[str], tables: list[Table]) -> str:
    """The same without plots."""
    parts = ["# Scores", *statements]
    for table in tables:
        grid = [table.header, ["---"] * len(table.header), *table.rows]
        parts += [f"## {table.title}", table.caption, "\n".join(f"| {' | '.join(row)} |" for row in grid), *table.notes]
    return "\n\n".join(parts) + "\n"


def figure(title: str, x: str, y: str, traces: list) -> go.Figure:
    layout = {
        "title": title,
        "xaxis_title": x,
        "yaxis_title": y,
        "template": "plotly_white",
        "font_family": FONT,
        "height": 420,
    }
    return go.Figure(traces, layout)


def curves(losses: dict[str, list[tuple[int, float]]]) -> go.Figure:
    """Per model its points (step, loss in nats)."""
    lines = [
        go.Scatter(x=[step for step, _ in points], y=[loss for _, loss in points], name=model, mode="lines")
        for model, points in losses.items()
    ]
    return figure("Pre-training: masked LM loss", "step", "nats per masked piece", lines)


def bars(accuracy: dict[str, dict[str, float]]) -> go.Figure:
    """Percent by measure, then by model."""
    return figure(
        "Cloze on held-out text",
        "",
        "% right",
        [go.Bar(x=list(rows), y=list(rows.values()), name=measure) for measure, rows in accuracy.items()],
    )


def ranges(title: str, scores: dict[str, list[float]]) -> go.Figure:
    """Per model a mark at the mean of its seeds, a line from the lowest to the highest, and every seed as a dot."""
    means = {model: sum(values) / len(values) for model, values in scores.items()}
    above = [max(values) - means[model] for model, values in scores.items()]
    below = [means[model] - min(values) for model, values in scores.items()]
    error = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    diamond = {"size": 11, "symbol": "diamond"}
    marks = go.Scatter(
        x=list(means),
        y=list(means.values()),
        error_y=error,
        mode="markers",
        name="mean, lowest to highest",
        marker=diamond,
    )
    pairs = [(model, value) for model, values in scores.items() for value in values]
    dots = go.Scatter(
        x=[model for model, _ in pairs], y=[value for _, value in pairs], mode="markers", name="one seed", opacity=0.5
    )
    return figure(f"{title} by seed", "", "%", [marks, dots])


def lines(header: list[str], rows: list[tuple]) -> str:
    """CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
