"""Articles of a MediaWiki dump -> plain text."""

import bz2
import time
from collections import Counter
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from wwm import corpus
from wwm.common.errors import UserError
from wwm.text import selection, sources, wikitext

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">
  <siteinfo><sitename>Wikipedia</sitename></siteinfo>
%s
</mediawiki>"""
MEDIAWIKI = SimpleNamespace(format="mediawiki", fields=None, on_bad=None)
PAGE = "<page><title>%s</title><ns>%d</ns><id>1</id>%s<revision><id>2</id><text>%s</text></revision></page>"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "'''数学'''（{{lang|en|mathematics}}，）是研究[[數量|数量]]的'''[[学科]]<ref>某书</ref>'''。",
            "数学（mathematics）是研究数量的学科。",
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
    assert wikitext.plain_text(raw) == (expected, 0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("位于海拔{{formatnum:785}}米处，人口{{ formatnum: 1777000 }}人", "位于海拔785米处，人口1777000人"),
        ("全长{{convert|1300|mi|km}}，高{{cvt|3|to|5|km|mi|0}}", "全长1300英里，高3至5公里"),
        (
            "高{{convert|5|ft|6|in|m}}，{{Convert|-5.5|°C|°F|1}}，{{convert|30|furlong}}",
            "高5英尺6英寸，-5.5摄氏度，30furlong",
        ),
        (
            "{{val|1.5|e=8|u=km}}、{{frac|3|4}}、{{frac|1|3|4}}、{{gaps|1|234}}、{{US$|5}}",
            "1.5×10^8km、3/4、1 3/4、1234、US$5",
        ),
        ("生於{{le|某镇|Some Town}}，遷居{{link-en|另一城|Other}}", "生於某镇，遷居另一城"),
        ("{{tsl|en|Foreign|本地}}、{{tsl|en|Foreign|本地|显示}}、{{link-ja|甲|に|乙}}", "本地、显示、乙"),
        ("{{ilh|甲|lang-code=en|foreign=A}}、{{le|甲|A|d=丙}}、{{internal link helper/en|甲|A}}", "甲、丙、甲"),
        ("{{lang|zh|丁省}}（{{lang-en|City}}、{{langx|de|Stadt}}；{{lang-ja|都市}}）", "丁省（City、Stadt；都市）"),
        ("'''毛'''{{bd|1893年|12月26日|1976年|9月9日|catIdx=M}}。", "毛（1893年12月26日－1976年9月9日）。"),
        (
            "{{start date|2010|05|3}}、{{dts|2010-05-03}}、{{birth date and age|1990|1|df=y}}",
            "2010年5月3日、2010年5月3日、1990年1月",
        ),
        ("{{bd|1954年|9月21日}}，{{as of|2010|5}}，{{circa|1900年}}", "（1954年9月21日－），截至2010年5月，约1900年"),
        ("{{nowrap|[[甲|乙]] {{lang|en|C}}}}{{color|red|红}}{{small|小}}{{abbr|缩写|说明}}", "乙 C红小缩写"),
        (
            "{{ruby|漢字|かんじ}}、{{僻字|𠮷|吉}}、{{zh|s=简|t=繁}}、{{unichar|20AC}}、甲{{·}}乙",
            "漢字、𠮷、简、€、甲·乙",
        ),
        ("{{模板:Nowrap|甲}}{{Template:Small|乙}}{{ Font_color |red|丙}}", "甲乙丙"),
        ("甲{{R|某书}}是城{{cn|date=2020年}}。{{sfn|某|2000}}{{flagicon|CHN}}中国", "甲是城。中国"),
        ("{{NoteTA|G1=IT}}{{Infobox person|a={{未知}}}}甲是人。", "甲是人。"),
        ("面积10<sup>2</sup>，H<sub>2</sub>O，设<math>x+y=2</math>", "面积10^2，H2O，设x+y=2"),
        ("10{{sup|6}}人，H{{sub|2}}O，1011{{sub|2}}，3米{{sup2}}", "10^6人，H2O，1011_2，3米^2"),
        ("10<sup class=x>''6''</sup>，{{nowrap|2<sup>n+1</sup>}}", "10^6，2^(n+1)"),
        ("{{US$|1|million}}、{{NT$|3|億}}、{{formatnum|785}}", "US$1 million、NT$3億、785"),
        ("{{convert|1.5|e6km|mi}}、{{convert|2e3|m}}", "1.5×10^6公里、2×10^3米"),
        ("{{val|1.2|(5)|u=km|up=s}}、{{val|1.2|0.1|e=-3}}", "1.2(5)km/s、1.2±0.1×10^-3"),
        ("约{{circa|1990}}、大約 {{circa|1990|2000}}、截至{{as of|2010}}", "约1990、大約1990－约2000、截至2010年"),
        ("邀约{{lang|zh|约翰}}，{{ill|德国队|en|Germany}}、{{ill|甲|zh-tw|乙|lt=丙}}", "邀约约翰，德国队、丙"),
        ("{{le|甲|css|乙}}、{{tsl|en|bus|巴士}}、{{ill|en|Bus|巴士}}", "乙、巴士、巴士"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字，[http://a.b {{lang|en|T}}]", "漢字，T"),
    ],
)
def test_a_template_leaves_the_text_that_it_shows(raw, expected):
    assert wikitext.plain_text(raw) == (expected, 0)


@pytest.mark.parametrize(
    ("raw", "expected", "left_out"),
    [
        ("前一句。它{{未知|甲}}很大。后一句。", "前一句。后一句。", 1),
        ("{{未知}}是国家。它很大。", "它很大。", 1),
        ("甲（{{未知|乙}}）是城（英语：{{未知}}，1990年）。", "甲是城。", 0),
        ("是城。{{未知}}\n{{某框\n|a=b\n}}\n乙是镇。", "是城。\n乙是镇。", 0),
        ("设<math>\\frac{1}{2}</math>为数。后一句。", "后一句。", 1),
        ("“他说{{未知}}。”她答。", "她答。", 1),
        ("{{nowrap|甲{{未知}}}}是。", "", 1),
        ("[[甲|{{未知}}]]是。'''{{未知}}'''也是！乙", "乙", 2),
        ("{{PAGENAME}}有{{#expr:1+1}}个。", "", 1),
        ("{{val|1.2|+0.1|-0.2}}。{{US$|5|2010}}。{{val|1|-|2}}。", "", 3),
        ("{{flag|CHN}}夺冠。{{convert|x|y}}长。", "", 2),
    ],
)
def test_no_sentence_keeps_a_hole(raw, expected, left_out):
    assert wikitext.plain_text(raw) == (expected, left_out)


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
    found = sources.documents([sources.Place(str(path), 0)], MEDIAWIKI, Counter())
    assert [wikitext.plain_text(text)[0] for text in found] == ["数学是研究数量的学科。", "几何研究形状。"]


def test_dump_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "zhwiki.xml"
    path.write_text((DUMP % (PAGE % ("数学", 0, "", "数学。")))[:-30], encoding="utf-8")
    with pytest.raises(UserError, match="zhwiki.xml: no whole MediaWiki dump"):
        list(sources.documents([sources.Place(str(path), 0)], MEDIAWIKI, Counter()))


def test_dump_without_namespaces_has_them_in_its_titles_and_redirects_in_its_text(tmp_path):
    path = tmp_path / "zhwiki.xml"
    space = "<siteinfo><namespaces><namespace key='0' /><namespace key='1'>Talk</namespace></namespaces></siteinfo>"
    page = "<page><title>%s</title><revision><text>%s</text></revision></page>"
    pages = [("数学", "甲。"), ("Talk:数学", "乙。"), ("星际: 前传", "丙。"), ("數學", "#重定向 [[数学]]"), ("空", "")]
    path.write_text(f"<mediawiki>{space}{''.join(page % one for one in pages)}</mediawiki>", encoding="utf-8")
    assert list(sources.documents([sources.Place(str(path), 0)], MEDIAWIKI, Counter())) == ["甲。", "丙。"]


def test_xml_that_is_no_dump_is_named(tmp_path):
    path = tmp_path / "abstract.xml"
    path.write_text("<feed><doc>甲</doc></feed>", encoding="utf-8")
    with pytest.raises(UserError, match="abstract.xml: <feed> is no MediaWiki dump; set another `format`"):
        list(sources.documents([sources.Place(str(path), 0)], MEDIAWIKI, Counter()))


@pytest.mark.parametrize("flags", ["zh-AA" * 14 + "!", "zh-AAzh" * 2000 + "!", "zh-AA;" * 2000 + "!"])
def test_flags_of_a_variant_that_can_be_read_in_many_ways_take_no_time(flags):
    begun = time.process_time()
    assert wikitext.resolve_variants(f"一-{{{flags}|甲}}-二") == f"一{flags}|甲二"
    assert time.process_time() - begun < 1


def test_an_ordinary_page_has_few_things_open_at_once():
    ordinary = (
        "1990-{{lang|en|}}年，-{zh-hans:计算机;zh-hant:電腦}-<ref name=a/>与-{{{甲}}}-<br>[[a|{{b|[[c]]}}]]<li>"
        "<!-- 注 -->[http://a b] [注]"
        "{{{1|}}}，<small>小</small>[http://c\n{| class=x\n|-\n| 一 || 二\n|}\n"
    )
    assert wikitext.depth(ordinary * 200) == 3


@pytest.mark.parametrize(
    "mark",
    ["{{", "[[a|", "-{", "<b>", "<ref>", "{|\n", "<b a='", "{{a]]", "<b></i>", "-{{{", "<!--", "[http://a ", "<td "],
)
def test_a_page_whose_mark_up_would_take_hours_is_dropped_counted_and_kept_to_be_looked_at(tmp_path, mark):
    tangled = mark * 200_000
    rules = {"min_characters": 2, "max_characters": 1_000_000, "min_letter_share": 0, "near_duplicate_similarity": None}
    begun = time.process_time()
    corpus.clean_block(tmp_path, [tangled, "正文在这里。"], rules | {"format": "mediawiki", "seed": 1})
    assert time.process_time() - begun < 10
    made = pq.read_table(tmp_path / "block.parquet").to_pylist()
    assert [selection.RULES[row["dropped"]] for row in made] == ["mark_up", ""]
    assert tangled.startswith(made[0]["text"]) and made[0]["text"]
