"""EM and F1 as the official scripts of CMRC 2018 and CJRC define them, worked out by hand."""

import pytest

from wwm.tasks.metrics import METRICS
from wwm.tasks.questions import Answer, Question
from wwm.tasks.span_scores import cjrc, cmrc, segments


@pytest.mark.parametrize(
    ("answers", "prediction", "em", "f1"),
    [
        (["北京大学"], "北京大学。", 1, 1),  # punctuation is left out
        (["《北京·大学》"], " 北京大学 ", 1, 1),
        (["北京大学"], "在北京大学", 0, 8 / 9),  # 4 of 5 and 4 of 4
        (["北京大学"], "清华", 0, 0),
        (["北京大学"], "", 0, 0),
        (["臺灣大學"], "台灣大學", 0, 3 / 4),  # 3 of 4 and 3 of 4
        (["iPhone 12的"], "IPHONE 13的", 0, 1 / 3),  # iphone 12 的: case does not matter, words are whole
        (["1998年"], "1999年", 0, 1 / 2),
        (["1,000元"], "1000元", 0, 1 / 2),  # a comma of ASCII is no punctuation here
        (["好…"], "好", 0, 2 / 3),  # nor is one half of an ellipsis: 1 of 1 and 1 of 2
        (["‘好’"], "‘好", 1, 1),  # a closing quotation mark is, an opening one is not
        (["abc，def"], "abc def", 0, 0),  # abcdef is one word
        (["清华大学", "北京大学", "在北京大学"], "北京大学", 1, 1),
        (["在清华大学", "在北京大学"], "北京大学", 0, 8 / 9),  # the best, and not the 4/9 of the first
        (["。"], "，", 1, 0),  # no segments are never common
    ],
)
def test_cmrc_scores_are_those_of_its_definition(answers, prediction, em, f1):
    assert cmrc(answers, prediction) == pytest.approx((em, f1))


def test_cmrc_counts_a_run_without_gaps():
    # 一二 or 三四, 2 of 5 and 2 of 4; a subsequence would be all four, 8/9.
    assert cmrc(["一二三四"], "一二五三四") == pytest.approx((0, 4 / 9))


def test_cmrc_finds_the_longest_run_however_often_a_character_comes():
    # Above 200 segments difflib would leave out what comes often, did one not tell it.
    assert cmrc(["的" * 300], "的" * 300 + "一" * 100) == pytest.approx((0, 2 * 0.75 / 1.75))


def test_segments_are_chinese_characters_and_words_between_them():
    assert segments("使用iPhone 12（Pro）的it's 3.5%。") == [
        "使",
        "用",
        "iphone",
        "12pro",
        "的",
        "it",
        "'s",
        "3.5",
        "%",
    ]
    assert segments(" ") == segments("") == []


@pytest.mark.parametrize(
    ("answers", "prediction", "em", "f1"),
    [
        (["被告人张某"], "被告张某", 0, 8 / 9),  # 4 of 4 and 4 of 5
        (["张三"], "三张", 0, 1),  # a bag has no order
        (["一一二"], "一二二", 0, 2 / 3),  # but it counts
        (["3,000 元。"], "3000元", 1, 1),
        (["Apple公司"], "apple公司", 1, 1),
        (["x臺灣"], "X台灣", 0, 2 / 3),
        (["YES"], "yes", 1, 1),
        (["NO"], "YES", 0, 0),
        (["YES"], "", 0, 0),
        ([""], "", 1, 1),
        ([""], "被告", 0, 0),
        ([], "", 1, 1),  # no answers mean the empty one
        ([], "NO", 0, 0),
        (["", ""], "。", 1, 1),  # a prediction without letters is empty
        (["张三", "张三", "李四"], "张三", 1, 1),  # whichever is left out, one is right
        (["张三", "李四", "王五"], "张三", 2 / 3, 2 / 3),  # nothing is, once 张三 itself is left out
        (["YES", "YES", ""], "", 2 / 3, 2 / 3),
        (["一二三四", "一二"], "一二", 1 / 2, 5 / 6),  # 1 against the second; 2 of 2 and 2 of 4 against the first: 2/3
    ],
)
def test_cjrc_scores_are_those_of_its_definition(answers, prediction, em, f1):
    assert cjrc(answers, prediction) == pytest.approx((em, f1))


def question(name: str, text: str, domain: str | None = None) -> Question:
    return Question(name, "？", "无", (Answer(text, -1),), domain)


def test_scores_are_percent_of_all_questions_and_a_missing_prediction_is_0():
    questions = [question("a", "北京大学"), question("b", "北京大学"), question("c", "上海")]
    assert METRICS["cmrc"].score(questions, {"a": "北京大学", "b": "在北京大学", "z": "上海"}) == pytest.approx(
        {"em": 100 / 3, "f1": 100 * (1 + 8 / 9) / 3}
    )


def test_cjrc_is_scored_by_domain_too():
    questions = [question("a", "YES", "civil"), question("b", "张三", "criminal"), question("c", "李四", "criminal")]
    found = METRICS["cjrc"].score(questions, {"a": "YES", "b": "三张"})
    assert found == pytest.approx(
        {"em": 100 / 3, "f1": 200 / 3, "civil_em": 100, "civil_f1": 100, "criminal_em": 0, "criminal_f1": 50}
    )


def test_domain_without_questions_is_not_scored():
    assert METRICS["cjrc"].score([question("a", "YES", "civil")], {"a": "NO"}) == {
        "em": 0,
        "f1": 0,
        "civil_em": 0,
        "civil_f1": 0,
    }
