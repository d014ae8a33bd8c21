"""The whole pipeline at toy size, by the user's own commands: `wwm preset tiny`, then what `make demo` and `dvc repro`
run.
"""

import json
import os
import re
import resource
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import kills
import pyarrow as pa
import pytest
from project import checkout, environment, run
from ruamel.yaml import YAML


def hashes(folder: Path) -> dict[str, str]:
    """Out -> its hash in dvc.lock."""
    lock = YAML(typ="safe").load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = checkout(tmp_path_factory.mktemp("pipeline"))
    printed = run(folder, "-m", "flows.pipeline")
    assert "random" in printed and "make ui" in printed
    assert (folder / "results/report/champions.txt").read_text(encoding="utf-8") in printed
    return folder


def test_the_best_model_is_used_as_the_run_says_at_its_end(project):
    champions = (project / "results/report/champions.txt").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in champions.splitlines() if line.startswith("  wwm ")]
    assert commands[0][1] == "predict" and all(command[1] == "fill" for command in commands[1:])
    for command in commands:
        run(project, "-c", "from wwm.cli import app; app()", *command[1:])
    header, *rows = (project / "said.csv").read_text(encoding="utf-8").splitlines()
    assert header == "id,text,label,probability" and {row.rsplit(",", 2)[1] for row in rows} <= {"negative", "positive"}


def test_again_there_is_nothing_to_do_and_it_says_so_within_30_seconds_of_work(project):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Nothing to do" in run(project, "-m", "flows.pipeline")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30
    assert "up to date" in run(project, "-m", "dvc", "status")


def test_whoever_may_read_the_code_may_read_what_was_made(project):
    usual = (project / "params.yaml").stat().st_mode
    made = [path for folder in ("data", "models", "results") for path in (project / folder).rglob("*")]
    assert made and not [path for path in made if path.is_file() and path.stat().st_mode != usual]


def test_models_load_with_transformers_and_have_their_trained_heads(project):
    from transformers import BertForPreTraining, BertModel, BertTokenizer

    folders = [folder for folder in (project / "models").iterdir() if folder.name != "finetuned"]
    for folder in folders:
        _, loading = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        pieces = BertTokenizer.from_pretrained(folder)("我们喜欢这本书。", return_tensors="pt")
        assert BertModel.from_pretrained(folder)(**pieces).last_hidden_state.shape[1] == len(pieces["input_ids"][0])
    assert {folder.name for folder in folders} == {
        "random",
        "bert",
        "roberta-wwm-ext",
        "rbt3-init",
        "rbt3",
    }


def test_example_shards_are_readable_with_pyarrow_alone(project):
    shards = list((project / "data/mask").rglob("*.arrow"))
    assert {shard.parts[-4:-1] for shard in shards} == {
        (name, length, part)
        for name, length in (("wordpiece-nsp", "32"), ("whole-word", "32"), ("whole-word", "64"))
        for part in ("train", "heldout")
    }
    for shard in shards:
        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        assert table.column_names == [
            "input_ids",
            "token_type_ids",
            "unit_begins",
            "masked_lm_positions",
            "masked_lm_ids",
            "next_sentence_label",
        ]
        for ids, types, begins, positions, labels in zip(*(table[name].to_pylist() for name in table.column_names[:5])):
            assert len(ids) == len(types) == len(begins) <= int(shard.parts[-3]) and len(positions) == len(labels)
            # A short example whose words are all longer than its budget has none.
            assert positions == sorted(set(positions)) and set(positions) <= set(range(1, len(ids) - 1))


def test_report_has_every_model_and_opens_offline(project):
    table = (project / "results/report/scores.md").read_text(encoding="utf-8")
    page = (project / "results/report/index.html").read_text(encoding="utf-8")
    for model in ("random", "roberta-wwm-ext", "rbt3"):
        assert model in table and model in page
    # Chart code may name addresses; what the page itself would load stands in its tags.
    tags = re.findall(
        r"<(?:script|link|img|iframe)\b[^>]*>", re.sub(r"(<script\b[^>]*>).*?</script>", r"\1", page, flags=re.S)
    )
    assert tags and not [tag for tag in tags if "src=" in tag or "href=" in tag]


def test_dvc_shows_metrics_and_plots(project):
    shown = run(project, "-m", "dvc", "metrics", "show")
    assert "results/segmenter.json" in shown and "results/scores.json" in shown
    run(project, "-m", "dvc", "plots", "show", "--out", "plots")
    assert "mlm_loss" in (project / "plots/index.html").read_text(encoding="utf-8")


def test_changed_learning_rate_of_a_task_runs_no_training_again(project):
    params = project / "params.yaml"
    before = params.read_text(encoding="utf-8")
    try:
        params.write_text(
            before.replace("reviews: {learning_rate: 1.0e-3", "reviews: {learning_rate: 2.0e-3"), encoding="utf-8"
        )
        changed = json.loads(run(project, "-m", "dvc", "status", "--json"))
    finally:
        params.write_text(before, encoding="utf-8")
    assert {name.split("@")[0] for name in changed} == {"finetune", "characters", "overlap", "scores"}


def experiments(folder: Path) -> dict[str, set[str]]:
    """Name -> stages that MLflow has of it, in the folder's own database."""
    query = (
        "SELECT name.value, stage.value FROM tags AS name JOIN tags AS stage USING (run_uuid)"
        " WHERE name.key = 'experiment' AND stage.key = 'stage'"
    )
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        for name, stage in connection.execute(query):
            found.setdefault(name, set()).add(stage)
    return found


@pytest.fixture
def committed(project, tmp_path) -> Path:
    """A copy whose state is a commit, from which DVC's experiments begin."""
    folder = tmp_path / "committed"
    shutil.copytree(project, folder, symlinks=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    author = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "tiny"], cwd=folder, check=True)
    return folder


def test_an_experiment_in_a_copy_is_recorded_here_and_shown_compared_and_applied(committed):
    run(committed, "-m", "dvc", "exp", "run", "--temp", "-n", "chinese", "-S", "+scores.language=zh", "scores")
    assert experiments(committed) == {"chinese": {"scores"}}
    assert "language: zh" not in (committed / "params.yaml").read_text(encoding="utf-8")
    assert "chinese" in run(committed, "-m", "dvc", "exp", "show", "--only-changed", "--csv")
    assert "scores.language" in run(committed, "-m", "dvc", "exp", "diff", "HEAD", "chinese")
    run(committed, "-m", "dvc", "exp", "apply", "chinese")
    assert "language: zh" in (committed / "params.yaml").read_text(encoding="utf-8")
    assert "模型" in (committed / "results/report/scores.md").read_text(encoding="utf-8")
    files = list((committed / "mlartifacts").rglob("scores.md"))
    assert any("模型" in path.read_text(encoding="utf-8") for path in files)


@pytest.mark.slow
def test_experiments_that_wait_in_a_queue_are_recorded_here(committed):
    run(committed, "-m", "dvc", "exp", "run", "--queue", "-n", "chinese", "-S", "+scores.language=zh", "scores")
    run(committed, "-m", "dvc", "exp", "run", "--run-all")
    assert experiments(committed) == {"chinese": {"scores"}}


STAGE = """
  export:
    foreach: ${export.models}
    do:
      desc: A made-up stage
      meta: {zh: 虚构的阶段}
      cmd: python -m wwm.export
      deps: ["models/${key}"]
      params: [base]
      outs: ["release/${key}"]
"""


def add(path: Path, before: str, text: str) -> None:
    """Puts `text` in front of the first place of `before` in a file."""
    old = path.read_text(encoding="utf-8")
    assert before in old
    path.write_text(old.replace(before, text + before, 1), encoding="utf-8")


def test_what_is_added_to_the_project_breaks_no_params_yaml_of_today(project, tmp_path):
    """A section with its stage, a key of an item, and a key of a stage whose keys dvc.yaml names one by one."""
    folder = tmp_path / "later"
    shutil.copytree(project, folder, symlinks=True)
    tasks, training = folder / "wwm/params/tasks.py", folder / "wwm/params/training.py"
    export = 'class Export(Section):\n    models: dict[str, str] = Field({}, description="")\n\n\n'
    add(tasks, "class TaskStages(", export)
    add(tasks, "    scores: Scores", "    export: Export = Export()\n")
    add(training, "    init: Name = ", '    waypoints: Positive | None = Field(None, description="")\n')
    add(
        training,
        "    loss_spike: ",
        '    patience: Annotated[Positive | None, Changes.NOTHING] = Field(None, description="")\n',
    )
    (folder / "wwm/export.py").write_text('"""Made up."""\n', encoding="utf-8")
    (folder / "dvc.yaml").write_text((folder / "dvc.yaml").read_text(encoding="utf-8") + STAGE, encoding="utf-8")
    run(folder, "docs/generate.py")

    graph = (folder / "dvc.yaml").read_text(encoding="utf-8")
    assert "{export: {models: {}}}" in graph and "patience" not in graph and "waypoints" not in graph
    assert "up to date" in run(folder, "-m", "dvc", "repro")
    assert "Running stage" in run(folder, "-m", "dvc", "repro", "--single-item", "--force", "cloze@random")

    # Whoever sets the new keys gets what they ask for: DVC sees that of an item, and the new stage has its items.
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^    bert:\n", "    bert:\n      waypoints: 3\n", text, flags=re.M)
    (folder / "params.yaml").write_text(text + "export:\n  models: {bert: pytorch}\n", encoding="utf-8")
    changed = json.loads(run(folder, "-m", "dvc", "status", "--json"))
    assert {"export@bert", "pretrain@bert"} <= set(changed) and "mask@whole-word" not in changed


def kill_while_it_works(folder: Path, name: str, outs: list[dict], *options: str) -> bool:
    """Starts a stage by dvc and kills both by -9: once it writes its folder, or, where it writes files alone, once its
    work goes on, or it has run for two seconds without a bar that shows it.
    """
    command = [sys.executable, "-m", "dvc", "repro", "-s", name, *options]
    temporary = [
        folder / Path(out["path"]).with_name(f".{Path(out['path']).name}.tmp")
        for out in outs
        if out["md5"].endswith(".dir")
    ]
    with open(folder / "printed", "w+b") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder),
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # dvc's own bars are hidden where there is no terminal
        bar, delay = (b"> python", 2) if name.startswith("characters") else (b"%|", 0)
        while process.poll() is None:
            if any(path.exists() for path in temporary) or (not temporary and bar in (folder / "printed").read_bytes()):
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.001)
    return False


@pytest.mark.slow
def test_stage_that_is_killed_leaves_nothing_half_written_and_the_next_run_gives_the_same_bytes(
    project, tmp_path_factory
):
    """Each stage is killed while it works, and then the whole pipeline is run as `make demo` does."""
    folder = checkout(tmp_path_factory.mktemp("killed"))
    locked = YAML(typ="safe").load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    listed = run(
        folder, "-c", "from flows import plan; print(*plan.in_order(plan.plan(), True), sep='\\n')"
    ).splitlines()
    order = [line for line in listed if line in locked]
    assert set(order) == set(locked)
    for name in order:
        # a stage of milliseconds may be over before it is caught
        killed = next(
            (
                options
                for options in ([], *[["--force"]] * 20)
                if kill_while_it_works(folder, name, locked[name]["outs"], *options)
            ),
            None,
        )
        assert killed is not None, name
        # without --force DVC would take the outputs of the run before from its cache
        run(folder, "-m", "dvc", "--wait-for-lock", "repro", "-s", name, *killed)
    assert "Nothing to do" in run(folder, "-m", "flows.pipeline")
    assert hashes(folder) == hashes(project)
    assert not [path for path in folder.rglob(".*.tmp") if ".git" not in path.parts]


@pytest.mark.slow
def test_runs_that_are_killed_at_random_moments_end_with_the_same_bytes_and_mlflow_misses_nothing(tmp_path):
    assert sum(kills.kill(tmp_path, 5, seed=1).kills.values()) == 5
