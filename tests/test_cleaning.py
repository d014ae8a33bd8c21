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
        ("面积10<sup>2</sup>，H<sub>2</sub>O，注<sup>甲</sup>", "面积10²，H₂O，注甲"),
        ("吃饭&amp;睡觉&nbsp;&lt;三&gt;&#8364;&#x4e2d;", "吃饭&睡觉\u00a0<三>€中"),
        ("&lt;b&gt;不是标记&amp;lt;", "<b>不是标记&lt;"),
    ],
)
def test_html_goes(raw, expected):
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
