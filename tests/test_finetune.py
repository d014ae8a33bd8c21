import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import toy
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ErnieConfig,
)

from wwm import finetune, scores
from wwm.common import times
from wwm.common.errors import UserError
from wwm.common.result_files import Finetuned, Seed
from wwm.release import predict
from wwm.tasks import classifier, kept, tuning
from wwm.tasks.rows import Example
from wwm.text import tokenization
from wwm.training import device

ROOT = Path(__file__).parent.parent
GOOD = [
    "房间很干净，服务也好。",
    "性价比高，值得推荐！",
    "书写得真好，孩子喜欢",
    "送货快，质量不错",
    "早餐豐富，下次還來",
    "T恤很好看👍",
]
BAD = [
    "房间太脏，服务差。",
    "性价比低，不推荐！",
    "纸张差，字太小",
    "退货三次，太差了",
    "早餐難吃，不會再來",
    "１９９９块的垃圾",
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, one model, and the task `reviews` with twelve distinct texts."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["characters"]["tasks"] = values["overlap"]["tasks"] = {"reviews": {}}
    values["finetune"]["tasks"] = {
        "reviews": {"learning_rate": 1.0e-3, "epochs": 2, "batch_size": 4, "max_seq_length": 32}
    }
    values["finetune"]["seeds"] = 3
    values["scores"]["tasks"] = ["reviews"]
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    toy.model(tmp_path / "models/bert", "".join(GOOD + BAD))
    (tmp_path / "models/bert/training.json").write_text('{"steps": 7, "tokens": 99}', encoding="utf-8")
    folder = tmp_path / "data/tasks/reviews"
    folder.mkdir(parents=True)
    rows = [
        {"text": text, "label": label} for pair in zip(GOOD, BAD) for text, label in zip(pair, ("positive", "negative"))
    ]
    for split, repeats in (("train", 20), ("dev", 1), ("test", 1)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows * repeats]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def result():
    return json.loads(Path("results/finetune/reviews/bert.json").read_text(encoding="utf-8"))


def predictions(task: str, name: str):
    text = Path(f"results/predictions/{task}/bert/{name}").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def labels_said(split: str) -> list[str]:
    return [row["label"] for row in predictions("reviews", f"{split}.jsonl")]


def test_a_model_learns_its_task_and_every_seed_is_scored(project):
    finetune.main("bert", "reviews")
    values = result()
    assert [row["seed"] for row in values["seeds"]] == [20190619, 20190620, 20190621]
    assert all(
        row["scores"]["dev"] == row["scores"]["test"] and row["scores"]["test"]["accuracy"] >= 75
        for row in values["seeds"]
    )  # the train texts again
    assert values["examples"] == {"train": 240, "dev": 12, "test": 12} and values["duplicates"] == {
        "dev in train": 12,
        "test in train": 12,
        "test in dev": 12,
    }
    assert values["training"] == {"steps": 7, "tokens": 99, "examples": None, "flops": None}
    assert not list(Path("scratch").glob("finetune-*/"))


def test_an_own_task_is_scored_and_compared_by_the_metric_that_it_names(project):
    shutil.copytree("data/tasks/reviews", "data/tasks/rare")
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    own = {"kind": "single", "labels": ["negative", "positive"], "metric": "macro_f1"}
    del params["characters"], params["overlap"]
    params["finetune"]["tasks"] = {"rare": params["finetune"]["tasks"]["reviews"] | {"define": own}}
    params["scores"] = {"models": ["bert"], "tasks": ["rare"], "baseline": "bert"}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    finetune.main("bert", "rare")
    values = json.loads(Path("results/finetune/rare/bert.json").read_text(encoding="utf-8"))
    assert set(values) == set(Finetuned.__annotations__) and set(values["seeds"][0]) == set(Seed.__annotations__)
    assert values["measures"] == {"macro_f1": "macro F1"}
    best = max(row["scores"]["test"]["macro_f1"] for row in values["seeds"])
    scores.main()
    table = Path("results/report/scores.md").read_text(encoding="utf-8")
    assert "## Tasks: max (mean) macro F1 over seeds, in percent" in table and f"| {best:.1f} (" in table


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_every_score_is_the_mean_of_what_its_seed_scores_on_each_example(project, metric):
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    own = {"kind": "single", "labels": ["negative", "positive"], "metric": metric}
    params["finetune"]["tasks"] = {
        "own": params["finetune"]["tasks"]["reviews"] | {"define": own, "learning_rate": 1e-4}
    }
    params["scores"] = {"models": ["bert"], "tasks": ["own"], "baseline": "bert"}
    del params["characters"], params["overlap"]
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    Path("data/tasks/reviews").rename("data/tasks/own")
    finetune.main("bert", "own")
    told = json.loads(Path("results/finetune/own/bert.json").read_text(encoding="utf-8"))
    rows = pq.read_table("results/finetune/own/bert.parquet").to_pylist()
    assert [row["example"] for row in rows] == [*range(12)] * 2 * 3
    for seed in told["seeds"]:
        for split, found in seed["scores"].items():
            own = [row for row in rows if (row["seed"], row["split"]) == (seed["seed"], split)]
            means = {measure: sum(row[measure] for row in own) / 12 for measure in found}
            assert means == pytest.approx(found, abs=1e-4)


def test_what_the_best_seed_predicts_is_written_in_the_order_of_the_file(project):
    finetune.main("bert", "reviews")
    best = max(row["scores"]["dev"]["accuracy"] for row in result()["seeds"])
    rows = predictions("reviews", "dev.jsonl")
    assert [(row["id"], row["text"], row["gold"]) for row in rows] == [
        (number, text, label)
        for number, (text, label) in enumerate(
            (pair for both in zip(GOOD, BAD) for pair in zip(both, ("positive", "negative"))), 1
        )
    ]
    assert all(row["probability"] == row["probabilities"][row["label"]] >= 0.5 for row in rows)
    assert 100 * sum(row["label"] == row["gold"] for row in rows) / 12 == pytest.approx(best, abs=1e-3)


def test_a_fine_tuning_says_its_scores_when_it_ends(project, capsys):
    finetune.main("bert", "reviews")
    found = [row["scores"]["test"]["accuracy"] for row in result()["seeds"]]
    told = f"test_accuracy {max(found):.1f} ({sum(found) / 3:.1f}): max (mean) of 3 seeds in "
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("finetune bert reviews: dev_accuracy ") and told in said


def keep_of(policy: str | None, **changes) -> Path:
    """Fine-tunes `reviews` with `keep` as given; where its models are."""
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    values["finetune"]["tasks"]["reviews"] |= {"epochs": 1} | changes
    values["finetune"]["models"]["bert"] = {"keep": policy} if policy else {}
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    finetune.main("bert", "reviews")
    return kept.home("reviews", "bert")


def said_by(folder: Path, file: str) -> list[str]:
    predict.main(folder, file, Path("said.jsonl"), None, {})
    return [json.loads(line)["label"] for line in Path("said.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_kept_model_scores_what_its_seed_scored(project):
    folder = keep_of("all", learning_rate=3e-4)
    gold, rows = ["positive", "negative"] * 6, result()["seeds"]
    best = max(rows, key=lambda row: row["scores"]["dev"]["accuracy"])
    for row in rows:
        place = folder if row is best else folder / "seeds" / str(row["seed"])
        said = said_by(place, "data/tasks/reviews/dev.jsonl")
        right = sum(one == label for one, label in zip(said, gold))
        assert 100 * right / 12 == pytest.approx(row["scores"]["dev"]["accuracy"], abs=1e-3)
        assert f"| dev | accuracy | {row['scores']['dev']['accuracy']:.2f} |" in (place / "README.md").read_text()
        assert AutoModelForSequenceClassification.from_pretrained(place).config.id2label == {
            0: "negative",
            1: "positive",
        }
    assert said_by(folder, "data/tasks/reviews/dev.jsonl") == labels_said("dev")
    assert sorted(path.name for path in (folder / "seeds").iterdir()) == sorted(
        str(row["seed"]) for row in rows if row is not best
    )


def test_the_best_seeds_model_alone_is_kept_by_default_and_none_if_so_said(project):
    folder = keep_of(None)
    assert (folder / "model.safetensors").is_file() and not (folder / "seeds").exists()
    assert said_by(folder, "data/tasks/reviews/dev.jsonl") == labels_said("dev")
    assert [path.name for path in keep_of("none").iterdir()] == ["README.md"]


def test_a_disk_without_room_for_what_is_kept_is_named_before_the_training(project, monkeypatch):
    full = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="has 0 MB left; make room, or set finetune.models.bert.keep"):
        keep_of("all")
    assert not list(Path("scratch").glob("finetune-*/*.json"))


def test_a_test_file_without_labels_is_predicted(project):
    file = Path("data/tasks/reviews/test.jsonl")
    texts = [{"text": json.loads(line)["text"]} for line in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    folder = keep_of("best")
    assert labels_said("test") == said_by(folder, str(file)) and "test" in result()["missing"]
    assert {row["gold"] for row in predictions("reviews", "test.jsonl")} == {None}
    assert set(result()["seeds"][0]["scores"]) == {"dev"}
    file.with_suffix(".csv").write_text("text\n", encoding="utf-8")
    file.unlink()
    (project / "models/bert/onnx").mkdir()
    (project / "models/bert/pytorch_model.bin").touch()
    keep_of("best")
    assert not Path("results/predictions/reviews/bert/test.jsonl").exists()
    assert not {"onnx", "pytorch_model.bin"} & {path.name for path in folder.iterdir()}


CHARACTERS = "春夏秋冬天气很热冷多雨雪风大什么时候在了的开花结果山上河里鱼鸟飞游是吗不会？。"


def squad(folder: Path, split: str, questions: list[tuple[str, str, list[dict]]]) -> None:
    qas = [
        {"context": context, "qas": [{"id": f"{split}-{number}", "question": question, "answers": answers}]}
        for number, (context, question, answers) in enumerate(questions)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "version": "1.0",
        "data": [
            {"domain": "civil" if number % 2 else "criminal", "paragraphs": [one]} for number, one in enumerate(qas)
        ],
    }
    (folder / f"{split}.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


def read_task(name: str, **how) -> dict:
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    params["finetune"]["tasks"][name] = {
        "learning_rate": 3.0e-3,
        "epochs": 12,
        "batch_size": 8,
        "max_seq_length": 32,
        "stride": 8,
        **how,
    }
    params["finetune"]["seeds"] = 1
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    finetune.main("bert", name)
    return json.loads(Path(f"results/finetune/{name}/bert.json").read_text(encoding="utf-8"))


def test_a_reader_finds_spans_in_contexts_longer_than_its_window(project):
    """The answer is the two characters before 开花, anywhere in a context of up to three windows."""
    toy.model(project / "models/bert", CHARACTERS)
    rng = np.random.default_rng(0)
    questions = []
    for _ in range(120):
        begin, answer = (
            "".join(rng.choice(list("天气很热冷多雨雪风大山河鱼鸟"), rng.integers(0, 40))),
            str(rng.choice(["春天", "夏天", "秋天", "冬天"])),
        )
        context = f"{begin}{answer}开花" + "".join(
            rng.choice(list("天气很热冷多雨雪风大山河鱼鸟"), rng.integers(0, 20))
        )
        questions.append((context, "什么时候开花？", [{"text": answer, "answer_start": len(begin)}]))
    for split, part in (("train", questions), ("dev", questions[:40])):
        squad(project / "data/tasks/cmrc2018", split, part)
    values = read_task("cmrc2018")
    [row] = values["seeds"]
    assert row["scores"]["dev"]["em"] >= 90 and row["scores"]["dev"]["f1"] >= row["scores"]["dev"]["em"]
    assert values["missing"] == {split: "the answers are kept by the organisers" for split in ("test", "challenge")}
    assert values["unreachable"] == {"train": 0, "dev": 0}
    said = predictions("cmrc2018", "dev.json")
    assert set(said) == {f"dev-{number}" for number in range(40)} and [
        row["answer"] for row in predictions("cmrc2018", "dev.jsonl")
    ] == list(said.values())
    first = predictions("cmrc2018", "dev.jsonl")[0]
    assert first["gold"] == [questions[0][2][0]["text"]] and first["n_best"][0]["answer"] == first["answer"]


def test_a_reader_answers_yes_no_and_that_there_is_no_answer(project):
    toy.model(project / "models/bert", CHARACTERS)
    rng = np.random.default_rng(1)
    questions = []
    for number in range(160):
        season, weather = str(rng.choice(["春", "夏", "秋", "冬"])), str(rng.choice(["热", "冷"]))
        context = f"{season}天很{weather}。"
        asked, answer = [
            ("很热吗？", {"text": "YES" if weather == "热" else "NO", "answer_start": -1}),
            ("什么时候？", {"text": f"{season}天", "answer_start": 0}),
            ("鱼会飞吗？", {"text": "", "answer_start": -1}),
        ][number % 3]
        questions.append((context, asked, [answer]))
    for split, part in (("train", questions), ("dev", questions[:48]), ("test", questions[:48])):
        squad(project / "data/tasks/cjrc", split, part)
    values = read_task("cjrc", epochs=20)
    scores = values["seeds"][0]["scores"]["test"]
    assert scores["em"] >= 90 and {"civil_em", "civil_f1", "criminal_em", "criminal_f1"} < set(scores)
    assert {row["answer"] for row in predictions("cjrc", "test.json")} >= {"YES", "NO", ""}
    figures = pq.read_table("results/finetune/cjrc/bert.parquet").to_pandas().query("split == 'test'")
    assert len(figures) == 48 and figures["civil_em"].isna().sum() == 24
    assert figures[list(scores)].mean().to_dict() == pytest.approx(scores, abs=1e-4)


def test_a_seed_gives_the_same_bits_whatever_ran_before_it(project):
    finetune.main("bert", "reviews")
    together = result()["seeds"]
    text = (
        Path("params.yaml")
        .read_text(encoding="utf-8")
        .replace("seed: 20190619", "seed: 20190621")
        .replace("seeds: 3", "seeds: 1")
    )
    Path("params.yaml").write_text(text, encoding="utf-8")
    finetune.main("bert", "reviews")
    assert result()["seeds"] == together[2:]


def test_a_kill_costs_only_the_seed_it_hits(project):
    command = [sys.executable, "-m", "wwm.finetune", "bert", "reviews"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(Path("scratch").glob("finetune-*/*.json")) and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not Path("results/finetune/reviews/bert.json").exists()
    [first] = Path("scratch").glob("finetune-*/*.json")
    marked = {**json.loads(first.read_text(encoding="utf-8")), "loss": -1.0, "seconds": 1000.0}
    first.write_text(json.dumps(marked), encoding="utf-8")

    finetune.main("bert", "reviews")
    resumed = result()["seeds"]
    del marked["predictions"], marked["seconds"]
    assert times.read("finetune/reviews/bert")["seconds"] > 1000
    assert said_by(kept.home("reviews", "bert"), "data/tasks/reviews/dev.jsonl") == labels_said("dev")
    assert resumed[0] == {"seed": 20190619, **marked}  # taken, not trained again
    finetune.main("bert", "reviews")
    assert result()["seeds"][1:] == resumed[1:]


def test_literal_special_tokens_are_text(tmp_path):
    toy.model(tmp_path / "bert", "[mask]sepunk好")
    tokenizer = tokenization.load(tmp_path / "bert")
    encoded = classifier.encode(tokenizer, [Example(("[MASK]好[SEP]",), 0)], 32)
    specials = [tokenizer.token_to_id(token) for token in ("[MASK]", "[SEP]")]
    assert specials[0] not in encoded.ids[0]
    assert [i for i, piece in enumerate(encoded.ids[0]) if piece == specials[1]] == [len(encoded.ids[0]) - 1]


def test_of_a_pair_the_longer_text_is_cut_and_the_segments_are_told_apart(tmp_path):
    toy.model(tmp_path / "bert", "标题正文")
    tokenizer = tokenization.load(tmp_path / "bert")
    encoded = classifier.encode(tokenizer, [Example(("标题", "正文" * 20), 1)], 12)
    assert encoded.types[0].tolist() == [0] * 4 + [1] * 8  # [CLS] 标 题 [SEP], seven pieces and [SEP]
    assert encoded.labels.tolist() == [1]


def test_the_share_of_unknown_pieces_is_counted_in_the_whole_text(tmp_path):
    toy.model(tmp_path / "bert", "好")
    tokenizer = tokenization.load(tmp_path / "bert")
    classifier.encode(tokenizer, [Example(("好",), 0)], 3)
    assert finetune.unknown_share(tokenizer, ["好好龘", "龘"]) == 0.5


def test_padding_gets_no_attention():
    data = classifier.Encoded(
        [np.array([2, 9, 3]), np.array([2, 8, 9, 7, 3])],
        [np.zeros(3, int), np.array([0, 0, 0, 1, 1])],
        np.array([1, 0]),
    )
    inputs, labels = classifier.collate(data, np.array([0, 1]), torch.device("cpu"))
    assert inputs["input_ids"].tolist() == [[2, 9, 3, 0, 0], [2, 8, 9, 7, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert inputs["token_type_ids"].tolist() == [[0] * 5, [0, 0, 0, 1, 1]]
    assert labels.tolist() == [1, 0]


def test_a_checkpoint_that_lacks_encoder_weights_is_not_fine_tuned_at_random(project):
    tensors = load_file("models/bert/model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "layer.1.output" not in name},
        "models/bert/model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ValueError, match="models/bert lacks 4 tensors of its model, first bert.encoder.layer.1.output.LayerNorm.bias"
    ):
        finetune.main("bert", "reviews")


@pytest.mark.parametrize(
    "config",
    [
        ErnieConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64),
        ElectraConfig(
            embedding_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        ),
        AlbertConfig(embedding_size=16, hidden_size=32, num_attention_heads=2, intermediate_size=64),
        DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=64),
        DebertaV2Config(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, type_vocab_size=0
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_a_model_of_another_kind_than_bert_is_fine_tuned_whole(project, config):
    change(task={"epochs": 1}, seeds=1)
    config.vocab_size = len(tokenization.load("models/bert").get_vocab())
    (project / "models/bert/model.safetensors").unlink()
    AutoModel.from_config(config).save_pretrained("models/bert")
    finetune.main("bert", "reviews")
    assert result()["parameters"] == sum(
        parameter.numel()
        for parameter in AutoModelForSequenceClassification.from_pretrained("models/bert").parameters()
    )
    for split in ("train", "dev"):
        squad(
            project / "data/tasks/cmrc2018",
            split,
            [("房间很干净，服务也好。", "服务？", [{"text": "好", "answer_start": 9}])] * 4,
        )
    assert read_task("cmrc2018", epochs=1)["parameters"]


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "millions"),
    [(24, 1024, 16, 325), (12, 768, 12, 102), (3, 1024, 16, 61), (3, 768, 12, 38)],
    ids=["large", "base", "RBTL3", "RBT3"],
)
def test_parameters_are_counted_as_the_authors_do(tmp_path, layers, hidden, heads, millions):
    sizes = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }
    BertConfig(vocab_size=21128, **sizes).save_pretrained(tmp_path)
    xnli = classifier.Classification(tmp_path, None, {}, ("entailment", "neutral", "contradiction"), 128, "accuracy")
    assert int(xnli.parameters() / 1e6) == millions


def test_a_batch_has_the_same_gradient_in_one_pass_and_in_many(tmp_path, monkeypatch):
    toy.model(tmp_path / "bert", "".join(GOOD + BAD))
    examples = [Example((text,), label) for pair in zip(GOOD, BAD) for text, label in zip(pair, (1, 0))]
    job = classifier.Classification(
        tmp_path / "bert",
        tokenization.load(tmp_path / "bert"),
        {"train": examples, "dev": examples},
        ("-", "+"),
        32,
        "accuracy",
    )
    how = tuning.How(1e-3, 2, 6, 32, 128, 64, 64, "fp32", "last", ("dev",))
    losses = []
    for positions in (10_000, 1):
        monkeypatch.setitem(tuning.POSITIONS, "cpu", positions)
        losses.append(tuning.train(job, how, 1, torch.device("cpu"), 1, lambda: None, lambda model: None)["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


class Narrow(torch.nn.Linear):
    """A job whose passes have no memory for more than 12 positions."""

    lengths = {"train": np.array([3, 5, 4, 6])}

    def loss(self, model, rows, place):
        if len(rows) * self.lengths["train"][rows].max() > 12:
            raise torch.OutOfMemoryError
        return model(torch.ones(len(rows), 1)).sum()


def test_a_pass_that_does_not_fit_is_cut_until_it_does_and_one_row_that_does_not_is_an_error():
    job, rows, place = Narrow(1, 1), np.arange(4), torch.device("cpu")
    loss, positions = tuning.gradients(job, job, rows, place, "fp32", 40)
    assert (
        positions == 12
        and job.weight.grad.item() == pytest.approx(1)
        and loss.item() == pytest.approx(4 * (job.weight + job.bias).item())
    )
    job.lengths = {"train": np.array([13, 13])}
    with pytest.raises(torch.OutOfMemoryError):
        tuning.gradients(job, job, np.arange(2), place, "fp32", 40)


@pytest.mark.slow
def test_a_stage_that_is_told_to_stop_stops_its_seeds_on_other_devices(project):
    change(task={"epochs": 200}, seeds=4)
    body = (
        "import torch\nfrom wwm import finetune\nfrom wwm.common import command\nfrom wwm.training import"
        " device\ndevice.places = lambda: [torch.device('cpu')] * 2\nif __name__ == '__main__':"
        " command.run(finetune.main)"
    )
    Path("two.py").write_text(body, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "two.py", "bert", "reviews"], env=environment, stderr=subprocess.DEVNULL
    )
    while not list(Path("scratch").glob("finetune-*/*.json")) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(timeout=30) not in (0, None)
    assert len(list(Path("scratch").glob("finetune-*/*.json"))) < 4


def test_passes_hold_rows_of_like_lengths_and_no_more_positions_than_allowed():
    lengths = np.array([9, 2, 3, 30, 3, 2])
    assert [lengths[part].tolist() for part in tuning.passes(lengths, 12)] == [[2, 2, 3, 3], [9], [30]]


def test_seeds_that_are_spread_over_devices_score_the_same_bits(project, monkeypatch):
    finetune.main("bert", "reviews")
    alone = result()["seeds"]
    monkeypatch.setattr(device, "places", lambda: [torch.device("cpu")] * 2)
    finetune.main("bert", "reviews")
    assert result()["seeds"] == alone


def change(**values):
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    params["finetune"]["tasks"]["reviews"] |= values.pop("task", {})
    params["finetune"]["models"]["bert"] |= values.pop("model", {})
    params["finetune"] |= values
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)


def test_the_learning_rate_with_the_best_dev_score_is_taken_for_all_seeds(project):
    change(task={"sweep": [1e-9, 1e-3], "learning_rate": None})
    finetune.main("bert", "reviews")
    values = result()
    assert values["how"]["learning_rate"] == 1e-3 and values["swept"]["0.001"] > values["swept"]["1e-09"]
    assert values["seeds"][0]["scores"]["dev"]["accuracy"] == values["swept"]["0.001"]


def test_the_best_epoch_is_the_first_with_the_highest_dev_score(project, monkeypatch):
    class Told(classifier.Classification):
        """Scores dev as it is told, and test as dev with the same weights."""

        told = iter([50.0, 70.0, 70.0, 60.0])
        said: ClassVar[dict[bytes, float]] = {}

        def score(self, model, split, place, positions):
            weights = model.classifier.weight.numpy().tobytes()
            if split == "dev":
                self.said[weights] = next(self.told)
            said = self.said[weights]
            shares = {"positive": said / 100, "negative": 1 - said / 100}
            return {"accuracy": said}, {
                f"{split}.json": ["positive"] * 12,
                f"{split}_probabilities.json": [shares] * 12,
            }

    monkeypatch.setattr(classifier, "Classification", Told)
    monkeypatch.setattr(finetune, "show_mistakes", lambda *_: None)  # there are no labels
    change(select="best", task={"epochs": 4}, seeds=1)
    finetune.main("bert", "reviews")
    [row] = result()["seeds"]
    assert row["epoch"] == 2 and row["scores"] == {"dev": {"accuracy": 70.0}, "test": {"accuracy": 70.0}}
    assert {row["probability"] for row in predictions("reviews", "test.jsonl")} == {0.7}


def test_a_rate_of_a_sweep_whose_loss_is_not_finite_is_left_out(project, capsys):
    change(task={"sweep": [1000.0, 1e-3], "learning_rate": None})
    finetune.main("bert", "reviews")
    assert (
        list(result()["swept"]) == ["0.001"]
        and "sweep bert reviews: seed 20190619: the loss" in capsys.readouterr().out
    )


def test_a_seed_whose_loss_is_not_finite_is_named_with_the_remedy(project):
    change(task={"learning_rate": 1000.0})
    with pytest.raises(UserError, match=r"seed 20190619: the loss of epoch \d is (nan|inf); lower the learning rate"):
        finetune.main("bert", "reviews")


def test_where_memory_runs_out_while_scoring_the_passes_get_smaller(project, monkeypatch, capsys):
    asked = []
    score = classifier.Classification.score

    def hungry(self, model, split, place, positions):
        asked.append(positions)
        if positions > 100:
            raise torch.OutOfMemoryError
        return score(self, model, split, place, positions)

    monkeypatch.setattr(classifier.Classification, "score", hungry)
    change(seeds=1)
    finetune.main("bert", "reviews")
    assert asked[0] == 4096 and 64 in asked and result()["seeds"][0]["scores"]["dev"]["accuracy"] > 0
    assert "no memory for 4,096 positions at once" in capsys.readouterr().out


def test_text_is_simplified_for_a_model_that_asks_for_it(project):
    """The vocabulary has 難 and not 难."""
    finetune.main("bert", "reviews")
    before = result()["unknown_share"]
    change(model={"simplify": True})
    finetune.main("bert", "reviews")
    assert result()["unknown_share"] > before and result()["how"]["simplify"]


def test_what_params_and_the_table_both_lack_is_named(project):
    change(task={"epochs": None})
    with pytest.raises(
        ValueError,
        match="finetune.tasks.reviews.epochs is missing, and wwm/tasks/table.py has none for reviews; set it",
    ):
        finetune.main("bert", "reviews")


def test_a_task_of_ones_own_needs_no_python(project):
    rows = [
        "q1,q2,same?",
        *(f"{one}，,{other},{'yes' if one == other else 'no'}" for one in GOOD for other in (one, BAD[0])),
    ]
    folder = Path("data/tasks/questions")
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"my_{split}.csv").write_text("\n".join(rows).replace("，,", ",") + "\n", encoding="utf-8-sig")
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    params["finetune"]["tasks"]["questions"] = {
        "define": {
            "kind": "pair",
            "labels": ["no", "yes"],
            "columns": {"text_a": "q1", "text_b": "q2", "label": "same?"},
        },
        **params["finetune"]["tasks"]["reviews"],
    }
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(params, file)
    finetune.main("bert", "questions")
    values = json.loads(Path("results/finetune/questions/bert.json").read_text(encoding="utf-8"))
    assert values["examples"]["test"] == 12 and len(values["seeds"]) == 3


def test_a_model_with_another_models_vocabulary_or_without_weights_is_named(project):
    toy.model(project / "models/other", "".join(chr(0x4E00 + number) for number in range(300)))
    for file in ("tokenizer.json", "vocab.txt"):
        (project / "models/other" / file).replace(project / "models/bert" / file)
    with pytest.raises(
        ValueError,
        match=r"models/bert has a vocabulary of 305 entries and weights for \d+; its tokenizer.json is another model's",
    ):
        finetune.main("bert", "reviews")
    Path("models/bert/model.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"models/bert has a config.json and no weights \(model.safetensors\); copy the whole model"
    ):
        finetune.main("bert", "reviews")


def test_bad_input_is_named(project):
    with pytest.raises(UserError, match="models/random is not there or is no model"):
        finetune.main("random", "reviews")
    with pytest.raises(UserError, match="finetune MODEL: 'nobody' is none of bert, "):
        finetune.main("nobody", "reviews")
    with pytest.raises(UserError, match="finetune TASK: 'cmrc' is none of reviews"):
        finetune.main("bert", "cmrc")
    Path("data/tasks/reviews/dev.jsonl").write_bytes('{"text": "好"'.encode("gbk"))
    with pytest.raises(UserError, match="data/tasks/reviews/dev.jsonl, line 1: not UTF-8"):
        finetune.main("bert", "reviews")
    Path("data/tasks/reviews/dev.jsonl").unlink()
    with pytest.raises(UserError, match="data/tasks/reviews has no dev file"):
        finetune.main("bert", "reviews")
    values = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    values["finetune"]["tasks"]["reviews"]["max_seq_length"] = 64
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    with pytest.raises(
        ValueError, match=r"finetune.tasks.reviews.max_seq_length 64 is more than the 40 positions of the model"
    ):
        finetune.main("bert", "reviews")
