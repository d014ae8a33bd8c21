"""What a stage finds of other stages, of tasks and of tools: cut off, empty, of another kind; and bad command lines."""

import os
from pathlib import Path

from bad_inputs import Bad
from bad_text import BINARIES
from damage import changed, each, half, nothing, params_of, put, shaped, with_keys, zeroed

ARROW = "data/mask/whole-word/64/train"
SEGMENTED = "data/segment/train/00000.parquet"
TRAIN = "data/tasks/reviews/train.jsonl"
TASK = "data/tasks/reviews/train.tsv"  # in its place
RESULT = "results/finetune/reviews/rbt3.json"
OPTIONS = [
    *("wwm masks 天气 --seed -1", "wwm masks 天气 --draws 1000000000", "wwm masks 天气 --masked-lm-prob 7"),
    *("wwm masks 天气 --vocab nowhere", "wwm masks 天气 --segmenter nowhere", "wwm show nowhere.arrow"),
    *("wwm masks \udcff", "wwm fill models/rbt3 \udcff[MASK]", "wwm plan tiny --characters inf", "wwm preset ''"),
    *("wwm show params.yaml", f"wwm show {SEGMENTED} 0", f"wwm show {SEGMENTED} --from -1", "wwm nothing"),
    *("wwm f1 nowhere.txt", "wwm f1 data/demo/words.txt --segmenter nowhere", "wwm predict nowhere texts.txt"),
    *("wwm predict models/bert texts.txt", "wwm predict models/finetuned/reviews/rbt3 nowhere.txt"),
    *("wwm fill nowhere 好[MASK]", "wwm fill models/bert 没有", "wwm fill models/bert 好[MASK] --top-k 1000000000"),
    *("wwm fill models/bert 好[MASK] --beam 0", "wwm fill models/bert 好[MASK] --top-k 9 --beam 3"),
    *("wwm fill models/random 好[MASK]", "wwm fill models/finetuned/reviews/rbt3 好[MASK]", "wwm preset nothing"),
    *("wwm preset ../../etc/passwd", "wwm clean --days -1", "wwm clean --days nan", "wwm play nowhere --port 7861"),
    *("wwm play --port 99999", "mask nothing", "init nobody", "pretrain nobody", "truncate nobody", "cloze nobody"),
    *("finetune nobody reviews", "finetune rbt3 nothing", "characters nothing", "overlap nothing", "fetch nothing"),
]


def within_zeroed(content: bytes) -> bytes:
    return content[:4096] + bytes(len(content) - 8192) + content[-4096:]


def cases() -> list[Bad]:
    said = [Bad(command, command, nothing, "") for command in OPTIONS]
    first = f"{ARROW}/00000.arrow"
    arrow = {
        "cut off": half(first),
        "empty": put(first, b""),
        "of text": put(first, "no Arrow\n"),
        "zeroed at its start": zeroed(first, 0.0),
        "zeroed but for its ends": changed(
            first, lambda content: content[:4096] + bytes(len(content) - 8192) + content[-4096:]
        ),
        "zeroed at its end": zeroed(first, 0.97),
        "of another program": put(first, shaped("Parquet")),
    }
    found = [Bad(f"pretrain, a shard {name}", "pretrain rbt3", damage, "00000.arrow") for name, damage in arrow.items()]
    found += [
        Bad("pretrain, no examples", "pretrain rbt3", lambda: Path("data/mask").rename("data/other"), "data/mask"),
        Bad("pretrain, no start", "pretrain rbt3", lambda: Path("models/rbt3-init").rename("models/x"), "rbt3-init"),
        Bad("pretrain, another vocabulary", "pretrain rbt3", put("models/rbt3-init/vocab.txt", "[PAD]\n"), "vocab"),
    ]
    found += [
        Bad(
            f"accelerate file {name}",
            "pretrain bert",
            each(put("acc.yaml", content), params_of({"pretrain.accelerate": "acc.yaml"})),
            "acc.yaml",
        )
        for name, content in {
            "a list": "- a\n",
            "a word": "x\n",
            "empty": "",
            "no YAML": "{a: [\n",
            "of an unknown key": "nothing: 1\n",
            "of maybe processes": "compute_environment: LOCAL_MACHINE\nnum_processes: maybe\n",
            "of zeros": bytes(100),
            "of no processes": "compute_environment: LOCAL_MACHINE\nnum_processes: 0\n",
        }.items()
    ]
    found += [
        Bad("accelerate file missing", "pretrain bert", params_of({"pretrain.accelerate": "acc.yaml"}), "acc.yaml")
    ]
    segmented = {
        "cut off": half(SEGMENTED),
        "empty": put(SEGMENTED, b""),
        "of text": put(SEGMENTED, "x"),
        "zeroed": zeroed(SEGMENTED),
        "of another stage": put(SEGMENTED, shaped("Parquet")),
    }
    found += [Bad(f"mask, a shard {name}", "mask whole-word", one, "00000.parquet") for name, one in segmented.items()]
    found += [
        Bad("mask, no vocabulary", "mask whole-word", lambda: Path("data/vocab").rename("data/x"), "data/vocab"),
        Bad("mask, tokenizer cut off", "mask whole-word", half("data/vocab/tokenizer.json"), "tokenizer.json"),
        Bad(
            "mask, no segmented text", "mask whole-word", lambda: Path("data/segment").rename("data/x"), "data/segment"
        ),
    ]
    held = "data/segment/heldout/00000.parquet"
    found += [
        Bad("cloze, a shard cut off", "cloze rbt3", half(held), "00000.parquet"),
        Bad("cloze, a shard zeroed", "cloze rbt3", zeroed(held), "00000.parquet"),
        Bad("cloze, no held-out text", "cloze rbt3", lambda: Path("data/segment").rename("data/x"), "data/segment"),
    ]
    shown = {
        "x.arrow": [b"", b"x", shaped("Parquet")],
        "x.parquet": [b"", b"x", shaped("zip"), bytes(900)],
        "x.jsonl": [b"[", b"[1]\n", b"7\n", b'{"a": 1}\n', bytes(100), b"[" * 200_000, "天".encode("gb18030")],
    }
    found += [
        Bad(f"show {name}, {content[:12]!r}", f"wwm show {name}", put(name, content), name)
        for name, contents in shown.items()
        for content in contents
    ]
    found += [Bad("show, another vocabulary", f"wwm show {first} --vocab v.txt", put("v.txt", "a\n"), "v.txt")]
    table = Path(TRAIN)
    rows = {
        **{name: content for name, content in BINARIES.items() if name != "blanks"},
        "an unknown label": "label\ttext\nmaybe\t很好\n".encode(),
        "no label": "text\n很好\n".encode(),
        "no text": b"label\ttext\n1\t\n",
    }
    found += [
        Bad(f"task, {name}", "finetune rbt3 reviews", each(table.unlink, put(TASK, content)), "train")
        for name, content in rows.items()
    ]
    lines = {
        "one label alone": '{"text": "很好", "label": "positive"}\n' * 9,
        "half a character in a text": '{"text": "很好\\ud800", "label": "positive"}\n',
        "a list for a text": '{"text": ["很好"], "label": "positive"}\n',
        "NaN for a text": '{"text": NaN, "label": "positive"}\n',
        "an object for a text": '{"text": {"a": 1}, "label": "positive"}\n',
        "a list for a label": '{"text": "很好", "label": ["1"]}\n',
        "nested 200,000 deep": "[" * 200_000,
        "nested 200,000 deep in a line": '{"text": ' + "[" * 200_000 + "\n",
        "cut off": '{"text": "很',
        "a number of 5,000 digits": '{"text": "很好", "label": %s}\n' % ("9" * 5000),
        "a list of numbers": "[1, 2]",
        "empty": "",
    }
    packed = {"of text": b"x" * 50, "empty": b"", "cut off": shaped("Parquet")[:150]}
    found += [
        Bad(
            f"task in {kind}, {name}",
            "finetune rbt3 reviews",
            each(table.unlink, put(f"data/tasks/reviews/{file}", content)),
            file,
        )
        for kind, file, contents in (("JSON", "train.json", lines), ("Parquet", "train.parquet", packed))
        for name, content in contents.items()
    ]
    found += [
        Bad(
            "task, no folder",
            "finetune rbt3 reviews",
            lambda: Path("data/tasks/reviews").rename("data/x"),
            "data/tasks/reviews",
        ),
        Bad("task, no train file", "finetune rbt3 reviews", table.unlink, "train"),
        Bad(
            "task, a pipe",
            "finetune rbt3 reviews",
            each(table.unlink, lambda: os.mkfifo(table)),
            "train",
        ),
        Bad(
            "task, a link to nothing",
            "finetune rbt3 reviews",
            each(table.unlink, lambda: table.symlink_to("x")),
            "train",
        ),
        Bad("characters, a zip", "characters reviews", each(table.unlink, put(TASK, shaped("zip"))), "train"),
    ]
    predict = "wwm predict models/finetuned/reviews/rbt3"
    found += [
        Bad(f"predict, {name}", f"{predict} given{ending}", put(f"given{ending}", content), "given")
        for name, ending, content in [
            ("a zip", ".txt", shaped("zip")),
            ("zeros", ".txt", bytes(500)),
            ("GB18030", ".csv", "text\n很好\n".encode("gb18030")),
            ("no ending", "", b"x"),
            ("a folder's name", ".xlsx", b"x"),
            ("a list in JSON", ".json", b"[1]"),
            ("JSON cut off", ".jsonl", b'{"text": "'),
            ("deep JSON", ".jsonl", b"[" * 200_000),
            ("empty", ".txt", b""),
            ("a list for a text", ".jsonl", b'{"text": ["x"]}\n'),
            ("Parquet of text", ".parquet", b"x" * 40),
        ]
    ]
    results = {
        "cut off": half(RESULT),
        "empty": put(RESULT, b""),
        "of nothing": put(RESULT, "{}"),
        "a list": put(RESULT, "[]"),
        "a number": put(RESULT, "7"),
        "nested 200,000 deep": put(RESULT, "[" * 200_000),
        "without seeds": with_keys(RESULT, seeds=[]),
        "without scores": with_keys(RESULT, seeds=[{"seed": 1}]),
        "with a text for a score": with_keys(RESULT, seeds=[{"seed": 1, "scores": {"dev": {"accuracy": "high"}}}]),
        "without its figures": lambda: Path(RESULT).with_suffix(".parquet").unlink(),
        "with figures cut off": half(Path(RESULT).with_suffix(".parquet")),
        "with figures of something else": put(Path(RESULT).with_suffix(".parquet"), shaped("Parquet")),
    }
    found += [Bad(f"scores, a result {name}", "scores", damage, "rbt3") for name, damage in results.items()]
    found += [
        Bad(f"scores, {file} {name}", "scores", damage, file.rpartition("/")[2].replace(".", r"\."))
        for file in (
            "results/cloze/rbt3.json",
            "results/pretrain/rbt3.json",
            "results/overlap/reviews.json",
            "results/cloze/rbt3.csv",
            "results/pretrain/rbt3.csv",
        )
        for name, damage in {
            "cut off": half(file),
            "of nothing": put(file, "{}"),
            "a list": put(file, "[]"),
            "zeros": put(file, bytes(100)),
        }.items()
    ]
    found += [Bad("scores, no results at all", "scores", lambda: Path("results").rename("other"), "results")]
    return [*said, *found]
