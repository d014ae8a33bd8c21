"""What is said of text that is not UTF-8."""

import io
import re

import pytest

from wwm.common import files
from wwm.common.errors import UserError

SIMPLIFIED = "第一章讲的是今天的天气，我们大家一起去公园走走。\n\n第二章讲的是历史。\n" * 3
TRADITIONAL = "今天天氣很好，大家去公園。\n\n他說這個問題沒有那麼難。\n" * 3
CANTONESE = "啲嘢喺度，佢哋唔係好識講，你話係咪呢。\n" * 3


def said(raw: bytes) -> str:
    with pytest.raises(UserError) as error:
        list(files.decoded(io.BytesIO(raw), "a.txt"))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (SIMPLIFIED, "gb18030", "GB18030"),
        (SIMPLIFIED, "gb2312", "GB18030"),
        (TRADITIONAL, "gbk", "GB18030"),
        ("今天", "gb18030", "GB18030"),
        (TRADITIONAL, "big5", "BIG5"),
        (CANTONESE, "big5hkscs", "BIG5-HKSCS"),
        (SIMPLIFIED, "utf-16", "UTF-16"),
        (TRADITIONAL, "utf-16-le", "UTF-16LE"),
        (SIMPLIFIED, "utf-16-be", "UTF-16BE"),
        (SIMPLIFIED, "utf-32", "UTF-32"),
        (TRADITIONAL, "utf-32-be", "UTF-32BE"),
        ("plain ASCII\nof two lines\n", "utf-16-le", "UTF-16LE"),
    ],
)
def test_the_advice_is_to_convert_from_the_encoding_in_which_it_reads_as_chinese(text, codec, name):
    assert f"convert it by `iconv -f {name} -t UTF-8`" in said(text.encode(codec))


@pytest.mark.parametrize("place", [0, 3, 20, 70])
def test_one_bad_byte_is_named_by_its_offset_and_no_conversion_is_advised(place):
    before = SIMPLIFIED[:place].encode()
    message = said(before + b"\xff" + SIMPLIFIED[place:].encode())
    assert "byte 0xff" in message and f"offset {len(before)} of the file" in message
    assert "all around it is UTF-8" in message and "iconv -c -f UTF-8" in message and "GB18030" not in message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (SIMPLIFIED.encode() + TRADITIONAL.encode("big5"), "line 10: .* before is UTF-8 and this BIG5"),
        (SIMPLIFIED.encode() + SIMPLIFIED.encode("gbk"), "line 10: .* before is UTF-8 and this GB18030"),
        ("Les élèves français étaient à côté.\n".encode("latin-1"), "not Chinese .* is it text"),
        (bytes(range(250, 0, -1)) * 20, "not Chinese .* is it text"),
        (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml\xb4\xf0\n", "an office document .*a table as CSV"),
        (b"\x1f\x8b\x08\x00\xff\xb4", "this is compressed by gzip: unpack it"),
        (
            "\n".join(map(chr, [*range(0x3041, 0x3097), *range(0x3B1, 0x3CA), *range(0x4E00, 0x5E00)])).encode(
                "gb18030"
            ),
            "it may be GB18030.*: look at what `iconv -f GB18030 -t UTF-8`",
        ),
        ("镭射蜘蛛".encode("gbk"), "it may be GB18030.*: look at what `iconv -f GB18030 -t UTF-8`"),
        (SIMPLIFIED.encode()[:-2], "UTF-8 and it ends within a character: is it cut off"),
        (
            (SIMPLIFIED + "我们").encode() + b"\xe6\x88",
            "UTF-8 and it ends within a character: is it cut off",
        ),
        (SIMPLIFIED.encode() + b"\xe6", "UTF-8 and it ends within a character: is it cut off"),
        ((SIMPLIFIED + "完").encode() + b"\xff\n", "all around it is UTF-8: mend"),
        ((SIMPLIFIED + "完").encode() + b"\xff\xfe\xfd\xfc\n", "all around it is UTF-8: mend"),
        ("中文……".encode() + b"caf\xe9 and\n", "all around it is UTF-8: mend"),
        (SIMPLIFIED.encode() + b"caf\xe9 and\n", "all around it is UTF-8: mend"),
        (SIMPLIFIED.encode() + "我们\n".encode("gbk"), "line 10: .* before is UTF-8 and this GB18030"),
        (SIMPLIFIED.encode() + "élève, côté, été\n".encode("latin-1") * 9, "before is UTF-8 and this another encoding"),
    ],
)
def test_other_bytes_are_named_for_what_they_are(raw, message):
    assert re.search(message, said(raw))
