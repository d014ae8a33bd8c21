"""The report as one page that opens from disk without a network (plotly.js is inside), and as Markdown."""

import re
from pathlib import Path
from typing import NamedTuple

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wwm.report.champions import Champion
from wwm.report.claims import Claim
from wwm.report.plot import FONT
from wwm.report.tables import Table
from wwm.report.words import LANGUAGE, chinese, known, say, spoken

TEMPLATE = Path(__file__).with_name("page.html.jinja")
# Escaped text cannot hold it.
STAMP = "<!-- stamp -->"
# What would begin a tag, an entity, a link, a piece of code, another cell or another line.
MARK_UP = {"<": "&lt;", "&": "&amp;", "|": "\\|", "[": "\\[", "`": "\\`", "\n": " "}
MARKED_UP = re.compile(r"<(?=[a-z/!?])|&(?=#?\w+;)|[|\[`\n]", re.I)
FACT = Markup("<div><dt>{}</dt> <dd>{}</dd></div>")


class Report(NamedTuple):
    answers: list[str]
    scale: str
    claims: list[Claim]
    champions: list[Champion]
    tables: list[Table]


def page(title: str, report: Report, plots: list[go.Figure], facts: dict[str, str]) -> str:
    """HTML, with the first plot at its top and `facts` by name in its head; the same arguments give the same bytes."""
    # Plotly would name each plot at random; what it says itself is in English.
    config = {"displaylogo": False, "displayModeBar": False if chinese() else "hover", "showTips": not chinese()}
    divs = [
        plot.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{i}", config=config)
        for i, plot in enumerate(plots)
    ]
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    html = template.render(
        title=title,
        report=report,
        plots=divs,
        language=LANGUAGE.get(),
        say=say,
        plotly=get_plotlyjs(),
        font=FONT,
        stamp=STAMP,
    )
    return stamped(html, facts)


def stamped(html: str, facts: dict[str, str]) -> str:
    """A copy of a page with more facts by name in its head, such as {"date": ..., "commit": ...}: what the page in
    results/report must not tell, since its bytes follow from what the stage reads alone.
    """
    with spoken(html.partition('<html lang="')[2][:2]):
        told = Markup("").join(FACT.format(known(name), value) for name, value in facts.items())
    return html.replace(STAMP, f"{told}{STAMP}", 1)


def escaped(text: str) -> str:
    """As the page has it: no name makes a tag, a link or another cell."""
    return MARKED_UP.sub(lambda found: MARK_UP[found[0]], text)


def markdown(report: Report) -> str:
    """The same without plots and facts."""
    verdicts = "\n".join(
        line
        for claim in report.claims
        for line in (f"- {claim.mark} {escaped(claim.text)}", *(f"  - {escaped(d)}" for d in claim.details))
    )
    parts = [f"# {say('Scores')}", *map(escaped, report.answers), escaped(report.scale), verdicts]
    for best in report.champions:
        parts += [escaped(best.told), f"```sh\n{best.command}\n```"]
    for table in report.tables:
        cells = [
            [
                "".join(f"**{text}**" if best else escaped(text) for text, best in table.parts(row, column))
                for column in range(len(table.header))
            ]
            for row in range(len(table.rows))
        ]
        grid = [list(map(escaped, table.header)), ["---"] * len(table.header), *cells]
        rows = "\n".join(f"| {' | '.join(row)} |" for row in grid)
        parts += [f"## {escaped(table.title)}", escaped(table.caption), rows, *map(escaped, table.notes)]
    return "\n\n".join(parts) + "\n"
