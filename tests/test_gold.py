"""Gold words in the layouts that people have them in, and what is no gold words at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwm.common.errors import UserError
from wwm.text import gold

WORDS = [["我", "爱", "北京", "。"], ["他", "来", "了"]]


def read(tmp_path, text: str) -> list[list[str]]:
    path = tmp_path / "gold.txt"
    path.write_text(text, encoding="utf-8")
    return gold.read(path)


@pytest.mark.parametrize(
    "text",
    [
        "我 爱 北京 。\n他 来 了\n",
        "我  爱  北京  。  \n\n他  来  了",
        "我\u3000爱\u3000北京\u3000。\n他\u3000来\u3000了\n",
        "我\t爱\t北京\t。\n他\t来\t了\n",
        "\ufeff我 爱 北京 。\r\n他 来 了\r\n",
        "我/r 爱/v 北京/ns 。/w\n他/r 来/v 了/u",
        "19980101-01-001-001/m  我/r  爱/v  北京/ns  。/w\n19980101-01-001-002/m  他/r  来/v  了/u{le5}",
        "[我/r 爱/v]nz 北京/ns 。/w\n[他/r [来/v 了/u]v]l",
        "19980101-01-001-001 我 爱 北京 。\n19980101-01-001-002 他 来 了",
        "我_PN 爱_VV 北京_NR 。_PU\n他_PN 来_VV 了_AS",
        "我|r 爱|v 北京|ns 。|w\n他|r 来|v 了|u",
        "我/爱/北京/。\n他/来/了",
        "我/ 爱/ 北京/ 。/ \n他/ 来/ 了/ ",
        "我 / 爱 / 北京 / 。\n他 / 来 / 了",
        "我|爱|北京|。\n他|来|了",
        "我/S 爱/S 北/B 京/E 。/S\n他/S 来/S 了/S",
        "我/B 爱/B 北/B 京/I 。/B\n他/B 来/B 了/B",
        "我\tS\n爱\tS\n北\tB\n京\tE\n。\tS\n\n他\tS\n来\tS\n了\tS\n",
        "我 r S\n爱 v S\n北 ns B\n京 ns E\n。 w S\n\n他 r S\n来 v S\n了 u S\n",
        "我\tPN\n爱\tVV\n北京\tNR\n。\tPU\n\n他\tPN\n来\tVV\n了\tAS\n",
        "我\n爱\n北京\n。\n\n他\n来\n了\n",
        "# sent_id = 1\n# text = 我爱北京。\n1\t我\t_\tPN\n2\t爱\t_\tVV\n3-4\t北京\t_\t_\n"
        "3\t北\t_\tNR\n4\t京\t_\tNR\n5\t。\t_\tPU\n"
        "\n# sent_id = 2\n1\t他\t_\tPN\n2\t来\t_\tVV\n2.1\t的\t_\t_\n3\t了\t_\tAS\n",
    ],
)
def test_known_layouts_give_the_same_words(tmp_path, text):
    assert read(tmp_path, text) == WORDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("我爱北京。\n他来了", "line 1: '我爱北京。' has no space between words, nor has any line"),
        ("我\n爱\n北京\n", "line 1: '我' has no space between words"),
        ("我 爱 北 京 。 他 来 了\n" * 20, "line 1: '我' is one of 140 Chinese words of 1.00 characters in the mean"),
        (
            "我爱北京天安门 他来到了长城\n他来到了 我爱北京",
            "of 5.25 characters in the mean, and Chinese text has at most 2.5",
        ),
        (
            "我 爱 北京 。\n我爱北京，他来了。 好\n",
            "line 2: '我爱北京，他来了。' is no word: .*punctuation within words",
        ),
        ("我/r爱/v北京/ns\n他/r来/v了/u", "line 1: '我/r爱/v北京/ns' has no space between words"),
        ("我^r 爱^v 北京^ns\n他^r 来^v", "line 1: '我\\^r' is no word"),
        ("我/代词 爱/动词 北京/名词", "line 1: '我/代词' is no word"),
        ("我/r 爱/v 北京/ns\n他/r 来/v\n他 来 了", "line 3: '他' has no tag, as most lines' words have"),
        ("我 爱 北京\n他 来 了\n他/r 来/v", "line 3: '他/r' has a tag, as few lines' words have"),
        ("我/r 爱/v 北京\n他/r 来/v\n我/r 好/a", "line 1: '北京' has no tag"),
        ("1\t我 爱 北京\n2\t他 来 了\n3\t你 好", "line 1: blanks on one side of a tab"),
        ("1 我 爱 北京\n2 他 来 了", "line 1: a number before its words"),
        ("1\t我爱北京\n2\t他来了\n3\t你好", "line 1: a number before its words"),
        ("1. 我 爱 北京\n2. 他 来", "line 1: a number before its words"),
        ("1\t我\n1\t爱\n2\t他\n2\t来\n", "line 1: a number before its words"),
        ("我爱北京\t我 爱 北京\n他来了\t他 来 了", "line 1: blanks on one side of a tab"),
        ("我 爱 北京\n" * 50 + "他 来 了\tr v u\n", "line 51: blanks on one side of a tab"),
        ("我们 今天 在 北京\tr t p ns\n" * 200, "line 1: blanks on one side of a tab"),
        ("我们 今天 ||| 代词 时间\n", "line 1: a sign between two parts"),
        ("我们 今天 在 北京 r t p ns\n" * 200, "line 1: 'r' is one of 800 Latin words among 1600"),
        ("我 r 爱 v 北京 ns\n他 r 来 v", "line 1: 'r' is one of 5 Latin words"),
        ("我/r/爱/v/北京/ns\n他/r/来/v", "line 1: 'r' is one of 5 Latin words"),
        ("我\tPN\n爱\tVV\n北京\tNR\tLOC\n" * 50, "line 1: 'PN' is one of 200 Latin words"),
        ("他 O\n来 O\n\n我 O\n在 O\n北 B-LOC\n京 I-LOC\n", "line 4: O beside 'B-LOC' are tags of named entities"),
        ("我 OK\n他 come\n你 good", "line 1: 'OK' may be a tag or a word"),
        ("我 OK\n\n他 come\n\n你 good", "line 1: 'OK' may be a tag or a word"),
        ("我 爱 北京\n" * 500 + "他/r 来/v", "line 501: '他/r' has a tag"),
        ("床 前 明 月 光\n" * 40, "of 1.00 characters in the mean: of single .* segmenter in segmenter.source"),
        ("北/M 京/E 好/S", "line 1: a sentence begins with the tag 'M'"),
        ("hello world\n", "no Chinese word in it"),
        ("\n\n", "no sentence in it"),
        (
            "\n".join(" ".join(chr(0x4E00 + 60 * i + j) * 2 for j in range(20)) for i in range(60)),
            "line 1: of the first 1000 words 1000 differ",
        ),
    ],
)
def test_what_is_no_gold_words_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=f"gold.txt(, |: )(.*){message}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "odd",
    ["http://a.cn/x http://a.cn/y", "Wi-Fi 4-G", "T-shirt e-mail", "https://a.cn/x", "我 OK\n他 来"],
)
def test_a_line_of_signs_and_letters_in_a_file_of_words_is_words(tmp_path, odd):
    for count in (1, 500):
        assert read(tmp_path, "我 爱 北京\n" * count + odd) == [
            *[["我", "爱", "北京"]] * count,
            *map(str.split, odd.splitlines()),
        ]


@pytest.mark.parametrize(
    "text",
    [
        "大学 之 道 在 明 明 德 在 亲 民 在 止 于 至 善\n" * 10,
        "去 KTV 唱 卡拉OK\nT恤 和 AA制\nU盘\n",
        "血型 B\n尺码 S\n我们 去\n",
        "5 个 人 来 了\n",
        "他 说 OK\n我 用 Python 写 程序\n",
    ],
)
def test_short_words_and_words_with_letters_are_words(tmp_path, text):
    assert read(tmp_path, text) == [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("sign", "/|／｜")
@pytest.mark.parametrize("odd", ["完", "第一章", "(", "OK"])
def test_a_line_of_one_word_among_words_with_signs_between_them_is_that_word(tmp_path, sign, blank, odd):
    lines = [*WORDS * 3, [odd], *WORDS]
    assert read(tmp_path, "\n".join(f"{blank}{sign}{blank}".join(words) for words in lines)) == lines


@pytest.mark.parametrize("sign", ["/", "|", "-", "+", "_", "→", "·", "||", "＋", "｜"])
def test_a_sign_that_is_as_frequent_as_what_separates_words_is_no_word(tmp_path, sign):
    text = "\n".join(f" {sign} ".join(words) for words in WORDS)
    with pytest.raises(UserError, match=r"gold.txt, line 1: .* is 5 times a word"):
        read(tmp_path, f"{text}\n我 爱 北京\n完\n")


@given(st.lists(st.lists(st.sampled_from("我 们 北京 喜欢 词 。 1998年 5 [ ]".split()), min_size=2), min_size=1))
def test_words_with_tags_are_those_without(tmp_path_factory, sentences):
    folder = tmp_path_factory.mktemp("gold")
    text = "\n".join(
        " ".join([*words, "卡拉OK", "我们"] if not i else [*words, "北京", "我们"]) for i, words in enumerate(sentences)
    )
    tagged = "\n".join(" ".join(f"{word}/nz1" for word in line.split()) for line in text.splitlines())
    assert read(folder, tagged) == read(folder, text)
