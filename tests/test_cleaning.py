"""What is taken out of raw text, and what is left as it is."""

import pytest

from wwm.text import cleaning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<p>第一段<br/>第二行</p><p>第二段</p>", "第一段\n第二行\n第二段"),
        ('一个<a href="http://a.b/?c=1">链接</a>和<b>粗体</b>。', "一个链接和粗体。"),
        ("<script>if (a<b) {}</script>正文<!-- 注 -->。", "正文。"),
        ("吃饭&amp;睡觉&nbsp;&lt;三&gt;", "吃饭&睡觉\u00a0<三>"),
        # What only looks like HTML is text.
        ("vector<int> a; 若 a < b 且 c > d", "vector<int> a; 若 a < b 且 c > d"),
        ("见 http://a.b/?x=1&copy=2&lt=3", "见 http://a.b/?x=1&copy=2&lt=3"),
        ("繁體字１９９９，Ｔ恤 Case　全角", "繁體字１９９９，Ｔ恤 Case　全角"),
    ],
)
def test_html_goes_and_text_stays_as_it_is(raw, expected):
    assert cleaning.clean(raw) == expected


def test_share_of_letters_tells_text_from_tables_and_code():
    assert cleaning.letter_share("今天天气很好，我们去公园。") > 0.8
    assert cleaning.letter_share("| 1 | 2.5 % | --- |") == 0
    assert cleaning.letter_share("") == 0
