"""Tables of strings with footnotes: what all figures of a column share is marked at its head, anything else at the
figure.

The marks: † data that are not the official ones, ‡ fewer seeds than the authors' ten, numbers for the rest.
"""

from typing import NamedTuple

MARKS = {
    "†": "The data are not the official ones, so no figure of the authors stands beside them:",
    "‡": "Fewer seeds than the authors' ten:",
}
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


class Column(NamedTuple):
    head: Cell
    cells: list[Cell]


def plain(head: str, texts: list[str]) -> Column:
    return Column(Cell(head), [Cell(text) for text in texts])


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
    for head, cells in columns:
        kinds = [{kind(note) for note in cell.notes} for cell in cells if cell.notes is not None]
        shared = set.intersection(*kinds) if kinds else set()
        every = [note for cell in cells for note in cell.notes or () if kind(note) in shared]
        header.append(noted(head.text, [*(head.notes or ()), *every]))
        grid.append(
            [noted(cell.text, [note for note in cell.notes or () if kind(note) not in shared]) for cell in cells]
        )
    footnotes = [f"{mark} {MARKS[mark]} {'; '.join(texts)}." for mark, texts in marked.items() if texts]
    footnotes += [f"{superscript(number)} {text}" for number, text in enumerate(numbered, 1)]
    return Table(title, caption, header, [list(row) for row in zip(*grid)], footnotes)


def kind(note: Note) -> str:
    return note.mark or note.text


def superscript(number: int) -> str:
    return str(number).translate(SUPERSCRIPTS)


def amount(number: int) -> str:
    return f"{number / 1e6:,.1f}M" if number >= 1e6 else f"{number:,}"
