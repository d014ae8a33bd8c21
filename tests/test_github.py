"""What contributors are asked on GitHub; docs/faq.md and its Chinese twin have the same questions, and are true."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wwm import params

ROOT = Path(__file__).parent.parent
FAQS = ["docs/faq.md", "docs/zh/faq.md"]
RELEASED = ["bert", "bert-wwm", "bert-wwm-ext", "roberta-wwm-ext", "roberta-wwm-ext-large", "rbt3", "rbtl3"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def load(name: str) -> dict:
    return YAML(typ="safe").load(text(name))


def blocks(name: str, language: str = r"\w+") -> list[str]:
    return re.findall(rf"^```{language}\n.*?^```$", text(name), re.M | re.S)


def merged(base: dict, change: dict) -> dict:
    both = {key: merged(base[key], change[key]) for key in base.keys() & change if isinstance(change[key], dict)}
    return base | change | both


def test_workflow_runs_what_is_run_by_hand_with_no_right_but_to_read():
    workflow = load(".github/workflows/ci.yml")
    assert set(workflow["on"]) == {"push", "pull_request"} and workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert job["timeout-minutes"] and "make test" in text(".ci/run")


@pytest.mark.parametrize("name", ["bug", "reproduction"])
def test_form_asks_for_the_output_of_wwm_doctor(name):
    fields = [part for part in load(f".github/ISSUE_TEMPLATE/{name}.yml")["body"] if part["type"] == "textarea"]
    (doctor,) = [field for field in fields if "wwm doctor" in str(field["attributes"]) and field["id"] == "doctor"]
    assert doctor["validations"]["required"]


def test_both_faqs_have_the_same_sixteen_questions_and_the_same_examples():
    heads = [re.findall(r"^(#+ (?:\d+\.)?)", re.sub("```.*?```", "", text(name), flags=re.S), re.M) for name in FAQS]
    assert heads[0] == heads[1] == ["# ", *(f"## {number}." for number in range(1, 17))]
    assert blocks(FAQS[0]) == blocks(FAQS[1])


@pytest.mark.parametrize("name", FAQS)
def test_links_of_the_faq_lead_somewhere(name):
    links = [link for link in re.findall(r"\]\(([^)#]+)", text(name)) if "://" not in link]
    assert links and not [link for link in links if not (ROOT / name).parent.joinpath(link).exists()]


@pytest.mark.parametrize("example", blocks(FAQS[0], "yaml"))
def test_example_of_the_faq_is_valid_in_the_demos_params(example, tmp_path):
    values = merged(load("presets/demo.yaml"), YAML(typ="safe").load(example.strip("`").removeprefix("yaml")))
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as stream:
        YAML().dump(values, stream)
    params.read(tmp_path / "params.yaml")


@pytest.mark.parametrize("name", FAQS)
def test_table_of_the_faq_has_the_values_of_the_presets(name):
    rows = {}
    for preset in RELEASED:
        phases = params.read(ROOT / f"presets/{preset}.yaml").pretrain.models[preset].phases
        phases = [phase for phase in phases if phase.train != "mlm_head"]
        sizes = {phase.max_seq_length: f"{phase.steps:,} x {phase.batch_size:,}" for phase in phases}
        (how,) = {f"`{phase.optimizer}` | {phase.learning_rate:.0e}".replace("e-0", "e-") for phase in phases}
        cells = "".join(f" {sizes[length]} |" if length in sizes else " |" for length in (128, 512))
        rows[preset] = f"| `{preset}` |{cells} {how} |"
    assert re.findall(r"^\| `.*$", text(name), re.M) == list(rows.values())
