"""Words of text that is not Chinese, as the NLTKWordTokenizer of nltk 3.8.1 cuts them, and of those versions with which
the official scripts of CMRC 2018 and DRCD were used; 3.10 cuts dashes and quotes otherwise.

Written from what it does, for what these scripts hand to it: text in lower case without span_scores.PUNCTUATION. The
conventions are the Penn Treebank's: marks are words, `don't` is `do n't`, `cannot` is `can not`, an opening quote is
``, a closing one ''.
"""

import re

OPENING, CLOSING, MARKS, BRACKETS = "«‘„", "»", ";@#$%&?!", "()[]{}<>"
# What may stand between a full stop and the end of the text.
AFTER_STOP = re.compile(r"""[\])}>"'» ]*\s*""")
QUOTE_THAT_OPENS = re.compile(r"""(?<=[ (\[{<])(?:"|'')""")
# Not of 'm, 't, 's, 'd and 'n.
BEFORE_A_LONE_CHARACTER = re.compile(r"'(?=\w(?!\w))(?![dmnst])", re.IGNORECASE)
COMMA = re.compile(r",(\D)")  # with what follows, so that of two in a row the second stays with its own next
DOTS = re.compile(r"\.\.+")
BEFORE_A_SPACE = re.compile(r"(?<=[^'])' ")
SHORTENED = (re.compile(r"(?<=[^' ])(?='[dms]? )"), re.compile(r"(?<=[^' ])(?=(?:'ll|'re|'ve|n't) )"))
# Two words written as one; each pair in its turn, for one may set the next apart.
JOINED = [
    re.compile(f"{before}({one})({other}){behind}", re.IGNORECASE)
    for before, one, other, behind in (
        (r"\b", "can", "not", r"\b"),
        (r"\b", "d", "'ye", r"\b"),
        (r"\b", "gim", "me", r"\b"),
        (r"\b", "gon", "na", r"\b"),
        (r"\b", "got", "ta", r"\b"),
        (r"\b", "lem", "me", r"\b"),
        (r"\b", "more", "'n", r"\b"),
        (r"\b", "wan", "na", r"(?=\s)"),
        ("(?<= )", "'t", "is", r"\b"),
        ("(?<= )", "'t", "was", r"\b"),
    )
]


def words(text: str) -> list[str]:
    """None has white space; "" has none."""
    text = apart(text, OPENING)
    if text.startswith('"'):
        text = f" `` {text[1:]}"
    text = QUOTE_THAT_OPENS.sub(" `` ", text)
    text = BEFORE_A_LONE_CHARACTER.sub("' ", text)
    text = COMMA.sub(r" , \1", last_stop_apart(text))
    if text.endswith(","):
        text = f"{text[:-1]} , "
    text = DOTS.sub(r" \g<0> ", text)
    text = BEFORE_A_SPACE.sub(" ' ", apart(text, MARKS))
    text = apart(f" {apart(text, BRACKETS)} ", CLOSING)
    text = text.replace("''", " '' ").replace('"', " '' ")
    for shortened in SHORTENED:
        text = shortened.sub(" ", text)
    for joined in JOINED:
        text = joined.sub(r" \1 \2 ", text)
    return text.split()


def apart(text: str, characters: str) -> str:
    return text.translate({ord(character): f" {character} " for character in characters})


def last_stop_apart(text: str) -> str:
    """A full stop at the end of the text, but for quotes and brackets, where another one does not stand before it."""
    before, _, after = text.rpartition(".")
    if not before or before[-1] == "." or not AFTER_STOP.fullmatch(after):
        return text
    return f"{before} . {after} "
