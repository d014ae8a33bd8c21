"""The Chinese of the report: whole, and no more than the report says."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from wwm.report import claims, costs, margins, results, words
from wwm.tasks.questions import COUNTED
from wwm.tasks.splits import WORDS
from wwm.tasks.table import TASKS

MODULES = [*sorted(Path("wwm/report").glob("*.py")), Path("wwm/scores.py")]
TEMPLATE = Path("wwm/report/page.html.jinja").read_text(encoding="utf-8")
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES]


def constants(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def said() -> set[str]:
    """Texts that stand in a call of `say`."""
    calls = [node for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [constants(call.args[0]) for call in calls if ast.unparse(call.func) == "say"]
    return set().union(*found, re.findall(r'say\("([^"]+)"\)', TEMPLATE))


def test_every_text_of_the_report_has_its_chinese():
    assert len(said()) > 100
    assert not said() - set(words.catalogue()["report"])


def test_the_catalogue_has_no_text_that_the_report_no_longer_says():
    everything = said().union(*map(constants, TREES))
    assert not set(words.catalogue()["report"]) - everything


@pytest.mark.parametrize("part", ["report", "results"])
def test_chinese_has_the_same_figures_to_fill_in(part):
    def fields(text: str) -> list[tuple]:
        return sorted((name, form) for _, name, form, _ in Formatter().parse(text) if name)

    catalogue = words.catalogue()[part]
    assert not [english for english, chinese in catalogue.items() if fields(english) != fields(chinese)]


def test_chinese_has_no_word_that_the_terms_advise_against():
    terms = Path("docs/zh/terms.md").read_text(encoding="utf-8")
    advised = {word for row in re.findall(r"^\|.*\|.*\|.*\| (.+) \|$", terms, re.M) for word in row.split("、")} - {
        "不用"
    }
    chinese = [text for part in words.catalogue().values() for text in part.values()]
    told = re.sub(r"\{.*?\}", "", "\n".join(chinese))
    assert len(advised) > 20 and not [word for word in advised if word in told]


@pytest.mark.parametrize(
    ("gains", "verdict"), [([2.0], "成立"), ([2.0, -2.0], "部分成立"), ([-2.0], "不成立"), ([None], "n/a")]
)
def test_each_verdict_has_its_chinese(gains, verdict):
    with words.spoken("zh"):
        made = [margins.Unknown("x") if gain is None else margins.Margin(gain, 0, 0, 0) for gain in gains]
        on = words.say(results.WAYS["words"])
        told = claims.claim("甲优于乙", [claims.Comparison("", "a", "b", on, True, one, 0.0) for one in made])
    assert told.text.startswith(f"甲优于乙：{verdict}，") and "填空" in told.details[0]


def test_what_is_chosen_by_a_name_has_its_chinese():
    chosen = {*claims.UNITS.values(), *costs.UNITS.values(), *results.WAYS.values()}
    assert chosen <= set(words.catalogue()["report"])


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_what_a_task_says_of_itself_has_its_chinese(task):
    texts = {task.remark, task.footnote, *task.hidden.values(), *task.splits} - {""}
    assert texts <= set(words.catalogue()["results"])


def test_names_of_splits_and_of_what_is_counted_have_their_chinese():
    assert {*WORDS, *COUNTED, "empty_lines", "ignored_labels"} <= set(words.catalogue()["results"])


def test_texts_of_result_files_are_known_with_what_is_filled_in():
    with words.spoken("zh"):
        assert words.known("500 of 100,000 examples of train") == "训练集只用 100,000 条样本中的 500 条"
        assert words.known("test of 2 examples instead of 5,010") == "测试集有 2 条样本，官方为 5,010 条"
        assert words.known("my train.tsv is not the official train file") == "my train.tsv 不是官方的训练集文件"
        assert words.known("data/tasks/mine has no test file") == "data/tasks/mine 中没有测试集的文件"
        assert words.known("Is it nice, in all?") == "Is it nice, in all?"


def test_a_text_that_the_catalogue_lacks_is_an_error_in_chinese_alone():
    assert words.say("Not there: {what}.", what="x") == "Not there: x."
    with words.spoken("zh"), pytest.raises(KeyError):
        words.say("Not there: {what}.", what="x")
