"""Questions, windows and answers of span reading: by hand on a toy vocabulary, and on the real files where they are at
hand.
"""

import json
import tarfile
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from wwm.common.errors import UserError
from wwm.tasks import questions, spans
from wwm.tasks.metrics import METRICS
from wwm.tasks.questions import COUNTED, Answer, Question
from wwm.tasks.spans import Window
from wwm.text import vocabulary

DATA = Path(__file__).parents[2] / "shared/data/tasks.tar.xz"
CHOICES = ("YES", "NO", "")
TOKENIZER = vocabulary.build(
    [
        *vocabulary.SPECIAL,
        *"一二三四五六七八九十问甲的。臺灣mask",
        "##ask",
        "pro",
        "##ba",
        "##bility",
        "ᄒ",
        "##ᅡ",
        "##ᆫ",
    ],
    lower_case=True,
)
TEN = "一二三四五六七八九十"


def squad(*asked: dict, context: str = TEN, **entry) -> str:
    return json.dumps(
        {"version": "1", "data": [{"paragraphs": [{"context": context, "qas": list(asked)}], **entry}]},
        ensure_ascii=False,
    )


def ask(name: str, *answers: tuple[str, int], **more) -> dict:
    return {
        "id": name,
        "question": "问甲",
        "answers": [{"text": text, "answer_start": start} for text, start in answers],
        **more,
    }


def question(*answers: tuple[str, int], context: str = TEN, text: str = "问甲") -> Question:
    return Question("q", text, context, tuple(Answer(*answer) for answer in answers), None)


def cut(asked: Question, max_seq_length: int, stride: int = 2, max_query_length: int = 64) -> list[Window]:
    return spans.windows(TOKENIZER, [asked], max_seq_length, stride, max_query_length)


def pieces(window: Window) -> list[str]:
    return [TOKENIZER.id_to_token(i) for i in window.ids]


# Files


def test_questions_are_read_with_all_their_answers_and_their_domain():
    found, counts = questions.parse(
        "\ufeff" + squad(ask("a", ("三四", 2), ("三", 2)), ask("b", ("十", 9)), domain="civil"), "dev.json"
    )
    assert found == [
        Question("a", "问甲", TEN, (Answer("三四", 2), Answer("三", 2)), "civil"),
        Question("b", "问甲", TEN, (Answer("十", 9),), "civil"),
    ]
    assert counts == {"moved": 0, "misaligned": 0, "lost": 0, "dropped": 0}


def test_evidences_are_ignored():
    [found], _ = questions.parse(squad(ask("a", ("三", 2), evidences=["三四"])), "train.json")
    assert found == Question("a", "问甲", TEN, (Answer("三", 2),), None)


@pytest.mark.parametrize("start", [3, -1, 99])
def test_answer_that_stands_elsewhere_and_only_there_is_moved(start):
    [found], counts = questions.parse(squad(ask("a", ("三四", start))), "train.json")
    assert found.answers == (Answer("三四", 2),)
    assert (counts["moved"], counts["misaligned"]) == (1, 0)


@pytest.mark.parametrize("text", ["一一", "百", ""], ids=["several places, overlapping", "nowhere", "empty"])
def test_answer_without_one_place_only_scores(text):
    [kept, lost], counts = questions.parse(
        squad(ask("a", (text, 0), ("三", 4)), ask("b", (text, 0)), context="的一一一三"), "dev.json"
    )
    assert kept.answers == (Answer(text, -1), Answer("三", 4))
    assert questions.taught(kept) == Answer("三", 4)
    assert lost.answers == (Answer(text, -1),)
    assert questions.taught(lost) is None
    assert (counts["misaligned"], counts["lost"]) == (2, 1)
    assert spans.unreachable(cut(lost, 64), [lost], 128) == 1


def test_question_without_answers_is_dropped_where_empty_is_no_choice():
    found, counts = questions.parse(squad(ask("a", is_impossible=True), ask("b", ("三", 2))), "dev.json")
    assert [one.id for one in found] == ["b"]
    assert counts["dropped"] == 1


@pytest.mark.parametrize("is_impossible", ["true", "false", True, False])
def test_question_without_answers_is_unanswerable_whatever_is_impossible_says(is_impossible):
    [found, _], counts = questions.parse(
        squad(ask("a", is_impossible=is_impossible), ask("b", ("三", 2))), "dev.json", CHOICES
    )
    assert found.answers == (Answer("", -1),)
    assert (counts["dropped"], counts["lost"]) == (0, 0)


def test_choices_are_no_spans_even_where_the_context_holds_them():
    [found], _ = questions.parse(
        squad(ask("a", ("YES", -1), ("NO", 1), ("", 5), ("的", 0)), context="的NO的"), "dev.json", CHOICES
    )
    assert found.answers == (Answer("YES", -1), Answer("NO", -1), Answer("", -1), Answer("的", 0))
    assert questions.taught(found, CHOICES) == Answer("YES", -1)
    assert questions.taught(found) == Answer("的", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [\n  {"paragraphs": ]}', r"dev.json:2:18 is not JSON \(Expecting value\)"),
        (" \n", "dev.json is empty"),
        ('{"data": ' + "[" * 200_000, "dev.json has lists in lists without end; mend it"),
        ('{"data": %s}' % ("9" * 5000), "dev.json has a number of more than 4,300 digits; put it in quotes"),
        ("\ufeff", "dev.json is empty"),
        ('{"data": []}', "dev.json has no questions"),
        ('["data"]', "dev.json: data is missing or no list"),
        ('{"data": [{"title": "x"}]}', r"dev.json: data\[0\]: paragraphs is missing or no list"),
        (
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            r"dev.json: data\[0\].paragraphs\[0\]: context is missing or no str",
        ),
        (
            squad(ask("a", ("三", 2)), {"question": "问"}),
            r"dev.json: data\[0\].paragraphs\[0\].qas\[1\]: id is missing or no str",
        ),
        (squad({"id": "a", "question": "问", "answers": {}}), "dev.json: question a: answers is missing or no list"),
        (squad({"id": "a", "question": "问"}), "dev.json: none of its 1 questions has an answer"),
        (
            squad(ask("a", ("三", 2)), {"id": "b", "question": "问"}),
            "dev.json: question b: answers is missing, which other questions have",
        ),
        (squad({"id": "a", "answers": []}), "dev.json: question a: question is missing or no str"),
        (
            squad({"id": "a", "question": "问", "answers": [{"text": "三"}]}),
            "dev.json: question a: answer_start is missing or no int",
        ),
        (
            squad({"id": "a", "question": "问", "answers": [{"answer_start": 3}]}),
            "dev.json: question a: text is missing or no str",
        ),
        (squad(ask("a", ("三", 2)), ask("a", ("三", 2))), "dev.json: question a comes twice"),
        (
            squad(ask("a", ("三", 2)), ask("b", ("百", 99)), ask("c", ("千", 0))),
            "dev.json: 2 of 3 questions have no answer .*, the first is b; is it another",
        ),
    ],
)
def test_bad_file_is_named_with_the_place_in_it(text, message):
    with pytest.raises(UserError, match=message):
        questions.parse(text, "dev.json")


# Windows


def test_windows_advance_by_the_stride_until_the_context_ends():
    made = cut(question(), max_seq_length=10)  # room for 10 - 2 - 3 = 5 pieces
    assert ["".join(pieces(window)) for window in made] == [
        "[CLS]问甲[SEP]一二三四五[SEP]",
        "[CLS]问甲[SEP]三四五六七[SEP]",
        "[CLS]问甲[SEP]五六七八九[SEP]",
        "[CLS]问甲[SEP]七八九十[SEP]",
    ]
    assert made[3].types.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert made[3].offsets.tolist() == [[6, 7], [7, 8], [8, 9], [9, 10]]
    assert {window.first for window in made} == {4}
    assert (made[0].ids.dtype, made[0].types.dtype, made[0].offsets.dtype, made[0].best.dtype) == (
        np.int64,
        np.int64,
        np.int64,
        bool,
    )


def test_each_piece_has_most_context_in_one_window():
    # 四 and 六 have one neighbour on the poorer side in two windows: the first counts. So has 八, whose first one is
    # longer.
    best = [
        "".join(TEN[begin] for (begin, _), is_best in zip(w.offsets, w.best) if is_best)
        for w in cut(question(), max_seq_length=10)
    ]
    assert best == ["一二三四", "五六", "七八", "九十"]


@pytest.mark.parametrize(
    ("n_pieces", "room", "stride"), [(10, 5, 2), (7, 4, 2), (12, 5, 3), (9, 4, 1), (23, 7, 5), (8, 8, 2)]
)
def test_most_context_is_that_of_run_squad(n_pieces, room, stride):
    begins, most = spans.layout(n_pieces, room, stride)
    for piece in range(n_pieces):
        scores = {}
        for i, begin in enumerate(begins.tolist()):
            end = min(begin + room, n_pieces)
            if begin <= piece < end:
                scores[i] = min(piece - begin, end - 1 - piece) + 0.01 * (end - begin)
        assert most[piece] == max(scores, key=scores.get)


def test_a_context_as_long_as_a_book_is_laid_out_in_little_memory():
    tracemalloc.start()
    begins, _ = spans.layout(500_000, 380, 128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(begins) == 3905 and peak < 100 * 2**20


@pytest.mark.parametrize(
    ("n_pieces", "begins"), [(0, [0]), (1, [0]), (5, [0]), (6, [0, 2]), (7, [0, 2]), (8, [0, 2, 4])]
)
def test_there_are_no_more_windows_than_the_context_needs(n_pieces, begins):
    assert spans.layout(n_pieces, 5, 2)[0].tolist() == begins


def test_stride_longer_than_the_window_leaves_no_gap():
    assert spans.layout(12, 5, 100)[0].tolist() == [0, 5, 10]


def test_long_question_is_cut_and_its_context_keeps_the_room():
    [window] = cut(question(text="问" * 40), max_seq_length=20, max_query_length=6)
    assert pieces(window)[:8] == ["[CLS]", *"问" * 6, "[SEP]"] and len(window.ids) == 19


@pytest.mark.parametrize(("max_seq_length", "stride"), [(8, 2), (20, 0)])
def test_question_that_leaves_no_room_is_named(max_seq_length, stride):
    with pytest.raises(
        ValueError, match=f"question q takes 6 pieces of max_seq_length {max_seq_length} at stride {stride}: no room"
    ):
        cut(question(text="问" * 6), max_seq_length, stride)


def test_literal_special_tokens_are_text():
    [window] = cut(question(context="一[MASK]二[SEP]", text="[MASK]"), 64)
    names = Counter(pieces(window))
    assert (names["[MASK]"], names["[SEP]"]) == (0, 2)


def test_context_of_several_questions_is_encoded_once():
    class Counting:
        token_to_id, seen = TOKENIZER.token_to_id, []

        def encode_batch(self, texts, **options):
            self.seen.extend(texts)
            return TOKENIZER.encode_batch(texts, **options)

    made = spans.windows(Counting(), [question(), question(context="一二"), question()], 64, 2, 64)
    assert [window.question for window in made] == [0, 1, 2]
    assert Counting.seen == ["问甲", TEN, "一二"]


def test_context_without_pieces_has_one_window_and_no_span():
    asked = question(context="\u200b \n")
    [window] = cut(asked, 64)
    assert pieces(window) == ["[CLS]", "问", "甲", "[SEP]", "[SEP]"] and window.offsets.shape == (0, 2)
    zeros = [np.zeros(5, np.float32)]
    assert spans.answers([window], zeros, zeros, [asked], 5, 30) == [[("", 0.0)]]


# Targets


def test_answer_in_the_overlap_has_a_place_in_every_window_that_holds_it_whole():
    made = cut(question(), max_seq_length=10)
    assert [spans.target(window, Answer("五", 4)) for window in made] == [(8, 8), (6, 6), (4, 4), (0, 0)]
    assert [spans.target(window, Answer("五六", 4)) for window in made] == [(0, 0), (6, 7), (4, 5), (0, 0)]
    assert [spans.target(window, Answer("二三四五六七八", 1)) for window in made] == [(0, 0)] * 4


def test_answer_at_the_end_of_a_context_far_over_the_length_is_in_the_last_window():
    asked = question(("十", 1999), context="一" * 1999 + "十")
    made = cut(asked, 64, 16)
    # Room for 59 pieces; windows begin at 0, 16, ... 1952, the first from which 59 reach the end.
    assert len(made) == 123 and all(len(window.ids) <= 64 for window in made)
    assert [i for i, window in enumerate(made) if spans.target(window, asked.answers[0]) != (0, 0)] == [122]
    assert spans.target(made[-1], asked.answers[0]) == (len(made[-1].ids) - 2,) * 2
    assert spans.unreachable(made, [asked], 128) == 0


def test_answer_that_is_no_span_points_to_cls():
    [window] = cut(question(), 64)
    assert spans.target(window, Answer("YES", -1)) == spans.target(window, Answer("", -1)) == (0, 0)


def test_answer_that_begins_and_ends_inside_pieces_takes_them_whole():
    asked = question(("rob", 2), context="的probability。")  # 的 pro ##ba ##bility 。
    [window] = cut(asked, 64)
    assert [pieces(window)[position] for position in spans.target(window, asked.answers[0])] == ["pro", "##ba"]
    assert spans.unreachable([window], [asked], 128) == 1


def test_emoji_and_dropped_characters_inside_an_answer_are_returned_as_they_stand():
    context = "一👨\u200d👩二\u200b三\x00四 臺\u3000灣。"
    [window] = cut(question(context=context), 64)
    for text in ("👨\u200d👩", "二\u200b三\x00四", "臺\u3000灣", "一👨\u200d👩二\u200b三\x00四 臺\u3000灣。"):
        asked = question((text, context.index(text)), context=context)
        assert spans.unreachable([window], [asked], 128) == 0, repr(text)


def test_dropped_characters_at_the_ends_of_an_answer_move_no_target_but_cannot_be_returned():
    asked = question((" 一\u200b", 0), context=" 一\u200b二")
    [window] = cut(asked, 64)
    assert spans.target(window, asked.answers[0]) == (4, 4)
    assert spans.target(window, Answer("\u200b", 2)) == (0, 0)
    assert spans.unreachable([window], [asked], 128) == 1


def test_pieces_that_share_one_character_are_taken_together():
    asked = question(("한", 2), context="一二한三四")
    [whole] = cut(asked, 64)
    assert [pieces(whole)[position] for position in spans.target(whole, asked.answers[0])] == ["ᄒ", "##ᆫ"]
    # Four pieces a window: 一 二 ᄒ ##ᅡ | ᄒ ##ᅡ ##ᆫ 三 | ##ᆫ 三 四
    assert [spans.target(window, asked.answers[0]) for window in cut(asked, 9)] == [(0, 0), (4, 6), (0, 0)]


def test_answer_longer_than_any_window_is_unreachable_unless_another_one_is_not():
    long, short = ("二三四五六七八", 1), ("十", 9)
    made = cut(question(), max_seq_length=10)
    assert spans.unreachable(made, [question(long)], 128) == 1
    assert spans.unreachable(made, [question(long, short)], 128) == 0
    assert spans.unreachable(made, [question(long, ("YES", -1))], 128, CHOICES) == 0


def test_answer_is_unreachable_where_the_window_of_most_context_does_not_hold_it():
    # 四 has most context in 一二三四五; 四五六 stands in 三四五六七 only.
    assert spans.unreachable(cut(question(), max_seq_length=10), [question(("四五六", 3))], 128) == 1


def test_answer_with_more_pieces_than_the_longest_that_is_given_is_unreachable():
    asked = question(("二三四", 1))
    assert [spans.unreachable(cut(asked, 64), [asked], length) for length in (2, 3)] == [1, 0]


# Answers


def logits(windows: list[Window], at: dict[tuple[int, int], float]) -> list[np.ndarray]:
    """Padded to 12; at: (window, context piece) -> logit, 0 elsewhere."""
    rows = [np.zeros(12, np.float32) for _ in windows]
    for (i, piece), value in at.items():
        rows[i][windows[i].first + piece] = value
    return rows


def ranked(
    asked: Question, max_seq_length: int, starts: dict, ends: dict, n_best: int = 3, longest: int = 30, **more
) -> list[tuple[str, float]]:
    made = cut(asked, max_seq_length)
    [found] = spans.answers(made, logits(made, starts), logits(made, ends), [asked], n_best, longest, **more)
    return found


def test_best_spans_come_first_with_the_sum_of_their_logits():
    found = ranked(question(context="一二三四"), 12, {(0, 0): 4, (0, 2): 3}, {(0, 1): 2, (0, 3): 1.5})
    assert found == [("一二", 6.0), ("一二三四", 5.5), ("三四", 4.5)]


def test_span_never_ends_before_it_begins():
    assert ranked(question(context="一二三"), 12, {(0, 2): 9}, {(0, 0): 8}, 2) == [("三", 9.0), ("一", 8.0)]


def test_logits_of_question_separators_and_padding_are_not_looked_at():
    made = cut(question(context="一二"), 12)
    row = np.full(12, 50, np.float32)
    row[4:6] = 1, 2
    assert spans.answers(made, [row], [row], [question(context="一二")], 1, 30) == [[("二", 4.0)]]


def test_answers_over_the_longest_allowed_are_left_out():
    starts, ends = {(0, 0): 5}, {(0, 3): 5, (0, 1): 2}
    assert ranked(question(context="一二三四"), 12, starts, ends, 1, longest=4) == [("一二三四", 10.0)]
    assert ranked(question(context="一二三四"), 12, starts, ends, 1, longest=3) == [("一二", 7.0)]


def test_best_window_wins_and_a_start_counts_only_where_it_has_most_context():
    # 五 is piece 4 of the first window, 2 of the second and 0 of the third; the second gives it most context.
    starts, ends = {(0, 4): 9, (1, 2): 4, (2, 0): 9, (3, 3): 3}, {(1, 3): 4, (3, 3): 3}
    assert ranked(question(), 10, starts, ends, 2) == [("五六", 8.0), ("十", 6.0)]


def test_equal_texts_merge_into_the_best_of_their_scores():
    found = ranked(question(context="一二一"), 12, {(0, 0): 3, (0, 2): 4}, {(0, 0): 3, (0, 2): 4}, 2)
    assert found == [("一", 8.0), ("一二一", 7.0)]


def test_text_is_cut_out_of_the_unchanged_context():
    assert ranked(question(context="一PRO\u200bＢａ二"), 12, {(0, 1): 5}, {(0, 1): 5}, 1) == [("PRO\u200bＢａ", 10.0)]


def test_only_the_twenty_best_starts_and_ends_are_paired():
    [window] = cut(question(context=TEN * 3), 64)
    falling = np.arange(100, 36, -1).astype(np.float32)
    scores, characters = spans.spans(window, falling, falling, 1)
    assert characters.tolist() == [[i, i + 1] for i in range(20)]
    assert scores.tolist() == [2.0 * (100 - window.first - i) for i in range(20)]


def test_choices_are_ranked_among_the_spans():
    scores = np.array([[1, 1], [4, 3], [0.5, 0]], np.float32)
    found = ranked(question(context="一"), 12, {(0, 0): 2}, {(0, 0): 1}, 3, choices=CHOICES, choices_scores=[scores])
    assert found == [("NO", 7.0), ("一", 3.0), ("YES", 2.0)]


def test_unanswerable_takes_the_least_of_the_windows_and_yes_the_most():
    scores = [np.array([[0, yes], [0, 0], [0, empty]], np.float32) for yes, empty in ((1, 9), (6, 9), (2, 5), (3, 9))]
    found = ranked(question(), 10, {}, {}, 2, choices=CHOICES, choices_scores=scores)
    assert found == [("YES", 6.0), ("", 5.0)]


def test_choice_that_stands_in_the_context_too_is_listed_once():
    asked = question(context="NO")
    found = ranked(
        asked, 12, {(0, 0): 4}, {(0, 0): 4}, 5, choices=("YES", "NO"), choices_scores=[np.ones((2, 2), np.float32)]
    )
    assert found == [("NO", 8.0), ("YES", 2.0)]


# Real files


FILES = {
    "cmrc train": ("cmrc2018/cmrc2018_train.json", "cmrc", ()),
    "cmrc dev": ("cmrc2018/cmrc2018_dev.json", "cmrc", ()),
    "drcd dev": ("drcd/DRCD_dev.json", "cmrc", ()),
    "cjrc dev": ("cjrc/dev_ground_truth.json", "cjrc", CHOICES),
}
at_hand = pytest.mark.skipif(not DATA.is_file(), reason="the tasks' official files are not at hand")


@pytest.fixture(scope="module")
def real() -> dict:
    """File -> (questions, counts); vocab -> the tokenizer of BERT-base Chinese."""
    wanted = {f"finetune/{path}": name for name, (path, _, _) in FILES.items()} | {"vocab.txt": "vocab"}
    found = {}
    with tarfile.open(DATA) as archive:
        for member in archive:
            if member.name in wanted:
                found[wanted[member.name]] = archive.extractfile(member).read().decode("utf-8")
    for name, (path, _, choices) in FILES.items():
        found[name] = questions.parse(found[name], path, choices)
    found["vocab"] = vocabulary.build(found["vocab"].rstrip("\n").split("\n"), lower_case=True)
    return found


@at_hand
@pytest.mark.parametrize(
    ("name", "n", "expected"),
    [
        ("cmrc train", 10_142, {"moved": 20, "misaligned": 1, "lost": 1}),
        ("cmrc dev", 3219, {"moved": 7, "misaligned": 193}),
        ("drcd dev", 3524, {}),
        ("cjrc dev", 6000, {}),
    ],
)
def test_quirks_of_the_real_files_are_counted(real, name, n, expected):
    questions, counts = real[name]
    assert len(questions) == n
    assert counts == dict.fromkeys(COUNTED, 0) | expected


@at_hand
@pytest.mark.parametrize("name", [pytest.param("cmrc train", marks=pytest.mark.slow), "cmrc dev", "drcd dev"])
def test_first_gold_answers_score_100(real, name):
    questions, _ = real[name]
    assert METRICS[FILES[name][1]].score(questions, {one.id: one.answers[0].text for one in questions}) == {
        "em": 100,
        "f1": 100,
    }


@at_hand
def test_first_gold_answers_of_cjrc_score_what_leaving_one_out_leaves(real):
    questions, _ = real["cjrc dev"]
    scores = METRICS["cjrc"].score(questions, {one.id: one.answers[0].text for one in questions})
    expected = {
        "em": 92.506,
        "f1": 97.819,
        "civil_em": 94.1,
        "civil_f1": 98.177,
        "criminal_em": 90.911,
        "criminal_f1": 97.461,
    }
    assert {key: round(value, 3) for key, value in scores.items()} == expected


@at_hand
@pytest.mark.parametrize(
    ("name", "max_seq_length", "stride", "max_query_length", "expected"),
    [
        # 37 of train's have white space at an end, 5 begin inside a number or a word, one stands nowhere.
        pytest.param("cmrc train", 512, 128, 64, 43, marks=pytest.mark.slow),
        ("cmrc dev", 512, 128, 64, 0),
        pytest.param("drcd dev", 512, 128, 64, 0, marks=pytest.mark.slow),
        # `2009年` where the context has `02009年`; four are longer than 128 pieces.
        pytest.param("cjrc dev", 512, 128, 64, 8, marks=pytest.mark.slow),
        pytest.param("cmrc train", 64, 16, 24, 2582, marks=pytest.mark.slow),
        pytest.param("cmrc dev", 64, 16, 24, 313, marks=pytest.mark.slow),
        ("drcd dev", 64, 16, 24, 18),
        pytest.param("cjrc dev", 64, 16, 24, 423, marks=pytest.mark.slow),
    ],
)
def test_answers_out_of_reach_of_the_released_vocabulary_are_few(
    real, name, max_seq_length, stride, max_query_length, expected
):
    questions, _ = real[name]
    made = spans.windows(real["vocab"], questions, max_seq_length, stride, max_query_length)
    assert spans.unreachable(made, questions, 128, FILES[name][2]) == expected
