"""Files of tasks as their makers lay them out, quirks and all."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wwm.common.errors import UserError
from wwm.tasks import splits
from wwm.tasks.rows import Example
from wwm.tasks.table import TASKS
from wwm.tasks.task import Task

MINE = Task("mine", "mine", "single", ("0", "1"), "accuracy", "here", "none", "1", "")
OWN = Task("own", "own", "pair", ("no", "yes"), "accuracy", "here", "none", "1", "", ignored_labels=("-",))


def load(folder: Path, task: Task, split_dev=False, train_examples=None, scored_examples=None) -> splits.Data:
    """Without ids, which few tests are about."""
    data = splits.load_task(folder, task, split_dev, train_examples, scored_examples)
    bare = ({split: without_ids(found) for split, found in part.items()} for part in (data.splits, data.unlabelled))
    return data._replace(splits=next(bare), unlabelled=next(bare))


def without_ids(found: splits.Split) -> splits.Split:
    return found._replace(examples=[e._replace(id="") if isinstance(e, Example) else e for e in found.examples])


def write(folder: Path, **texts: str) -> Path:
    """Files whose names have a dot for each underscore of the keyword."""
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def examples(folder: Path, task: Task, split: str = "train") -> list[Example]:
    return load(folder, task).splits[split].examples


def test_xnli_loses_the_spaces_between_its_words_and_reads_both_spellings_of_contradiction(tmp_path):
    write(
        tmp_path,
        multinli__train__zh__tsv="premise\thypo\tlabel\n"
        "从 概念 上 看 , iPhone 12 的 收入\t产品 工作 。\tcontradictory\n",
        xnli__dev__zh__tsv="text_a\ttext_b\tlabel\n他说，妈妈。\t他没说一句话。\tcontradiction\n",
    )
    assert examples(tmp_path, TASKS["xnli"]) == [Example(("从概念上看 , iPhone 12 的收入", "产品工作。"), 2)]
    assert examples(tmp_path, TASKS["xnli"], "dev") == [Example(("他说，妈妈。", "他没说一句话。"), 2)]


def test_of_xnlis_file_of_fifteen_languages_the_chinese_rows_are_read(tmp_path):
    header = "language\tgold_label\tsentence1_parse\tsentence1\tsentence2\tpromptID\n"
    rows = "en\tneutral\t(x)\tOne.\tTwo.\t1\nzh\tentailment\t(x)\t一。\t二。\t1\n"
    write(tmp_path, train__tsv="premise\thypo\tlabel\n甲\t乙\tneutral\n", xnli__dev__tsv=header + rows)
    assert examples(tmp_path, TASKS["xnli"], "dev") == [Example(("一。", "二。"), 0)]


def test_chnsenticorp_keeps_quotes_and_tabs_that_stand_in_a_text_and_counts_empty_lines(tmp_path):
    write(
        tmp_path,
        train__tsv='label\ttext_a\n1\t"荐书" 推荐\n\n0\t服务\t差"\n',
        dev__tsv="label\ttext_a\n0\t差\n",
        test__tsv="label\ttext_a\n1\t好\n0\t差\n0\t差\n",
    )
    data = load(tmp_path, TASKS["chnsenticorp"])
    assert data.splits["train"].examples == [Example(('"荐书" 推荐',), 1), Example(('服务\t差"',), 0)]
    assert data.splits["train"].counts == {"empty_lines": 1}
    assert data.duplicates == {"dev in train": 0, "test in train": 0, "test in dev": 1}
    assert data.reduced == [
        said
        for split, count, official in (("train", 2, "9,600"), ("dev", 1, "1,200"), ("test", 3, "1,200"))
        for said in (
            f"{split}.tsv is not the official {split} file",
            f"{split} of {count} examples instead of {official}",
        )
    ]


def test_bq_is_csv_with_a_byte_order_mark_and_fields_in_quotes(tmp_path):
    for split in ("train", "dev"):
        text = '\ufeffsentence1,sentence2,label\n"怎么还款, ""微粒贷""呢","如何\n还钱",1\n借不到,借款,0\n'
        (tmp_path / f"{split}.csv").write_text(text, encoding="utf-8")
    assert examples(tmp_path, TASKS["bq"]) == [
        Example(('怎么还款, "微粒贷"呢', "如何\n还钱"), 1),
        Example(("借不到", "借款"), 0),
    ]


def test_a_pair_with_a_tab_in_quotes_has_three_columns(tmp_path):
    write(tmp_path, train__txt='"怎么\t还款"\t如何还钱\t1\n开"初婚\t怎么开\t0\n', dev__txt="怎么\t怎样\t1\n")
    assert examples(tmp_path, TASKS["lcqmc"]) == [
        Example(("怎么\t还款", "如何还钱"), 1),
        Example(('开"初婚', "怎么开"), 0),
    ]


def test_thucnews_comes_as_cnews_files_with_the_label_first(tmp_path):
    write(
        tmp_path,
        cnews__train__txt="体育\t马晓旭意外受伤\n财经\t股市\n",
        cnews__val__txt="娱乐\t电影\n",
        cnews__test__txt="家居\t沙发\n",
    )
    data = load(tmp_path, TASKS["thucnews"])
    assert data.splits["train"].examples == [Example(("马晓旭意外受伤",), 0), Example(("股市",), 9)]
    assert data.splits["dev"].examples == [Example(("电影",), 1)] and data.splits["test"].examples == [
        Example(("沙发",), 2)
    ]


def test_thucnews_folders_are_split_by_hash_and_marked(tmp_path):
    for name in TASKS["thucnews"].labels:
        (tmp_path / name).mkdir()
        for number in range(13):
            (tmp_path / name / f"{number}.txt").write_text(f"{name}新闻\n第{number}篇", encoding="utf-8")
    data = load(tmp_path, TASKS["thucnews"])
    assert {split: len(found.examples) for split, found in data.splits.items()} == {"train": 100, "dev": 10, "test": 20}
    assert data.duplicates == {"dev in train": 0, "test in train": 0, "test in dev": 0} and data.reduced == [
        "splits drawn by hash"
    ]


def test_labels_given_by_number_are_those_of_class_txt(tmp_path):
    write(
        tmp_path,
        class__txt="finance\nrealty\nstocks\n",
        train__txt="港股缩量回调\t2\n",
        dev__txt="金科西府\t1\n",
        LICENSE="MIT",
    )
    data = load(tmp_path, TASKS["thucnews"])
    assert data.labels == ("finance", "realty", "stocks") and data.splits["train"].examples == [
        Example(("港股缩量回调",), 2)
    ]
    assert data.reduced == [
        "train of 1 examples instead of 50,000",
        "dev of 1 examples instead of 5,000",
        "the labels of class.txt",
    ]
    assert data.missing == {"test": f"{tmp_path} has no test file"}


def test_parquet_of_the_hub_has_its_columns_by_name_and_labels_by_number(tmp_path):
    for part in range(2):
        table = pa.table({"premise": [f"前提{part}"], "hypothesis": ["假设"], "label": [2]})
        pq.write_table(table, tmp_path / f"train-0000{part}-of-00002.parquet")
    pq.write_table(table, tmp_path / "validation-00000-of-00001.parquet")
    assert examples(tmp_path, TASKS["xnli"]) == [Example(("前提0", "假设"), 2), Example(("前提1", "假设"), 2)]


def test_rows_with_a_label_to_ignore_are_counted(tmp_path):
    row = {"sentence1": "一", "sentence2": "二", "label": "yes"}
    text = json.dumps(row) + "\n" + json.dumps(row | {"label": "-"}) + "\n"
    write(tmp_path, train__json=text, dev__json=json.dumps([row, row]))
    data = load(tmp_path, OWN)
    assert data.splits["train"].counts == {"ignored_labels": 1} and len(data.splits["dev"].examples) == 2


def test_dev_stands_in_for_train_and_test_where_that_is_asked_for(tmp_path):
    write(tmp_path, dev__txt="".join(f"问题{number // 2}\t另一个{number}\t{number % 2}\n" for number in range(400)))
    with pytest.raises(
        ValueError, match="has no train file; get it from http.*or set finetune.tasks.lcqmc.split_dev to true"
    ):
        load(tmp_path, TASKS["lcqmc"])
    data = load(tmp_path, TASKS["lcqmc"], split_dev=True)
    counts = {split: len(found.examples) for split, found in data.splits.items()}
    assert sum(counts.values()) == 400 and 200 < counts["train"] < 280 and 50 < counts["dev"] < 110
    firsts = [{example.texts[0] for example in found.examples} for found in data.splits.values()]
    assert not firsts[0] & firsts[1] and not firsts[0] & firsts[2] and not firsts[1] & firsts[2]
    assert "train, dev and test are parts of the dev set, by hash" in data.reduced


def test_one_file_that_is_not_split_is_divided_by_hash_where_that_is_asked_for_and_marked(tmp_path):
    rows = "".join(f"{number},第{number // 2}句,{number % 2}\n" for number in range(400))
    write(tmp_path, all__csv=f"id,text,label\n{rows}", labelled_sample__csv="text,label\n")
    with pytest.raises(
        UserError, match="has no train, dev or test file.*mine.split_file: all.csv divides that by hash"
    ):
        load(tmp_path, MINE)
    with pytest.raises(UserError, match="none.csv does not exist; finetune.tasks.*.split_file names a file there"):
        splits.load_task(tmp_path, MINE, False, None, None, "none.csv")
    data, again = (splits.load_task(tmp_path, MINE, False, None, None, "all.csv") for _ in range(2))
    parts = {split: {example.id for example in found.examples} for split, found in data.splits.items()}
    assert 200 < len(parts["train"]) < 280 and all(50 < len(parts[split]) < 110 for split in ("dev", "test"))
    assert data == again and set.union(*parts.values()) == {str(number) for number in range(400)}
    assert not any(data.duplicates.values())  # what stands twice stays together
    assert data.reduced == ["train, dev and test are parts of all.csv, by hash"]


def test_the_id_of_a_row_is_the_files_or_its_line(tmp_path):
    write(
        tmp_path,
        train__csv="id,id,text,label\n7,1,好,1\n",
        dev__jsonl='\n{"text": "差", "label": 0}\n',
        test__tsv="好\t1\n",
    )
    data = splits.load_task(tmp_path, MINE, False, None, None)
    assert [found.examples[0].id for found in data.splits.values()] == ["7", 2, 1]


def test_fewer_examples_are_the_same_ones_every_time_and_marked(tmp_path):
    write(
        tmp_path, train__txt="".join(f"问{number}\t答{number}\t1\n" for number in range(50)), dev__txt="甲\t乙\t0\n" * 5
    )
    few, fewer = (load(tmp_path, OWN_NUMBERS, train_examples=count).splits["train"].examples for count in (20, 10))
    assert len(few) == 20 and set(fewer) < set(few)
    assert "10 of 50 examples of train" in load(tmp_path, OWN_NUMBERS, train_examples=10).reduced


OWN_NUMBERS = Task("own", "own", "pair", ("0", "1"), "accuracy", "here", "none", "1", "")


def test_labels_may_be_given_by_number_where_class_txt_lists_the_tasks_own(tmp_path):
    write(tmp_path, class__txt="no\nyes\n", train__txt="甲\t乙\t1\n", dev__txt="甲\t乙\tno\n")
    data = load(tmp_path, OWN)
    assert [data.splits[split].examples[0].label for split in ("train", "dev")] == [1, 0] and data.reduced == []


def test_a_test_file_without_labels_is_missing_with_its_reason(tmp_path):
    write(tmp_path, train__tsv="甲\t乙\tyes\n", dev__tsv="甲\t乙\tno\n", test__tsv="甲\t乙\n丙\t丁\n")
    assert "its file has no labels" in load(tmp_path, OWN).missing["test"]
    write(tmp_path, test__tsv="id\ttext_a\ttext_b\n1\t甲\t乙\n")
    assert "its file has no labels" in load(tmp_path, OWN).missing["test"]
    write(tmp_path, train__tsv="甲\t乙\n")
    with pytest.raises(UserError, match="train.tsv:1: there is no label beside text_a, text_b"):
        load(tmp_path, OWN)


def test_a_tab_in_a_text_among_other_columns_is_an_error_and_never_cuts_it(tmp_path):
    write(
        tmp_path,
        train__tsv="id\tlabel\ttext_a\n1\t1\t好\t吃\n",
        dev__tsv="label\ttext_a\tshop\n1\t好\t吃\t1\n",
        test__tsv="label\ttext_a\n0\t差\n",
    )
    with pytest.raises(UserError, match="dev.tsv:2: 4 columns where 3 are expected, label, text, .other."):
        load(tmp_path, TASKS["chnsenticorp"])
    write(tmp_path, dev__tsv="label\ttext_a\n0\t差\n")
    assert examples(tmp_path, TASKS["chnsenticorp"]) == [Example(("好\t吃",), 1)]


def test_a_column_too_many_without_a_line_of_names_is_an_error_and_no_text(tmp_path):
    write(tmp_path, train__tsv="17\t好吃\t1\n", dev__tsv="好\t1\n")
    with pytest.raises(
        ValueError, match="train.tsv:1: 3 columns where 2 are expected, text, label; put a line of names first"
    ):
        load(tmp_path, TASKS["chnsenticorp"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("text,label\n房间,服务,都好,1\n", 2),
        ("label,text\n0,很差\n1,房间,服务,都好\n", 3),
        ("id,text,label\n7,房间,服务,1\n", 2),
        ("text,label,id\n房间,服务,1,7\n", 2),
        ("text,label\n好,1,\n", 2),
        ('text,label\n"房间,服务",1\n"好",吃,1\n', 3),
        ("好,1\n房间,服务,1\n", 2),
        ("1,好\n1,房间,服务\n", 2),
        ('text,label\n"房间\t服务",都好,1\n', 2),
        ("text,label\nvery good, indeed,1\n", 2),
    ],
)
def test_a_comma_without_quotes_in_a_text_of_csv_is_an_error_and_never_a_tab(tmp_path, text, line):
    write(tmp_path, train__csv=text, dev__tsv="label\ttext_a\n0\t差\n")
    with pytest.raises(UserError, match=rf"train.csv:{line}: \d columns where \d are expected.*hold a comma in quotes"):
        load(tmp_path, TASKS["chnsenticorp"])


def test_a_test_file_that_is_there_is_not_replaced_by_a_part_of_dev(tmp_path):
    write(
        tmp_path,
        dev__txt="".join(f"问题{number}\t另一个\t{number % 2}\n" for number in range(100)),
        test__txt="甲\t乙\t1\n",
    )
    data = load(tmp_path, TASKS["lcqmc"], split_dev=True)
    assert (
        len(data.splits["test"].examples) == 1
        and len(data.splits["train"].examples) + len(data.splits["dev"].examples) == 100
    )
    assert "train and dev are parts of the dev set, by hash" in data.reduced


def test_a_division_that_leaves_a_split_empty_is_named(tmp_path):
    write(tmp_path, dev__txt="".join(f"同一个问题\t另一个{number}\t{number % 2}\n" for number in range(50)))
    with pytest.raises(
        ValueError, match="nothing is left for (train|dev|test) of dev.txt; it needs more texts that differ"
    ):
        load(tmp_path, TASKS["lcqmc"], split_dev=True)


def test_of_cjrc_dev_is_known_by_its_digest_and_the_rest_by_their_names(tmp_path):
    answer = [{"text": "张三", "answer_start": 0}]
    paragraph = {
        "context": "张三借款。",
        "qas": [{"id": "1", "question": "谁？", "is_impossible": "false", "answers": answer}],
    }
    text = json.dumps({"data": [{"domain": "civil", "paragraphs": [paragraph]}]}, ensure_ascii=False)
    write(tmp_path, small_train_data__json=text, dev_ground_truth__json=text)
    assert load(tmp_path, TASKS["cjrc"]).reduced == [
        "dev_ground_truth.json is not the official dev file",
        "dev of 1 examples instead of 6,000",
    ]
    (tmp_path / "small_train_data.json").rename(tmp_path / "train.json")
    assert load(tmp_path, TASKS["cjrc"]).reduced[0] == "train is not known to be the official one"


def test_names_of_keys_and_files_may_be_of_any_case_and_hidden_files_are_none(tmp_path):
    (tmp_path / "Training.JSON").write_text('{"Text": "好", "Label": 1}\n', encoding="utf-8")
    write(tmp_path, __train__json="{}", valid__csv="text,label\n" + "长" * 200_000 + ",0\n", device__tsv="x")
    data = load(tmp_path, TASKS["chnsenticorp"])
    assert (
        data.splits["train"].examples == [Example(("好",), 1)]
        and len(data.splits["dev"].examples[0].texts[0]) == 200_000
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.tsv", "甲\t乙\tyes\n甲\tyes\n", "train.tsv:2: 2 columns where 3 are expected, text_a, text_b, label"),
        ("train.tsv", "甲\t乙\tyes\n甲\t乙\t丙\tyes\n", "train.tsv:2: 4 columns where 3 are expected"),
        (
            "train.tsv",
            "甲\t乙\tyes\n甲\t乙\tmaybe\n",
            "train.tsv:2: label 'maybe' is none of no, yes, the labels of task own",
        ),
        ("train.tsv", "甲\t乙\tyes\n甲\t乙\t\n", "train.tsv:2: its label is empty; fill it in, or take the row out"),
        (
            "train.tsv",
            "甲\t乙\tyes\n \t乙\tno\n",
            "train.tsv:2: text_a is missing or empty; a row has text_a, text_b, label",
        ),
        (
            "train.csv",
            "q1,text_b,label\n甲,乙,yes\n",
            (
                "train.csv:1 has the columns q1, text_b, label, and no text_a .looked for: text_a,"
                " sentence1.*define.columns"
            ),
        ),
        (
            "train.csv",
            "甲,乙,yes\n甲,乙,丙,no\n",
            "train.csv:2: 4 columns where 3 are expected, text_a, text_b, label; put texts that hold a comma in quotes",
        ),
        (
            "train.csv",
            "q1,q2,same?\n甲,乙,yes\n",
            "train.csv:1: label 'same.' is none of no, yes.*if this is a line of names, tell them by define.columns",
        ),
        ("train.json", '{\n "data": []\n}\n', "train.json is one object over several lines, as of a reading task"),
        ("train.csv", '甲,乙,yes\n甲,"乙,no\n', "train.csv:2 is not CSV"),
        (
            "train.json",
            '{"text_a": "甲", "text_b": "乙", "label": "yes"}\n{"text_a": "甲\n',
            r"train.json:2 is not JSON \(Unterminated string",
        ),
        ("train.json", '["甲"]', "train.json, object 0: .*is no object with text_a, text_b, label"),
        ("train.jsonl", '{"text_a": "甲", "label": "yes"}\n', "train.jsonl:1: text_b is missing or empty"),
        (
            "train.jsonl",
            '{"id": %s}\n' % ("9" * 5000),
            "train.jsonl:1 has a number of more than 4,300 digits; put it in quotes",
        ),
        (
            "train.json",
            '[{"id": %s}]' % ("9" * 5000),
            "train.json:1 has a number of more than 4,300 digits; put it in quotes",
        ),
        ("train.jsonl", '{"id": ' + "[" * 200_000, "train.jsonl:1 has lists in lists without end; mend it"),
        ("train.tsv", "\n\n", "train.tsv has no examples; task own needs some in each of its files"),
        ("train.parquet", "no", "train.parquet cannot be read .ArrowInvalid"),
        ("train.csv", "甲;乙;yes\n", "train.csv:1 has no comma but a semicolon: separate the columns by commas$"),
        ("train.csv", "text_a\ttext_b\tlabel\n", "train.csv:1 has no comma but a tab: .* or call the file .tsv"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_remedy(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("甲\t乙\tyes\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load(tmp_path, OWN)


@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "parquet"])
def test_a_link_to_nothing_is_named(tmp_path, ending):
    (tmp_path / f"train.{ending}").symlink_to("nowhere")
    (tmp_path / "dev.tsv").write_text("甲\t乙\tyes\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"train.{ending} cannot be read \(FileNotFoundError"):
        load(tmp_path, OWN)


def test_a_missing_folder_a_wrong_file_and_two_candidates_are_told_apart(tmp_path):
    with pytest.raises(
        ValueError,
        match="lcqmc does not exist; put train, dev and test files there.*its home is http.*by the form on that page",
    ):
        load(tmp_path / "lcqmc", TASKS["lcqmc"])
    write(tmp_path, lcqmc__zip="PK")
    with pytest.raises(UserError, match="has no train, dev or test file .*but lcqmc.zip"):
        load(tmp_path, TASKS["lcqmc"])
    write(tmp_path, big_train__txt="甲\t乙\t1\n", small_train__txt="甲\t乙\t1\n")
    with pytest.raises(UserError, match="has 2 files for train: big_train.txt, small_train.txt; leave one"):
        load(tmp_path, TASKS["lcqmc"])


def test_text_in_another_encoding_is_named_with_the_remedy(tmp_path):
    (tmp_path / "train.tsv").write_bytes("甲\t乙\tyes\n".encode("gbk"))
    with pytest.raises(UserError, match="train.tsv, line 1: not UTF-8.*iconv -f GB18030"):
        load(tmp_path, OWN)
    (tmp_path / "train.tsv").write_bytes("甲\t乙\tyes\n".encode("utf-16"))
    with pytest.raises(UserError, match="train.tsv, line 1: not UTF-8.*iconv -f UTF-16 "):
        load(tmp_path, OWN)


def asked(*answers: dict) -> str:
    qas = [
        {"id": f"q{number}", "question": "问", "answers": [answer] if answer else []}
        for number, answer in enumerate(answers)
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": "一二三", "qas": qas}]}]}, ensure_ascii=False)


@pytest.mark.parametrize("task", ["cmrc2018", "cjrc"])
def test_a_reading_test_file_without_answers_is_not_scored_not_even_where_none_is_an_answer(tmp_path, task):
    for split, answer in (
        ("train", {"text": "一", "answer_start": 0}),
        ("dev", {"text": "二", "answer_start": 1}),
        ("test", None),
    ):
        (tmp_path / f"{split}.json").write_text(asked(answer), encoding="utf-8")
    data = load(tmp_path, TASKS[task])
    assert "test" not in data.splits and "none of its 1 questions has an answer" in data.missing["test"]
    bare = (tmp_path / "test.json").read_text(encoding="utf-8").replace(', "answers": []', "")
    (tmp_path / "test.json").write_text(bare, encoding="utf-8")
    assert (
        "answers" not in bare and "none of its 1 questions has an answer" in load(tmp_path, TASKS[task]).missing["test"]
    )


def test_labels_of_minus_one_are_none(tmp_path):
    write(tmp_path, train__tsv="甲\t乙\tyes\n", dev__tsv="甲\t乙\tno\n", test__csv="text_a,text_b,label\n甲,乙,-1\n")
    data = load(tmp_path, OWN)
    assert "test" not in data.splits and "there is no label" in data.missing["test"]


def test_answers_that_do_not_stand_in_their_context_are_told_with_the_first_question(tmp_path, capsys):
    good = {"text": "一", "answer_start": 0}
    (tmp_path / "train.json").write_text(asked(good, good, {"text": "四", "answer_start": 0}), encoding="utf-8")
    (tmp_path / "dev.json").write_text(asked(good), encoding="utf-8")
    load(tmp_path, TASKS["cmrc2018"])
    assert (
        "train.json: 1 answers do not stand in their context, first that of question q2; correct text or answer_start"
        in capsys.readouterr().out
    )


def test_a_file_of_an_official_split_is_compared_with_the_official_one_whatever_its_name(tmp_path):
    good = {"text": "一", "answer_start": 0}
    for split in ("train", "dev"):
        (tmp_path / f"{split}.json").write_text(asked(good), encoding="utf-8")
    reduced = load(tmp_path, TASKS["cmrc2018"]).reduced
    assert "dev.json is not the official dev file" in reduced and "train.json is not the official train file" in reduced
