"""Writes what follows from the code: deps and params in dvc.yaml, tables of README.md and README_ZH.md, the graph of
docs/pipeline.md and its twin, docs/params.md and docs/tasks/.

By hand python docs/generate.py (tests/test_readme.py fails when something is stale)
        python docs/generate.py results/report/scores.md   after a demo that is to be the published one: takes its
                                                           tables over
"""

import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

from dvc.repo import Repo
from dvc.stage import PipelineStage
from ruamel.yaml import YAML

from wwm import params
from wwm.common import code
from wwm.params.explain import places
from wwm.params.fields import Changes, is_map
from wwm.report import words
from wwm.tasks.metrics import METRICS
from wwm.tasks.table import TASKS
from wwm.tasks.task import Task


def stage_table(chinese: bool) -> str:
    stages = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    rows = ["| 阶段 | 作用 | 输出 |" if chinese else "| stage | what it does | writes |", "|---|---|---|"]
    for name, stage in stages.items():
        body = stage.get("do", stage)
        outs = [
            next(iter(out)) if isinstance(out, dict) else out
            for out in [*body.get("outs", []), *body.get("metrics", [])]
        ]
        shown = ", ".join(
            "`"
            + re.sub(r"\$\{(item\.)?(\w+)\}", lambda m: {"key": "NAME", "item": "NAME"}.get(m[2], m[2].upper()), out)
            + "`"
            for out in outs
        )
        rows.append(f"| `{name}` | {body['meta']['zh'] if chinese else body['desc']} | {shown} |")
    return "\n".join(rows)


def stage_graph(stages: str) -> str:
    """Mermaid of what feeds what in the demo, as `dvc dag --collapse-foreach-matrix` has it, by dvc.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "dvc.yaml").write_text(stages, encoding="utf-8")
        shutil.copy("presets/demo.yaml", Path(folder, "params.yaml"))
        Path(folder, ".dvc").mkdir()
        Path(folder, ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
        with Repo(folder) as repo:
            order = list(dict.fromkeys(group(stage) for stage in repo.index.stages))
            feeds = {(group(source), group(stage)) for stage, source in repo.index.graph.edges}
    lines = [(source, [stage for stage in order if (source, stage) in feeds]) for source in order]
    edges = [f"  {source} --> {' & '.join(stages)}" for source, stages in lines if stages]
    return "\n".join(["```mermaid", "flowchart TD", *edges, "```"])


def group(stage: PipelineStage) -> str:
    return stage.name.partition("@")[0]


def dvc_yaml(text: str) -> str:
    """`text` with the code in every stage's `deps:` that can change its bytes, and in `params:` the keys that can; its
    other deps stay.
    """
    stages = YAML(typ="safe").load(text)["stages"]
    head, *parts = re.split(r"^(?=  \w+:$)", text, flags=re.M)
    # DVC fills in no default: a section that may be absent must be there to be repeated over.
    absent = [
        name
        for name, stage in stages.items()
        if {"foreach", "matrix"} & stage.keys() and not params.Params.model_fields[name].is_required()
    ]
    empty = ", ".join(f"{{{name}: {{{key}: {{}}}}}}" for name in absent for key in items_of(name, stages[name]))
    head = re.sub(r"^vars: .*", f"vars: [{empty}]", head, flags=re.M)
    return head + "".join(stage_block(part, *stage) for part, stage in zip(parts, stages.items()))


def stage_block(text: str, name: str, stage: dict) -> str:
    deps = stage.get("do", stage)["deps"]
    own = [str(path.relative_to(code.PACKAGE.parent)) for path in code.changing(name)]
    text = with_list(
        text, "deps", [*own, *(f'"{dep}"' if "$" in dep else dep for dep in deps if not dep.startswith("wwm/"))]
    )
    return with_list(text, "params", params_of(name, stage))


def with_list(text: str, key: str, values: list[str]) -> str:
    """`text` with other values in its one list `key: [...]`, over several lines where they do not fit into one."""
    indent = re.search(rf"^( +){key}: \[", text, re.M)[1]
    line = f"{indent}{key}: [{', '.join(values)}]"
    if len(line) > 120:
        lines = textwrap.wrap(", ".join(values), 118 - len(indent), break_long_words=False, break_on_hyphens=False)
        line = "\n".join([f"{indent}{key}: [", *(f"{indent}  {part}" for part in lines), f"{indent}]"])
    return re.sub(rf"^ +{key}: \[.*?\]$", lambda _: line, text, count=1, flags=re.M | re.S)


def items_of(name: str, stage: dict) -> dict[str, str]:
    """Key of the section that a stage is repeated over -> what dvc.yaml calls one of its items."""
    repeated = {"key": stage.get("foreach", "")} | {
        f"item.{variable}": of for variable, of in stage.get("matrix", {}).items()
    }
    return {
        match[1]: called for called, of in repeated.items() if (match := re.fullmatch(rf"\$\{{{name}\.(\w+)\}}", of))
    }


def params_of(name: str, stage: dict) -> list[str]:
    """A whole section, or for a stage of many items the keys that all of them share and the item's own."""
    items = items_of(name, stage)
    section = params.Params.model_fields[name].annotation
    if not items:
        return ["base", name]
    maps = {key for key, field in section.model_fields.items() if is_map(field.annotation)}
    assert maps <= items.keys(), (
        f"{name}: DVC would not see {maps - items.keys()}, which the stage is not repeated over"
    )
    shared = shared_keys(name)
    own = [
        f'"{name}.{key}.${{{place}}}"' for key, place in items.items() if is_map(section.model_fields[key].annotation)
    ]
    others = [
        each
        for key in section.reads
        for each in ([f'"{key}.${{{place}}}"' for place in items.values()] if "." in key else shared_keys(key))
    ]
    return ["base", *shared, *own, *others]


def shared_keys(name: str) -> list[str]:
    """Keys of a section that all its items share."""
    # DVC fills in no default, so that a key which may be absent can be named nowhere; a test has each of these change
    # nothing.
    section = params.Params.model_fields[name].annotation
    return [f"{name}.{key}" for key in section.own_keys(Changes.NOTHING) if section.model_fields[key].is_required()]


def params_reference() -> str:
    lines = [
        "# params.yaml",
        "",
        (
            "One section per stage. Generated from `wwm/params/`; `presets/demo.yaml` is a whole example; `*` stands"
            " for a name or a place in a list."
        ),
        "",
    ]
    for name, field in params.Params.model_fields.items():
        lines += [
            f"## `{name}`",
            "",
            field.annotation.__doc__ or "",
            "",
            "| key | meaning |",
            "|---|---|",
            *(f"| `{place}` | {key.description} |" for place, key in places(field.annotation)),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


KINDS = {
    "single": "one text, one label",
    "pair": "two texts, one label",
    "reading": "questions on a text",
    "tagging": "a tag for each token",
}
LAYOUTS = {
    "single": "`label` and `text` by name in a first line or in JSON objects, or by place with the label first or last",
    "pair": (
        "`text_a`, `text_b` and `label` (or `sentence1`, `sentence2`, `premise`, `hypothesis`, `gold_label`) by name,"
        " or by place with the label last"
    ),
    "reading": (
        "SQuAD-style JSON: `data`, `paragraphs`, `context`, `qas`, `id`, `question`, `answers`, `text`, `answer_start`"
    ),
    "tagging": "a token and its tag a line, an empty one between sentences (CoNLL), or JSON objects with lists of both",
}


def task_page(task: Task) -> str:
    """What wwm/tasks/table.py says of one task."""
    facts = {
        "kind": KINDS[task.kind],
        "home": f"<{task.source}>" if task.source.startswith("http") else task.source,
        "licence": task.licence,
        "version of this description": task.version,
        "metric": METRICS[task.metric].title,
        "scored": ", ".join(task.splits),
    }
    if task.labels:
        facts["answers that are no span" if task.kind == "reading" else "labels"] = ", ".join(
            f"`{label}`" if label else "none" for label in task.labels
        )
    if task.label_names:
        facts["other spellings of labels"] = ", ".join(
            f"`{other}` = `{label}`" for other, label in task.label_names.items()
        )
    if task.hidden:
        facts["hidden"] = ", ".join(f"{split}: {reason}" for split, reason in task.hidden.items())
    if task.sizes:
        facts["examples"] = ", ".join(f"{split} {count:,}" for split, count in task.sizes.items())
    if task.recipe:
        sizes = (task.recipe.max_seq_length, task.recipe.batch_size, task.recipe.epochs)
        facts["length, batch, epochs"] = f"{', '.join(map(str, sizes))} (ours: the authors' page does not give them)"
        facts["learning rate, the authors'"] = ", ".join(
            f"{rate:g} ({model} models)" for model, rate in task.recipe.learning_rates.items()
        )
    layout = f"one file for each split whose name has `train`, `dev` or `val`, `test` in it; {LAYOUTS[task.kind]}"
    facts["files in data/tasks/" + task.name] = layout + (
        "; or a folder of `.txt` for each label" if task.name == "thucnews" else ""
    )
    if task.hub:
        facts["fetched by"] = f"`fetch.tasks: {{{task.name}: hub}}`, from the data set `{task.hub.name}`"
    else:
        facts["fetched by"] = (
            "hand, from its home; see the licence" if task.source.startswith("http") else "the stage `demo`"
        )
    for name, digest in task.sha256.items():
        facts[f"sha256 of {name}"] = f"`{digest}`" if digest else "not known"
    note = f"\n\nOn the authors' figures: {task.footnote}" if task.footnote else ""
    return (
        f"# {task.title}\n\n{task.remark}\n\n| | |\n|---|---|\n"
        + "\n".join(f"| {key} | {value} |" for key, value in facts.items())
        + note
        + "\n"
    )


def task_index() -> str:
    rows = [
        f"| [{task.title}]({name}.md) | `{name}` | {KINDS[task.kind]} | {task.remark} |" for name, task in TASKS.items()
    ]
    head = (
        "# Tasks\n\nGenerated from `wwm/tasks/table.py`.\n\n| task | name in params.yaml | kind | what it asks"
        " |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def between(name: str, text: str, content: str) -> str:
    """`text` with `content` between its anchors `name`."""
    return re.sub(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", lambda m: m[1] + content + m[2], text, flags=re.S)


def demo_record(scores: str) -> str:
    """What docs/results.md keeps of results/report/scores.md: all but the title, headings one level lower."""
    return re.sub(r"^## ", "### ", scores.removeprefix("# Scores").strip(), flags=re.M)


def scores_summary(record: str, chinese: bool) -> str:
    """The table and the claims of a README, from docs/results.md; what holds is counted, the rest is named."""
    parts = record.split("\n\n")
    tasks, cloze = (
        [row.strip("| ").split(" | ") for row in parts[i + 2].splitlines()]
        for title in ("### Tasks", "### Cloze")
        for i, part in enumerate(parts)
        if part.startswith(title)
    )
    kept = [column for column, head in enumerate(tasks[0]) if " dev" not in head]
    column = next(i for i, head in enumerate(cloze[0]) if head.startswith("whole words"))
    filled = {row[0]: row[column] for row in cloze} | {tasks[0][0]: f"cloze: {cloze[0][column]}"}
    table = "\n".join(
        f"| {' | '.join([*(row[column] for column in kept), filled.get(row[0], '–')])} |" for row in tasks
    )
    claims = [
        [statement, *re.findall(r"^  - (?!It holds)(.*)", details, re.M)]
        for statement, details in re.findall(r"^- . (.*)\n((?:  - .*\n)*)", record, re.M)
        if "comparisons" in statement  # the gate's verdict is in docs/results.md
    ]
    if chinese:
        head = "测试集准确率，各随机种子的最大值（平均值），单位 %；以及在留出文本上填出被掩码的整个词（cloze）："
        claims = [["".join(map(in_chinese, claim))] for claim in claims]
    else:
        head = (
            "Accuracy on the test sets, max (mean) over the seeds, in percent, and how well masked whole words of"
            " held-out text are filled in (cloze):"
        )
    if any(name.endswith(": in its text") for name in tasks[0]):
        own = (
            "; in its text: of how many examples, in percent, a part / a whole text stands in what the model was"
            " pre-trained on",
            "；in its text：模型的预训练文本中出现过其一部分 / 一整段文本的样本，单位 %",
        )[chinese]
        head = f"{head[:-1]}{own}{head[-1]}"
    return "\n\n".join([head, table, "\n".join(f"- {' '.join(claim)}" for claim in claims)])


# What the report says of claims, the parts after the whole.
SAID = (
    "{statement}: holds, in {kept} of {made} comparisons.",
    "{statement}: holds in part, in {kept} of {made} comparisons.",
    "{statement}: does not hold, in {kept} of {made} comparisons.",
    "{statement}: n/a, in {kept} of {made} comparisons.",
    "Not told apart: {which}.",
    "The reverse holds for {which}.",
    "Without an interval: {which}.",
    "Masks of {larger} beat masks of {smaller}, all else equal",
    "{model} against {against} on {task} ({difference})",
    "{difference}, {interval}",
    "{low} to {high}",
    "{number} nats",
    "n/a ({why})",
)


def in_chinese(text: str) -> str:
    """What the report says of a claim, in the words of its Chinese."""
    known = words.catalogue()["report"]
    if text in known:
        return known[text]
    if "; " in text and not text.endswith("."):
        return "；".join(map(in_chinese, text.split("; ")))
    for english in SAID:
        if match := words.pattern(english).fullmatch(text):
            return known[english].format(**{name: in_chinese(value) for name, value in match.groupdict().items()})
    return text


def generated(scores: str | None = None) -> dict[str, str]:
    """File -> what it should hold; `scores` is a new results/report/scores.md of the demo to take over."""
    results = Path("docs/results.md").read_text(encoding="utf-8")
    if scores:
        results = between("demo", results, demo_record(scores))
    record = re.search(r"<!-- demo -->\n(.*?)\n<!-- /demo -->", results, re.S)[1]
    made = {
        "dvc.yaml": dvc_yaml(Path("dvc.yaml").read_text(encoding="utf-8")),
        "docs/params.md": params_reference(),
        "docs/results.md": results,
        "docs/tasks/README.md": task_index(),
    }
    made |= {f"docs/tasks/{name}.md": task_page(task) for name, task in TASKS.items()}
    graph = stage_graph(made["dvc.yaml"])
    for name in ("docs/pipeline.md", "docs/zh/pipeline.md"):
        made[name] = between("graph", Path(name).read_text(encoding="utf-8"), graph)
    for name, chinese in (("README.md", False), ("README_ZH.md", True)):
        made[name] = between("stages", Path(name).read_text(encoding="utf-8"), stage_table(chinese))
        made[name] = between("scores", made[name], scores_summary(record, chinese))
    return made


if __name__ == "__main__":
    for name, text in generated(Path(sys.argv[1]).read_text(encoding="utf-8") if sys.argv[1:] else None).items():
        Path(name).write_text(text, encoding="utf-8")
