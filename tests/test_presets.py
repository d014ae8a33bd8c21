"""The presets are the recipes of the authors' table of models (their page, and their answers in issues)."""

import subprocess
from pathlib import Path

import pytest

from wwm import cli, params
from wwm.common.errors import UserError
from wwm.masks.examples import in_pairs
from wwm.params.tasks import ModelOptions, TaskRun
from wwm.tasks.table import TASKS

BASE, LARGE = (12, 768, 12), (24, 1024, 16)
GOOGLE, ROBERTA, ROBERTA_LARGE = (
    "google-bert/bert-base-chinese",
    "hfl/chinese-roberta-wwm-ext",
    "hfl/chinese-roberta-wwm-ext-large",
)
# preset: (unit, next sentence prediction, begins from, layers kept, [(length, steps, batch, optimizer, learning rate,
# warm-up)]), and of the public weights, which lack the head, what warms that up before.
TABLE = {
    "bert": (
        "wordpiece",
        True,
        BASE,
        None,
        [(128, 900_000, 256, "adamw", 1e-4, 10_000), (512, 100_000, 256, "adamw", 1e-4, 10_000)],
    ),
    "bert-wwm": (
        "whole_word",
        True,
        GOOGLE,
        None,
        [(128, 100_000, 2560, "lamb-ymcui", 1e-4, 10_000), (512, 100_000, 384, "lamb-ymcui", 1e-4, 10_000)],
    ),
    "bert-wwm-ext": (
        "whole_word",
        True,
        GOOGLE,
        None,
        [(128, 1_000_000, 2560, "lamb-ymcui", 1e-4, 100_000), (512, 400_000, 384, "lamb-ymcui", 1e-4, 40_000)],
    ),
    "roberta-wwm-ext": ("whole_word", False, GOOGLE, None, [(512, 1_000_000, 384, "adamw", 1e-4, 10_000)]),
    "roberta-wwm-ext-large": ("whole_word", False, LARGE, None, [(512, 2_000_000, 512, "adamw", 5e-5, 10_000)]),
    "rbt3": ("whole_word", False, ROBERTA, [0, 1, 2], [(512, 1_000_000, 384, "adamw", 1e-4, 10_000)]),
    "rbtl3": ("whole_word", False, ROBERTA_LARGE, [0, 1, 2], [(512, 1_000_000, 512, "adamw", 5e-5, 10_000)]),
    "domain": ("whole_word", False, ROBERTA, None, [(512, 20_000, 384, "adamw", 1e-5, 1_000)]),
}


HEAD = {"rbt3": 384, "rbtl3": 512, "domain": 384}
PAIRS_WITHOUT_LOSS = {"roberta-wwm-ext", "roberta-wwm-ext-large", "rbt3", "rbtl3"}


def preset(name: str) -> params.Params:
    return params.read(f"presets/{name}.yaml")


@pytest.mark.parametrize("name", TABLE)
def test_preset_is_the_recipe_of_the_model_of_its_name(name):
    unit, next_sentence_prediction, origin, layers, phases = TABLE[name]
    values = preset(name)
    model = values.pretrain.models[name]
    examples = values.mask.sets[model.examples]
    assert (examples.unit, examples.next_sentence_prediction, examples.masking) == (
        unit,
        next_sentence_prediction,
        "static",
    )
    assert in_pairs(examples.model_dump(exclude_none=True)) == (next_sentence_prediction or name in PAIRS_WITHOUT_LOSS)
    warm_up = [phase for phase in model.phases if phase.train == "mlm_head"]
    of_all = model.phases[len(warm_up) :]
    start = model.init
    if before := values.pretrain.models.get(start):  # a model of its own, so that it can be measured
        warm_up, start = before.phases, before.init
        assert all(phase.train == "mlm_head" for phase in warm_up)
    assert [(p.max_seq_length, p.batch_size) for p in warm_up] == ([(512, HEAD[name])] if name in HEAD else [])
    assert [
        (p.max_seq_length, p.steps, p.batch_size, p.optimizer, p.learning_rate, p.warmup_steps) for p in of_all
    ] == phases
    if layers:
        assert values.truncate.models[start].layers == layers
        start = values.truncate.models[start].source
    begin = values.init.models[start]
    size = begin.architecture and (
        begin.architecture.num_hidden_layers,
        begin.architecture.hidden_size,
        begin.architecture.num_attention_heads,
    )
    assert origin == (size or begin.source)


@pytest.mark.parametrize("name", TABLE)
def test_preset_has_what_all_models_share(name):
    values = preset(name)
    assert values.vocab.source == GOOGLE and values.vocab.vocab_size == 21_128
    assert (values.mask.masked_lm_prob, values.mask.short_seq_prob, values.mask.random_token) == (
        0.15,
        0.0 if name in PAIRS_WITHOUT_LOSS | {"domain"} else 0.1,
        "vocabulary",
    )
    for length in (length for examples in values.mask.sets.values() for length in examples.lengths):
        assert length.max_predictions_per_seq == {128: 20, 512: 77}[length.max_seq_length] and length.dupe_factor == 5
    optimizer = values.pretrain
    assert (optimizer.weight_decay, optimizer.adam_betas, optimizer.adam_epsilon, optimizer.max_grad_norm) == (
        0.01,
        [0.9, 0.999],
        1e-6,
        1.0,
    )
    assert not optimizer.correct_bias and values.finetune.seeds == 10
    for model in values.init.models.values():
        if model.architecture:
            assert (model.architecture.hidden_dropout_prob, model.architecture.attention_probs_dropout_prob) == (
                0.1,
                0.1,
            )
            assert (
                model.architecture.intermediate_size == 4 * model.architecture.hidden_size
                and model.architecture.max_position_embeddings == 512
            )


@pytest.mark.parametrize("path", sorted(Path("presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_can_be_chosen_and_gives_dvc_a_graph(path, tmp_path, monkeypatch):
    from dvc.repo import Repo

    params.read(path)
    (tmp_path / "dvc.yaml").write_bytes(Path("dvc.yaml").read_bytes())
    (tmp_path / "params.yaml").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    Repo.init(str(tmp_path), no_scm=True).close()
    with Repo(str(tmp_path)) as repo:
        names = {stage.addressing for stage in repo.index.stages}
    assert {f"{model.stage}@{name}" for name, model in params.read().trained.items()} <= names and "scores" in names


def test_choosing_a_preset_says_which_text_is_still_to_be_put_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "presets").symlink_to(Path("presets").resolve())
    monkeypatch.chdir(tmp_path)
    cli.preset("domain", Path("params.yaml"))
    assert (
        "once the text is there: corpus/own/*.txt, corpus/zhwiki-*-pages-articles*.xml.bz2" in capsys.readouterr().out
    )
    Path("corpus").mkdir()
    cli.preset("domain", Path("params.yaml"))
    assert "once" not in capsys.readouterr().out
    cli.preset("tiny", Path("params.yaml"))
    assert "once" not in capsys.readouterr().out


def test_a_preset_is_written_with_keys_of_ones_own_and_checked_first(tmp_path):
    written = tmp_path / "params.yaml"
    key = "pretrain.models.bert.phases.0.learning_rate"
    cli.preset("tiny", written, [f"{key}=2e-3", "segment.dictionary=null", "corpus.sources={own: '*.txt'}"])
    values = params.read(written)
    assert values.pretrain.models["bert"].phases[0].learning_rate == 0.002
    assert [source.files for source in values.corpus.sources.values()] == ["*.txt"]
    before = written.read_bytes()
    for wrong, told in (
        ("base.seed=-7", "^--set base.seed=-7: base.seed is -7"),
        ("base.sed=7", "^--set base.sed=7: unknown key base.sed; did you mean seed"),
        ("init.models={}", "^--set init.models={}: "),
        ("seed=1", "^--set seed=1: seed is no key"),
        (
            "pretrain.models.bert.phases.0.warmup_steps=999999",
            "^--set pretrain.models.bert.phases.0.warmup_steps=999999: ",
        ),
        ("base.seed", "give key and value"),
        ("base.seed={", "no value of YAML"),
        (f"{key}.x=1", "holds no x"),
    ):
        with pytest.raises(UserError, match=told):
            cli.preset("tiny", written, [wrong])
    with pytest.raises(UserError, match="^--set base.seed=-7: base.seed is -7") as error:
        cli.preset("tiny", written, ["finetune.seeds=3", "base.seed=-7", "scores.language=fr"])
    assert "\n--set scores.language=fr: scores.language is 'fr'" in str(error.value)
    assert written.read_bytes() == before and not list(tmp_path.glob("*.bak*"))


def test_what_is_neither_in_git_nor_a_preset_is_kept_once_each(tmp_path, monkeypatch, capsys):
    (tmp_path / "presets").symlink_to(Path("presets").resolve())
    monkeypatch.chdir(tmp_path)
    written = Path("params.yaml")

    def told(*changes: str) -> str:
        cli.preset("tiny", written, [*changes])
        return capsys.readouterr().out.splitlines()[0]

    told("base.seed=7")
    before = written.read_bytes()
    assert told("base.seed=7").startswith("params.yaml is now preset tiny")  # the same: there is nothing to keep
    assert told("base.seed=8") == "`cp params.yaml.bak params.yaml` brings back params.yaml as it was"
    assert Path("params.yaml.bak").read_bytes() == before
    own = written.read_text(encoding="utf-8") + "# mine\n"
    for _ in range(2):
        written.write_text(own, encoding="utf-8")
        assert told() == "`cp params.yaml.bak2 params.yaml` brings back params.yaml as it was"
        assert Path("params.yaml.bak2").read_text(encoding="utf-8") == own
        assert told("base.seed=9") == "`wwm preset tiny` brings back params.yaml as it was"
    assert sorted(path.name for path in tmp_path.glob("*.bak*")) == ["params.yaml.bak", "params.yaml.bak2"]
    for changes in ([], ["base.seed=7"]):
        cli.preset("tiny", Path("other.yaml"), changes)
    assert "`wwm preset tiny --output other.yaml` brings back other.yaml" in capsys.readouterr().out
    written.write_text(own, encoding="utf-8")
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "mine"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], check=True)
    Path("params.yaml.bak2").unlink()
    assert told("base.seed=7") == "`git checkout params.yaml` brings back params.yaml as it was committed"
    assert [path.name for path in tmp_path.glob("*.bak*")] == ["params.yaml.bak"]
    assert params.read().base.seed == 7


def test_folders_that_presets_ask_for_are_never_committed():
    folders = {params.read(path).corpus.folder for path in Path("presets").glob("*.yaml")}
    asked = sorted(f"{folder}/text.txt" for folder in folders)
    ignored = subprocess.run(["git", "check-ignore", *asked], capture_output=True, text=True)
    assert ignored.stdout.splitlines() == asked


def test_compare_fine_tunes_the_released_models_as_the_table_of_tasks_says():
    values = preset("compare")
    released = {"bert-wwm", "bert-wwm-ext", "roberta-wwm-ext", "roberta-wwm-ext-large"}
    assert {values.load.models[name].source for name in released} == {f"hfl/chinese-{name}" for name in released}
    assert values.load.models["rbt3"].source == "hfl/rbt3" and values.load.models["rbtl3"].source == "hfl/rbtl3"
    assert (
        set(values.finetune.tasks) == set(values.scores.tasks) == {name for name, task in TASKS.items() if task.recipe}
    )
    assert all(task == TaskRun() for task in values.finetune.tasks.values()) and values.finetune.seeds == 10
    assert [
        name
        for name, model in values.finetune.models.items()
        if model == ModelOptions(learning_rates="ernie", simplify=True, keep="none")
    ] == ["ernie"]
