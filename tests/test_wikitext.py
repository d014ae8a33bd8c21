"""Articles of a MediaWiki dump -> plain text."""

import bz2
from types import SimpleNamespace

import pytest

from wwm.common.errors import UserError
from wwm.text import sources, wikitext

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
  <siteinfo><sitename>Wikipedia</sitename></siteinfo>
%s
</mediawiki>"""
PAGE = "<page><title>%s</title><ns>%d</ns><id>1</id>%s<revision><id>2</id><text>%s</text></revision></page>"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "'''数学'''（{{lang|en|mathematics}}，）是研究[[數量|数量]]的'''[[学科]]<ref>某书</ref>'''。",
            "数学是研究数量的学科。",
        ),
        ("== 历史 ==\n古代就有。\n* 项目''一''\n# 项目二\n: 缩进\n后来也有。", "古代就有。\n后来也有。"),
        (
            "前文[[File:a.jpg|thumb|说明[[链接]]]]后文[[分类:数学]][[en:Math]]，见[[:Category:几何]]。",
            "前文后文，见Category:几何。",
        ),
        ('{| class="wikitable"\n! 头 !! 头\n|-\n| 格 || 格\n|}\n正文。', "正文。"),
        ("{{Infobox\n| 名 = 值\n* 项\n}}\n正文&nbsp;在此。__TOC__", "正文\u00a0在此。"),
    ],
)
def test_mark_up_goes_and_paragraphs_stay(raw, expected):
    assert wikitext.plain_text(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("-{zh-hans:计算机;zh-hant:電腦}-科学", "计算机科学"),
        ("-{zh-tw:軟體; zh-cn:软件}-", "软件"),
        ("-{zh-hant:繁體獨有}-", "繁體獨有"),
        ("-{不转换}-", "不转换"),
        ("-{R|原样}-", "原样"),
        ("-{zh-hans;zh-hant|都显示}-", "都显示"),
        ("-{H|zh-cn:巨集;zh-tw:宏}-隐藏规则-{T|zh-cn:题}-", "隐藏规则"),
        ("-{A|zh-cn:博客;zh-tw:部落格}-", "博客"),
        ("-{巨集=>zh-cn:宏}-", "宏"),
        ("外-{zh-cn:内-{R|层}-;zh-tw:無}-", "外内层"),
    ],
)
def test_variants_are_those_of_simplified_chinese(raw, expected):
    assert wikitext.resolve_variants(raw) == expected


def test_articles_of_a_dump_in_several_bzip2_streams_without_redirects_and_other_pages(tmp_path):
    pages = [
        PAGE % ("数学", 0, "", "数学是研究数量的学科。"),
        PAGE % ("數學", 0, '<redirect title="数学" />', "#REDIRECT [[数学]]"),
        PAGE % ("Talk:数学", 1, "", "讨论。"),
        PAGE % ("几何", 0, "", "几何研究&lt;b&gt;形状&lt;/b&gt;。"),
    ]
    whole = (DUMP % "\n".join(pages)).encode()
    path = tmp_path / "zhwiki-20261101-pages-articles-multistream.xml.bz2"
    path.write_bytes(b"".join(bz2.compress(part) for part in (whole[:300], whole[300:])))
    found = sources.documents(sources.Place(str(path), 0), SimpleNamespace(format="mediawiki", fields=None))
    assert [wikitext.plain_text(text) for text in found] == ["数学是研究数量的学科。", "几何研究形状。"]


def test_dump_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "zhwiki.xml"
    path.write_text((DUMP % (PAGE % ("数学", 0, "", "数学。")))[:-30], encoding="utf-8")
    with pytest.raises(UserError, match="zhwiki.xml: no whole MediaWiki dump"):
        list(sources.documents(sources.Place(str(path), 0), SimpleNamespace(format="mediawiki", fields=None)))
