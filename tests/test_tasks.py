import json

import pytest

from wwm import tasks

PATH = "data/tasks/reviews/train.jsonl"


def line(**values):
    return json.dumps(values, ensure_ascii=False) + "\n"


def test_a_single_text_and_its_label_are_read():
    examples = tasks.read([line(text="房间很干净，服务也好。", label="positive"), line(text="退貨三次，太差", label="negative")], "reviews", PATH)
    assert examples == [tasks.Example(("房间很干净，服务也好。",), 1), tasks.Example(("退貨三次，太差",), 0)]


def test_a_pair_keeps_the_order_of_its_texts():
    [example] = tasks.read([line(text_a="江泽民会见外宾", text_b="新华社北京１月２日电", label="yes")], "continuation", PATH)
    assert example == tasks.Example(("江泽民会见外宾", "新华社北京１月２日电"), 1)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"text": "好', r"train.jsonl:2 is not JSON \(Unterminated string.*expected \{\"text\": \"...\", \"label\": \"...\"\}"),
        ("\n", "train.jsonl:2 is not JSON"),
        ('["好", "positive"]', "train.jsonl:2: text is missing or empty; expected"),
        (line(label="positive"), "train.jsonl:2: text is missing or empty"),
        (line(text=" ", label="positive"), "train.jsonl:2: text is missing or empty"),
        (line(text="好", label="good"), "train.jsonl:2: label 'good' is none of negative, positive"),
        (line(text="好"), "train.jsonl:2: label None is none of negative, positive"),
        (line(text="好", label=["positive"]), r"train.jsonl:2: label \['positive'\] is none of"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_remedy(second, message):
    with pytest.raises(ValueError, match=message):
        tasks.read([line(text="不错", label="positive"), second], "reviews", PATH)


def test_a_pair_without_its_second_text_is_named():
    with pytest.raises(ValueError, match="train.jsonl:1: text_b is missing or empty"):
        tasks.read([line(text_a="标题", label="no")], "continuation", PATH)


def test_an_empty_split_is_an_error():
    with pytest.raises(ValueError, match="reviews/train.jsonl has no examples"):
        tasks.read([], "reviews", PATH)


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown task review; wwm/tasks.py has reviews, continuation"):
        tasks.named("review")


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=tasks.TASKS)
def test_every_task_says_where_it_comes_from_and_why_it_is_one(task):
    assert len(set(task.labels)) == len(task.labels) >= 2
    assert all((task.source, task.licence, task.version, task.remark))
