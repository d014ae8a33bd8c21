"""The comparison of models: results as of the demo, and of the authors' tasks with what can be missing there."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import clozed
import finetuned
import pandas as pd
import pretrained
import pytest
from damage import changed, half, put, with_keys
from ruamel.yaml import YAML

from wwm import scores
from wwm.common.errors import UserError
from wwm.report import averages, champions, conditions, results, task_tables, words

ROOT = Path(__file__).parent.parent
MODELS = ["random", "bert", "roberta-wwm-ext", "rbt3-init", "rbt3"]
STEPS = {"random": 0, "bert": 2000, "roberta-wwm-ext": 3000, "rbt3-init": 3000, "rbt3": 4000}
STARTS = {"bert": "random", "roberta-wwm-ext": "bert", "rbt3": "rbt3-init"}
TEST = {
    "random": [50, 52, 51],
    "bert": [70, 66, 68],
    "roberta-wwm-ext": [80, 79, 78],
    "rbt3-init": [60, 60, 60],
    "rbt3": [65, 61, 63],
}
# Nats per character, of whole words; characters alone take one less.
NATS = {"random": 8.0, "bert": 6.0, "roberta-wwm-ext": 5.0, "rbt3-init": 7.5, "rbt3": 5.5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """params.yaml alone."""
    monkeypatch.chdir(tmp_path)
    compare(MODELS, ["reviews"])
    return tmp_path


def compare(models: list[str], tasks: list[str], baseline: str = "roberta-wwm-ext") -> None:
    values = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    own = {"define": {"kind": "single", "labels": ["a", "b"]}}
    del values["characters"], values["overlap"]
    values["finetune"]["tasks"] = {task: {} if task in finetuned.TASKS or task == "reviews" else own for task in tasks}
    values["init"]["models"] |= {model: values["init"]["models"]["random"] for model in models if model not in MODELS}
    values["finetune"]["models"] = {model: {} for model in models}
    values["scores"] = {"models": models, "tasks": tasks, "baseline": baseline}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.fixture
def project(folder):
    """Results of one task and of cloze for five models, three of them pre-trained."""
    for model in MODELS:
        training = {"steps": STEPS[model], "tokens": STEPS[model] * 1000, "flops": STEPS[model] * 10**9} | (
            {"cut_from": "roberta-wwm-ext"} if model == "rbt3-init" else {}
        )
        if model in STARTS:
            training["own_steps"] = STEPS[model] - STEPS[STARTS[model]]
        given = {
            "parameters": 1_100_000 if "rbt3" in model else 2_200_000,
            "training": training,
            "remark": "Is this review positive?",
        }
        finetuned.save(
            finetuned.result(
                model, "reviews", {"dev": [score - 1 for score in TEST[model]], "test": TEST[model]}, **given
            )
        )
        clozed.save(model, training, NATS[model], NATS[model] - 1, head_trained=model != "random")
    for model, init in STARTS.items():
        seen = {"steps": STEPS[model], "tokens": STEPS[model] * 1000}
        pretrained.save(model, init, seen, STEPS[model] - STEPS[init])
    return folder


def cells(table, model):
    [row] = [row for row in table.rows if row[0] == model]
    return dict(zip(table.header, row))


def found(models=MODELS, tasks=("reviews",)):
    return results.read(Path("results"), list(models), list(tasks))


def task_table():
    [table] = task_tables.task_tables(found())
    return table


def relative_table():
    return averages.average_tables(found(), "roberta-wwm-ext")[1]


def test_a_model_that_lacks_a_task_has_no_overall_figure():
    table = averages.relative({"base": {"a": 50.0, "b": 80.0}, "small": {"a": 40.0}}, "base", ["a", "b"])
    assert table["small"] == {"a": 80.0}
    assert averages.relative({"small": {"a": 40.0}}, "base", ["a"]) == {"small": {}}
    both_lack = {"base": {"a": 50.0}, "small": {"a": 40.0}, "other": {"a": 50.0, "b": 80.0}}
    assert averages.relative(both_lack, "base", ["a", "b"])["small"] == {"a": 80.0}


def test_a_cell_is_the_best_and_the_mean_of_the_seeds(project):
    row = cells(task_table(), "bert")
    assert row == {
        "model": "bert",
        "parameters": "2.2M",
        "steps": "2,000",
        "tokens": "2.0M",
        "FLOPs": "2.0e12",
        "reviews dev": "69.0 (67.0)",
        "reviews test": "70.0 (68.0)",
    }


def test_the_caption_says_how_many_seeds_and_examples(project):
    assert "reviews (seeds: 3, training examples: 500): Is this review positive?" in task_table().caption
    assert "largest model here has 2.2M parameters and the longest training saw 4.0M tokens" in scores.scale(found())


def overlap(**test: str) -> None:
    """Looked for in dev and test of `reviews`, whose examples have these hashes."""
    hashes = {"dev": "1", "test": "2"} | test
    some, whole = {"dev": 1.0, "test": 82.4}, {"dev": 0.0, "test": 63.44}
    told = {"task": "reviews", "n": 13, "hashes": hashes, "some": some, "whole": whole}
    finetuned.write("results/overlap/reviews.json", told)


def test_how_much_of_a_split_stands_in_the_text_of_a_model_is_beside_its_score(project):
    overlap()
    elsewhere = {"steps": None, "tokens": None, "own_steps": 10}
    scored = {"dev": TEST["bert"], "test": TEST["bert"]}
    finetuned.save(finetuned.result("bert", "reviews", scored, training=elsewhere))
    Path("results/cloze/bert.json").unlink()
    table = task_table()
    told = {row[0]: dict(zip(table.header, row))["reviews test: in its text"] for row in table.rows}
    assert told == {
        "random": "–",  # it saw no text
        "bert": "n/a (its text is not all here)",
        **dict.fromkeys(("roberta-wwm-ext", "rbt3-init", "rbt3"), "82.4 / 63.4"),
    }
    assert "13 characters in a row" in table.caption and "Columns of the authors" not in table.caption


def test_text_that_was_looked_for_other_examples_tells_nothing_of_these(project):
    overlap(test="other")
    row = cells(task_table(), "rbt3")
    assert row["reviews dev: in its text"] == "1.0 / 0.0" and row["reviews test: in its text"] == "n/a (not measured)"


def test_figures_relative_to_the_baseline_are_of_the_best_seeds(project):
    row = cells(relative_table(), "rbt3")
    assert row == {
        "model": "rbt3",
        "parameters": "50.0",
        "reviews": "81.2",
        "overall": "81.2",
        "classification": "81.2",
    }  # 65 of 80


def test_the_cloze_of_a_head_that_was_never_trained_is_marked_and_no_figure_of_the_encoder(project):
    path = Path("results/cloze/rbt3-init.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"head_trained": False}))
    results = found()
    table = task_tables.cloze_table(results)
    column = "whole words, nats"
    assert cells(table, "rbt3-init")[column] == "7.50 ¹" and cells(table, "rbt3")[column] == "5.50"
    assert table.notes == ["¹ The MLM head was never trained, so this says nothing of the encoder."]
    assert "rbt3-init" not in scores.flat_metrics(results)["cloze"]
    assert not [row for row in scores.single_figures(results) if row[:2] == ("rbt3-init", "cloze")]
    assert cells(table, "random")[column] == "8.00"  # random weights have nothing better to show


def test_a_missing_cell_gives_its_reason(project):
    for path in ("results/finetune/reviews/bert.json", "results/cloze/rbt3.json", "results/pretrain/bert.csv"):
        Path(path).unlink()
    assert cells(task_table(), "bert")["reviews test"] == "n/a (not fine-tuned)"
    assert cells(task_table(), "bert")["steps"] == "2,000"  # its cloze result still says so
    assert "bert" not in [row[0] for row in relative_table().rows]
    assert relative_table().caption.endswith("Not measured: bert.")
    table = task_tables.cloze_table(found())
    assert "rbt3" not in [row[0] for row in table.rows] and table.caption.endswith("Not measured: rbt3.")
    assert cells(task_tables.cloze_table(found()), "bert")["4 characters"] == "n/a (no such word)"
    scores.main()
    assert "n/a (not fine-tuned)" in Path("results/report/scores.md").read_text(encoding="utf-8")


FIGURES, TRAINED = "results/finetune/reviews/bert.parquet", "results/pretrain/bert.json"


def figured(change) -> Callable[[], None]:
    """With other figures: what `change` makes of the data frame."""
    return lambda: change(pd.read_parquet(FIGURES)).to_parquet(FIGURES, index=False)


def in_recipe(**parts: object) -> Callable[[], None]:
    return lambda: with_keys(TRAINED, recipe=json.loads(Path(TRAINED).read_text())["recipe"] | parts)()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (figured(lambda rows: rows[rows.split == "dev"]), "seeds or examples of test"),
        (figured(lambda rows: rows.drop(columns="accuracy")), "has no accuracy"),
        (figured(lambda rows: rows[:0]), "seeds or examples of dev"),
        (figured(lambda rows: rows.astype({"accuracy": str})), "other kinds of accuracy"),
        (figured(lambda rows: rows[rows.example < 50]), "seeds or examples of dev"),
        (figured(lambda rows: rows[(rows.seed > 0) | (rows.example > 0)]), "seeds or examples of dev"),
        (figured(lambda rows: rows[rows.seed > 0]), "seeds or examples of dev"),
        (figured(lambda rows: rows.assign(accuracy=math.nan)), "accuracy of dev"),
        (figured(lambda rows: rows.assign(accuracy=rows.accuracy + 1)), "accuracy of dev"),
        (figured(lambda rows: rows[::-1]), "seeds or examples of dev"),
        (figured(lambda rows: pd.concat([rows, rows.assign(split="x")])), "other splits"),
        (with_keys(TRAINED, milestones={"x": "bert"}), "milestones"),
        (in_recipe(phases=[{}]), "phases"),
        (in_recipe(phases=[{key: pretrained.PHASE[key] for key in pretrained.PHASE if key != "train"}]), "train"),
        (in_recipe(examples={"masking": "static", "next_sentence_prediction": True}), "unit"),
        (in_recipe(examples=pretrained.EXAMPLES | {"unit": "letter"}), "unit"),
        (in_recipe(architecture={}), "architecture"),
    ],
)
def test_a_result_that_is_damaged_is_one_line_that_names_its_file_and_what_to_run(project, damage, said):
    damage()
    with pytest.raises(UserError, match=rf"bert\.(parquet|json).*{said}.*run `dvc repro (finetune|pretrain)`"):
        found()


def empty(*kept: str) -> None:
    for file in [file for file in Path("results").rglob("*.*") if file.is_file() and str(file) not in kept]:
        file.unlink()


def test_a_report_of_one_result_is_all_reasons(project):
    empty("results/cloze/rbt3.json", "results/cloze/rbt3.csv")
    scores.main()
    text = Path("results/report/scores.md").read_text(encoding="utf-8")
    assert "Nothing was fine-tuned." in text
    assert "| bert | n/a (not fine-tuned) | n/a (not measured) |" in text
    assert "comparisons" not in text and "The gate" not in text


def test_of_no_result_there_is_no_report(project):
    empty()
    with pytest.raises(UserError, match="results has no result of random, bert, .*; run `dvc repro`"):
        scores.main()
    assert not Path("results/report").exists()


def test_a_loaded_model_does_not_pass_for_an_untrained_one(project):
    for path in ("results/finetune/reviews/random.json", "results/cloze/random.json"):
        finetuned.write(
            path, {**json.loads(Path(path).read_text(encoding="utf-8")), "training": {"steps": None, "tokens": None}}
        )
    assert cells(task_table(), "random")["steps"] == "n/a (not trained in this run)"


def test_the_report_has_every_figure_and_opens_without_a_network(project):
    scores.main()
    folder = Path("results/report")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Plotly.newPlot" in page and page.count("<script>") >= 2
    assert "<script src" not in page and "<link" not in page
    assert page.count('<div id="plot-') == 4
    assert "70.0 (68.0)" in page
    assert (folder / "curves.csv").read_text(encoding="utf-8").splitlines()[:3] == [
        "model,step,mlm_loss",
        "bert,20,8.5",
        "bert,40,7.25",
    ]
    assert "bert,reviews,test,accuracy,0,70\n" in (folder / "scores.csv").read_text(encoding="utf-8")
    flat = json.loads(Path("results/scores.json").read_text(encoding="utf-8"))
    assert flat["reviews"]["bert"] == {"dev_max": 69, "dev_mean": 67.0, "test_max": 70, "test_mean": 68.0}
    figures = {"words_nats": 5.5, "words_accuracy": 25.0, "characters_nats": 4.5, "characters_accuracy": 50.0}
    of_news = {f"{name}_news": figure for name, figure in figures.items()}
    assert flat["cloze"]["rbt3"] == {"nats": 5.0} | figures | of_news


def test_the_same_results_give_the_same_bytes(project):
    scores.main()
    first = {file.name: file.read_bytes() for file in Path("results/report").iterdir()}
    scores.main()
    assert {file.name: file.read_bytes() for file in Path("results/report").iterdir()} == first


def test_a_reading_cell_has_em_and_f1_each_with_its_own_best_seed(folder):
    finetuned.save(finetuned.result("mine", "drcd", {"dev": [(60, 80), (62, 77)], "test": [(61, 79), (59, 83)]}))
    [table] = task_tables.task_tables(found(["mine"], ["drcd"]))
    assert table.title.startswith("Reading tasks")
    assert table.rows[0][5:] == ["62.0 (61.0) / 80.0 (78.5)", "61.0 (60.0) / 83.0 (81.0)"]


def test_official_scores_stand_beside_the_authors_for_models_of_their_names(folder):
    ten = {"dev": [78.0] * 9 + [79.0], "test": [77.0] * 10}
    finetuned.save(*(finetuned.result(model, "xnli", ten) for model in ("chinese-bert-wwm", "mine")))
    [table] = task_tables.task_tables(found(["chinese-bert-wwm", "mine"], ["xnli"]))
    assert table.header[5:] == ["XNLI dev", "authors: XNLI dev", "XNLI test", "authors: XNLI test"]
    assert list(cells(table, "chinese-bert-wwm").values())[5:] == [
        "79.0 (78.1)",
        "79.0 (78.4) within",
        "77.0 (77.0)",
        "78.2 (78.0) below ¹",
    ]
    assert list(cells(table, "mine").values())[5:] == ["79.0 (78.1)", "–", "77.0 (77.0)", "–"]
    [note] = table.notes
    assert note.startswith("¹ Below: the best of ten seeds does not reach the authors' mean") and "(here 64;" in note


@pytest.mark.parametrize(
    ("best", "place"), [(77.94, "below"), (77.96, "within"), (78.2, "within"), (78.24, "within"), (78.3, "above")]
)
def test_the_best_of_ten_seeds_is_held_against_mean_and_best_of_the_authors(folder, best, place):
    finetuned.save(finetuned.result("bert-wwm", "xnli", {"test": [best] + [70.0] * 9}))
    [table] = task_tables.task_tables(found(["bert-wwm"], ["xnli"]))
    assert table.header[-1].startswith("authors: XNLI test") and table.rows[0][-1] == f"78.2 (78.0) {place}"


def test_nothing_is_held_against_the_authors_mean_with_fewer_seeds_or_where_they_gave_none(folder):
    finetuned.save(finetuned.result("bert-wwm", "xnli", {"test": [10.0] * 9}))
    finetuned.save(finetuned.result("rbt3", "xnli", {"test": [10.0] * 10}))
    [table] = task_tables.task_tables(found(["bert-wwm", "rbt3"], ["xnli"]))
    assert [row[-1] for row in table.rows] == ["78.2 (78.0)", "72.3"]


def test_columns_of_the_authors_are_left_out_where_no_model_is_theirs(folder):
    finetuned.save(finetuned.result("mine", "xnli", {"dev": [78.0] * 10, "test": [77.0] * 10}))
    [table] = task_tables.task_tables(found(["mine"], ["xnli"]))
    assert table.header[5:] == ["XNLI dev", "XNLI test"]


def test_data_that_are_not_official_are_marked_and_never_beside_a_figure_of_the_authors(folder):
    ten, cut = {"dev": [78.0] * 10, "test": [77.0] * 10}, ["test of 2 examples instead of 5,010"]
    finetuned.save(
        finetuned.result("bert", "xnli", ten, reduced=cut), finetuned.result("rbt3", "xnli", ten, reduced=cut)
    )
    finetuned.save(
        finetuned.result("bert", "bq", ten),
        finetuned.result("rbt3", "bq", ten, reduced=["500 of 100,000 examples of train"]),
    )
    compared = found(["bert", "rbt3"], ["xnli", "bq"])
    [table] = task_tables.task_tables(compared)
    assert table.header[5:] == ["XNLI dev †", "XNLI test †", "BQ Corpus dev", "BQ Corpus test"]
    assert cells(table, "bert")["BQ Corpus dev"] == "78.0 (78.0)"
    assert cells(table, "rbt3")["BQ Corpus dev"] == "78.0 (78.0) †"
    [note] = table.notes
    assert "(test of 2 examples instead of 5,010); BQ Corpus (500 of 100,000 examples of train)." in note
    assert not [table for table in averages.average_tables(compared, "bert") if table.title.startswith("Reference")]


def test_fewer_seeds_than_the_authors_ten_are_marked_at_the_head_or_where_one_model_has_them_at_its_figure(folder):
    finetuned.save(
        finetuned.result("bert", "xnli", {"dev": [78.0] * 10, "test": [78.0] * 10}),
        finetuned.result("rbt3", "xnli", {"dev": [70.0], "test": [71.0]}),
    )
    [table] = task_tables.task_tables(found(["bert", "rbt3"], ["xnli"]))
    assert (cells(table, "bert")["XNLI test"], cells(table, "rbt3")["XNLI test"]) == ("78.0 (78.0)", "71.0 (71.0) ‡¹")
    assert table.notes == ["‡ Fewer seeds than the authors' ten: XNLI (1).", "¹ XNLI: seeds: 1 instead of 10."]
    [table] = task_tables.task_tables(found(["rbt3"], ["xnli"]))
    assert (table.header[5], cells(table, "rbt3")["XNLI dev ‡"]) == ("XNLI dev ‡", "70.0 (70.0)")
    assert table.notes == ["‡ Fewer seeds than the authors' ten: XNLI (1)."]


def test_a_model_with_fewer_seeds_than_others_is_marked_on_any_task(folder):
    finetuned.save(finetuned.result("bert", "mine", {"dev": [78.0] * 3, "test": [77.0] * 3}))
    finetuned.save(finetuned.result("rbt3", "mine", {"dev": [70.0] * 2, "test": [71.0] * 2}))
    [table] = task_tables.task_tables(found(["bert", "rbt3"], ["mine"]))
    assert (cells(table, "bert")["mine test"], cells(table, "rbt3")["mine test"]) == ("77.0 (77.0)", "71.0 (71.0) ¹")
    assert table.notes == ["¹ mine: seeds: 2 instead of 3."]


def test_a_task_that_is_not_theirs_has_no_marks(folder):
    finetuned.save(
        finetuned.result("bert", "mine", {"dev": [78.0], "test": [77.0]}, reduced=["500 of 1,000 examples of train"])
    )
    compared = found(["bert"], ["mine"])
    [table] = task_tables.task_tables(compared)
    assert (table.header[5:], table.notes) == (["mine dev", "mine test"], [])
    assert [table.title for table in averages.average_tables(compared, "bert")] == [
        "Best scores, in percent",
        "Relative to the baseline, in percent",
    ]


def test_hidden_splits_are_missing_with_the_reason_as_a_footnote_and_stay_out_of_the_average(folder):
    finetuned.save(
        finetuned.result("rbt3", "cmrc2018", {"dev": [(60, 80)] * 10}),
        finetuned.result("rbt3", "xnli", {"dev": [70] * 10, "test": [72] * 10}),
    )
    compared = found(["rbt3"], ["cmrc2018", "xnli"])
    reading, classification = task_tables.task_tables(compared)
    assert reading.header[5:] == [
        "CMRC 2018 dev",
        "CMRC 2018 test ¹",
        "authors: CMRC 2018 test",
        "CMRC 2018 challenge ²",
    ]
    assert list(cells(reading, "rbt3").values())[6:] == ["n/a", "62.2 / 81.8", "n/a"]
    assert reading.notes == [
        "¹ CMRC 2018 test: the answers are kept by the organisers.",
        "² CMRC 2018 challenge: the answers are kept by the organisers.",
    ]
    assert classification.header[5:] == ["XNLI dev", "XNLI test", "authors: XNLI test"]
    ours, _, reference, _ = averages.average_tables(compared, "rbt3")
    assert ours.header == ["model", "XNLI", "average", "parameters"]
    assert "Left out: CMRC 2018 (no test scores)." in ours.caption
    assert cells(reference, "RBT3") == {
        "model": "RBT3",
        "XNLI": "72.3",
        "average": "72.30",
        "parameters": "38.0M (100.0 %)",
    }


def test_the_footnote_of_the_authors_column_stands_at_it(folder):
    ten = {"dev": [(50, 70)] * 10, "test": [(51, 71)] * 10}
    finetuned.save(
        finetuned.result("google", "cjrc", ten, footnote="The authors' CJRC data were not the final release.")
    )
    compared = found(["google"], ["cjrc"])
    [table] = task_tables.task_tables(compared)
    assert table.header[5:] == ["CJRC dev", "authors: CJRC dev ¹,²", "CJRC test", "authors: CJRC test ¹,²"]
    assert cells(table, "google")["authors: CJRC test ¹,²"] == "55.1 (54.1) below / 75.2 (74.3) below"
    assert table.notes[0] == "¹ The authors' CJRC data were not the final release."
    assert "not the final release" in averages.average_tables(compared, "google")[2].caption


def test_em_and_f1_count_as_one_figure_each_in_the_average(folder):
    base = {"drcd": [(60, 80), (50, 90)], "xnli": [70, 69], "bq": [80, 82]}
    small = {"drcd": [(30, 45)] * 2, "xnli": [63] * 2, "bq": [41] * 2}
    finetuned.save(
        *(
            finetuned.result("base", task, {"test": scores}, parameters=100_000_000 + (task == "bq"))
            for task, scores in base.items()
        )
    )
    finetuned.save(
        *(finetuned.result("small", task, {"test": scores}, parameters=40_000_000) for task, scores in small.items())
    )
    scored, relative, *_ = averages.average_tables(found(["base", "small"], ["drcd", "bq", "xnli"]), "base")
    assert scored.rows[0] == ["base", "60.0 / 90.0", "82.0", "70.0", "75.50", "100.0M (100.0 %)"]
    assert scored.rows[1] == ["small", "30.0 / 45.0", "41.0", "63.0", "44.75", "40.0M (40.0 %)"]
    # overall: 44.75 of 75.5; classification: 50 % of bq, 90 % of xnli
    assert relative.rows[1] == ["small", "40.0", "50.0 / 50.0", "50.0", "90.0", "59.3", "70.0"]


def test_own_tasks_have_averages_of_their_own_beside_the_authors(folder):
    finetuned.save(
        finetuned.result("bert", "xnli", {"dev": [70], "test": [72]}),
        finetuned.result("bert", "mine", {"dev": [60]}, missing={"test": "no file"}),
    )
    tables = averages.average_tables(found(["bert"], ["xnli", "mine"]), "bert")
    assert [table.header[1] for table in tables[::2]] == ["XNLI ‡", "XNLI", "mine dev"]
    assert tables[-1].title == "Relative to the baseline on other tasks, in percent"


def test_figures_of_another_model_that_had_the_name_before_are_left_out(project):
    """Google's BERT in place of the demo's, whose curve and cloze accuracy still lie there."""
    elsewhere = {"steps": None, "tokens": None}
    finetuned.save(
        finetuned.result(
            "bert",
            "reviews",
            {"dev": [90, 91], "test": [90, 92]},
            weights="Google's",
            training=elsewhere,
            parameters=102_000_000,
        )
    )
    compared = found(["random", "bert"])
    assert "bert" not in compared.cloze and not compared.pretrain and not compared.curves and "random" in compared.cloze
    caption = task_tables.cloze_table(compared).caption
    assert caption.endswith("Not measured: bert (measured with other weights).")
    [table] = task_tables.task_tables(compared)
    assert cells(table, "bert")["steps"] == "n/a (not trained in this run)"
    assert "tokens; the" not in scores.scale(found(["bert"]))


def test_two_models_of_one_name_in_two_cells_are_refused(folder):
    finetuned.save(finetuned.result("bert", "xnli", {"dev": [70, 71]}), finetuned.result("rbt3", "bq", {"dev": [70]}))
    finetuned.save(finetuned.result("bert", "bq", {"dev": [70, 71]}, weights="Google's"))
    with pytest.raises(UserError, match="xnli/bert.json and bq/bert.json are two models of one name") as raised:
        found(["bert", "rbt3"], ["xnli", "bq"])
    assert str(raised.value).endswith("run `dvc repro finetune@bert-xnli finetune@bert-bq`")


def test_another_length_than_the_table_of_tasks_has_is_told_at_the_figure(folder):
    recipe = {"epochs": 2, "batch_size": 64, "max_seq_length": 512}
    finetuned.save(finetuned.result("bert", "chnsenticorp", {"dev": [95] * 10, "test": [95] * 10}, recipe=recipe))
    [table] = task_tables.task_tables(found(["bert"], ["chnsenticorp"]))
    assert "ChnSentiCorp dev ¹" in table.header and table.notes == [
        "¹ ChnSentiCorp: max_seq_length 128 instead of 512."
    ]


def test_parameters_are_those_of_the_xnli_classifier_where_there_is_one(folder):
    for task, size in (("drcd", 1), ("bq", 2), ("xnli", 3)):
        finetuned.save(finetuned.result("bert", task, {"dev": [(1, 1)] if task == "drcd" else [1]}, parameters=size))
    assert results.parameters(found(["bert"], ["drcd", "bq", "xnli"]), "bert") == 3
    assert results.parameters(found(["bert"], ["drcd", "bq"]), "bert") == 2


def test_metrics_of_reading_name_their_measure_and_have_the_parts_of_em_and_f1(folder):
    given = finetuned.result("bert", "cjrc", {"dev": [(50, 70), (52, 68)]})
    for seed in given["seeds"]:
        seed["scores"]["dev"]["civil_em"] = 40.0
    finetuned.save(given)
    compare(["bert"], ["cjrc"], "bert")
    scores.main()
    flat = json.loads(Path("results/scores.json").read_text(encoding="utf-8"))["cjrc"]["bert"]
    assert (
        flat["dev_em_max"] == 52
        and flat["dev_f1_mean"] == 69.0
        and flat["dev_civil_em_mean"] == 40.0
        and len(flat) == 6
    )
    assert "bert,cjrc,dev,civil_em,1,40.0\n" in Path("results/report/scores.csv").read_text(encoding="utf-8")


def test_share_of_unknown_pieces_and_answers_out_of_reach_are_told_by_model(folder):
    finetuned.save(
        finetuned.result("bert", "drcd", {"dev": [(1, 1)], "test": [(1, 1)]}),
        finetuned.result("ernie", "xnli", {"dev": [1]}),
    )
    unknown, unreachable, *_ = conditions.condition_tables(found(["bert", "ernie"], ["drcd", "xnli"]))
    assert unknown.rows == [["bert", "1.25", "n/a (not fine-tuned)"], ["ernie", "n/a (not fine-tuned)", "1.25"]]
    assert cells(unreachable, "bert") == {"model": "bert", "DRCD dev": "2.00", "DRCD test": "2.00"}  # 2 of 100


def test_data_and_recipe_are_told_once_where_all_models_share_them(folder):
    counts = {
        "dropped": {"train": {"empty_lines": 3}, "dev": {"ignored_labels": 1}},
        "duplicates": {"dev in train": 4},
        "reduced": ["the labels of class.txt"],
    }
    rate = {"how": finetuned.HOW | {"learning_rate": 5e-5, "simplify": True}, "swept": {"3e-05": 70.0, "5e-05": 71.5}}
    finetuned.save(*(finetuned.result(model, "xnli", {"dev": [1, 2]}, **counts) for model in ("bert", "rbt3")))
    finetuned.save(finetuned.result("ernie", "xnli", {"dev": [1, 2]}, **counts, **rate))
    *_, data, recipe = conditions.condition_tables(found(["bert", "ernie", "rbt3"], ["xnli"]))
    missing = "n/a (the answers are kept by the organisers)"
    noted = "train: empty_lines 3; dev: ignored_labels 1"
    assert data.rows == [["XNLI", "all", "500", "100", missing, noted, "dev in train 4", "the labels of class.txt"]]
    assert recipe.rows == [
        ["XNLI", "bert, rbt3", "3e-05", "64", "2", "last", "128", "–", "fp32", "no", "2", "none"],
        ["XNLI", "ernie", "5e-05", "64", "2", "last", "128", "–", "fp32", "yes", "2", "3e-05: 70.0, 5e-05: 71.5"],
    ]


def test_a_task_that_nobody_was_fine_tuned_on_is_named(project):
    assert scores.scale(found(tasks=["reviews", "bq"])).endswith("Without any result: bq.")


def test_the_readmes_take_their_tables_from_the_report(project):
    import importlib.util

    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    scores.main()
    record = generate.demo_record(Path("results/report/scores.md").read_text(encoding="utf-8"))
    summary = generate.scores_summary(record, chinese=False)
    assert "| model | parameters | steps | tokens | FLOPs | reviews test | cloze: whole words, nats |" in summary
    assert "Not told apart: rbt3 against rbt3-init on reviews (+3.00, " in summary and "It holds" not in summary
    *_, claim = generate.scores_summary(record, chinese=True).split("\n")
    assert claim.startswith("- 截取若干层后继续训练的模型优于只截取的模型：部分成立，3 项比较中 2 项成立。")
    assert "无法区分的是：rbt3 对 rbt3-init / reviews（+3.00，" in claim
    assert not set(re.findall("[a-z]{2,}", claim)) - {"rbt", "init", "reviews"}
    overlap()
    scores.main()
    summary = generate.scores_summary(
        generate.demo_record(Path("results/report/scores.md").read_text(encoding="utf-8")), chinese=False
    )
    assert "| reviews test | reviews test: in its text | cloze: whole words, nats |" in summary
    assert "(cloze); in its text: of how many examples, in percent," in summary


def told(**scores: tuple[list[float], list[float]]) -> str:
    """Of models with these scores on dev and test, what is said of the best."""
    for model, (dev, test) in scores.items():
        size = 1_100_000 if model == "rbt3" else 2_200_000
        finetuned.save(finetuned.result(model, "reviews", {"dev": dev, "test": test}, kept="best", parameters=size))
    return champions.champions(found(list(scores), ["reviews"]))[0].told


def test_beside_the_best_model_stand_those_that_it_cannot_be_told_apart_from(project):
    close, worse = [81.0, 83.0, 85.0], [50.0, 51.0, 52.0]
    assert told(bert=(close, close), rbt3=([80.0, 82.0, 84.0],) * 2, random=(worse, worse)) == (
        "Best model on reviews, by accuracy on dev (mean over seeds, 83.0 %): bert. On test bert (2.2M parameters)"
        " cannot be told apart from rbt3 (1.1M parameters): take the one that costs you least. To use bert:"
    )
    assert told(bert=(close, worse), rbt3=(worse, close)).endswith(
        ": bert. On test rbt3 (1.1M parameters) did better. To use bert:"
    )
    assert told(bert=(close[:2], close[:2]), rbt3=(worse[:2], worse[:2])).endswith(
        ": bert. Not tested against rbt3 (fewer than 3 seeds or pairs). To use bert:"
    )
    assert told(bert=(close, close), random=(worse, worse)).endswith(": bert. To use it:")
    with words.spoken("zh"):
        assert told(bert=(close, close), rbt3=([80.0, 82.0, 84.0],) * 2).endswith(
            "在测试集上，无法区分 bert（2.2M 参数） 与 rbt3（1.1M 参数）：请用其中开销最小的。bert 的使用方法："
        )


def test_the_best_kept_model_by_dev_is_named_with_a_command_that_uses_it(folder):
    models = {
        "bert": {"dev": [80.0, 82.0], "test": [90.0, 90.0]},
        "rbt3": {"dev": [83.0, 82.0], "test": [70.0, 70.0]},
        "random": {"dev": [99.0, 99.0], "test": [99.0, 99.0]},
    }
    for model, given in models.items():
        finetuned.save(finetuned.result(model, "lcqmc", given, kept="none" if model == "random" else "best"))
    [best] = champions.champions(found(models, ["lcqmc"]))
    assert str(best).splitlines() == [
        "Best model on LCQMC, by accuracy on dev (mean over seeds, 82.5 %): rbt3. Not tested against bert (fewer than 3"
        " seeds or pairs). To use rbt3:",
        "  wwm predict models/finetuned/lcqmc/rbt3 data/tasks/lcqmc/test.tsv --output said.csv",
    ]


RESULT = "results/finetune/reviews/bert.json"
SEED = {"seed": 1, "loss": 0.5, "epoch": 1}
BROKEN = {
    "a seed without scores": (RESULT, with_keys(RESULT, seeds=[SEED]), "seeds.0.scores"),
    "a seed without a measure": (
        RESULT,
        with_keys(RESULT, seeds=[SEED | {"scores": {"dev": {}}}]),
        "no accuracy on dev",
    ),
    "a text for a score": (
        RESULT,
        with_keys(RESULT, seeds=[SEED | {"scores": {"dev": {"accuracy": "high"}}}]),
        "seeds.0.scores.dev.accuracy",
    ),
    "no overlap": ("results/overlap/reviews.json", put("results/overlap/reviews.json", "[]"), "dictionary"),
    "a curve cut off": (
        "results/pretrain/bert.csv",
        changed("results/pretrain/bert.csv", lambda content: content[:-3]),
        "cut off",
    ),
    "a curve without its last points": (
        "results/pretrain/bert.csv",
        put("results/pretrain/bert.csv", "step,phase,mlm_loss\n20,1,8.5\n"),
        "does not end at the mlm_loss of bert.json",
    ),
    "a curve of another file": (
        "results/pretrain/bert.csv",
        put("results/pretrain/bert.csv", "a,b\n1,2\n"),
        "column step",
    ),
    "a curve of zeros": ("results/pretrain/bert.csv", put("results/pretrain/bert.csv", bytes(100)), "column step"),
    "answers cut off": ("results/cloze/bert.csv", half("results/cloze/bert.csv"), "cut off"),
    "answers without the last rows": (
        "results/cloze/bert.csv",
        changed("results/cloze/bert.csv", lambda content: b"\n".join(content.split(b"\n")[:50]) + b"\n"),
        "120 characters that bert.json says",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_result_that_is_not_whole_is_named_with_what_makes_it_anew(project, name):
    file, damage, says = BROKEN[name]
    damage()
    with pytest.raises(UserError, match=f"^{file}.*{says}.*run `dvc repro {file.split('/')[1].split('.')[0]}`$"):
        found()
