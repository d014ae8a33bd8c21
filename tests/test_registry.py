"""Models in MLflow and what they came from, in a folder with an SQLite store."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keeping
import numpy as np
import pytest
import toy
from tqdm import tqdm

from wwm import track
from wwm.common import preset
from wwm.common.errors import UserError
from wwm.release import inputs, predict
from wwm.track import lineage, registry, trace

CONTEST = {"measure": "dev accuracy", "rows": "1", "figures": [[80.0, 70.0] * 30] * 3, "characters": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project in which a pipeline ran: a text, a pre-trained model that passes, a classifier and a reader."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "RANK", track.PARENT, track.SENDER):
            patch.delenv(name, raising=False)
        Path("presets").mkdir()
        for name in ("params.yaml", "presets/tiny.yaml"):
            Path(name).write_text("base: {seed: 1}\n")
        Path(".dvc").mkdir()
        Path(".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
        Path("dvc.yaml").write_text(
            "stages:\n"
            "  corpus: {cmd: x, deps: [news.txt], outs: [data/corpus]}\n"
            "  pretrain: {foreach: [bert], do: {cmd: x, deps: [data/corpus], outs: ['models/${item}']}}\n"
            "  finetune: {foreach: [bert-weather], do: {cmd: x, deps: [models/bert],"
            " outs: [models/finetuned/weather/bert]}}\n"
        )
        Path("news.txt").write_text("春天的花开了。\n", encoding="utf-8")
        with track.run("corpus", outs=["data/corpus"]):
            Path("data/corpus").mkdir(parents=True)
            Path("data/corpus/0.txt").write_text("春天的花开了。\n", encoding="utf-8")
        kept = keeping.model("single", ("差", "好"))
        history = {"steps": 5, "examples": 80, "tokens": 2_560, "flops": 3 * 10**9, "untrained": []}
        Path("models/bert/training.json").write_text(json.dumps(history))
        with track.run("pretrain", name="bert", params={"steps": 5}, outs=["models/bert"]) as run:
            for step, loss in ((1, 9.0), (5, 7.5)):
                run.log({"mlm_loss": loss}, step=step)
        with track.run("finetune", name="bert-weather", params={"seeds": 2}, outs=[kept]):
            pass
        with track.run("scores") as run:
            run.annotate_model("bert", {"cloze.nats": 12.5}, "passed", "12.5 %")
            run.release("models/bert", "passed", "bert, 12.5 %", {"cloze.nats": 12.5})
            run.release(kept, "champion", "Best on weather: bert", {"weather.dev_mean": 81.0}, "weather", CONTEST)
        yield Path.cwd()


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "RANK", track.PARENT, track.SENDER):
        monkeypatch.delenv(name, raising=False)


def client():
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")


@pytest.fixture
def mlflow_here():
    import mlflow
    import mlflow.transformers

    for choose in (mlflow.set_tracking_uri, mlflow.set_registry_uri):
        choose(f"sqlite:///{Path.cwd()}/mlflow.db")
    yield mlflow
    for choose in (mlflow.set_tracking_uri, mlflow.set_registry_uri):
        choose(None)


def test_a_model_that_passed_is_loaded_from_mlflow_and_fills_a_mask(mlflow_here):
    fill = mlflow_here.transformers.load_model("models:/tiny.bert@passed")
    assert len(fill("春[MASK]的花开了。")) == 5


def test_a_function_of_mlflow_says_what_wwm_predict_and_wwm_fill_say(mlflow_here):
    [row] = mlflow_here.pyfunc.load_model("models:/weather/1").predict(["春天的花开了。"])
    with tqdm(disable=True) as bar:
        described, model = predict.load(Path("models/finetuned/weather/bert"))
        [expected] = predict.predicted(
            model, [inputs.given("row 1", {"text": "春天的花开了。"}, inputs.task_of(described))], bar
        )
    assert row == expected
    fill = mlflow_here.pyfunc.load_model("models:/tiny.bert@passed")
    [row] = fill.predict([{"text": "[MASK][MASK]的花开了。"}])
    assert len(row["fillings"]) == 5 and len(row["fillings"][0]["words"][0]) == 2


def test_what_a_served_model_cannot_read_is_one_line_with_its_row(mlflow_here):
    from mlflow.exceptions import MlflowException

    weather, fill = (mlflow_here.pyfunc.load_model(f"models:/{name}") for name in ("weather/1", "tiny.bert@passed"))
    for model, given, message in (
        (weather, [["春天"]], r"row 1 is no text but \['春天'\]"),
        (weather, [{"text": "春天"}, {"texts": "春天"}], "row 2 has texts, and no text"),
        (weather, [{"text": 1}, {"text": {}}], "row 1 is no text but 1"),
        (weather, {"text": ["春天"], "id": [1, 2]}, "the columns text, id are not of one length"),
        (fill, ["春天"], r"row 1 has no gap; put \[MASK\]"),
        (fill, [["春[MASK]"]], "row 1 is no text but"),
    ):
        with pytest.raises(MlflowException, match=message) as raised:
            model.predict(given)
        assert raised.value.get_http_status_code() == 400
    [said, nothing, *more] = weather.predict({"text": np.array(["春天的花开了。", "", " "]), "id": [7, 8, 9]})
    assert said["label"] in ("差", "好") and nothing["label"] is None and len(more) == 1


def test_a_served_model_answers_many_at_once_as_it_answers_one(mlflow_here):
    fill = mlflow_here.pyfunc.load_model("models:/tiny.bert@passed")
    texts = ["[MASK][MASK]的花开了。", "春天的[MASK]", "春[MASK]的花[MASK]了。", "[MASK]"] * 4
    alone = [fill.predict([text]) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: fill.predict([text]), texts)) == alone


@pytest.fixture
def save(mlflow_here, tmp_path, monkeypatch):
    """Makes a kept model of a kind in a folder of its own, and saves it as the registry does to `saved` there."""

    def saved(kind: str, labels: tuple[str, ...]) -> Path:
        here = Path.cwd()
        monkeypatch.chdir(tmp_path)
        kept = keeping.model(kind, labels).resolve()
        monkeypatch.chdir(here)
        registry.save(kept, tmp_path / "saved", mlflow_here.models.Model(), f"a model for {kind}")
        return kept

    return saved


def test_a_reader_answers_from_mlflow(mlflow_here, save, tmp_path):
    save("reading", ("", "YES", "NO"))
    row = {"question": "什么时候？", "context": "春天很热。"}
    [said] = mlflow_here.pyfunc.load_model(str(tmp_path / "saved")).predict([row])
    assert set(said) == {"answer", "probability", "n_best"}
    assert said["answer"] in ("", "YES", "NO") or said["answer"] in row["context"]


def test_a_tagger_answers_from_mlflow_as_wwm_predict_does(mlflow_here, save, tmp_path):
    kept = save("tagging", ("O", "B-天", "I-天"))
    [said, nothing] = mlflow_here.pyfunc.load_model(str(tmp_path / "saved")).predict(["春天很热。", ""])
    described, model = predict.load(kept)
    with tqdm(disable=True) as bar:
        [row] = predict.predicted(model, [inputs.given("1", {"text": "春天很热。"}, inputs.task_of(described))], bar)
    assert said == row and len(row["tags"]) == 5 and nothing == {"tags": None, "entities": []}
    needed = (tmp_path / "saved/requirements.txt").read_text()
    assert described["kind"] == "tagging" and "seqscore==" in needed


def test_a_model_travels_with_the_code_and_the_names_of_the_packages_that_serve_it(mlflow_here, tmp_path):
    got = Path(mlflow_here.artifacts.download_artifacts("models:/tiny.bert@passed", dst_path=str(tmp_path)))
    assert (got / "code/wwm/release/served.py").is_file()
    needed = {line.partition("==")[0] for line in (got / "requirements.txt").read_text().splitlines()}
    assert {"torch", "transformers", "tokenizers", "numpy"} <= needed
    assert not needed & {"prefect", "dvc", "ltp"}


def test_it_has_all_files_of_its_folder_the_next_sentence_head_included(mlflow_here, folder, tmp_path):
    from safetensors import safe_open

    got = Path(mlflow_here.artifacts.download_artifacts("models:/tiny.bert@passed", dst_path=str(tmp_path)))
    for file in Path("models/bert").iterdir():
        assert (got / "model" / file.name).read_bytes() == file.read_bytes()
    with safe_open(got / "model/model.safetensors", "np") as weights:
        assert "cls.seq_relationship.weight" in weights.keys()
    assert str(folder) not in (got / "requirements.txt").read_text() + (got / "conda.yaml").read_text()


def test_the_page_of_models_has_recipe_curve_and_scores(folder):
    [found] = [one for one in client().search_logged_models(["1"]) if one.tags["path"] == "models/bert"]
    assert found.name.startswith("bert · tiny-") and found.params == {"steps": "5"}
    assert {(m.key, m.step, m.value) for m in found.metrics} >= {("mlm_loss", 5, 7.5), ("cloze.nats", 0, 12.5)}
    assert ("cost.flops", 3e9) in {(m.key, m.value) for m in found.metrics}
    versions = json.loads(found.tags["mlflow.modelVersions"])
    assert [one["name"] for one in versions] == ["tiny.bert"]


def test_a_version_says_what_it_cost(folder):
    version = client().get_model_version_by_alias("tiny.bert", "passed")
    assert "Pre-training took 5 steps, 80 examples, 2,560 tokens, 3.0e9 FLOPs." in version.description


def test_a_version_says_who_and_what_it_is(folder):
    version = client().get_model_version_by_alias("weather", "champion")
    expected = {"model": "bert", "task": "weather", "preset": "tiny", "params": preset.digest()}
    assert expected.items() <= version.tags.items()
    assert version.tags["dvc"] == lineage.of("models/finetuned/weather/bert") and version.tags["user"]
    assert "models:/weather@champion" in version.description
    assert "Seed 1. Scores of this very model" in version.description and "| dev | em | 1.00 |" in version.description
    assert "wwm predict models/finetuned/weather/bert-from-mlflow/model -" in version.description
    assert "best fine-tuned model of the task weather" in client().get_registered_model("weather").description


def test_a_champion_stays_until_another_is_better_by_more_than_chance(folder, capfd):
    other = Path("models/finetuned/weather/rbt3")
    toy.model(other, keeping.CHARACTERS)
    for figures, champion in (([71.0, 80.0] * 30, "bert"), ([91.0, 80.5] * 30, "rbt3")):
        with track.run("scores") as run:
            contest = CONTEST | {"figures": [figures] * 3}
            run.release(other, "champion", "Best on weather: rbt3", {"weather.dev_mean": 90.0}, "weather", contest)
        assert client().get_model_version_by_alias("weather", "champion").tags["model"] == champion
    assert "champion" not in capfd.readouterr().err
    with track.run("scores") as run:
        run.release(
            "models/finetuned/weather/bert",
            "champion",
            "Best on weather: bert",
            {},
            "weather",
            CONTEST | {"figures": [[99.0, 98.0] * 30] * 3},
        )
    assert [one.tags["model"] for one in client().search_model_versions("name = 'weather'")] == ["bert", "rbt3", "bert"]
    bert = [one for one in client().search_logged_models(["1"]) if one.tags["path"] == "models/finetuned/weather/bert"]
    assert len(bert) == 1  # the same bytes are not uploaded again
    named = client().get_model_version_by_alias("weather", "champion")
    client().delete_model_version_tag("weather", named.version, "contest")
    with track.run("scores") as run:
        run.release(other, "champion", "Best on weather: rbt3", {}, "weather", contest)
    stays = "tracking: in MLflow bert of an earlier run stays weather@champion; rbt3 of this one"
    assert f"{stays} does not take the place of one that was named by hand; to" in capfd.readouterr().err


def lines(what: str) -> str:
    with trace.answering() as asked:
        return "\n".join(trace.told(trace.read(asked), what))


def test_lineage_leads_from_a_registered_model_to_commit_params_data_and_weights(folder):
    told = lines("models:/tiny.bert@passed")
    assert "mlflow artifacts download -u models:/tiny.bert@passed" in told
    assert f"models/bert  {lineage.of('models/bert')}" in told and f"tiny {preset.digest()}" in told
    assert f"data/corpus  {lineage.of('data/corpus')}, by corpus" in told
    assert f"news.txt  {lineage.of('news.txt')}" in told and "cloze.nats 12.50" in told


@pytest.mark.parametrize("digits", [6, 36])
def test_lineage_leads_from_the_hash_of_data_to_the_models_made_of_it(folder, digits):
    told = lines(lineage.of("data/corpus")[:digits]).split("what came of it")[1]
    assert "models/bert" in told and "in the registry: tiny.bert/1" in told
    assert "models/finetuned/weather/bert" in told


def test_lineage_takes_a_run_and_a_path_too(folder):
    run_id = client().get_model_version_by_alias("tiny.bert", "passed").run_id
    assert "pretrain bert" in lines(run_id) and "by corpus" in lines(run_id)
    assert "models/finetuned/weather/bert" in lines("models/bert")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("tiny.brt", "no registered model, run or hash in MLflow; it has the models tiny.bert, weather"),
        ("tiny.bert@champion", "tiny.bert has no alias 'champion' in MLflow; it has passed"),
        ("tiny.bert/7", "tiny.bert has no version 7 in MLflow; it has 1"),
        ("params.yaml", "which no run in MLflow wrote or read"),
        ("abcdef012345", "no registered model, run or hash"),
    ],
)
def test_a_name_that_is_not_there_is_one_line_with_those_that_are(folder, what, message):
    with pytest.raises(UserError) as raised:
        lines(what)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_model_that_does_not_pass_any_more_is_not_called_so(folder, capfd):
    for outcome, aliases in (("passed", {"passed"}), ("failed", set())):
        with track.run("scores") as run:
            run.annotate_model("bert", {"cloze.nats": 1.0}, outcome, "1.0 %")
        assert {*client().get_registered_model("tiny.bert").aliases} == aliases
    assert "tiny.bert version 1 is not `passed` any more: 1.0 %" in capfd.readouterr().err


def test_lineage_without_mlflow_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = [
        subprocess.run(
            [sys.executable, "-c", "from wwm.cli import app; app()", "lineage", "bert"],
            capture_output=True,
            text=True,
            env={**__import__("os").environ, "PYTHONPATH": str(Path(__file__).parent.parent), **env},
        )
        for env in ({}, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    ]
    assert [one.returncode for one in done] == [1, 1]
    assert "mlflow.db is not here" in done[0].stderr and "does not answer" in done[1].stderr
    assert all(one.stderr.count("\n") == 1 for one in done)
