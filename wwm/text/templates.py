"""What a reader sees of a template of the Chinese Wikipedia within a sentence: most often one of its arguments.

Names are those of zh.wikipedia.org as of 2026 and their usual aliases, in lower case, `_` for a blank.
"""

import re
from collections.abc import Callable, Iterable

from mwparserfromhell.nodes import Template
from mwparserfromhell.wikicode import Wikicode

# Before a word that a template adds and that may stand in the text before it: 约{{circa|1990}}.
ADDED = "\x02"
# The argument that is shown, the first of these that is not empty: names that show it so.
ARGUMENTS = {
    "1": (
        "nowrap nobr nobreak 不换行 不換行 nobold nobold2 normal bold b strong italic i em s strike del u ul"
        " underline underlined 下划线 下劃線 底線 刪除線 删除线 su small smaller 小"
        " big bigger large larger huge font-size size resize abbr tooltip hint 提示 tip mono monospace code kbd"
        " samp tt var mvar math serif sans-serif sc smallcaps caps center centre left right float justify red"
        " green blue yellow orange purple pink gray grey brown black white maroon lime navy silver gold"
        " highlight hl visible_anchor vanchor ruby rubya ruby-ja rubyja ruby-zh-p ruby-zh-b ruby-py 假名 拼音"
        " pinyin 注音 bopomofo zy 羅馬拼音 粵拼 jyutping ipa ipac ipa1 pua unicode 僻字 rare_char 缺字 專名"
        " 专名 propernoun 書名 书名 書名號 nihongo nihongo2 日本人名 日本人 jpan ko-hhrm zh-cn zh-tw zh-hk"
        " zh-hans zh-hant hans hant transl-zh quote quotation cquote quote1 blockquote 引用 引文 引言 quote_box"
        " poem num number nts ntsc val2 wikt-lang keypress key button linktext term dfn start_box"
        " 标题 noitalic noitalics proper_name ship_name not_a_typo as_written sic proper typo"
    ),
    "2": (
        "lang langx lang2 color colour font_color fontcolor fgcolor 颜色 顏色 background_color bg bgcolor"
        " colorbg align aligned text-align rquote audio audio-ipa transl transliteration 转写 轉寫 wdl hover"
    ),
    "s hans c t hant 1": "zh zh-full 中文 chinese",
    "j k hg 1": "jpn jp 日语 日語",
    "h k hg 1": "kor korean 韩语 韓語",
    "v 1": "vie 越南语 越南語",
}
LINKS = "le lj lk lf lg ld lr li ls link ilh tsl translink internal_link_helper 绿链 綠鏈"
CONSTANTS = {
    "!": "|", "=": "=", "(": "{", ")": "}", "((": "{{", "))": "}}", "·": "·", "•": "•", "dot": "·", "middot": "·",
    "bullet": "•", "ndash": "–", "en_dash": "–", "snd": "–", "spaced_ndash": "–", "mdash": "—", "em_dash": "—",
    "nbsp": " ", "space": " ", "spaces": " ", "thinsp": " ", "okina": "ʻ", "'": "’", "minus": "−", "--": "—",
    "!!": "||", "times": "×", "x": "×", "sup2": "<sup>2</sup>", "sup3": "<sup>3</sup>",
    "shy": "", "wbr": "", "zwsp": "", "zwnj": "",
    "zwj": "", "void": "",
}  # fmt: skip
# Notes, maintenance, navigation, and icons beside the word that they are of.
NOTHING = frozenset(
    (
        "r ref refn rp efn efn-ua efn-la notetag note notelabel ref_label 注 註 nnb sfn sfnp sfnm harv harvnb"
        " harvtxt harvp cn fact citation_needed citation-needed 来源请求 來源請求 需要来源 需要來源 請求來源 who"
        " whom when which where whose why 谁 誰 何时 何時 何者 哪個 哪个 何地 clarify clarification_needed 需要解释"
        " 需要解釋 需要澄清 vague 含糊 verify verify_source vs 查证请求 查證請求 verification_needed page_needed pn"
        " page 页码请求 頁碼請求 dubious 可疑 disputed disputed-inline or or? original_research_inline 原創研究內文"
        " pov pov-statement peacock_term 觀點 dead_link deadlink 失效链接 失效連結 failed_verification fv"
        " not_in_source 来源不包含 nonspecific by_whom according_to_whom update_inline update_after 需要更新"
        " unreliable_source? better_source 可靠来源请求 self-published_inline primary_inline in_lang link_language"
        " languageicon en_icon en ja de fr ko_icon ja_icon subscription_required closed_access open_access anchor"
        " anchors 锚 錨 flagicon flagdeco flag_icon country_icon increase decrease steady up down gain loss"
        " nochange profit profitloss color_box legend legend-line clear clear_left clr - noteta toc toc_limit"
        " tocright notoc coord_missing main 主条目 主條目 see_also 参见 參見 further further_information reflist"
        " references refbegin refend authority_control portal portal_bar commons commonscat commons_category"
        " wikiquote wikisource wiktionary stub 小作品 defaultsort displaytitle use_dmy_dates good_article"
        " featured_article 特色条目 優良條目 优良条目 lock pp pp-semi pp-move pp-protected onlinesource"
        " audio-nohelp listen 已移除 dablink about otheruses distinguish redirect ntsh hs sort_key sortname_key"
        " dts_hidden efn-lr webarchive wayback cite cit citation self-reference sidebar"
    ).split()
)
NOTHING_LIKE = re.compile(
    r"(?:infobox|navbox|taxobox|noteta|cite|citation|pp|use|[#]tag:ref|defaultsort|displaytitle)(?:$|[^a-z])|"
    r"信息框|資訊框|.*(?:infobox|taxobox|navbox|信息框|資訊框|-stub|_icon)$"
)
FUNCTIONS = {"formatnum", "lc", "uc", "lcfirst", "ucfirst", "nowiki"}
DATES = (
    "date start_date end_date start_date_and_age end_date_and_age birth_date birth_date_and_age birth-date"
    " death_date death_date_and_age death-date film_date release_date dts dtsh ymd ym 年月日 日期 bda dda"
    " date_and_age start-date end-date birth_year_and_age birth_year death_year"
)
MONEY = {
    "US$": "us$ usd us_dollar", "NT$": "nt$ ntd twd", "HK$": "hk$ hkd", "¥": "¥ jpy jp¥ cny rmb cn¥ rmb¥ yen",
    "£": "£ gbp", "€": "€ eur euro", "₩": "₩ krw", "A$": "a$ aud", "C$": "c$ cad", "₽": "rub", "₹": "inr ₹",
}  # fmt: skip
# What is not here stands as it is.
UNITS = {
    "km": "公里", "m": "米", "cm": "厘米", "mm": "毫米", "mi": "英里", "mile": "英里", "miles": "英里", "ft": "英尺",
    "foot": "英尺", "in": "英寸", "inch": "英寸", "yd": "码", "nmi": "海里", "km2": "平方公里", "sqkm": "平方公里",
    "m2": "平方米", "sqm": "平方米", "cm2": "平方厘米", "mi2": "平方英里", "sqmi": "平方英里", "ft2": "平方英尺",
    "sqft": "平方英尺", "ha": "公顷", "acre": "英亩", "acres": "英亩", "m3": "立方米", "km3": "立方公里",
    "cuft": "立方英尺", "ft3": "立方英尺", "l": "升", "ml": "毫升", "usgal": "美制加仑", "impgal": "英制加仑",
    "kg": "公斤", "g": "克", "mg": "毫克", "t": "吨", "tonne": "吨", "lb": "磅", "lbs": "磅", "oz": "盎司",
    "long ton": "长吨", "short ton": "短吨", "c": "摄氏度", "°c": "摄氏度", "f": "华氏度", "°f": "华氏度",
    "mph": "英里每小时", "km/h": "公里每小时", "kmh": "公里每小时", "m/s": "米每秒", "kn": "节", "knot": "节",
    "hp": "马力", "ly": "光年", "pc": "秒差距", "au": "天文单位", "pd/sqkm": "人每平方公里", "/km2": "人每平方公里",
}  # fmt: skip
BETWEEN = {
    "to": "至", "-": "至", "–": "至", "to(-)": "至", "and": "和", "and(-)": "和", "or": "或", "by": "乘",
    "x": "乘", "×": "乘", "+/-": "±", "±": "±", "+": "+",
}  # fmt: skip
# What may follow an amount of money.
MAGNITUDE = re.compile("[a-z]+|[十百千万萬亿億兆]+[余餘多]?", re.I)
LANGUAGE = re.compile("[a-z]{2,3}(?:-[a-z]+)*")
NUMBER = re.compile(r"[-−+]?(?=\.?\d)[\d,]*(?:\.\d+)?(?:[+⁄/]\d+)*(?:e[-+]?\d+)?", re.I)


class Values(dict[str, str]):
    """Arguments of a template by name, the unnamed ones by number; "" for one that it has not."""

    def __missing__(self, name: str) -> str:
        return ""

    def numbered(self, count: int) -> list[str]:
        return [self[str(n)] for n in range(1, count + 1)]


def shown(template: Template, text: Callable[[Wikicode], str]) -> str | None:
    """What stands in the text where `template` is; "" for nothing, None where that is not known. `text` makes the plain
    text of an argument.
    """
    name = re.sub(r"[\s_]+", "_", text(template.name).strip()).lower()
    name = re.sub("^(?:template|模板|样板|樣板|t):", "", name)
    function, colon, _ = name.partition(":")
    if colon and function in FUNCTIONS:
        return text(template.name).partition(":")[2].strip()
    if name in NOTHING or NOTHING_LIKE.match(name):
        return ""
    if name in CONSTANTS:
        return CONSTANTS[name]
    form = FORMS.get(name) or next((form for pattern, form in PATTERNS if pattern.match(name)), None)
    return form(Values({str(one.name).strip(): text(one.value).strip() for one in template.params})) if form else None


def first(values: Values, order: Iterable[str]) -> str | None:
    return next((values[key] for key in order if values[key]), None)


def argument(order: str) -> Callable[[Values], str | None]:
    return lambda values: first(values, order.split())


def money(sign: str) -> Callable[[Values], str | None]:
    def form(values: Values) -> str | None:
        amount, magnitude, more = values.numbered(3)
        if not amount or more or (magnitude and not MAGNITUDE.fullmatch(magnitude)):
            return None
        return f"{sign}{amount}{' ' * magnitude.isascii() if magnitude else ''}{magnitude}"

    return form


def script(tag: str) -> Callable[[Values], str | None]:
    return lambda values: f"<{tag}>{values['1']}</{tag}>" if values["1"] else None


def link(values: Values) -> str | None:
    """The name here of what has an article in another language alone: {{le|here|there|shown}}, {{tsl|code|there|here|
    shown}}.
    """
    coded = values["3"] and LANGUAGE.fullmatch(values["1"])
    return first(values, ["d", "lt", *("432" if coded else "31")])


def interlanguage(values: Values) -> str | None:
    """{{ill|here|code|there}}, with the arguments of other such templates as well."""
    return first(values, ["d", "lt", "1"]) if LANGUAGE.fullmatch(values["2"]) else link(values)


def date(values: Values) -> str | None:
    """Year, month and day, or as many as there are."""
    iso = re.fullmatch(r"(\d+)-(\d+)(?:-(\d+))?", values["1"])
    parts = [part for part in (iso.groups() if iso else values.numbered(3)) if part]
    if all(part.isdecimal() for part in parts):
        return "".join(f"{int(part)}{unit}" for part, unit in zip(parts, "年月日")) or None
    return " ".join(parts)


def since(values: Values) -> str | None:
    return f"{ADDED}截至{date(values)}" if values["1"] else None


def about(values: Values) -> str | None:
    years = [year for year in values.numbered(3) if year]
    return ADDED + "－".join(f"约{year}" for year in years) if 0 < len(years) < 3 else None


def life(values: Values) -> str | None:
    born_year, born_day, died_year, died_day = values.numbered(4)
    return f"（{born_year}{born_day}－{died_year}{died_day}）"


def measure(values: Values) -> str | None:
    """{{convert|1300|mi|km}}: what was measured, not what it is converted to."""
    said: list[str] = []
    numbers: list[str] = []
    for part in values.numbered(8):
        joined = numbers and numbers[-1] not in BETWEEN.values()
        if joined and part in BETWEEN:
            numbers.append(BETWEEN[part])
        elif not joined and NUMBER.fullmatch(part):
            digits, _, exponent = part.lower().partition("e")
            numbers.append(digits + power(exponent))
        elif joined and part and not NUMBER.fullmatch(part):
            thousands = re.fullmatch(r"e(\d+)(.+)", part)
            exponent, unit = thousands.groups() if thousands else ("", part)
            said += [*numbers, power(exponent), UNITS.get(unit.lower(), unit)]
            numbers = []
        else:
            break
    return "".join(said) or None


def power(exponent: str) -> str:
    return f"×10<sup>{exponent}</sup>" if exponent else ""


def quantity(values: Values) -> str | None:
    """{{val|1.2|0.1|e=5|u=km}}; not known where its errors differ from each other, or it is a range."""
    number, error, more = values.numbered(3)
    if not number or more or not re.fullmatch(r"(?:[\d.,]+%?)?(?:\(\d+\))?", error):
        return None
    error = error if error[:1] in ("", "(") else f"±{error}"
    per = first(values, ["up", "upl"])
    unit = (first(values, ["u", "ul"]) or "") + (f"/{per}" if per else "")
    return values["p"] + number + error + power(values["e"]) + unit + values["s"]


def fraction(values: Values) -> str | None:
    match [part for part in values.numbered(3) if part]:
        case [below]:
            return f"1/{below}"
        case [above, below]:
            return f"{above}/{below}"
        case [whole, above, below]:
            return f"{whole} {above}/{below}"
    return None


def character(values: Values) -> str | None:
    return chr(int(values["1"], 16)) if re.fullmatch("[0-9a-fA-F]{2,5}", values["1"]) else None


def country(values: Values) -> str | None:
    """Its name, where that is given and not its code."""
    return values["1"] if not values["1"].isascii() else None


FORMS: dict[str, Callable[[Values], str | None]] = {
    name: form
    for listed, form in [
        *((listed, argument(order)) for order, listed in ARGUMENTS.items()),
        (" ".join(FUNCTIONS), argument("1")),
        *((listed, money(sign)) for sign, listed in MONEY.items()),
        ("sup smallsup", script("sup")),
        ("sub smallsub", script("sub")),
        (LINKS, link),
        ("ill illm interlanguage_link", interlanguage),
        (DATES, date),
        ("as_of asof 截至", since),
        ("circa c. ca 约 約", about),
        ("bd 生卒", life),
        ("convert cvt conv 换算 換算", measure),
        ("val", quantity),
        ("gaps", lambda values: "".join(values.numbered(8)) or None),
        ("frac sfrac fraction 分数 分數", fraction),
        ("sqrt radic 根号 根號", lambda values: f"√{values['1']}" if values["1"] else None),
        ("unichar", character),
        ("flag flagu flagcountry fb fbw 旗", country),
    ]
    for name in listed.split()
}
PATTERNS = [
    (re.compile("link-[a-z]+|internal_link_helper/"), link),
    (re.compile("(?:lang|ipa)-[a-z]+"), argument("1")),
]
