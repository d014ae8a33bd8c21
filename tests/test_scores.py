import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wwm import scores

ROOT = Path(__file__).parent.parent
MODELS = ["random", "bert", "roberta-wwm-ext", "rbt3-init", "rbt3"]
STEPS = {"random": 0, "bert": 2000, "roberta-wwm-ext": 3000, "rbt3-init": 3000, "rbt3": 4000}
TEST = {"random": [50, 52, 51], "bert": [70, 66, 68], "roberta-wwm-ext": [80, 79, 78], "rbt3-init": [60, 60, 60], "rbt3": [65, 61, 63]}
WORDS = {"random": 0.0, "bert": 20.0, "roberta-wwm-ext": 25.0, "rbt3-init": 2.0, "rbt3": 18.0}

# SPEC.md, section 5: CMRC EM and F1, DRCD EM and F1, XNLI, ChnSentiCorp, LCQMC, BQ.
COLUMNS = ["cmrc em", "cmrc f1", "drcd em", "drcd f1", "xnli", "chnsenticorp", "lcqmc", "bq"]
PUBLISHED = {
    "RoBERTa-wwm-ext-large": [74.2, 90.6, 89.6, 94.5, 81.2, 95.8, 87.0, 85.8],
    "RoBERTa-wwm-ext": [72.6, 89.4, 85.6, 92.0, 78.8, 95.6, 86.4, 85.0],
    "RBTL3": [63.3, 83.4, 77.2, 85.6, 74.0, 94.2, 85.1, 83.6],
    "RBT3": [62.2, 81.8, 75.0, 83.9, 72.3, 92.8, 85.1, 83.3],
}


def write(path, value):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """params.yaml, and results of one task and of cloze for five models, three of them pre-trained."""
    monkeypatch.setenv("RANK", "1")  # other ranks than 0 track nothing
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["scores"] = {"models": MODELS, "tasks": ["reviews"], "baseline": "roberta-wwm-ext"}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    for model in MODELS:
        training = {"steps": STEPS[model], "tokens": STEPS[model] * 1000} | ({"cut_from": "roberta-wwm-ext"} if model == "rbt3-init" else {})
        seeds = [{"seed": i, "dev": score - 1, "test": score, "loss": 0.5} for i, score in enumerate(TEST[model])]
        common = {"model": model, "training": training, "seconds": 1.5}
        size = {"parameters": 1_100_000 if "rbt3" in model else 2_200_000}
        write(f"results/finetune/reviews/{model}.json", {**common, **size, "metric": "accuracy", "seeds": seeds, "train_examples": 500})
        part = {"words": 400, "pieces": 700, "piece_accuracy": WORDS[model] * 2, "piece_top5": WORDS[model] * 3, "word_accuracy": WORDS[model]}
        nothing = {"words": 0, "pieces": 0, "piece_accuracy": None, "piece_top5": None, "word_accuracy": None}
        write(f"results/cloze/{model}.json", {**common, **part, "by_length": {"1": part, "4": nothing}, "by_source": {"news": part}})
    for model, init in (("bert", "random"), ("roberta-wwm-ext", "bert"), ("rbt3", "rbt3-init")):
        write(f"results/pretrain/{model}.json", {"mlm_loss": 5.5, "init": init})
        Path(f"results/pretrain/{model}.csv").write_text("step,phase,mlm_loss\n20,1,8.5\n40,1,7.25\n", encoding="utf-8")
    return tmp_path


def cells(table, model):
    [row] = [row for row in table.rows if row[0] == model]
    return dict(zip(table.header, row))


def results():
    return scores.read(Path("results"), MODELS, ["reviews"])


def test_the_relative_table_is_the_authors():
    figures = {model: dict(zip(COLUMNS, row)) for model, row in PUBLISHED.items()}
    table = scores.relative(figures, "RoBERTa-wwm-ext", COLUMNS[4:])
    overall = {model: row["overall"] for model, row in table.items()}
    assert overall == pytest.approx({"RoBERTa-wwm-ext-large": 101.9, "RoBERTa-wwm-ext": 100, "RBTL3": 94.3, "RBT3": 92.9}, abs=0.05)
    assert table["RBTL3"]["classification"] == pytest.approx(97.35, abs=0.05)
    assert table["RBT3"]["classification"] == pytest.approx(96.35, abs=0.05)
    assert table["RBT3"]["xnli"] == pytest.approx(100 * 72.3 / 78.8)


def test_a_model_that_lacks_a_task_has_no_overall_figure():
    table = scores.relative({"base": {"a": 50.0, "b": 80.0}, "small": {"a": 40.0}}, "base", ["a", "b"])
    assert table["small"] == {"a": 80.0}
    assert scores.relative({"small": {"a": 40.0}}, "base", ["a"]) == {"small": {}}


def test_a_cell_is_the_best_and_the_mean_of_the_seeds(project):
    row = cells(scores.task_table(results()), "bert")
    assert row == {"model": "bert", "parameters": "2.2M", "steps": "2,000", "tokens": "2.0M", "reviews dev": "69.0 (67.0)", "reviews test": "70.0 (68.0)"}


def test_the_caption_says_how_many_seeds_and_examples(project):
    assert "reviews (seeds: 3, training examples: 500): Is this review" in scores.task_table(results()).caption
    assert "largest model here has 2.2M parameters and the longest training saw 4.0M tokens" in scores.scale(results())


def test_figures_relative_to_the_baseline_are_of_the_best_seeds(project):
    row = cells(scores.relative_table(results(), "roberta-wwm-ext"), "rbt3")
    assert row == {"model": "rbt3", "parameters": "50.0", "reviews": "81.2", "overall": "81.2", "classification": "81.2"}  # 65 of 80


def test_a_margin_counts_only_above_the_wider_spread(project):
    trained, continued = scores.comparisons(results())
    assert {(c.model, c.against) for c in trained} == {(model, "random") for model in ("bert", "roberta-wwm-ext", "rbt3")}
    [task, cloze] = continued
    assert task == scores.Comparison("reviews", "rbt3", "rbt3-init", 3.0, 4.0)
    assert not task.holds
    assert (cloze.margin, cloze.holds) == (16.0, True)
    assert cloze.spread == pytest.approx(2 * (18 * 82 / 400 + 2 * 98 / 400) ** 0.5)


def test_what_does_not_come_out_is_said(project):
    first, second = scores.claims(results())
    assert "random initialisation by more than the spread: holds, in 6 of 6 comparisons." in first
    assert "NOT" not in first
    assert "holds in part, in 1 of 2 comparisons. It holds for rbt3 on cloze (+16.0" in second
    assert "It does NOT hold for rbt3 on reviews (+3.0, spread 4.0)." in second


def test_a_missing_cell_gives_its_reason(project):
    for path in ("results/finetune/reviews/bert.json", "results/cloze/rbt3.json", "results/pretrain/bert.csv"):
        Path(path).unlink()
    assert cells(scores.task_table(results()), "bert")["reviews test"] == "n/a (not fine-tuned)"
    assert cells(scores.task_table(results()), "bert")["steps"] == "2,000"  # its cloze result still says so
    assert cells(scores.relative_table(results(), "roberta-wwm-ext"), "bert")["overall"] == "n/a (a score is missing)"
    assert cells(scores.cloze_table(results()), "rbt3")["whole words"] == "n/a (not measured)"
    assert cells(scores.cloze_table(results()), "bert")["4 characters"] == "n/a (no such word)"
    scores.main()
    assert "n/a (not fine-tuned)" in Path("results/report/scores.md").read_text(encoding="utf-8")


def test_a_report_without_any_result_is_all_reasons(project):
    for folder in ("finetune/reviews", "cloze", "pretrain"):
        for file in Path("results", folder).iterdir():
            file.unlink()
    scores.main()
    text = Path("results/report/scores.md").read_text(encoding="utf-8")
    assert "Nothing was fine-tuned." in text
    assert "| bert | n/a (not fine-tuned) | n/a (not measured) |" in text
    assert "by more than the spread: n/a (no such pair of models was measured)." in text


def test_a_loaded_model_does_not_pass_for_an_untrained_one(project):
    for path in ("results/finetune/reviews/random.json", "results/cloze/random.json"):
        write(path, {**json.loads(Path(path).read_text(encoding="utf-8")), "training": {"steps": None, "tokens": None}})
    assert cells(scores.task_table(results()), "random")["steps"] == "n/a (not trained here)"
    assert scores.comparisons(results())[0] == []


def test_a_loaded_model_that_is_trained_on_does_not_pass_for_a_truncated_one(project):
    for path in ("results/finetune/reviews/rbt3-init.json", "results/cloze/rbt3-init.json"):
        write(path, {**json.loads(Path(path).read_text(encoding="utf-8")), "training": {"steps": None, "tokens": None}})
    assert scores.comparisons(results())[1] == []


def test_the_report_has_every_figure_and_opens_without_a_network(project):
    scores.main()
    folder = Path("results/report")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Plotly.newPlot" in page and page.count("<script>") >= 2
    assert "<script src" not in page and "<link" not in page
    assert page.count('class="plotly-graph-div"') == 3
    assert "70.0 (68.0)" in page
    assert (folder / "curves.csv").read_text(encoding="utf-8").splitlines()[:3] == ["model,step,mlm_loss", "bert,20,8.5", "bert,40,7.25"]
    assert "bert,reviews,test,0,70\n" in (folder / "scores.csv").read_text(encoding="utf-8")
    flat = json.loads(Path("results/scores.json").read_text(encoding="utf-8"))
    assert flat["reviews"]["bert"] == {"dev_max": 69, "dev_mean": 67.0, "test_max": 70, "test_mean": 68.0}
    assert flat["cloze"]["rbt3"] == {"word_accuracy": 18.0, "piece_accuracy": 36.0, "piece_top5": 54.0}


def test_the_same_results_give_the_same_bytes(project):
    scores.main()
    first = {file.name: file.read_bytes() for file in Path("results/report").iterdir()}
    scores.main()
    assert {file.name: file.read_bytes() for file in Path("results/report").iterdir()} == first
