"""Words of what is not Chinese, as nltk 3.8.1's NLTKWordTokenizer was seen to cut them."""

import random
from hashlib import sha256

import pytest

from wwm.tasks.latin_words import words

PARTS = [
    *"abcdmnst'\".,,!?;@#$%&()[]{}<>«»‘„…—|   19ſéкあ한\t\n\u3000\xa0½²",
    "''",
    "..",
    "...",
    "1,000",
    "3.14",
    "e.g.",
]
PARTS += ["cannot", "gonna", "wanna", "gotta", "gimme", "lemme", "more'n", "d'ye", "'tis", "'twas", "n't", "'s", "'ll"]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("—2004", "—2004"),
        ("'3000", "'3000"),
        ("2'2.4", "2 ' 2.4"),
        ("1,000", "1,000"),
        ("a,b", "a , b"),
        ("a,,b", "a , ,b"),
        ("end,", "end ,"),
        ("e.g.", "e.g ."),
        ("end.)", "end . )"),
        ("wait...", "wait ..."),
        ("version 2.0.1 (beta)!?", "version 2.0.1 ( beta ) ! ?"),
        ("$9&#@ 50%", "$ 9 & # @ 50 %"),
        ('"a" ("b")', "`` a '' ( `` b '' )"),
        ("«a»‘b„", "« a » ‘ b „"),
        ("it's they'll don't", "it 's they 'll do n't"),
        ("dogs' rock 'n' roll", "dogs ' rock 'n ' roll"),
        ("o'clock a'b'", "o'clock a ' b '"),
        ("'tis 'twas", "'t is 't was"),
        ("cannot gonna gimme more'n d'ye", "can not gon na gim me more 'n d 'ye"),
        ("\t1\xa02\u3000", "1 2"),
    ],
)
def test_words_are_cut_by_the_rules_of_the_penn_treebank(text, cut):
    assert words(text) == cut.split(" ")


def test_whatever_the_text_its_words_are_those_of_nltk_3_8_1():
    """By the sha256 of what that version makes of 20,000 texts."""
    rng, digest = random.Random(20190619), sha256()
    for _ in range(20_000):
        text = "".join(PARTS[int(rng.random() * len(PARTS))] for _ in range(1 + int(rng.random() * 20)))
        digest.update(f"{words(text)}\n".encode())
    assert digest.hexdigest() == "248160be8af4fa42bf5bdd59ca52ae90774fe7edfc7b2b27f5e23bf42b2a7ecb"
