"""The report as one page that opens from disk without a network (plotly.js is inside), and as Markdown."""

import base64
import hashlib
import json
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

TEMPLATE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.html.jinja", "page.js"))
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
    plotly, script = get_plotlyjs(), SCRIPT.read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    html = template.render(
        title=title,
        report=report,
        figures=[json.loads(plot.to_json()) for plot in plots],
        # What plotly says itself is in English.
        config={
            "displaylogo": False,
            # Its button for that opens a window of plotly's and hands the figures over, which no policy forbids.
            "showSendToCloud": False,
            "plotlyServerURL": "",
            "displayModeBar": False if chinese() else "hover",
            "showTips": not chinese(),
            "responsive": True,
        },
        language=LANGUAGE.get(),
        say=say,
        plotly=plotly,
        script=script,
        policy=policy(plotly, script),
        font=FONT,
        stamp=STAMP,
    )
    return stamped(html, facts)


def policy(*scripts: str) -> str:
    """The Content-Security-Policy of a page that runs these scripts and no other, and loads nothing: plotly.js writes
    styles, and saves a plot as a picture by way of a blob.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src blob: data:; form-action 'none';"
        " base-uri 'none'"
    )


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
