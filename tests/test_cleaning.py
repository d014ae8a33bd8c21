"""What is taken out of raw text, and what is left as it is."""

import html.entities
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwm.text import cleaning

# Where a mathematician, a programmer or a correspondent writes angle brackets and ampersands.
PLAIN = [
    "当a<b 时c>d成立",
    "若x<p 且 q>r，则结论成立",
    "如果i<s 或者 j>k 那么返回",
    "若 a < b 且 c > d",
    "若a<b and c>d，或 a<b title>c",
    "List<T>、List<Object>、Map<String, Object>、vector<b>、Vec<Time>、Option<li>",
    "#include <map>\n#include <time.h>",
    "cp <source> <target>，<你的名字>，<name>，<title>",
    "我<3你，<-，<=，=>，<>，x<y>z，a<p>b，1<<2",
    "引自<论语>和<红楼梦>",
    "写信给<wang@example.com>或<b@c.cn>，见<http://a.cn/b>",
    "AT&T、a&b、R&D;、p&mask;、&copyright;、&foo;",
    "见 http://a.b/?x=1&copy=2&lt=3&amp",
    "未完的<!-- 注和<div",
    "繁體字１９９９，Ｔ恤 Case　全角",
]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<p>第一段<br/>第二行</p><p>第二段</p>", "第一段\n第二行\n第二段"),
        ("第一段<p>第二段<br>第三行<hr>", "第一段\n第二段\n第三行"),
        ('一个<a href="http://a.b/?c=1">链接</a>和<b>粗体</b>。', "一个链接和粗体。"),
        ("<font color=red size=2>红</font><A HREF=http://a.b/?c=1 target=_blank>链</A>", "红链"),
        ("<script>if (a<b) {}</script>正文<!-- 注 -->。", "正文。"),
        ("<style type='text/css'>p > a {}</style>正文", "正文"),
        ("<!DOCTYPE html><html><head><title>题</title></head><body class='x'>文</body></html>", "题\n文"),
        ('<div class="a > b"\n id=x>甲</div><img src="a.png" alt="图"><input disabled>', "甲"),
        ("<table border><td nowrap>甲<td>乙<span data-x=1>丙</span>", "甲\n乙丙"),
        ("面积10<sup>2</sup>，H<sub>2</sub>O，注<sup>甲</sup>", "面积10^2，H2O，注甲"),
        ("吃饭&amp;睡觉&nbsp;&lt;三&gt;&#8364;&#x4e2d;", "吃饭&睡觉\u00a0<三>€中"),
        ("&lt;b&gt;不是标记&amp;lt;", "<b>不是标记&lt;"),
    ],
)
def test_html_goes(raw, expected):
    assert cleaning.clean(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('10<sup style="x">6</sup>米，10<sup class=n>-3</sup>', "10^6米，10^-3"),
        ("10<sup><small>6</small></sup>，2<Sup>0.5</SUP>，2<sup>1,024</sup>", "10^6，2^0.5，2^1,024"),
        ("10<sup>1/2</sup>，x<sub>n+1</sub>，2<sup>(n+1)</sup>", "10^(1/2)，x_(n+1)，2^(n+1)"),
        ("e<sup>x<sup>2</sup></sup>，10<sup>\n6\n</sup>", "e^(x^2)，10^6"),
        ("1011<sub>2</sub>，<b>17</b><sub>8</sub>，log<sub>2</sub>8", "1011_2，17_8，log_2 8"),
        ("10<sup>6</sup>5，<sup>14</sup>C，<sup>2</sup>3", "10^6 5，^14C，^2 3"),
        ("C<sub>6</sub>H<sub>12</sub>，SO<sub>4</sub><sup>2−</sup>，Ca<sup>2+</sup>", "C6H12，SO4^2−，Ca^2+"),
        ("10<sup>&minus;3</sup>，10<sup>６</sup>，f<sup>(n)</sup>，甲<sup>&lt;1</sup>", "10^−3，10^６，f^(n)，甲<1"),
        ("某<sup>*</sup>，1<sup>st</sup>，某人<sup>[1]</sup>，<sup>well-known</sup>", "某*，1st，某人[1]，well-known"),
    ],
)
def test_raised_and_lowered_numbers_run_into_no_others(raw, expected):
    assert cleaning.clean(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("用 `<td>` 和 `<br>` 写<b>表格</b>", "用 `<td>` 和 `<br>` 写表格"),
        ("`<script>`与`</script>`之间，`<p>文</p>`是段落", "`<script>`与`</script>`之间，`<p>文</p>`是段落"),
        ("<!-- `<a>` -->`<sup>2</sup>`与`<!-- -->`", "`<sup>2</sup>`与`<!-- -->`"),
        ("`甲`<b>粗</b>`乙`，`<a>`", "`甲`粗`乙`，`<a>`"),
        ("<td>价格<td>12<td>13", "价格\n12\n13"),
    ],
)
def test_mark_up_between_backticks_is_what_the_text_is_about(raw, expected):
    assert cleaning.clean(raw) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_looks_like_html_stays(text):
    assert cleaning.clean(text) == text


class Reader(HTMLParser):
    """Whether another parser sees an element by its name, a comment or a declaration."""

    found = False
    names = frozenset(f"{cleaning.BLOCK}|{cleaning.INLINE}".replace("h[1-6]", "h1|h2|h3|h4|h5|h6").split("|"))

    def handle_starttag(self, tag, attrs):
        self.found = self.found or tag in self.names

    handle_endtag = lambda self, tag: self.handle_starttag(tag, [])  # noqa: E731

    def handle_comment(self, data):
        self.found = True

    handle_decl = handle_pi = unknown_decl = handle_comment


def has_mark_up(text: str) -> bool:
    reader = Reader(convert_charrefs=False)
    reader.feed(text)
    reader.close()
    entities = (entity[1:] in html.entities.html5 or entity[1] == "#" for entity in re.findall(r"&#?\w+;", text))
    return reader.found or any(entities)


PIECES = [
    *"<>&;/=!-'\"#? abipqst",
    "amp",
    "div",
    "br",
    "你",
    "好",
    "，",
    "。",
    "《",
    "》",
    "３",
    "3",
    "\n",
    "T",
    "vector",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.lists(st.sampled_from(PLAIN)).map("".join))
def test_text_without_mark_up_stays_as_it_is_but_for_blanks_at_line_ends(text):
    if not has_mark_up(text):
        assert cleaning.clean(text) == "\n".join(line.strip() for line in text.split("\n") if line.strip())


def test_share_of_letters_tells_text_from_tables_and_code():
    assert cleaning.letter_share("今天天气很好，我们去公园。") > 0.8
    assert cleaning.letter_share("| 1 | 2.5 % | --- |") == 0
    assert cleaning.letter_share("") == 0
