"""A fine-tuned model that is kept: an ordinary Hugging Face folder, which transformers loads without this project.

Its config.json has one key more, `wwm`: what a text must go through on its way into the model, and what comes out.
"""

from pathlib import Path
from typing import TypedDict

from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedConfig

from wwm.common import files, model_folder, room
from wwm.tasks.seeds import Finished
from wwm.tasks.task import Keep, Kind

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KEY = "wwm"


class Kept(TypedDict):
    """What config.json says under `wwm`."""

    model: str  # what was fine-tuned, and on which task
    task: str
    kind: Kind
    labels: list[str]  # in order; of a reading task the answers that are no span of the text, "" for none; or tags
    spellings: dict[str, str]  # in files -> label
    columns: dict[str, str]  # `text`, `text_a`, `text_b`, `label` -> a name in the files besides the usual ones
    ignored_labels: list[str]  # of rows that have none
    language: str  # of the rows that are read, where a file has several
    segmented: bool  # whether spaces between words are taken out
    simplify: bool  # whether texts are converted to simplified characters
    max_seq_length: int
    stride: int  # of windows over the text of a reading or tagging task,
    max_query_length: int  # pieces of a question,
    max_answer_length: int  # and of an answer


def save(folder: Path, config: PreTrainedConfig, architecture: str, tensors: dict[str, Tensor]) -> None:
    """Weights and config.json of a model that transformers calls `architecture`."""
    config.architectures = [architecture]
    config.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


def home(task: str, model: str) -> Path:
    return Path("models", "finetuned", task, model)


def check_room(parameters: int, keep: Keep, seeds: int, home: Path, work: Path) -> None:
    """Says what the kept models take. Raises UserError where the disk has not so much. work: in scratch/."""
    size = 4 * parameters * {"none": 0, "best": 1, "all": seeds}[keep]
    if not size:
        return
    told = f"{size / 1e6:,.0f} MB for {home} (keep: {keep})"
    remedy = f"set finetune.models.{home.name}.keep to `none`"
    room.check(told, shared=size, there=min(size, room.size_of(work)), remedy=remedy)
    print(told, flush=True)


def write(home: Path, keep: Keep, runs: list[Finished], seeds: list[int], best: int, kept: Kept, source: Path) -> None:
    """Makes `home` out of the folders of `runs`: that of the best one, and others in seeds/SEED.

    source: the model that was fine-tuned.
    """
    wanted = {"none": [], "best": [best], "all": range(len(runs))}[keep]
    with files.new_folder(home) as written:
        for i in wanted:
            place = written if i == best else written / "seeds" / str(seeds[i])
            for file in runs[i].folder.iterdir():
                files.link(file, place / file.name)
            files.write_json(place / CONFIG, files.read_json(place / CONFIG) | {KEY: kept})
            model_folder.copy_tokenizer(source, place)
            history = model_folder.training_history(source)
            history.pop("untrained", None)  # its heads are the task's
            files.write_json(place / "training.json", history)
            files.write_text(place / model_folder.CARD, card(kept, seeds[i], runs[i].trained["scores"]))
        if not wanted:
            # DVC warns of an empty folder.
            files.write_text(written / model_folder.CARD, f"finetune.models.{kept['model']}.keep is `none`.\n")


def card(kept: Kept, seed: int, scores: dict[str, dict[str, float]]) -> str:
    """README.md of a kept model, with what the hub reads at its head."""
    tag = {"reading": "question-answering", "tagging": "token-classification"}.get(kept["kind"], "text-classification")
    too_long = "read in windows of" if kept["kind"] == "tagging" else "cut at"
    rows = [
        f"| {split} | {measure} | {value:.2f} |" for split, found in scores.items() for measure, value in found.items()
    ]
    lines = [
        *("---", "language: zh", "library_name: transformers", f"pipeline_tag: {tag}", "---"),
        f"# {kept['model']} on {kept['task']}",
        "",
        f"Seed {seed}. Scores of this very model, in percent:",
        "",
        *("| split | measure | score |", "|---|---|---|", *rows),
        "",
        f"`wwm predict models/finetuned/{kept['task']}/{kept['model']} FILE`, or transformers; texts are {too_long}"
        f" {kept['max_seq_length']} pieces.",
    ]
    return "\n".join(lines) + "\n"
