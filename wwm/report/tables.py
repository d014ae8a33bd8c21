"""Tables of strings with footnotes: what all figures of a column share is marked at its head, anything else at the
figure.

The marks: † data that are not the official ones, ‡ fewer seeds than the authors' ten, numbers for the rest.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wwm.report.words import clauses, listed, say

MARKS = {
    "†": "The data are not the official ones, so no figure of the authors stands beside them: {what}.",
    "‡": "Fewer seeds than the authors' ten: {what}.",
}
FIGURE = re.compile(r"\d+\.\d+")
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Note(NamedTuple):
    """Those with the same one of MARKS become one footnote; without a mark each text has its number."""

    mark: str
    text: str


class Cell(NamedTuple):
    """`notes` of None: nothing was measured here, so the column's other cells decide what its head shares."""

    text: str
    notes: tuple[Note, ...] | None = ()


class Table(NamedTuple):
    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]  # footnotes, each with its mark in front
    best: frozenset[tuple[int, int, int]] = frozenset()  # (row, column, which figure of the cell), from 0

    def parts(self, row: int, column: int) -> list[tuple[str, bool]]:
        """A cell's text, cut where it turns best or back; whether each part is a best figure."""
        text, made, end = self.rows[row][column], [], 0
        for place, figure in enumerate(FIGURE.finditer(text)):
            if (row, column, place) in self.best:
                made += [(text[end : figure.start()], False), (figure[0], True)]
                end = figure.end()
        return [part for part in [*made, (text[end:], False)] if part[0]]


class Column(NamedTuple):
    """best: `max` or `min`, which of its figures is the best one, each figure of a cell for itself; None: they are not
    compared.
    """

    head: Cell
    cells: list[Cell]
    best: Callable[[Iterable[float]], float] | None = None


def plain(head: str, texts: list[str], best: Callable[[Iterable[float]], float] | None = None) -> Column:
    return Column(Cell(head), [Cell(text) for text in texts], best)


def table(title: str, caption: str, columns: list[Column]) -> Table:
    """columns: of equal length, at least one."""
    marked: dict[str, list[str]] = {mark: [] for mark in MARKS}
    numbered: list[str] = []

    def noted(text: str, notes: list[Note]) -> str:
        for note in notes:
            known = marked[note.mark] if note.mark else numbered
            if note.text not in known:
                known.append(note.text)
        marks = "".join(mark for mark in MARKS if any(note.mark == mark for note in notes))
        marks += ",".join(
            superscript(number)
            for number, known in enumerate(numbered, 1)
            if any(kind(note) == known for note in notes)
        )
        return f"{text} {marks}" if marks else text

    header, grid = [], []
    best: set[tuple[int, int, int]] = set()
    for number, (head, cells, choose) in enumerate(columns):
        kinds = [{kind(note) for note in cell.notes} for cell in cells if cell.notes is not None]
        shared = set.intersection(*kinds) if kinds else set()
        every = [note for cell in cells for note in cell.notes or () if kind(note) in shared]
        header.append(noted(head.text, [*(head.notes or ()), *every]))
        own = [[note for note in cell.notes or () if kind(note) not in shared] for cell in cells]
        grid.append([noted(cell.text, notes) for cell, notes in zip(cells, own)])
        if choose:
            # A figure with a note that the others lack was measured otherwise.
            alike = {row: cell.text for row, (cell, notes) in enumerate(zip(cells, own)) if not notes}
            best |= {(row, number, place) for row, place in chosen(alike, choose)}
    footnotes = [f"{mark} {say(MARKS[mark], what=clauses(texts))}" for mark, texts in marked.items() if texts]
    footnotes += [f"{superscript(number)} {text}" for number, text in enumerate(numbered, 1)]
    return Table(title, caption, header, [list(row) for row in zip(*grid)], footnotes, frozenset(best))


def unmeasured(models: list[str]) -> str:
    """What is told below a table of those that have no row in it."""
    return say("Not measured: {models}.", models=listed(models)) if models else ""


def chosen(texts: dict[int, str], choose: Callable[[Iterable[float]], float]) -> set[tuple[int, int]]:
    """(row, which figure) of those that no other row betters, as they are shown; none where all rows are alike."""
    places: dict[int, dict[int, float]] = {}
    for row, text in texts.items():
        for place, figure in enumerate(FIGURE.findall(text)):
            places.setdefault(place, {})[row] = float(figure)
    return {
        (row, place)
        for place, figures in places.items()
        for row, figure in figures.items()
        if figure == choose(figures.values()) and len(set(figures.values())) > 1
    }


def kind(note: Note) -> str:
    return note.mark or note.text


def superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)


def flops(number: int) -> str:
    """As 2.9e19."""
    return re.sub(r"e\+0*", "e", f"{number:.1e}") if number else "0"


def amount(number: int) -> str:
    for size, sign in ((1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{number / size:,.1f}{sign}"
    return f"{number:,}"
