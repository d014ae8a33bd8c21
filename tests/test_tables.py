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


def best(*texts: str, choose=max) -> list[str]:
    made = table("", "", [plain("XNLI", list(texts), choose)])
    return [
        "".join(f"*{text}*" if is_best else text for text, is_best in made.parts(row, 0)) for row in range(len(texts))
    ]


def test_the_highest_figure_is_the_best_each_of_a_cell_for_itself_and_all_of_equals():
    assert best("70.0 (68.0)", "71.0 (67.9)", "n/a", "71.0") == ["70.0 (*68.0*)", "*71.0* (67.9)", "n/a", "*71.0*"]
    assert best("9.5 / 80.0", "10.5 / 70.0") == ["9.5 / *80.0*", "*10.5* / 70.0"]
    assert best("9.50", "10.50", choose=min) == ["*9.50*", "10.50"]  # nats


def test_where_all_are_alike_none_is_the_best():
    assert best("70.0", "70.0") == ["70.0", "70.0"] and best("70.0") == ["70.0"]


def test_a_figure_with_a_note_that_others_lack_is_neither_best_nor_in_the_way():
    made = table("", "", [Column(Cell("XNLI"), [Cell("1.0"), Cell("2.0"), Cell("3.0", (REDUCED,))], best=max)])
    assert made.best == {(1, 0, 0)}
    shared = table("", "", [Column(Cell("XNLI"), [Cell("1.0", (REDUCED,)), Cell("3.0", (REDUCED,))], best=max)])
    assert shared.best == {(1, 0, 0)}


def test_a_column_that_is_not_compared_has_no_best():
    assert not table("", "", [plain("parameters", ["1.0M", "2.0M"])]).best


def test_table_without_notes_has_no_marks():
    made = table("title", "caption", [plain("model", ["a"])])
    assert made == ("title", "caption", ["model"], [["a"]], [], frozenset())
