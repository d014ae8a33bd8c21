"""Exact match and F1 of span reading, as the official scripts compute them, unrounded; of each question.

CMRC 2018 and DRCD: squad-style-data/cmrc2018_evaluate.py (v5) of github.com/ymcui/cmrc2018. CJRC:
阅读理解/evaluate/evaluate.py of github.com/china-ai-law-challenge/CAIL2019.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np

from wwm.tasks import latin_words
from wwm.tasks.questions import Question

# cmrc2018_evaluate.py lists '……' as well, which is two characters and so never equals the one that it is compared with.
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
DOMAINS = ("civil", "criminal")


def figures(
    questions: Sequence[Question],
    predictions: Mapping[str, str],
    measure: Callable[[Sequence[str], str], tuple[float, float]],
    domains: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """`em` and `f1` of each question in percent, (questions,), and `civil_em` and so on for each of the domains that
    has questions, NaN at those of others.

    predictions: question id -> text; a question without one counts as 0. measure: `cmrc` or `cjrc`.
    """

    def of(question: Question) -> tuple[float, float]:
        if question.id not in predictions:
            return 0.0, 0.0
        return measure([answer.text for answer in question.answers], predictions[question.id])

    each = {name: 100 * found for name, found in zip(("em", "f1"), np.array([*map(of, questions)]).T)}
    where = {name: np.array([question.domain == name for question in questions]) for name in domains}
    return each | {
        f"{domain}_{name}": np.where(own, found, np.nan)
        for domain, own in where.items()
        if own.any()
        for name, found in each.items()
    }


def cmrc(answers: Sequence[str], prediction: str) -> tuple[float, float]:
    """EM and F1, 0 to 1, the best over the answers.

    F1 is that of the longest common run of segments, as the script's `find_lcs` has it: unlike a subsequence it has no
    gaps. Texts without any segment have F1 0, equal ones too.
    """
    em = any(bare(answer) == bare(prediction) for answer in answers)
    said = segments(prediction)
    return float(em), max(run_f1(segments(answer), said) for answer in answers)


def run_f1(answer: list[str], prediction: list[str]) -> float:
    return f1(SequenceMatcher(None, answer, prediction, autojunk=False).find_longest_match().size, answer, prediction)


def bare(text: str) -> str:
    """Lower case, without white space at the ends and without PUNCTUATION anywhere."""
    return "".join(character for character in text.lower().strip() if character not in PUNCTUATION)


def segments(text: str) -> list[str]:
    """Chinese characters one by one, and the words of what stands between them; punctuation that is left out joins its
    neighbours.

    The words are those of nltk 3.8.1's word_tokenize without punkt's sentence split before it, which needs a download:
    in a run of several Latin sentences full stops stay with their words. Of 67,540 predictions 16 differ by that, by
    0.07 of F1 at most.
    """
    parts = re.findall("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+", bare(text))
    return [
        segment for part in parts for segment in ([part] if "\u4e00" <= part <= "\u9fa5" else latin_words.words(part))
    ]


def f1(common: int, answer: Sequence[str], prediction: Sequence[str]) -> float:
    if common == 0:
        return 0.0
    precision, recall = common / len(prediction), common / len(answer)
    return 2 * precision * recall / (precision + recall)


def cjrc(answers: Sequence[str], prediction: str) -> tuple[float, float]:
    """EM and F1 of the bag of characters, 0 to 1; no answers at all mean "".

    Of several answers each is left out once, and the mean of the best over the others counts (CoQA's rule). So the
    first of three answers that all differ scores 2/3 and not 1, as a person would who was compared with the two others.
    """
    given, said = [letters(answer) for answer in answers or [""]], letters(prediction)
    each = [(float(one == said), bag_f1(one, said)) for one in given]
    kept = [each[:i] + each[i + 1 :] for i in range(len(each))] if len(each) > 1 else [each]
    ems, f1s = zip(*(map(max, zip(*pairs)) for pairs in kept))
    return sum(ems) / len(kept), sum(f1s) / len(kept)


def letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isdigit() or character.isalpha())


def bag_f1(answer: str, prediction: str) -> float:
    if not answer or not prediction:
        return float(answer == prediction)
    return f1((Counter(answer) & Counter(prediction)).total(), answer, prediction)
