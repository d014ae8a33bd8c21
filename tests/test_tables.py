"""Where footnotes go."""

from wwm.report.tables import Cell, Column, Note, plain, table

FEW, OTHER = Note("‡", "XNLI (3)"), Note("‡", "XNLI (5)")
REDUCED = Note("†", "XNLI (a part)")


def test_mark_of_every_figure_stands_at_the_head_once():
    made = table(
        "", "", [plain("model", ["a", "b"]), Column(Cell("XNLI"), [Cell("1.0", (FEW,)), Cell("2.0", (REDUCED, OTHER))])]
    )
    assert made.header == ["model", "XNLI ‡"]
    assert made.rows == [["a", "1.0"], ["b", "2.0 †"]]
    assert [note[0] for note in made.notes] == ["†", "‡"]
    assert made.notes[1] == "‡ Fewer seeds than the authors' ten: XNLI (3); XNLI (5)."


def test_what_was_not_measured_does_not_keep_a_mark_from_the_head():
    made = table("", "", [Column(Cell("XNLI"), [Cell("n/a", None), Cell("2.0", (FEW,))])])
    assert (made.header, made.rows) == (["XNLI ‡"], [["n/a"], ["2.0"]])


def test_each_text_without_a_mark_has_one_number_throughout_the_table():
    hidden, early = Note("", "Hidden."), Note("", "Early data.")
    columns = [
        Column(Cell("dev", (early,)), [Cell("1", ()), Cell("n/a", (hidden,))]),
        Column(Cell("test", (early,)), [Cell("n/a", (hidden,)), Cell("n/a", (hidden,))]),
    ]
    made = table("", "", columns)
    assert made.header == ["dev ¹", "test ¹,²"]
    assert made.rows == [["1", "n/a"], ["n/a ²", "n/a"]]
    assert made.notes == ["¹ Early data.", "² Hidden."]


def test_table_without_notes_has_no_marks():
    made = table("title", "caption", [plain("model", ["a"])])
    assert made == ("title", "caption", ["model"], [["a"]], [])
