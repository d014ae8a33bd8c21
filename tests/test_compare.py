"""One command from released models and a file of labelled texts to which of them is better, without any text."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
from dvc.repo import Repo
from httpx import Request, Response
from huggingface_hub.errors import RepositoryNotFoundError
from project import ROOT, checkout, run
from transformers import BertConfig
from typer.testing import CliRunner

from flows import plan
from wwm import cli, compare, params
from wwm.common import model_folder
from wwm.common.errors import UserError
from wwm.start import own_tasks, pace, shapes, tables, tuning_pace
from wwm.training import released

LABELLED = [(f"这本书写得很好，第{number}遍还想读。", "好评") for number in range(300)] + [
    (f"包装破了，第{number}次失望。", "差评") for number in range(300)
]
CHARACTERS = "".join(sorted({character for text, _ in LABELLED for character in text}))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the presets, a released model and a CSV."""
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pace, "SECONDS", 0.1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    toy.model(Path("released"), CHARACTERS, layers=4)
    write(Path("opinions.csv"))
    return tmp_path


def write(path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("评论", "态度"), *LABELLED])


def said(*given: str) -> str:
    task = [] if "--task" in given else ["--task", "opinions.csv"]
    return CliRunner().invoke(cli.commands, ["compare", *given, *task], catch_exceptions=False).output


def test_a_model_and_its_first_layers_become_a_params_file_that_needs_no_text(project):
    told = said("released", "--layers", "3", "--seeds", "4", "--set", "finetune.tasks.opinions.epochs=2")
    values = params.read()
    assert values.load.models["released"].source == "released"
    assert values.load.models["released"].weights_sha256 == model_folder.weights_hash(Path("released"))
    assert values.truncate.models["released-3-layers"].layers == [0, 1, 2]
    assert (
        values.scores.models == ["released", "released-3-layers", "characters"] and values.scores.baseline == "released"
    )
    assert not values.init.models and not values.mask.sets and not values.pretrain.models and not values.fetch.tasks
    task = values.finetune.tasks["opinions"]
    assert (task.epochs, task.split_file, task.sweep, task.max_seq_length) == (2, "opinions.csv", [1e-4, 3e-4], 32)
    assert values.finetune.seeds == 4 and Path("data/tasks/opinions/opinions.csv").is_file()
    assert "each: 4 seeds, 2 epochs, learning rate 0.0001 or 0.0003, the best by dev" in told
    assert "It will take about" in told and "Shorter" not in told
    assert "`dvc repro scores` runs it, without any text, and ends with which is better." in told


def test_what_takes_long_is_told_what_is_shorter(project, monkeypatch):
    monkeypatch.setattr(tuning_pace, "seconds", lambda *_: 4000.0)
    assert "It will take about 2.2 hours here (measured)" in (told := said("released", "--layers", "2", "--seeds", "4"))
    assert "\nShorter, and less sure: --seeds 3.\n" in told
    assert "Shorter" not in said("released", "--layers", "2", "--seeds", "3")


def test_what_an_earlier_run_has_fine_tuned_alike_is_not_counted_again(project, monkeypatch):
    monkeypatch.setattr("flows.plan.plan", lambda _: None)
    monkeypatch.setattr(tuning_pace, "seconds", lambda *_: 600.0)
    monkeypatch.setattr("flows.plan.in_order", lambda *_: ["finetune@released-2-layers-opinions", "scores"])
    told = said("released", "--layers", "2")
    assert "fine-tuned alike by an earlier run, and not again: released\nIt will take about 10 minutes" in told
    monkeypatch.setattr("flows.plan.in_order", lambda *_: ["scores"])
    assert "It will take" not in said("released", "--layers", "2")


def test_every_model_tries_the_rates_of_the_small_and_of_the_large(project):
    toy.model(Path("small"), CHARACTERS)
    told = said("small", "org/base", "--seeds", "3")
    assert params.read().finetune.tasks["opinions"].sweep == [2e-5, 5e-5, 1e-4, 3e-4]
    assert "learning rate 2e-05 or 5e-05 or 0.0001 or 0.0003, the best by dev" in told
    few = "With fewer than 3 seeds nothing can be told of which is better"
    assert few not in told and few in said("small", "org/base", "--seeds", "2")


def test_folders_of_one_name_and_odd_names_have_names_of_their_own(project):
    models = ["a/model", "b/model", "模型", "data/finetuned", "org/model@abc", "c/b/model"]
    for folder in models[:4] + models[5:]:
        Path(folder).mkdir(parents=True)
    names = list(compare.named(models))
    assert names[:2] == ["model", "b-model"] and names[2].endswith("-model")
    assert names[3:] == ["data-finetuned", "org-model", "model-2"]


def test_a_folder_of_columns_of_tags_is_counted_and_a_file_in_it_that_is_none_stops_all(project):
    Path("names").mkdir()
    for name, copies in (("train", 20), ("dev", 4), ("test", 4)):
        Path(f"names/{name}.txt").write_text("张\tB-PER\n三\tI-PER\n去\tO\n\n" * copies, encoding="utf-8")
    told = said("released", "--layers", "2", "--task", "names")
    assert (
        "task names: tagging, 1 labels (PER); tokens and tags\nexamples: 20 train, 4 dev, 4 test\n" in told
        and "It will take about" in told
    )
    Path("params.yaml").unlink()
    Path("names/dev.txt").write_text("张\tB-PER\n三\n", encoding="utf-8")
    with pytest.raises(UserError, match="dev.txt:2 has 1 columns"):
        said("released", "--layers", "2", "--task", "names")
    assert not Path("params.yaml").exists()


def of_config(**keys) -> None:
    config = Path("released/config.json")
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | keys), encoding="utf-8")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda: [Path("released", name).unlink(True) for name in released.VOCABULARIES], "has no tokenizer"),
        (lambda: Path("released/model.safetensors").unlink(), "has no weights"),
        (lambda: of_config(num_hidden_layers=6), "lacks .* tensors"),
        (lambda: of_config(num_attention_heads=3), "MODEL released"),
        (lambda: of_config(hidden_size="128"), "config.json cannot be read .*hidden_size"),
    ],
    ids=["vocabulary", "weights", "layers", "heads", "text for a number"],
)
def test_a_folder_that_load_would_refuse_is_one_line_and_nothing_is_written(project, broken, told):
    broken()
    with pytest.raises(UserError, match=told) as error:
        said("released", "--layers", "2")
    assert "\n" not in str(error.value)
    assert not Path("params.yaml").exists()


@pytest.mark.parametrize("model", ["/no/such", "./releasde", "~/released", "models/a/b", "presets/releasde"])
def test_a_mistyped_folder_is_no_model_of_a_hub_that_does_not_answer(project, model):
    with pytest.raises(UserError, match=f"MODEL:? {model}(: no such folder| is not here)"):
        said("released", model)
    assert not Path("params.yaml").exists()


def test_a_name_that_the_hub_does_not_know_is_refused_and_is_a_base_model_where_it_does_not_answer(
    project, monkeypatch
):
    assert (
        "org/releasde is neither here nor does the hub answer: taken for a base model"
        in (shapes.shape("org/releasde")[1])
    )

    def unknown(*_, **__):
        raise RepositoryNotFoundError("404", response=Response(404, request=Request("GET", "https://hub")))

    monkeypatch.setattr("huggingface_hub.snapshot_download", unknown)
    with pytest.raises(UserError, match="org/releasde is not here"):
        shapes.shape("org/releasde")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["released"], "one model alone; name another, or --layers 3"),
        (["released", "released"], "released stands twice"),
        (["released", "./released/"], "./released/ stands twice"),
        (["released", "--layers", "4"], "--layers 4: released has 4; give fewer"),
        *(
            (["released", "--layers", "2", "--set", f"finetune.tasks.opinions.{key}=null"], f"opinions.*{key} null")
            for key in ("epochs", "batch_size", "max_seq_length")
        ),
        (["presets", "released"], "MODEL presets has no config.json"),
        (["released", "--layers", "2", "--run", "--output", "x.yaml"], "--output is x.yaml"),
        *(
            (["released", "--layers", "2", "--output", output], told)
            for output, told in (
                ("released", "--output released is a folder; name a file"),
                ("opinions.csv", "--output opinions.csv: its ending says its form; name it .yaml or .yml"),
                ("released/config.json", "--output released/config.json: its ending says its form"),
                ("opinions.csv/x.yaml", "cannot be written .Not a directory.; name another place"),
                ("/proc/x.yaml", "--output /proc/x.yaml cannot be written"),
            )
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_nothing_is_written(project, given, told):
    before = {path: path.read_bytes() for path in project.glob("[!p]*") if path.is_file()}
    with pytest.raises(UserError, match=told) as error:
        said(*given)
    assert "\n" not in str(error.value)
    assert not Path("params.yaml").exists() and not Path("data").exists()
    assert {path: path.read_bytes() for path in project.glob("[!p]*") if path.is_file()} == before


def test_more_rows_steps_and_layers_take_more_time(project, monkeypatch):
    clock, gradients = [0.0], tuning_pace.tuning.gradients

    def timed(job, model, rows, *more):
        clock[0] += 0.01 * model.config.num_hidden_layers * len(rows)
        return gradients(job, model, rows, *more)

    def now() -> float:
        clock[0] += 0.001
        return clock[0]

    monkeypatch.setattr(tuning_pace.tuning, "gradients", timed)
    monkeypatch.setattr(tuning_pace.time, "perf_counter", now)
    small = BertConfig(
        vocab_size=200, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    large = BertConfig(
        vocab_size=200, hidden_size=64, num_hidden_layers=8, num_attention_heads=2, intermediate_size=128
    )
    lengths = np.full(100, 32)
    one, other = (tuning_pace.measured(config, lengths, 2, 8, 1, "fp32") for config in (small, large))
    assert one.row == pytest.approx(0.02, rel=0.01) and other.row == pytest.approx(0.08, rel=0.01)
    assert one.step == pytest.approx(0.001)
    assert one.run(100, 50, 2, 32) < one.run(200, 50, 2, 32) < one.run(200, 50, 4, 32)


def test_a_model_that_was_made_here_is_compared_and_stays(project):
    shutil.copytree("released", "models/domain")
    said("released", "models/domain")
    loaded = params.read().load.models
    assert {name: one.source for name, one in loaded.items()} == {
        "released": "released",
        "models-domain": "models/domain",
    }
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("models-domain", "domain"), encoding="utf-8")
    with pytest.raises(
        UserError, match="load.models.domain.source: models/domain is made by this very params.yaml, and"
    ):
        params.read()


def test_few_rows_are_trained_on_in_more_epochs_and_narrow_models_too(project):
    def epochs(rows: int, *widths: int) -> int:
        table = tables.Table("single", {"text": "text", "label": "label"}, ["a", "b"], [10] * rows)
        configs = [BertConfig(hidden_size=width, num_attention_heads=1) for width in widths]
        return own_tasks.run(table, Path("opinions.csv"), configs)["epochs"]

    assert [epochs(rows, 768) for rows in (100, 4000, 20_000)] == [10, 7, 3]
    assert [epochs(rows, 768, 128) for rows in (100, 4000, 20_000)] == [20, 14, 3]


def test_as_many_threads_are_taken_as_are_faster_here_or_as_were_asked_for(project, monkeypatch):
    config = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, vocab_size=9)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    clock = {1: 1.0, 3: 2.0}
    monkeypatch.setattr(pace.device, "set_up_cpu", lambda count: used.append(count))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: passed.append(clock[used[-1]]) or sum(passed))
    used, passed = [], []
    assert pace.threads(config, {}) == 1
    clock = {1: 2.0, 3: 1.0}
    assert pace.threads(config, {}) == 3 == pace.threads(config, {"base.threads": 2})


def test_what_scores_needs_has_no_stage_of_text(project):
    said("released", "--layers", "3", "--seeds", "4")
    for name in ("dvc.yaml", "wwm", "flows"):
        (project / name).symlink_to(ROOT / name)
    for name in ("mask", "pretrain", "cloze", "overlap"):
        (project / "results" / name).mkdir(parents=True)
    Repo.init(str(project), no_scm=True).close()
    stages = {
        "load@released",
        "truncate@released-3-layers",
        "finetune@released-opinions",
        "characters@opinions",
        "scores",
    }
    assert set(plan.plan(["scores"])) == stages | {"finetune@released-3-layers-opinions"}
    # The demo's tasks have no reader, but text has none either.
    assert set(plan.plan()) == set(plan.plan(["scores"]))


@pytest.mark.slow
def test_one_command_compares_a_model_with_its_first_layers_without_any_text(tmp_path):
    folder = checkout(tmp_path)
    toy.model(tmp_path / "released", CHARACTERS, layers=4)
    write(tmp_path / "opinions.csv")
    command = ["-c", "from wwm.cli import app; app()", "compare", "released", "--layers", "3", "--task", "opinions.csv"]
    short = ["--seeds", "3", "--set", "finetune.tasks.opinions.epochs=1"]
    told = run(folder, *command, *short, "--run")
    # A sentence on seeds that deviate may stand behind the two.
    cut, counted, *_, report = [line for line in told.strip().splitlines()[-4:] if line.startswith(("On ", "Report"))]
    assert report == "Report: results/report/index.html" and cut.startswith("On opinions ")
    assert "released-3-layers" in cut and "3 seeds, " in cut and "characters" in counted
    assert not (folder / "data/corpus").exists() and not (folder / "data/vocab").exists()
    assert cut in (folder / "results/report/scores.md").read_text(encoding="utf-8")
    # Nothing is to be done again, until the folder holds another model.
    assert cut in run(folder, *command, *short, "--run").strip().splitlines()[-4:]
    assert "up to date" in run(folder, "-m", "dvc", "status", "scores", "load")
    toy.model(tmp_path / "released", CHARACTERS, layers=5)
    run(folder, *command, *short)
    assert "load@released" in run(folder, "-m", "dvc", "status", "scores", "load@released")
