"""README.md and the pages of docs/ are true: commands, paths, keys and examples; the Chinese pages say the same."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import keeping
import numpy as np
import playing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from pydantic import BaseModel
from ruamel.yaml import YAML
from test_layout import ROOMS

from wwm import mask, params, segmenter, vocab
from wwm.common import files
from wwm.tasks import splits, task
from wwm.text import vocabulary

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README_ZH.md"]
GENERATED = {"docs/licences.md", "docs/params.md"}
IN_ENGLISH_ONLY = {"docs/performance.md", "docs/results.md"}
ENGLISH = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted({f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - GENERATED),
]
TWINS = {"README.md": "README_ZH.md", "CONTRIBUTING.md": "docs/zh/contributing.md"}
TWINS |= {page: page.replace("docs/", "docs/zh/") for page in ENGLISH if page not in IN_ENGLISH_ONLY | TWINS.keys()}
CHINESE = list(TWINS.values())
PAGES = [*ENGLISH, *CHINESE]
# Names on the hub or on GitHub, and what the pipeline writes, are no files of the repository.
NOT_HERE = {"LTP", "google-bert", "google-research", "nghuyong", "data", "models", "results", "scratch", ".prefect"}
GOLD = "使用 语言 模型 来 预测 下 一个 词 。\n语言 模型 的 词 。\n下 一个 词 的 预测 。".split("\n")
SENTENCE = "使用语言模型来预测下一个词的probability。"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(name: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text(name), re.M | re.S)


def blocks(name: str, *languages: str) -> list[str]:
    return [body for language, body in fences(name) if language in languages]


def prose(name: str) -> str:
    return re.sub(r"^```.*?^```$", "", text(name), flags=re.M | re.S)


def inline(name: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(name))


def commands(name: str) -> list[str]:
    return [line for block in blocks(name, "sh") for line in block.splitlines()]


def make_targets(name: str) -> set[str]:
    lines = [line for line in [*commands(name), *inline(name)] if line.startswith("make ")]
    return {word for line in lines for word in line.split()[1:] if "=" not in word}


def paths(name: str) -> set[str]:
    words = {word for code in inline(name) for word in code.split() if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", word)}
    named = {word for word in words if "/" in word or word.endswith((".py", ".yaml", ".md", ".cff", ".toml"))}
    # google-research/bert's, and files that a reader is to write.
    others = {"create_pretraining_data.py", "run_squad.py", *deployments()}
    return {word for word in named if "NAME" not in word and not word.startswith("runs/")} - others


def deployments() -> set[str]:
    """What Prefect calls the flows of prefect.yaml: the flow's name, which is its function's, and the deployment's."""
    described = YAML(typ="safe").load(text("prefect.yaml"))["deployments"]
    return {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" for one in described}


def keys(name: str) -> set[str]:
    sections = "|".join(params.Params.model_fields)
    return {code for code in inline(name) if re.fullmatch(rf"({sections})(\.\w+)+", code)} - {"vocab.txt"}


def links(name: str) -> set[str]:
    """Addresses as they are, files as seen from the root of the repository."""
    found = re.findall(r"\]\(([^)#]+)", prose(name))
    return {link if "://" in link else os.path.normpath(Path(name).parent / link) for link in found}


def merged(base: dict, change: dict) -> dict:
    common = [key for key, value in change.items() if isinstance(value, dict) and isinstance(base.get(key), dict)]
    return base | change | {key: merged(base[key], change[key]) for key in common}


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
    made = generate.generated()
    stale = [name for name, content in made.items() if Path(name).read_text(encoding="utf-8") != content]
    assert not stale, "run python docs/generate.py"
    for name in READMES:
        assert "| `demo` |" in text(name)


@pytest.mark.parametrize("name", [*READMES, "docs/results.md"])
def test_the_scores_are_those_of_the_demos_recipe(name):
    demo = params.read(ROOT / "presets/demo.yaml")

    def steps(model: str) -> int:
        if model in demo.truncate.models:
            return steps(demo.truncate.models[model].source)
        trained = demo.pretrain.models.get(model)
        return steps(trained.init) + sum(phase.steps for phase in trained.phases) if trained else 0

    # Other sections have models of other recipes.
    section = text(name).partition("\n## The eight tasks")[0]
    rows = re.findall(r"^\| ([\w-]+) \| [\d.]+M \| ([\d,]+) \| [\d.M]+ \|", section, re.M)
    shown = {model: int(count.replace(",", "")) for model, count in rows}
    assert shown == {model: steps(model) for model in demo.finetune.models}


@pytest.mark.parametrize("name", READMES)
def test_the_readme_has_200_lines_at_most(name):
    assert len(text(name).splitlines()) <= 200


def test_every_page_has_a_chinese_twin_and_is_linked_in_the_readme():
    assert {f"docs/zh/{path.name}" for path in (ROOT / "docs/zh").glob("*.md")} == {*CHINESE} - {"README_ZH.md"}
    for readme, pages in zip(READMES, ([*ENGLISH, *GENERATED], [*CHINESE, *IN_ENGLISH_ONLY, *GENERATED])):
        assert {*pages} - links(readme) == {readme}


@pytest.mark.parametrize("english, chinese", TWINS.items())
def test_both_languages_have_the_same_headings_and_the_same_examples(english, chinese):
    levels = [re.findall(r"^#+ ", prose(name), re.M) for name in (english, chinese)]
    assert levels[0] == levels[1] and levels[0]
    assert fences(english) == fences(chinese)
    anchors = [re.findall(r"<!-- .*? -->", text(name)) for name in (english, chinese)]
    parts = {"README.md": ("scores", "stages"), "docs/pipeline.md": ("graph",)}.get(english, ())
    assert anchors[0] == anchors[1] == [f"<!-- {end}{part} -->" for part in parts for end in ("", "/")]


@pytest.mark.parametrize("find", [make_targets, paths, keys, links])
@pytest.mark.parametrize("english, chinese", TWINS.items())
def test_both_languages_name_the_same_things(english, chinese, find):
    twins = TWINS | {"docs/pictures/play.png": "docs/pictures/play.zh.png"}
    assert {twins.get(word, word) for word in find(english)} == {twins.get(word, word) for word in find(chinese)}


@pytest.mark.parametrize("find", [make_targets, paths, keys, links])
@pytest.mark.parametrize("pages", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_the_pages_of_a_language_name_enough_to_check(pages, find):
    assert len(set().union(*map(find, pages))) > 5


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_is_in_the_makefile(name):
    assert make_targets(name) <= set(re.findall(r"^([\w-]+):", text("Makefile"), re.M))


@pytest.mark.parametrize("name", PAGES)
def test_every_path_in_backticks_is_in_the_repository(name):
    missing = [path for path in paths(name) if path.split("/")[0] not in NOT_HERE and not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_every_test_named_is_in_the_file_named_beside_it(name):
    found = re.findall(r"`(test_\w+)` in `(tests/\w+\.py)`|`(tests/\w+\.py)` 中的 `(test_\w+)`", text(name))
    pairs = [(one or other, file or other_file) for one, file, other_file, other in found]
    assert len(pairs) == len([word for word in inline(name) if word.startswith("test_")])
    assert not [pair for pair in pairs if f"\ndef {pair[0]}(" not in text(pair[1])]


@pytest.mark.parametrize("name", PAGES)
def test_every_key_named_is_one_of_params_yaml(name):
    assert not [key for key in keys(name) if not is_key(key)]


@pytest.mark.parametrize("name", PAGES)
def test_every_deployment_named_is_in_prefect_yaml(name):
    lines = [line for line in [*commands(name), *inline(name)] if re.search(r"\b(run|watch|pipeline)/[\w-]+", line)]
    named = {word for line in lines for word in re.findall(r"(?<![\w/])(?:run|watch|pipeline)/[\w-]+", line)}
    assert named <= deployments()
    assert not name.endswith("team.md") or named == deployments()


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_resolves(name):
    assert not [link for link in links(name) if "://" not in link and not (ROOT / link).exists()]


CONTRIBUTING = ["CONTRIBUTING.md", TWINS["CONTRIBUTING.md"]]


def table(name: str, first: str) -> str:
    """The table of a page that has `first` in its first row."""
    return next(
        rows for rows in re.findall(r"^\|---.*\n((?:\|.*\n)+)", text(name), re.M) if first in rows.split("\n")[0]
    )


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_the_map_names_every_folder_and_every_module_of_wwm(name):
    rows = re.findall(r"^\| `wwm/(?:(\w+)/)?` \| (.*) \|$", table(name, "params.yaml"), re.M)
    rooms = {path.name for path in (ROOT / "wwm").iterdir() if [*path.glob("*.py")]}
    assert {folder for folder, _ in rows} == {"", *rooms}
    for folder, row in rows:
        modules = {path.stem for path in (ROOT / "wwm" / folder).glob("*.py") if not path.stem.startswith("__")}
        stages = set() if folder else set(params.Params.model_fields) - {"base", "engine"}
        assert set(re.findall(r"`(\w+)`", row)) - {"wwm"} == modules - stages


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_a_folder_of_wwm_imports_only_folders_above_it_in_the_map(name):
    above = set()
    for room in re.findall(r"^\| `wwm/(\w+)/` \|", table(name, "params.yaml"), re.M):
        above |= {room}
        code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "wwm" / room).glob("*.py"))
        assert set(re.findall(r"^ *(?:from|import) wwm(?: import |\.)(\w+)", code, re.M)) <= above


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_who_may_import_whom_is_told_as_it_is_tested(name):
    rows = [
        re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| (`wwm/\w.*) \|$", table(name, "wwm/masks/"), re.M)
    ]
    told = {word.split("/")[1]: {*row} - {*rooms(row)} for row in rows for word in rooms(row)}
    assert told == ROOMS


def rooms(words: list[str]) -> list[str]:
    return [word for word in words if re.fullmatch(r"wwm/\w+/", word)]


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_names_of_code_are_in_the_code(name):
    """Classes, constants and what else has a capital or an underscore in it."""
    parts = {part for code in inline(name) for part in re.split(r"\W", code)}
    names = {part for part in parts if re.search("[A-Z_]", part) and "NAME" not in part}
    folders = [path for folder in ("wwm", "flows", "bench", "docs", "tests") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in folders if path.name != "test_readme.py")
    known = {*re.findall(r"\w+", code), *(path.stem for path in folders), *(path.stem for path in ROOT.glob("*.md"))}
    assert len(names) > 40 and not names - known


@pytest.mark.parametrize("name", CONTRIBUTING)
def test_locks_are_compared_as_told(name, tmp_path):
    (script,) = [body for body in blocks(name, "sh") if "dvc.lock" in body]
    for folder, hashes in (("before", "aaa"), ("after", "aba")):
        (tmp_path / folder).mkdir()
        outs = [
            {"path": path, "md5": md5} for path, md5 in zip(["data/demo", "models/bert", "results/scores.json"], hashes)
        ]
        with open(tmp_path / folder / "dvc.lock", "w", encoding="utf-8") as stream:
            YAML().dump({"schema": "2.0", "stages": {"made-up": {"cmd": "", "outs": outs}}}, stream)
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path / "after", env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "models/bert\n", "")


@pytest.mark.parametrize("name", ["docs/pipeline.md", "docs/zh/pipeline.md"])
def test_the_page_of_presets_names_them_all(name):
    rows = re.findall(r"^\| (`[^|]*) \|", text(name), re.M)
    named = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
    assert named == {path.stem for path in (ROOT / "presets").glob("*.yaml")}


@pytest.mark.parametrize("name", CHINESE)
def test_chinese_pages_have_no_word_that_the_terms_advise_against(name):
    rejected = re.findall(r"\| ([^|]+) \|$", text("docs/zh/terms.md"), re.M)
    words = {word for row in rejected for word in row.split("、")} - {"不用"}
    said = re.sub(r"<!-- scores -->.*?\n\n.*?\n\n|`[^`\n]+`|\]\([^)]*\)|<[^>]*>", " ", prose(name), flags=re.S)
    if name == "docs/zh/terms.md":
        said = re.sub(r"^\|.*$", "", said, flags=re.M)
    assert "你" in words and not [word for word in words if re.search(rf"(?<![a-z]){word}(?![a-z])", said)]


@pytest.mark.parametrize("example", [example for name in ENGLISH for example in blocks(name, "yaml")])
def test_every_yaml_example_is_valid_in_the_demos_params(example, tmp_path):
    yaml = YAML(typ="safe")
    change = yaml.load(example)
    values = merged(yaml.load(text("presets/demo.yaml")), change)
    # The example that empties truncate.models excludes the demo's rbt3, which starts there: its page says so.
    if change.get("truncate") == {"models": {}}:
        values["truncate"]["models"] = {}
        for section in ("pretrain", "finetune"):
            values[section]["models"] = change[section]["models"]
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as stream:
        YAML().dump(values, stream)
    params.read(tmp_path / "params.yaml")


def test_the_example_of_a_task_reads_its_example_of_a_file(tmp_path):
    ((name, rows),) = [(name, rows) for name in ENGLISH for rows in blocks(name, "csv")]
    given = [YAML(typ="safe").load(block).get("finetune", {}).get("tasks", {}) for block in blocks(name, "yaml")]
    (example,) = [found["questions"] for found in given if "questions" in found]
    own = example["define"]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text(rows, encoding="utf-8")
    described = task.own_task("questions", own["kind"], tuple(own["labels"]), own["columns"], (), "accuracy")
    data = splits.load_task(tmp_path, described, False, None, None)
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
    tokens = vocab.train(
        vocabulary.build(vocabulary.SPECIAL, True),
        lambda: [*("".join(words) for words in gold), *[SENTENCE] * 3],
        200,
        1,
    )
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, folder / "data/vocab")
    return folder


# Every command of the pages that begins with wwm, and its page.
WWM = {line: name for name in ENGLISH for line in commands(name) if line.startswith("wwm ")}


def run(line: str, folder: Path) -> str:
    line, _, given = line.partition(" < ")
    command = [sys.executable, "-c", "from wwm.cli import app; app()", *shlex.split(line)[1:]]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    content = (folder / given).read_text(encoding="utf-8") if given else None
    done = subprocess.run(command, cwd=folder, env=env, input=content, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm masks ")])
def test_masks_print_what_their_page_shows(line, project):
    said = run(line, project)
    (shown,) = [block for block in blocks(WWM[line], "text") if block.startswith("text ")]
    heads = [[row[:12] for row in output.splitlines() if not row[:1].isdigit()] for output in (said, shown)]
    draws = int(re.search(r"--draws (\d+)", line)[1])
    assert heads[0] == heads[1] and len(heads[0]) == 4 + 1 + 3 * draws
    assert said.splitlines()[0] == shown.splitlines()[0] == f"text        {SENTENCE}"
    assert said.splitlines()[1].startswith("words       使用 语言 模型 来 预测 下 一个 词 的")


def test_what_corpus_dropped_and_segment_cut_is_shown(project):
    rows = [{"rule": "short", "source": "web", "text": f"短{i}", "characters": 2} for i in range(4)]
    written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    files.write_text(project / "data/corpus/dropped.jsonl", written)
    (project / "data/segment/train").mkdir(parents=True)
    row = {"id": "a1", "source": "web", "text": "语言模型。好", "sentence_ends": [5, 6], "word_ends": [2, 4, 5, 6]}
    pq.write_table(pa.Table.from_pylist([row, row]), project / "data/segment/train/00000.parquet")
    dropped, words = [line for line in WWM if line.startswith("wwm show ") and ".arrow" not in line]
    assert run(dropped, project) == "\n\n".join(f"short, web, 2 characters\n短{i}" for i in range(3)) + "\n"
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
def test_examples_are_shown_as_on_their_page(line, project):
    shard = project / shlex.split(line)[2]
    tokens = list(files.lines(project / "data/vocab/vocab.txt"))
    pieces, begins = np.tile(np.arange(20, 40, dtype=np.uint16), 50), np.tile([True, False], 500)
    ends = np.arange(20, 1001, 20)
    settings = {"unit": "whole_word", "masking": "static", "next_sentence_prediction": False, "max_seq_length": 64}
    settings |= {"short_seq_prob": 0.1, "masked_lm_prob": 0.15, "max_predictions_per_seq": 10}
    settings |= {"random_token": "vocabulary"}
    documents = mask.Pieces(pieces, begins, ends, ends // 20, ends // 20, 0, 1000)
    rng = np.random.default_rng(0)
    batch = mask.make_examples(mask.examples_of(documents, settings, rng), documents, tokens, settings, rng)
    header = {"vocab": files.content_hash(project / "data/vocab/vocab.txt"), "settings": json.dumps(settings)}
    shard.parent.mkdir(parents=True)
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_file(sink, batch.schema.with_metadata(header)) as writer:
        writer.write_batch(batch)
    said = run(line, project).splitlines()
    (shown,) = [block.splitlines() for block in blocks(WWM[line], "text") if "masked_lm_prob " in block]
    assert {row[:26] for row in said if row[:26].strip() in settings} <= {row[:26] for row in shown}
    title, units, masked = said[-3:]
    assert re.fullmatch(r"example 1: 22 pieces, 2 to predict", title)
    assert re.fullmatch(r"example 1: \d+ pieces, \d+ to predict", shown[-3])
    words = [f"{tokens[i]} {tokens[i + 1]}" for i in range(20, 40, 2)]
    assert units == f"units   [CLS] | {' | '.join(words)} | [SEP]"
    assert masked.startswith("masked  [CLS] | ")
    assert sum(word not in words for word in masked[16:].split(" | ")[:-1]) >= 1


def test_presets_are_written_as_the_pages_say_and_own_params_are_kept(project):
    lines = [line for line in WWM if line.startswith("wwm preset ")]
    assert "wwm preset tiny" in lines
    own = [text("params.yaml") + f"# {number}\n" for number in (1, 2)]
    for written in own:
        (project / "params.yaml").write_text(written, encoding="utf-8")
        run("wwm preset tiny", project)
    for line in lines:
        run(line, project)
        assert (project / "params.yaml").read_text(encoding="utf-8") == text(f"presets/{line.split()[-1]}.yaml")
    assert [(project / f"params.yaml.{name}").read_text(encoding="utf-8") for name in ("bak", "bak2")] == own
    assert not (project / "params.yaml.bak3").exists()


def test_gaps_are_filled_as_their_page_shows(project):
    lines = [line for line in WWM if line.startswith("wwm fill ")]
    shown = [block.splitlines() for name in ENGLISH for block in blocks(name, "text") if "rank  probability" in block]
    (project / "texts.txt").write_text("使用语言[MASK][MASK]。\n预测[WORD]。\n", encoding="utf-8")
    for line in lines:
        if not (folder := project / line.split()[2]).exists():
            toy.model(folder, SENTENCE)
        said = run(line, project).splitlines()
        if " < " in line:
            assert [json.loads(row)["text"] for row in said] == ["使用语言[MASK][MASK]。", "预测[WORD]。"]
        elif WWM[line] not in ("README.md", "docs/results.md"):
            (same,) = [block for block in shown if block[0] == said[0]]
            assert said[1].split() == same[1].split() and len(said) == len(same)
    assert len(lines) == len(shown) + 2


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm plan ")])
def test_a_recipe_is_planned_as_the_pages_say(line, project, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert {"model", line.split()[2], "disk"} <= {row.split()[0] for row in run(line, project).splitlines() if row}


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm domain ")])
def test_a_params_file_is_written_for_text_model_and_task_as_the_pages_say(line, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    words = dict(zip(*[iter(shlex.split(line)[2:])] * 2))
    toy.model(tmp_path / "released", SENTENCE)
    (tmp_path / words["--text"]).mkdir()
    (tmp_path / words["--text"] / "1.txt").write_text(f"{SENTENCE}\n\n" * 50, encoding="utf-8")
    rows = "".join(f"第{number}句很好,1\n第{number}句不好,0\n" for number in range(30))
    (tmp_path / words["--task"]).write_text(f"text,label\n{rows}", encoding="utf-8")
    # The model of the page is on the hub.
    said = run(line.replace(words["--model"], "released"), tmp_path)
    assert "dvc repro" in said and params.read(tmp_path / "params.yaml").scores.tasks == ["opinions"]


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm compare ")])
def test_a_params_file_is_written_for_models_and_task_as_the_pages_say(line, tmp_path, monkeypatch):
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    monkeypatch.setattr("wwm.start.pace.SECONDS", 0.1)
    rows = "".join(f"第{number}句很好,1\n第{number}句不好,0\n" for number in range(30))
    (tmp_path / "opinions.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    # The models of the page are on the hub; tests/test_compare.py runs one.
    for number, name in enumerate(re.findall(r"hfl/\S+", line)):
        toy.model(tmp_path / f"released{number}", SENTENCE, layers=4)
        line = line.replace(name, f"released{number}")
    said = run(line.removesuffix(" --run"), tmp_path)
    assert "`dvc repro scores`" in said and len(params.read(tmp_path / "params.yaml").finetune.models) == 2


@pytest.mark.parametrize("line", [line for line in WWM if line == "wwm doctor"])
def test_doctor_tells_of_this_machine_and_folder(line, project):
    said = {row.split()[0] for row in run(line, project).splitlines() if row[:1].strip()}
    assert {"wwm", "Python", "CPU", "torch", "params.yaml"} <= said


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm play")])
def test_the_playground_serves_what_is_in_the_folder(line, project):
    toy.model(project / "models/bert", SENTENCE)
    with playing.served(project, *shlex.split(line)[2:]):
        pass


def test_models_are_used_as_the_pages_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keeping.model("single", ("negative", "positive")).rename("kept")
    Path("models/finetuned/reviews").mkdir()
    Path("kept").rename("models/finetuned/reviews/rbt3")
    Path("data/tasks/reviews").mkdir(parents=True)
    files.write_text("data/tasks/reviews/test.jsonl", '{"text": "很热", "label": "positive"}\n' * 3)
    # A report's own lines are the demo's.
    pages = [name for name in PAGES if name != "docs/results.md"]
    lines = {line for name in pages for line in commands(name) if "wwm predict" in line}
    assert len(lines) >= 2
    for line in lines:
        said = subprocess.run(
            ["bash", "-c", f'wwm() {{ "{sys.executable}" -c "from wwm.cli import app; app()" "$@"; }}; {line}'],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0 and (said.stdout or Path("said.csv").is_file()), said.stderr


@pytest.mark.parametrize("line", [line for line in WWM if line.startswith("wwm lineage")])
def test_lineage_is_asked_of_what_is_recorded(line, tmp_path):
    """What it answers is in test_registry.py."""
    done = subprocess.run(
        [sys.executable, "-c", "from wwm.cli import app; app()", *line.split()[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "mlflow.db is not here" in done.stderr


def test_every_wwm_command_of_the_pages_is_run_here():
    run = {"masks", "show", "f1", "fill", "preset", "domain", "compare", "plan", "doctor", "predict", "play", "lineage"}
    assert {line.split()[1] for line in WWM} == run
