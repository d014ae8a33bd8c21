"""What models were trained on, and what that cost, in the form of the authors' comparison of their models."""

import csv
from pathlib import Path
from typing import Any

from wwm.common import files, times
from wwm.common.errors import UserError
from wwm.report.claims import UNITS
from wwm.report.results import Results
from wwm.report.tables import Table, amount, flops
from wwm.report.words import say

AUTHORS = Path(__file__).with_name("authors_models.csv")
OPTIMIZERS = {"adamw": "AdamW", "lamb": "LAMB", "lamb-ymcui": "LAMB (ymcui)", "muon": "Muon"}
# By hidden size and heads: what the authors call it, and how many layers it has.
SIZES = {(768, 12): ("base", 12), (1024, 16): ("large", 24)}
UNKNOWN = "?"  # as they have it
VOCABULARY = "21,128"  # of all of theirs


def cost_table(results: Results) -> Table:
    """A row for each model that was trained here, and one for each of the authors'."""
    ours = [ours_row(results, model) for model in results.models if model in results.pretrain]
    with open(AUTHORS, encoding="utf-8", newline="") as file:
        theirs = [theirs_row(row) for row in csv.DictReader(file)]
    header = [
        *("model", "masking", "size", "next sentence prediction", "data", "training tokens", "steps", "batch"),
        *("optimizer", "vocabulary", "initial checkpoint", "device", "FLOPs", "with starting points"),
    ]
    caption = say(
        "FLOPs: forward and backward passes and what an optimizer multiplies, without padding. The authors' rows are"
        " what they told of their models, ? what they did not; their FLOPs are worked out here from steps and batch, as"
        " if all rows were full."
    )
    rows = [*ours, *theirs] if ours else []
    return Table(say("What the models were trained on, and what it cost"), caption, list(map(say, header)), rows, [])


def ours_row(results: Results, model: str) -> list[str]:
    row = results.pretrain[model]
    recipe = row["recipe"]
    made, phases, built = recipe["examples"], recipe["phases"], recipe["architecture"]
    unit = UNITS[made["unit"]]
    masking = say("{masking}, dynamic", masking=say(unit)) if made["masking"] == "dynamic" else say(unit)
    name, layers = SIZES.get((built["hidden_size"], built["num_attention_heads"]), ("", 0))
    own = built["num_hidden_layers"]
    text = text_of(results.folder, made)
    start = say("random weights") if row["steps"] == row["own_steps"] else row["init"]
    return [
        model,
        masking,
        size(None if own == layers else own, name or say("{hidden} hidden", hidden=built["hidden_size"])),
        say("yes") if made["next_sentence_prediction"] else say("no"),
        " + ".join(text) or UNKNOWN,
        say("{amount} characters", amount=amount(sum(text.values()))) if text else UNKNOWN,
        " + ".join(map(steps_of, phases)),
        " / ".join(dict.fromkeys(f"{phase['batch_size']:,}" for phase in phases)),
        " / ".join(dict.fromkeys(OPTIMIZERS[phase["optimizer"]] for phase in phases)),
        f"{recipe['vocab_size']:,}",
        say("{init}, with the teacher {teacher}", init=start, teacher=row["teacher"]) if "teacher" in row else start,
        times.read(f"pretrain/{model}", results.folder).get("device", UNKNOWN),
        flops(row["own_flops"]),
        UNKNOWN if row["flops"] is None else flops(row["flops"]),
    ]


def text_of(folder: Path, examples: dict[str, Any]) -> dict[str, int]:
    """What `mask` wrote of the text of an example set. Raises UserError where it did not."""
    path = folder / f"mask/{examples.get('set')}.json"
    if not path.is_file():
        return {}
    row = files.read_json(path)
    if not isinstance(row, dict) or not isinstance(row.get("train_characters"), dict):
        raise UserError(f"{path} has no train_characters; run `dvc repro mask@{path.stem}`")
    return row["train_characters"]


def theirs_row(row: dict[str, str]) -> list[str]:
    phases = [phase.split(" at ") for phase in row["steps"].split(" + ") if phase]
    steps = [say("{steps:,} at {length}", steps=int(count), length=length) for count, length in phases]
    masking, pairs, cost = UNITS[row["unit"]], row["next_sentence_prediction"], row["flops"] or UNKNOWN
    return [
        say("authors: {head}", head=row["model"]),
        say(masking),
        size(int(row["layers"]) if row["layers"] else None, row["size"]),
        say(pairs),
        row["data"],
        row["tokens"],
        " + ".join(steps) or UNKNOWN,
        row["batch"],
        row["optimizer"],
        VOCABULARY,
        say("random weights") if row["init"] == "random" else row["init"],
        row["device"],
        cost,
        # What Google's training cost is not known.
        cost if row["init"] == "random" else UNKNOWN,
    ]


def size(layers: int | None, name: str) -> str:
    """layers: None for all that there are in this size."""
    return name if layers is None else say("{layers} layers of {size}", layers=layers, size=name)


def steps_of(phase: dict[str, Any]) -> str:
    told = say("{steps:,} at {length}", steps=phase["steps"], length=phase["max_seq_length"])
    return say("{steps} (MLM head alone)", steps=told) if phase["train"] == "mlm_head" else told
