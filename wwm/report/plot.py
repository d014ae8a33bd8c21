"""Plotly figures of the report."""

import plotly.graph_objects as go

from wwm.report.results import mean
from wwm.report.words import say

FONT = "'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"


def figure(title: str, x: str, y: str, traces: list) -> go.Figure:
    layout = {
        "title": title,
        "xaxis_title": x,
        "yaxis_title": y,
        "template": "plotly_white",
        "font_family": FONT,
        "height": 420,
        "margin": {"t": 60, "b": 60},
    }
    return go.Figure(traces, layout)


def overview(scores: dict[str, dict[str, list[float]]]) -> go.Figure:
    """Per model and task a mark at the mean of its seeds and a line from the lowest to the highest, the models of a
    task side by side.
    """
    traces = [
        go.Scatter(
            x=list(tasks),
            y=[mean(values) for values in tasks.values()],
            error_y=reach(list(tasks.values())),
            mode="markers",
            name=model,
            marker={"size": 11},
        )
        for model, tasks in scores.items()
        if tasks
    ]
    title = say("The models on their tasks: mean over seeds, lowest to highest")
    every = [value for tasks in scores.values() for values in tasks.values() for value in values]
    margin = (max(every) - min(every) or 1) / 10
    # Side by side, plotly would begin at 0.
    return figure(title, "", "%", traces).update_layout(
        scattermode="group", scattergap=0.3, yaxis_range=[min(every) - margin, max(every) + margin]
    )


def reach(scores: list[list[float]]) -> dict:
    """Error bars around means, from the lowest to the highest."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(values) - mean(values) for values in scores],
        "arrayminus": [mean(values) - min(values) for values in scores],
    }


def curves(losses: dict[str, list[tuple[int, float]]]) -> go.Figure:
    """Per model its points (step, loss in nats)."""
    lines = [
        go.Scatter(x=[step for step, _ in points], y=[loss for _, loss in points], name=model, mode="lines")
        for model, points in losses.items()
    ]
    return figure(say("Pre-training: masked LM loss"), say("step"), say("nats per masked piece"), lines)


def milestones(title: str, y: str, lines: dict[str, list[tuple[int, float, float, float]]]) -> go.Figure:
    """Per measure its points (step, score, and the ends of its interval)."""
    traces = []
    for name, points in lines.items():
        steps, scores, lows, highs = zip(*points)
        reach = {
            "type": "data",
            "symmetric": False,
            "array": [high - score for score, high in zip(scores, highs)],
            "arrayminus": [score - low for score, low in zip(scores, lows)],
        }
        traces.append(go.Scatter(x=steps, y=scores, error_y=reach, name=name, mode="lines+markers"))
    return figure(title, say("step"), y, traces)


def bars(cloze: dict[str, dict[str, float]]) -> go.Figure:
    """Nats per character by way of asking, then by model."""
    return figure(
        say("Cloze on held-out text: less is better"),
        "",
        say("nats per character"),
        [go.Bar(x=list(rows), y=list(rows.values()), name=kind) for kind, rows in cloze.items()],
    )


def ranges(title: str, scores: dict[str, list[float]]) -> go.Figure:
    """Per model a mark at the mean of its seeds, a line from the lowest to the highest, and every seed as a dot."""
    marks = go.Scatter(
        x=list(scores),
        y=[mean(values) for values in scores.values()],
        error_y=reach(list(scores.values())),
        mode="markers",
        name=say("mean, lowest to highest"),
        marker={"size": 11, "symbol": "diamond"},
    )
    pairs = [(model, value) for model, values in scores.items() for value in values]
    dots = go.Scatter(
        x=[model for model, _ in pairs],
        y=[value for _, value in pairs],
        mode="markers",
        name=say("one seed"),
        opacity=0.5,
    )
    return figure(title, "", "%", [marks, dots])
