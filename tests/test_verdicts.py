"""What is said of models that were only compared."""

import json
import re
import shutil
from pathlib import Path

import finetuned
import pretrained
import pytest
from test_scores import compare, folder, found  # noqa: F401

from wwm import scores
from wwm.report import margins, words
from wwm.report.verdicts import verdicts

NAMES = ["teacher", "cut"]


def measure(**points: list[float]) -> None:
    compare(list(points), ["reviews"], "teacher")
    finetuned.save(
        *(finetuned.result(name, "reviews", {"dev": own, "test": own}) for name, own in points.items()),
    )


def said(*models: str) -> list[str]:
    return [one.text for one in verdicts(found(list(models) or NAMES, ["reviews"]), "teacher")]


@pytest.mark.parametrize(
    ("teacher", "cut", "begins"),
    [
        ([80.0, 80.5, 81.0], [70.0, 70.5, 71.0], "On reviews teacher is better than cut by 10.0 points (+"),
        ([70.0, 70.5, 71.0], [80.0, 80.5, 81.0], "On reviews cut is better than teacher by 10.0 points (+"),
        (
            [70.0, 74.0, 78.0],
            [71.0, 72.5, 79.0],
            "On reviews the data cannot tell whether cut is better than teacher: +0.2 points (-",
        ),
    ],
)
def test_which_is_better_is_said_with_interval_seeds_and_examples(folder, teacher, cut, begins):  # noqa: F811
    measure(teacher=teacher, cut=cut)
    [text] = said()
    assert text.startswith(begins) and "; 3 seeds, 100 examples of test)." in text
    assert ("cannot tell" in text) == (text.count("-") == 1) == ("A difference of this size" in text)


def test_what_the_data_cannot_tell_says_how_many_seeds_or_examples_would(folder):  # noqa: F811
    measure(teacher=[70.0, 74.0, 78.0], cut=[80.0, 81.5, 88.0])
    [text] = said()
    figures = found(NAMES, ["reviews"]).tasks[0].figures
    ours, theirs = (figures[name]["test", "accuracy"] for name in ("cut", "teacher"))
    assert "cannot tell" in text and text.endswith(margins.enough(ours, theirs, 0.05)) and "realistic" not in text
    with words.spoken("zh"):
        assert "要判断这样大小的差值，大约需要" in said()[0]


def test_a_smaller_model_that_is_not_told_apart_loses_so_much_at_most(folder):  # noqa: F811
    measure(teacher=[70.0, 74.0, 78.0], cut=[71.0, 72.5, 79.0])
    row = Path("results/finetune/reviews/cut.json")
    alike = row.read_text()
    assert "at most" not in said()[0]
    row.write_text(json.dumps(json.loads(alike) | {"parameters": 7}))
    low = re.search(r"cut is better than teacher: [+]0\.2 points \(-([\d.]+) to", said()[0])
    assert low and f"If cut, the smaller one, loses anything, it is {low[1]} points at most (95 %)." in said()[0]
    measure(teacher=[71.0, 72.5, 79.0], cut=[70.0, 74.0, 78.0])
    row.write_text(json.dumps(json.loads(row.read_text()) | {"parameters": 7}))
    high = re.search(r"teacher is better than cut: .* to [+]([\d.]+);", said()[0])
    assert high and f"If cut, the smaller one, loses anything, it is {high[1]} points at most (95 %)." in said()[0]


def test_models_that_score_the_same_on_every_example_are_said_to(folder):  # noqa: F811
    measure(teacher=[80.0, 80.0, 80.0], cut=[80.0, 80.0, 80.0])
    shutil.copy("results/finetune/reviews/teacher.parquet", "results/finetune/reviews/cut.parquet")
    assert said() == ["On reviews cut and teacher score the same on every example (3 seeds, 100 examples of test)."]


def test_too_few_seeds_tell_nothing(folder):  # noqa: F811
    measure(teacher=[80.0, 81.0], cut=[60.0, 61.0])
    assert said() == ["On reviews the data cannot tell cut from teacher: fewer than 3 seeds or pairs."]


def test_what_is_claimed_of_several_models_is_corrected_for_their_number(folder):  # noqa: F811
    near = [78.6, 78.1, 79.6]
    measure(teacher=[74.0, 74.5, 75.0], cut=near)
    [alone] = said()
    measure(teacher=[74.0, 74.5, 75.0], cut=near, **{f"other{n}": [74.0 + n / 9, 75.0, 74.5] for n in range(9)})
    among = said("teacher", "cut", *(f"other{n}" for n in range(9)))[0]
    assert "is better" in alone and "cannot tell" in among and "of this comparison alone; among the 10" in among


def test_the_sentence_leads_the_report_and_ends_what_the_stage_prints(folder, capsys):  # noqa: F811
    measure(teacher=[80.0, 80.5, 81.0], cut=[70.0, 70.5, 71.0])
    scores.main()
    [text] = said()
    assert capsys.readouterr().out.rstrip().endswith(text)
    report = (folder / "results/report/scores.md").read_text(encoding="utf-8")
    assert report.index(text) < report.index("##")
    assert "pre-trained" not in report.lower() and "gate" not in report
    with words.spoken("zh"):
        assert said()[0].startswith("在 reviews 上，teacher 优于 cut，高 10.0 个百分点（+")


def test_where_something_is_pre_trained_here_claims_say_it(folder):  # noqa: F811
    measure(teacher=[80.0, 80.5, 81.0], cut=[70.0, 70.5, 71.0])
    pretrained.save("cut", "teacher", {"steps": 10, "tokens": 10}, 10)
    assert not said()
