"""README.md and README_ZH.md are true: commands, paths, keys and examples; the two say the same."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from wwm import mask, params, segmenter, vocab
from wwm.common import files
from wwm.tasks import splits, table
from wwm.text import vocabulary

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README_ZH.md"]
# Names on the hub or on GitHub, and what the pipeline writes, are no files of the repository.
NOT_HERE = {"LTP", "google-bert", "google-research", "data", "models", "results", "scratch"}
GOLD = "使用 语言 模型 来 预测 下 一个 词 。\n语言 模型 的 词 。\n下 一个 词 的 预测 。".split("\n")
SENTENCE = "使用语言模型来预测下一个词的probability。"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> list[str]:
    return [body for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", text(name), re.M | re.S) if language in languages]


def prose(name: str) -> str:
    return re.sub(r"^```.*?^```$", "", text(name), flags=re.M | re.S)


def inline(name: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(name))


def commands(name: str) -> list[str]:
    return [line for block in blocks(name, "sh") for line in block.splitlines()]


def merged(base: dict, change: dict) -> dict:
    return base | {key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value for key, value in change.items()}


def is_key(key: str) -> bool:
    """Whether a dotted key leads to a field of params.yaml; any name stands for an entry of a map."""
    section = params.Params
    for part in key.split("."):
        if isinstance(section, type) and issubclass(section, BaseModel):
            if part not in section.model_fields:
                return False
            section = section.model_fields[part].annotation
        elif getattr(section, "__origin__", None) is dict:
            section = section.__args__[1]
        else:
            return False
    return True


def test_what_is_generated_is_fresh(monkeypatch):
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("generate", "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    stale = [name for name, content in generate.generated().items() if Path(name).read_text(encoding="utf-8") != content]
    assert not stale, "run python docs/generate.py"
    for name in READMES:
        assert f"| `{next(iter(generate.CHINESE))}` |" in text(name)


@pytest.mark.parametrize("name", [*READMES, "docs/results.md"])
def test_the_scores_are_those_of_the_demos_recipe(name):
    demo = params.read(ROOT / "presets/demo.yaml")

    def steps(model: str) -> int:
        if model in demo.truncate.models:
            return steps(demo.truncate.models[model].source)
        trained = demo.pretrain.models.get(model)
        return steps(trained.init) + sum(phase.steps for phase in trained.phases) if trained else 0

    rows = re.findall(r"^\| ([\w-]+) \| [\d.]+M \| ([\d,]+) \| [\d.M]+ \|", text(name), re.M)
    assert {model: int(shown.replace(",", "")) for model, shown in rows} == {model: steps(model) for model in demo.scores.models}


def test_both_languages_have_the_same_headings_and_the_same_examples():
    levels = [re.findall(r"^#+ ", prose(name), re.M) for name in READMES]
    assert levels[0] == levels[1]
    for language in ("sh", "yaml", "python", "csv", "bibtex"):
        assert blocks(READMES[0], language) == blocks(READMES[1], language), language
    anchors = [re.findall(r"<!-- .*? -->", text(name)) for name in READMES]
    assert anchors[0] == anchors[1] == ["<!-- scores -->", "<!-- /scores -->", "<!-- stages -->", "<!-- /stages -->"]


@pytest.mark.parametrize("name", READMES)
def test_every_make_target_is_in_the_makefile(name):
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.M))
    named = {word for line in [*commands(name), *inline(name)] if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    assert named and named <= targets


@pytest.mark.parametrize("name", READMES)
def test_every_path_in_backticks_is_in_the_repository(name):
    words = {word for code in inline(name) for word in code.split()}
    paths = {word for word in words if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", word) and ("/" in word or word.endswith((".py", ".yaml", ".md", ".cff", ".toml")))}
    paths -= {"create_pretraining_data.py"}  # google-research/bert's
    missing = [path for path in paths if path.split("/")[0] not in NOT_HERE and not (ROOT / path).exists()]
    assert len(paths) > 5 and not missing


@pytest.mark.parametrize("name", READMES)
def test_every_key_named_is_one_of_params_yaml(name):
    sections = "|".join(params.Params.model_fields)
    keys = {code for code in inline(name) if re.fullmatch(rf"({sections})(\.\w+)+", code)} - {"vocab.txt"}
    assert len(keys) > 5 and not [key for key in keys if not is_key(key)]


@pytest.mark.parametrize("name", READMES)
def test_every_relative_link_resolves(name):
    links = [link for link in re.findall(r"\]\(([^)#]+)", text(name)) if "://" not in link]
    assert links and not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize("example", blocks(READMES[0], "yaml"))
def test_every_yaml_example_is_valid_in_the_demos_params(example, tmp_path):
    yaml = YAML(typ="safe")
    values = merged(yaml.load(text("presets/demo.yaml")), yaml.load(example))
    # The example that empties truncate.models and the demo's rbt3, which starts there, exclude each other: the README says so.
    if yaml.load(example).get("truncate") == {"models": {}}:
        values["truncate"]["models"] = {}
        for section in ("pretrain", "finetune"):
            values[section]["models"] = yaml.load(example)[section]["models"]
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as stream:
        YAML().dump(values, stream)
    params.read(tmp_path / "params.yaml")


def test_the_example_of_a_task_reads_its_example_of_a_file(tmp_path):
    (rows,) = blocks(READMES[0], "csv")
    given = [YAML(typ="safe").load(block).get("finetune", {}).get("tasks", {}) for block in blocks(READMES[0], "yaml")]
    (example,) = [found["questions"] for found in given if "questions" in found]
    own = example["define"]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text(rows, encoding="utf-8")
    data = splits.load_task(tmp_path, table.own_task("questions", own["kind"], tuple(own["labels"]), own["columns"], ()), False, None, None)
    assert [example.label for example in data.splits["train"].examples] == [1, 0]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the presets, and a toy segmenter and vocabulary where the pipeline would put them."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "presets", folder / "presets")
    gold = [line.split() for line in GOLD] * 10
    for name in ("segmenter", "vocab"):
        (folder / "data" / name).mkdir(parents=True)
    segmenter.train_perceptron(gold, gold, epochs=3, seed=1, folder=folder / "data/segmenter")
    tokens = vocab.train(lambda: [*("".join(words) for words in gold), *[SENTENCE] * 3], 200, 1)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, folder / "data/vocab")
    return folder


WWM = list(dict.fromkeys(line for line in commands(READMES[0]) if line.startswith("wwm ")))


def run(line: str, folder: Path) -> str:
    command = [sys.executable, "-c", "from wwm.cli import app; app()", *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm masks ")])
def test_masks_print_what_the_readme_shows(line, project):
    said = run(line, project)
    (shown,) = [block for block in blocks(READMES[0], "text") if block.startswith("text ")]
    heads = [[row[:12] for row in output.splitlines() if not row[:1].isdigit()] for output in (said, shown)]
    assert heads[0] == heads[1] and len(heads[0]) == 4 + 1 + 3 * 3
    assert said.splitlines()[0] == shown.splitlines()[0] == f"text        {SENTENCE}"
    assert said.splitlines()[1].startswith("words       使用 语言 模型 来 预测 下 一个 词 的")


def test_what_corpus_dropped_and_segment_cut_is_shown(project):
    rows = [{"rule": "short", "source": "web", "text": f"短{i}", "characters": 2} for i in range(4)]
    files.write_text(project / "data/corpus/dropped.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (project / "data/segment/train").mkdir(parents=True)
    row = {"id": "a1", "source": "web", "text": "语言模型。好", "sentence_ends": [5, 6], "word_ends": [2, 4, 5, 6]}
    pq.write_table(pa.Table.from_pylist([row, row]), project / "data/segment/train/00000.parquet")
    dropped, words = [line for line in WWM if line.startswith("wwm show ") and ".arrow" not in line]
    assert run(dropped, project) == "short, web, 2 characters\n短0\n\nshort, web, 2 characters\n短1\n\nshort, web, 2 characters\n短2\n"
    assert run(words, project) == "document 0: a1, from web\n语言 | 模型 | 。\n好\n"
    assert run(f"{words} --from 9", project) == "data/segment/train/00000.parquet has nothing from number 9 on\n"


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm f1 ")])
def test_f1_is_told_by_script_with_and_without_the_conversion(line, project):
    gold = ["语言 模型 的 词 。", "語言 模型 的 詞 。", "下 一个 词 的 预测 。"]
    (project / shlex.split(line)[-1]).write_text("\n".join(gold), encoding="utf-8")
    head, simplified, traditional = (row.split() for row in run(line, project).splitlines())
    assert simplified == ["simplified", "2", "11", "100.00", "100.00"]
    assert traditional[:3] == ["traditional", "1", "5"] and float(traditional[3]) <= float(traditional[4]) == 100


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm show ") and ".arrow" in line])
def test_examples_are_shown_as_in_the_readme(line, project):
    shard = project / shlex.split(line)[2]
    tokens = list(files.lines(project / "data/vocab/vocab.txt"))
    pieces, begins = np.tile(np.arange(20, 40, dtype=np.uint16), 50), np.tile([True, False], 500)
    ends = np.arange(20, 1001, 20)
    settings = {"unit": "whole_word", "masking": "static", "next_sentence_prediction": False, "max_seq_length": 64, "short_seq_prob": 0.1}
    settings |= {"masked_lm_prob": 0.15, "max_predictions_per_seq": 10, "random_token": "vocabulary"}
    batch = mask.make_examples(mask.Pieces(pieces, begins, ends, ends // 20, 0, 1000), tokens, settings, np.random.default_rng(0))
    header = {"vocab": files.content_hash(project / "data/vocab/vocab.txt"), "settings": json.dumps(settings)}
    shard.parent.mkdir(parents=True)
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_file(sink, batch.schema.with_metadata(header)) as writer:
        writer.write_batch(batch)
    said = run(line, project).splitlines()
    (shown,) = [block.splitlines() for block in blocks(READMES[0], "text") if "masked_lm_prob " in block]
    assert {row[:26] for row in said if row[:26].strip() in settings} <= {row[:26] for row in shown}
    title, units, masked = said[-3:]
    assert re.fullmatch(r"example 1: 22 pieces, 2 to predict", title) and re.fullmatch(r"example 1: \d+ pieces, \d+ to predict", shown[-3])
    words = [f"{tokens[i]} {tokens[i + 1]}" for i in range(20, 40, 2)]
    assert units == f"units   [CLS] | {' | '.join(words)} | [SEP]"
    assert masked.startswith("masked  [CLS] | ") and sum(word not in words for word in masked[16:].split(" | ")[:-1]) >= 1


def test_presets_are_written_as_the_readme_says_and_own_params_are_kept(project):
    lines = [line for line in WWM if line.startswith("wwm preset ")]
    assert lines[0] == "wwm preset tiny"
    own = [text("params.yaml") + f"# {number}\n" for number in (1, 2)]
    for written in own:
        (project / "params.yaml").write_text(written, encoding="utf-8")
        run(lines[0], project)
    for line in lines:
        run(line, project)
        assert (project / "params.yaml").read_text(encoding="utf-8") == text(f"presets/{line.split()[-1]}.yaml")
    assert [(project / f"params.yaml.{name}").read_text(encoding="utf-8") for name in ("bak", "bak2")] == own
    assert not (project / "params.yaml.bak3").exists()


def test_every_wwm_command_of_the_readme_is_run_here():
    assert {line.split()[1] for line in WWM} == {"masks", "show", "f1", "preset"}
