"""Which encoding bytes that are not UTF-8 may be in: told by whether what they decode to is Chinese."""

import codecs
import re

from wwm.common import kinds

# The most frequent characters, simplified and traditional: half of any Chinese text, and one in ten of what another
# encoding makes of it.
FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如"
    "都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高"
    "间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水"
    "名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社"
    "便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院"
    "這個們來為國時說會對種發後過裡經麼學當沒動還進開從實軍無與長機關點業將兩間問並應戰體見產話東聲員論處義幾條係氣題變總電數報務場計許統區"
    "隊決馬書則聽達強難權記設據類邊張該規萬領確傳師觀識帶導爭運園車課們節員點線網"
)
FREQUENT_SHARE = 0.25
HAN = re.compile("[\u4e00-\u9fff]")
FEW = 2  # bad bytes, or runs of them, that are a damage and no other encoding
# A vocabulary or list of characters has some kana and Greek letters, and each character once.
ENOUGH, MOST = 1000, 0.8
SAMPLE = 1 << 16  # bytes that are looked at
# As iconv calls them; the later ones of a family have more characters.
FAMILIES = (("GB18030",), ("BIG5", "CP950", "BIG5-HKSCS"))
MARKED = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
UNMARKED = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")


def remedy(begun: bytes, sample: bytes, foreign: bool) -> str:
    """What to do with a file that is not UTF-8.

    begun: bytes from its start. sample: lines from the first one on that is not UTF-8. foreign: whether characters
    other than ASCII were read as UTF-8 before.
    """
    if file := kinds.foreign(begun):
        return f"this is {file[0]}: {file[1]}"
    if compression := kinds.compression(begun):
        return f"this is compressed by {compression}: unpack it"
    if name := wide(begun):
        return f"this is {name}: convert it by `iconv -f {name} -t UTF-8`"
    if b"\0" in begun[:ENOUGH]:
        return "it has zero bytes, as no text has: is it another kind of file? Convert or remove it"
    text = sample.decode("utf-8", "replace")
    bad, names = text.count("\ufffd"), chinese(sample)
    # A line that is nearly all there is of the sample may be cut off after a word or two.
    few = bad <= FEW or (not names and len(re.findall("\ufffd+", text)) <= FEW)
    known = foreign or HAN.search(text)
    if bad < 0.2 * sum(not character.isascii() for character in text) or (known and few):
        cut = " and it ends within a character: is it cut off? Fetch it again," if text.endswith("\ufffd") else ":"
        return f"all around it is UTF-8{cut} mend that line, or leave such bytes out by `iconv -c -f UTF-8 -t UTF-8`"
    if foreign:
        kind = " or ".join(names) or "another encoding"
        return f"what comes before is UTF-8 and this {kind}: convert the parts that the file was put together of"
    match names:
        case [] if names := decodable(sample):
            return f"it may be {' or '.join(names)}: look at what `iconv -f {names[0]} -t UTF-8` makes of it first"
        case []:
            return "it is not Chinese in GB18030, Big5 or UTF-16 either: is it text? Convert it from its own encoding"
        case [name]:
            return f"it reads as Chinese in {name}: convert it by `iconv -f {name} -t UTF-8`"
        case _:
            return f"it may be {' or '.join(names)}: look at what `iconv -f {names[0]} -t UTF-8` makes of it first"


def wide(begun: bytes) -> str | None:
    """UTF-16 or UTF-32, with its mark or without, of bytes from a file's start; None for anything else."""
    for mark, name in MARKED.items():
        if begun.startswith(mark):
            return name
    for name in UNMARKED:
        text = begun[: len(begun) & ~3].decode(name, "replace")
        plain = sum(character.isascii() and (character.isprintable() or character in "\t\r\n") for character in text)
        if plain > 0.9 * len(text) > 0 or frequent_share(text) > FREQUENT_SHARE:
            return name
    return None


def chinese(sample: bytes) -> list[str]:
    """The encodings in which a sample reads as Chinese, the likeliest first; one alone where it stands out."""
    shares = {}
    for family in FAMILIES:
        texts = {name: sample.decode(name, "replace") for name in family}
        name = min(family, key=lambda name: texts[name].count("\ufffd"))
        shares[name] = frequent_share(texts[name])
    likely = sorted(shares, key=lambda name: -shares[name])
    return [name for name in likely if shares[name] > max(FREQUENT_SHARE, 0.6 * shares[likely[0]])]


def decodable(sample: bytes) -> list[str]:
    """The encodings in which all of a sample is some Chinese or punctuation, however rare; none where bytes beyond
    ASCII stand alone, as accented letters do.
    """
    beyond = re.findall(rb"[\x80-\xff]+", sample)
    if 2 * sum(len(run) == 1 for run in beyond) > len(beyond):
        return []
    texts = {family[0]: sample.decode(family[0], "replace") for family in FAMILIES}
    return [
        name
        for name, text in texts.items()
        if "\ufffd" not in text and chinese_share(text) > (1 - 1e-9 if len(sample) < ENOUGH else MOST)
    ]


def chinese_share(text: str) -> float:
    """Share of Chinese characters, however rare, among letters that are not ASCII; 1 where there are none."""
    letters = [character for character in text if character.isalpha() and character > "\x7f"]
    return sum(HAN.match(character) is not None for character in letters) / len(letters) if letters else 1.0


def frequent_share(text: str) -> float:
    """Share of frequent Chinese characters among letters that are not ASCII, unreadable bytes among them."""
    letters = [character for character in text if character == "\ufffd" or (character.isalpha() and character > "\x7f")]
    return sum(character in FREQUENT for character in letters) / max(1, len(letters))
