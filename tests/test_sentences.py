"""Where sentences end."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwm.text import sentences


def cut(text: str) -> list[str]:
    ends = sentences.ends(text)
    return [text[start:end] for start, end in zip([0, *ends], ends)]


WHOLE = [
    # numbers, dates
    "1.联通某公司办公室灯火通明，这已成为常态。",
    "增长了3.5%，2019.01.02的价格是1,000.50元。",
    "圆周率约为３．１４１５９，误差不到．１",
    "见第3.2.1节和No. 5。",
    # addresses, file names, versions
    "升级到2版后好了，请见www.example.com/a.html页面。",
    "请访问https://zh.wikipedia.org/wiki/中文?oldid=1&a=b!c页面。",
    "邮箱是li.lei@mail.example.com.cn，地址是192.168.0.1。",
    "把报告.docx和main.py放到~/.config/a.b里，用的是v2.10.3版。",
    "使用.NET框架和Node.js，调用obj.method()。",
    "判断a != b，或者x?.y!.z的值。",
    "如下图![图](a.png)所示。",
    # abbreviations
    "Mr. Smith和Dr. Li在U.S. Army工作过，e.g. 小明。",
    "王Prof.和李Dr.来自Apple Inc.的团队，J. K. Rowling也在。",
    "Ph.D.学位等etc. 一共三个。",
    # numbers of lists
    "1. 联通公司。",
    "一. 总则。",
    "（1）联通公司。",
    "（1）. 联通公司。",
    "一、联通公司。",
    "１．联通公司。",
    "### 2.1. 安装方法。",
    "A. 选项甲。",
    "步骤如下1.打开2.关闭。",
    # what is in brackets, and what goes on after a quotation
    "他（真的吗？）走了。",
    "《你好！李焕英》是一部电影。",
    "他问：「好嗎？」、「行嗎？」。",
    "“你好。”，他说。",
    "好吧……，我知道了。",
    "他是（约翰·史密斯（美国人。）。）好人。",
    "约翰．史密斯访问了Ｊ．Ｋ．罗琳。",
]


@pytest.mark.parametrize("text", WHOLE)
def test_no_sentence_ends_within_a_number_an_address_an_abbreviation_or_a_bracket(text):
    assert cut(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "他說：「你好。」|我說：『再見！』|然後走了。",
        "老師問：「你幾歲？」|學生答：「八歲。」",
        "解得x=1．|代入上式．|得证．",
        "１．申请人．|２．被申请人．",
        "他来了。|“你好。”|她说：‘再见！’|走了。",
        "他来了。|\"你好。\"|她说。|'再见！'|走了。",
        "（完。）|下一句。|【快讯！】|今天有雨。",
        "走吧!!|Tom说好吗?|真的?!|是。",
        "他说（我不信。你信吗？）算了。|好。",
        "好。〞|好！﹄|好？»|好。｝|好。］|好。）”|完。",
        "好。 ”|然后。",
        "He left. |Then Mr. Li came, etc. and so on. |I don't know. |完了。",
        "见 http://a.com/b. |Then go to example.com.|然后走。",
        "“第一段没有结束。|第二句。",
        "升级到2.0.|然后重启。",
        "第一行\n　　|第二行。\n|第三行",
        "1. 联通。|2. 移动。|3.电信。",
        "嗯……|我走了...|真的。。。",
    ],
)
def test_sentences_end_at_punctuation_with_the_marks_that_close_them(text):
    assert cut(text.replace("|", "")) == text.split("|")


@pytest.mark.parametrize("marks", ["“”", "「」", "『』", '""', "''", "（）", "()", "【】", "《》"])
def test_a_short_quotation_is_not_cut_and_a_long_one_is_cut_inside(marks):
    sentence, (opening, closing) = "我們在這裡說了一句話，他也說了。", marks
    assert len(cut(f"{opening}{sentence * 11}{closing}他走了。")) <= 2
    assert max(map(len, cut(f"{opening}{sentence * 60}{closing}他走了。"))) < 25


def test_marks_that_are_no_pair_hold_no_sentences_together():
    assert max(map(len, cut(f'27"的。{"我们在这里说了一句话。" * 40}24"的。'))) < 20


ODD = "。！？….!?“”‘’「」『』()（）[]【】《》\"' ：:/／aZ1２一好，．·\n\r、-*　\u00a0\u200c😀"


@given(st.text(min_size=1) | st.text(st.sampled_from(ODD), min_size=1))
def test_sentences_partition_any_text_and_none_but_a_lines_first_begins_with_a_mark_that_closes(text):
    found = cut(text)
    assert "".join(found) == text and all(found)
    for before, sentence in zip(found, found[1:]):
        if not before.rstrip(" \u3000\u00a0").endswith(("\n", "\r")):
            assert sentence[0] not in "”’」』）】》）］｝，、；：。"


def test_time_grows_with_the_length_of_a_line_alone():
    rng = random.Random(0)
    before = time.process_time()
    for _ in range(30):
        line = "".join(rng.choices(rng.sample(ODD.replace("\n", "").replace("\r", ""), 4), k=30_000))
        assert sentences.ends(line)[-1] == len(line)
    # A second or two; cutting that goes back to the line's beginning at each sign takes minutes.
    assert time.process_time() - before < 20


def test_no_sentence_ends_within_a_word_of_the_dictionary():
    unbroken = sentences.pattern_of(["嗨！孤独", "孤独", "走了。"])
    assert sentences.ends("电影嗨！孤独上映。走了。好！孤独", unbroken) == [9, 12, 14, 16]
    assert sentences.pattern_of(["孤独", "走了。"]) is None
