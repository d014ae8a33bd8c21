"""Single keys of params.yaml that are set from outside: what a form may send, and what becomes of the file."""

from pathlib import Path

import jsonschema
import pytest

from wwm import params
from wwm.common.errors import UserError
from wwm.params import overrides

TINY = Path("presets/tiny.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("finetune.seeds", 0, "0 is less than the minimum of 1"),
        ("finetune.seeds", "3", "'3' is not of type 'integer'"),
        ("finetune.seedz", 3, "no such key"),
        ("finetune", {}, "no such key"),
        ("pretrain.models.bert.phases.0.steps", 0, "0 is less than the minimum of 1"),
        ("pretrain.models.bert.phases.0.step", 9, "no such key"),
        ("pretrain.models.bert.phases.first.steps", 9, "no such key"),
        ("pretrain.models.-b.seed", 9, "no such key"),
        ("scores.language", "fr", "'fr' is not one of"),
        ("init.models.random.architecture.hidden_size", -1, "-1 is less than"),
    ],
)
def test_a_form_refuses_what_no_params_yaml_may_hold(key, value, said):
    with pytest.raises(jsonschema.ValidationError) as error:
        jsonschema.validate({key: value}, overrides.schema())
    assert said in error.value.message.replace(overrides.UNKNOWN, "no such key")


@pytest.mark.parametrize("preset", sorted(Path("presets").glob("*.yaml"), key=str), ids=lambda path: path.stem)
def test_a_form_takes_every_value_of_every_preset(preset):
    """Each key of the file, at any depth, as an override of its own; and the file with all of them is what it was."""
    from ruamel.yaml import YAML

    text = preset.read_text(encoding="utf-8")

    def below(node, prefix=""):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            if prefix:
                yield f"{prefix}{name}", value
            inside = isinstance(value, dict) or isinstance(value, list) and value and isinstance(value[0], dict)
            if inside:
                yield from below(value, f"{prefix}{name}.")

    keys = dict(below(YAML(typ="safe").load(text)))
    known = {key: value for key, value in keys.items() if not key.rpartition(".")[2].isdigit()}
    # A map of plain values is set as a whole.
    known = {key: value for key, value in known.items() if ".columns." not in key}
    assert len(known) > 60
    jsonschema.validate(known, overrides.schema())
    assert params.parsed(overrides.applied(text, known)) == params.parsed(text)


def test_a_key_of_a_section_that_the_file_lacks_is_set_too():
    changes = {"pretrain.models.bert.milestones": 5, "milestones.models.bert-5": {"source": "bert", "step": 5}}
    values = params.parsed(overrides.applied(TINY, changes))
    assert values.milestones.models["bert-5"].step == 5 and values.truncate == params.parsed(TINY).truncate


def test_what_is_set_is_all_that_changes_in_the_file():
    given = {"pretrain.models.bert.phases.0.steps": 77, "engine.processes": 2, "finetune.seeds": 3}
    changed = overrides.applied(TINY, given)
    lines = [(a, b) for a, b in zip(TINY.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert len(lines) == 3 and all("77" in b or "2" in b or "3" in b for _, b in lines)
    assert params.parsed(changed).pretrain.models["bert"].phases[0].steps == 77
    assert overrides.applied(TINY, {}) == TINY


def test_a_comment_goes_with_the_value_that_it_speaks_of():
    text = Path("presets/domain.yaml").read_text(encoding="utf-8")
    changed = overrides.applied(
        text,
        {
            "mask.masked_lm_prob": 0.3,
            "mask.short_seq_prob": 0.0,
            "pretrain.precision": "fp32",
            "pretrain.models.domain.phases.0.steps": 500,
            "mask.sets.whole-word.lengths": [{"max_seq_length": 40, "max_predictions_per_seq": 6, "dupe_factor": 5}],
            "corpus.sources": {"own": {"files": "own/#*.txt"}},
        },
    )
    gone = [line for line in text.split("\n") if "#" in line and line not in changed]
    assert [" ".join(line.partition("#")[2].split()[:2]) for line in gone] == [
        "Your own",
        "is taken",
        "[google]",
        "77 [google];",
        "bfloat16 where",
        "rate [issue",
    ]
    assert "\n  masked_lm_prob: 0.3\n  short_seq_prob: 0.0  # all long, not mixed [issue 181]\n" in changed


def test_what_looks_like_a_comment_within_a_text_is_none():
    text = r"""corpus:
  folder: "新闻 # 一\" # 二"  # of the folder
  sources:
    own: "《
      # 三》"  # of own
    other: |
      # 四
  # of all
  heldout_share: 0.1
"""
    changed = overrides.applied(text, {"corpus.sources.own": 1, "corpus.folder": "news"})
    assert (
        changed
        == """corpus:
  folder: "news"
  sources:
    own: 1
    other: |
      # 四
  # of all
  heldout_share: 0.1
"""
    )


def test_an_item_is_added_whole():
    task = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, "max_seq_length": 32}
    changed = params.parsed(overrides.applied(TINY, {"finetune.tasks.chnsenticorp": task, "scores.tasks": ["reviews"]}))
    assert changed.finetune.tasks["chnsenticorp"].epochs == 2
    both = {"finetune.tasks.chnsenticorp": task, "finetune.tasks.chnsenticorp.epochs": 3}
    assert params.parsed(overrides.applied(TINY, both)).finetune.tasks["chnsenticorp"].epochs == 3


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("pretrain.models.brt.phases.0.steps", "pretrain.models has no brt; it has bert, roberta-wwm-ext, rbt3"),
        ("pretrain.models.rbt3.phases.1.steps", "pretrain.models.rbt3.phases is a list of 1; say 0 to 0 for 1"),
        ("base.seed.x", "base.seed is 1 and holds no x; set base.seed as a whole"),
        ("seed", "seed is no key of params.yaml"),
    ],
)
def test_a_key_that_leads_nowhere_is_told_with_what_is_there(key, said):
    with pytest.raises(UserError) as error:
        overrides.applied(TINY, {key: 3})
    assert said in str(error.value) and key in str(error.value)
