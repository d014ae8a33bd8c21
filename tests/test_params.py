"""params.yaml: every mistake is named with its key, its value and the remedy."""

import re
import time
from pathlib import Path

import pytest
import yaml

from wwm import params
from wwm.common.errors import UserError

TINY = Path("presets/tiny.yaml").read_text(encoding="utf-8")


def problem(tmp_path, pattern: str, replacement: str) -> str:
    """What is said of presets/tiny.yaml with one change."""
    changed, n = re.subn(pattern, replacement, TINY, count=1)
    assert n == 1
    path = tmp_path / "params.yaml"
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(UserError) as error:
        params.read(path)
    return str(error.value)


def test_every_preset_is_valid_and_the_demo_is_params_yaml():
    for path in Path("presets").glob("*.yaml"):
        params.read(path)
    assert Path("presets/demo.yaml").read_bytes() == Path("params.yaml").read_bytes()


def test_muon_with_divided_weights_is_refused(tmp_path):
    changed = TINY.replace("optimizer: lamb", "optimizer: muon")
    path = tmp_path / "params.yaml"
    path.write_text(changed.replace("fsdp: false", "fsdp: true"), encoding="utf-8")
    with pytest.raises(UserError, match="models.roberta-wwm-ext: optimizer muon needs whole matrices, and fsdp true"):
        params.read(path)


def test_rate_of_muon_is_refused_where_another_optimizer_would_not_read_it(tmp_path):
    said = problem(tmp_path, "(1.0e-3), warmup", r"\1, muon_learning_rate: 4.0e-3, warmup")
    assert "muon_learning_rate 0.004 has no use with optimizer adamw; set it to null, or take muon" in said


def test_masks_that_their_limit_would_cut_off_are_named_with_both_remedies(tmp_path):
    assert (
        "mask: sets.wordpiece-nsp: max_predictions_per_seq 5 is less than the 10 of 32 pieces that masked_lm_prob 0.3"
        " asks for; raise it to 10, or lower masked_lm_prob to 0.156"
    ) in problem(tmp_path, "masked_lm_prob: 0.15", "masked_lm_prob: 0.3")
    said = problem(tmp_path, "unit: whole_word", "unit: whole_word\n      masked_lm_prob: 0.2")
    assert "sets.whole-word: max_predictions_per_seq 5 is less than the 6 of 32 pieces" in said


def test_share_of_masks_that_changes_needs_dynamic_masks_and_their_limit(tmp_path):
    phase = "learning_rate: 1.0e-3, masked_lm_prob: [0.3, 0.15]"
    said = problem(tmp_path, "learning_rate: 1.0e-3", phase)
    assert "pretrain.models.bert.phases.0.masked_lm_prob [0.3, 0.15] needs masks that are drawn while training" in said
    said = problem(tmp_path, r"masking: static((?s:.*?))learning_rate: 1.0e-3", rf"masking: dynamic\1{phase}")
    assert (
        "pretrain.models.bert.phases.0: mask.sets.wordpiece-nsp: max_predictions_per_seq 5 is less than the 10" in said
    )


def test_replacements_are_all_of_the_chosen_pieces(tmp_path):
    replacements = "unit: whole_word\n      replacements: {mask: 0.8, same: 0.1, random: 0.2}"
    said = problem(tmp_path, "unit: whole_word", replacements)
    assert "[0.8, 0.1, 0.2] sum to 1.1; they must sum to 1" in said


def test_misspelt_key_is_named_with_the_one_that_was_meant(tmp_path):
    assert "unknown key mask.masked_lm_probe; did you mean masked_lm_prob?" in problem(
        tmp_path, "masked_lm_prob:", "masked_lm_probe:"
    )


def test_misspelt_key_deep_in_a_model_is_named_too(tmp_path):
    said = problem(tmp_path, "warmup_steps: 2", "warmup_step: 2")
    assert "pretrain.models.bert.phases.0.warmup_step; did you mean warmup_steps?" in said


def test_unknown_section_is_named(tmp_path):
    assert "unknown key finetune.keep; there is finetune.models.*.keep" in problem(
        tmp_path, "  seeds: \\d+", "  seeds: 2\n  keep: best"
    )
    assert "unknown key pretain; did you mean pretrain?" in problem(tmp_path, "\npretrain:", "\npretain:")


def test_value_of_the_wrong_type_is_named_with_its_value(tmp_path):
    assert "pretrain.models.bert.phases.0.steps is 'many'" in problem(tmp_path, "steps: 20", "steps: many")


def test_missing_key_is_named(tmp_path):
    assert "segmenter.epochs is missing" in problem(tmp_path, "  epochs: 2\n", "")


def test_model_that_nothing_makes_is_named(tmp_path):
    assert "pretrain.models.bert.init: 'randon' is none of" in problem(tmp_path, "init: random", "init: randon")


def test_example_set_without_the_phases_length_is_named(tmp_path):
    assert "phases.0.max_seq_length: 48 is none of 32" in problem(
        tmp_path, "max_seq_length: 32, steps: 20", "max_seq_length: 48, steps: 20"
    )


def test_length_beyond_the_positions_of_the_model_it_starts_from_is_named(tmp_path):
    said = problem(tmp_path, "max_position_embeddings: 64", "max_position_embeddings: 24")
    assert "pretrain.models.bert.phases: max_seq_length 32 is more than the 24 positions" in said


def test_fine_tuning_longer_than_the_positions_of_a_model_is_named_before_anything_runs(tmp_path):
    said = problem(tmp_path, r"(reviews: \{.*max_seq_length: )\d+", r"\g<1>128")
    assert "finetune.tasks.reviews.max_seq_length 128 is more than the 64 positions of" in said


def test_layer_that_the_model_to_cut_does_not_have_is_named(tmp_path):
    assert "truncate.models.rbt3-init.layers: roberta-wwm-ext has no layer 9; it has" in problem(
        tmp_path, r"layers: \[0", "layers: [9"
    )


def milestones(text: str) -> str:
    return rf"milestones:\n  models:\n    {text}\n\ntruncate:"


def test_a_milestone_that_its_source_does_not_keep_is_named_with_those_that_it_keeps(tmp_path):
    kept = r"(      init: random\n      examples: wordpiece-nsp\n)((?s:.*?))truncate:"

    def said(every: int, of: str) -> str:
        return problem(tmp_path, kept, rf"\1      milestones: {every}\n\2{milestones(of)}")

    assert (
        "milestones.models.b-8.step: 8 is none of bert's milestones, which are 5, 10, 15; after its last step it is"
        " models/bert itself"
    ) in said(5, "b-8: {source: bert, step: 8}")
    assert "which are 1, 2, 3, 4, 5, 6, 7, 8, 9, ..., 19; after" in said(1, "b-20: {source: bert, step: 20}")
    assert "pretrain.models.bert: milestones 20 is no less than the 20 steps of the phases" in said(20, "{}")
    assert "milestones.models.r-5.source: 'random' is none of bert" in said(5, "r-5: {source: random, step: 5}")
    bare = problem(tmp_path, "truncate:", milestones("rbt3-5: {source: rbt3, step: 5}"))
    assert "milestones.models.rbt3-5: rbt3 keeps no milestones; set pretrain.models.rbt3.milestones" in bare


def test_models_that_start_from_each_other_are_named(tmp_path):
    said = problem(tmp_path, "bert:\n      init: random", "bert:\n      init: roberta-wwm-ext")
    assert "bert -> roberta-wwm-ext -> bert: these models start from each other" in said


def test_heads_that_do_not_divide_the_hidden_size_are_named(tmp_path):
    said = problem(tmp_path, "num_attention_heads: 2", "num_attention_heads: 3")
    assert (
        "init.models.random.architecture: hidden_size 32 is not divisible by num_attention_heads 3; nearest is 2"
        in said
    )


def test_key_of_an_architecture_that_is_none_is_named(tmp_path):
    assert "init.models.random.architecture.hiden_size; did you mean hidden_size?" in problem(
        tmp_path, "hidden_size:", "hiden_size:"
    )


def test_measurement_between_two_points_of_the_curve_is_named(tmp_path):
    assert "pretrain: evaluate_every 12 is not divisible by log_every 5; nearest is 10" in problem(
        tmp_path, "evaluate_every: 10", "evaluate_every: 12"
    )


def test_two_stages_that_would_write_one_model_are_named(tmp_path):
    assert "pretrain.models.random is also made by init" in problem(
        tmp_path, "  models:\n    bert:", "  models:\n    random:"
    )


def test_a_model_that_would_take_the_place_of_the_fine_tuned_ones_is_named(tmp_path):
    said = problem(tmp_path, "  models:\n    bert:", "  models:\n    finetuned:")
    assert "pretrain.models.finetuned: models/finetuned is for fine-tuned models; rename it" in said


def test_a_task_called_like_another_measure_is_named(tmp_path):
    said = problem(tmp_path, "  tasks:\n    reviews:", "  tasks:\n    cloze:")
    assert "a task cannot be called cloze, as another measure here is; call it otherwise" in said


def test_two_fine_tunings_that_dvc_would_call_the_same_are_named(tmp_path):
    other = "init-reviews: {define: {kind: single, labels: [a, b]}, learning_rate: 1, epochs: 1, batch_size: 8,"
    said = problem(
        tmp_path,
        r"rbt3: {}}\n  tasks:\n",
        f"rbt3: {{}}, rbt3-init: {{}}}}\n  tasks:\n    {other} max_seq_length: 32}}\n",
    )
    assert "call rbt3 on init-reviews and rbt3-init on reviews both finetune@rbt3-init-reviews; rename one" in said


def test_a_name_that_dvc_overlooks_is_named(tmp_path):
    said = problem(tmp_path, "  sources:\n    news:", "  sources:\n    size:")
    assert "DVC overlooks what is called 'size'; call it otherwise" in said


def test_two_entries_of_one_length_are_named(tmp_path):
    said = problem(tmp_path, r"(      lengths:\n)(        - \{max_seq_length: 32.*\n)", r"\1\2\2")
    assert "mask.sets.wordpiece-nsp: 32 stands twice; remove one" in said


def test_model_that_is_compared_with_itself_is_named(tmp_path):
    assert "cloze.models: 'random' stands twice; remove one" in problem(
        tmp_path, r"cloze:\n  models: \[random,", "cloze:\n  models: [random, random,"
    )


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", ".inf"), ("learning_rate", ".nan"), ("weight_decay", ".inf")]
)
def test_number_that_is_not_finite_is_named(tmp_path, key, value):
    said = problem(tmp_path, rf"{key}: [0-9.e-]+", f"{key}: {value}")
    assert f"{key} is {value[1:]}: Input should be a finite number" in said


def test_beta_that_is_no_share_is_named(tmp_path):
    assert "pretrain.adam_betas.1 is 1.5" in problem(
        tmp_path, r"adam_betas: \[0.9, [0-9.]+\]", "adam_betas: [0.9, 1.5]"
    )


def test_file_that_is_not_utf8_is_named_with_its_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes("base: # 随机种子\n".encode("gb18030") + TINY.encode())
    with pytest.raises(UserError, match="params.yaml, line 1: not UTF-8"):
        params.read(path)


def test_file_that_is_not_yaml_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("base: [1, 2\nseed: 3", encoding="utf-8")
    with pytest.raises(UserError, match="(?s)params.yaml is not YAML.*line 2"):
        params.read(path)


def test_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match="wwm preset demo"):
        params.read(tmp_path / "params.yaml")


def test_exponents_are_numbers_as_dvc_reads_them(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        TINY.replace("learning_rate: 1.0e-3, warmup_steps", "learning_rate: 1e-3, warmup_steps"), encoding="utf-8"
    )
    assert params.read(path).pretrain.models["bert"].phases[0].learning_rate == 1e-3


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("[0, 1]", '[0, 1] are no texts; write them in quotes, ["0", "1"]'),
        ("[0.5, 1]", 'write them in quotes, ["0.5", "1"]'),
        ("[-1, 好]", 'write them in quotes, ["-1", "好"]'),
    ],
)
def test_labels_that_are_numbers_are_named_once_with_their_quotes(tmp_path, labels, said):
    from wwm.params.tasks import OwnTask

    with pytest.raises(ValueError) as error:
        OwnTask.model_validate({"kind": "single", "labels": yaml.safe_load(labels)})
    assert str(error.value).count(said) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing and no sections; write one by `wwm preset demo`"),
        ("- base\n", r"holds \['base'\] and no sections"),
        ("base: {seed: %s}" % ("9" * 5000), "is not YAML: .*4300 digits"),
        ("base: !!bool x", "is not YAML: KeyError: 'x'; mend it"),
        ("base:\n  " + "- " * 50_000 + "x\n", "is not YAML: lists or sections in each other, more than 100 deep"),
        ("base: " + "[" * 200_000, "is not YAML: lists or sections in each other, more than 100 deep"),
    ],
    ids=["empty", "a list", "a number of 5,000 digits", "no truth value", "dashes", "lists 200,000 deep"],
)
def test_file_that_holds_no_sections_is_named_in_a_line(tmp_path, text, said):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"params.yaml {said}") as error:
        params.read(path)
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


def test_file_that_cannot_be_one_is_not_said_to_be_absent(tmp_path):
    (tmp_path / "params.yaml").symlink_to("/dev/null")
    with pytest.raises(UserError, match="params.yaml is no file; "):
        params.read(tmp_path / "params.yaml")


def test_value_of_any_size_is_shown_in_a_line(tmp_path):
    said = problem(tmp_path, "epochs: 2", f"epochs: [{', '.join(map(str, range(10_000)))}]")
    assert "segmenter.epochs is [0, 1, 2, 3, 4, 5, ...]: Input should be a valid integer" in said and len(said) < 200


def test_size_that_no_model_has_is_refused_at_once_and_its_divisors_are_not_looked_for(tmp_path):
    begin = time.process_time()
    said = problem(tmp_path, "hidden_size: 32", "hidden_size: 1000000007")
    assert "hidden_size is 1000000007: Input should be less than or equal to 131072" in said
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threads: 1", "threads: 100000", "base.threads is 100000"),
        ("processes: 1", "processes: 100000", "engine.processes is 100000"),
        ("scheduler: null", "scheduler: tcp://host:99999", "engine.scheduler: 'tcp://host:99999' is no address"),
        ("news: news.txt", "news: ''", "corpus.sources.news.files is ''"),
        ("news: news.txt", "news: 'http://[::1/x'", "corpus.sources.news.files: http://.*Invalid IPv6 URL"),
        ("news: news.txt", "news: {files: a, weight: 1000}", "corpus.sources.news.weight is 1000"),
        ("min_characters: 8", "min_characters: 2000000", "min_characters 2000000 is more than max_characters 1000000"),
        (
            "max_predictions_per_seq: 5, dupe_factor: 2",
            "max_predictions_per_seq: 40, dupe_factor: 2",
            "max_predictions_per_seq 40 is more than max_seq_length 32; 15 % would be 5",
        ),
        ("num_hidden_layers: 4", "num_hidden_layers: 100000", "num_hidden_layers is 100000"),
        ("batch_size: 8, micro", "batch_size: 100000000, micro", "phases.0.batch_size is 100000000"),
        ("rbt3:\n      init", f"{'n' * 65}:\n      init", "pretrain.models.n+.*at most 64 characters"),
    ],
)
def test_value_that_only_a_slip_of_the_hand_can_be_is_refused_before_anything_runs(tmp_path, old, new, said):
    assert re.search(said, problem(tmp_path, re.escape(old), new))
