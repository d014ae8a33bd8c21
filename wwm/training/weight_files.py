"""Files of weights as people have them -> tensors by name, or one line that says what a file is instead."""

import json
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wwm.common.errors import UserError, reading

CONFIGS = ("config.json", "bert_config.json")  # the latter is what Google and the authors' zip files call it
# In the order in which transformers looks for them; an index names the files that a big model is split into.
NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# Of what a config says: more would be built for hours, and never be filled.
MOST = {"num_hidden_layers": 1000, "hidden_size": 2**20, "intermediate_size": 2**22, "vocab_size": 2**24}
# What a config may say of how a model runs and nothing of what it is: chunks save memory alone, and refuse lengths that
# they do not divide.
RUN = {"chunk_size_feed_forward": 0, "return_dict": True}
# What else training leaves beside a model.
BESIDE = ("training_args", "optimizer", "scheduler", "rng_state", "scaler", "adapter")
LFS = b"version https://git-lfs"
PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|!--|html|head|body|\?xml)", re.IGNORECASE)


def read(folder: Path, named: str) -> dict[str, Tensor]:
    """All tensors of the weights in `folder`, on the CPU, in the names that lead to them: those of dicts in dicts are
    joined by dots, so that a wrapper as {"model": {...}} is one more prefix.

    named: how messages call the folder. Raises UserError for what is no weights, or not whole.
    """
    file = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if file is None:
        raise UserError(f"{named} has no weights ({NAMES[0]} or {NAMES[2]}); {instead(folder)}")
    files = shards(file, named) if file.suffix == ".json" else [file]
    tensors = {name: tensor for one in files for name, tensor in flat(load(one, f"{named}: {one.name}"))}
    if not tensors:
        raise UserError(f"{named}: {file.name} holds no tensors by name; save model.state_dict()")
    return tensors


def read_config(folder: Path, named: str) -> tuple[str, dict[str, Any]]:
    """The name of the file that describes the model, and what it holds. Raises UserError where there is none, or where
    it is no JSON object.
    """
    name = next((name for name in CONFIGS if (folder / name).is_file()), None)
    if name is None:
        raise UserError(f"{named} has no {CONFIGS[0]}; copy the one that belongs to its weights")
    found = read_object(folder / name, f"{named}: {name}")
    for key, most in MOST.items():
        if isinstance(found.get(key), int) and found[key] > most:
            raise UserError(f"{named}: {name} has {key} {found[key]}, which no model has; copy it anew")
    return name, found


def read_object(path: Path, named: str) -> dict[str, Any]:
    """A JSON object. Raises UserError for anything else."""
    content = path.read_bytes()
    check_start(content[:512], named)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{named} cannot be read as JSON ({error}); copy it anew") from None
    if not isinstance(found, dict):
        raise UserError(f"{named} cannot be read as JSON (no object); copy it anew")
    return found


def instead(folder: Path) -> str:
    """What a folder without weights holds in their place, and the remedy."""
    there = sorted(path.name for path in folder.iterdir())
    weights = [name for name in there if name.endswith((".safetensors", ".bin", ".pt", ".pth", ".ckpt"))]
    other = [name for name in weights if not name.startswith(BESIDE)]
    inner = sorted({path.parent.name for name in NAMES for path in folder.glob(f"*/{name}")})
    if archives := [name for name in there if name.endswith((".zip", ".tar", ".gz", ".tgz"))]:
        return f"unpack {archives[0]} and name the folder that comes of it"
    if inner:
        return f"they are in its folder {inner[0]}: name that"
    if tensorflow := [name for name in there if re.search(r"\.ckpt\.(index|meta|data)", name)]:
        return (
            f"{tensorflow[0]} is of a TensorFlow checkpoint: take the PyTorch files of the same model, or convert it"
            " with transformers 4 and TensorFlow"
        )
    if foreign := [name for name in there if name.endswith((".h5", ".msgpack", ".onnx"))]:
        return f"{foreign[0]} is for another framework: take the PyTorch files of the same model"
    if other:
        return f"if {other[0]} holds them, rename it to {NAMES[0 if other[0].endswith('.safetensors') else 2]}"
    return f"copy {NAMES[0]} there"


def shards(index: Path, named: str) -> list[Path]:
    """The files that an index names. Raises UserError where one is missing."""
    found = read_object(index, f"{named}: {index.name}").get("weight_map")
    names = sorted({str(name) for name in found.values()}) if isinstance(found, dict) else []
    if not names:
        raise UserError(f"{named}: {index.name} names no files of weights; copy it anew")
    lacking = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    if lacking:
        raise UserError(
            f"{named} lacks {len(lacking)} of the {len(names)} files that {index.name} names, first {lacking[0]};"
            " copy them too"
        )
    return [index.parent / name for name in names]


def load(path: Path, named: str) -> Any:
    """What a file of weights holds, whatever its name ends in; never more than tensors and plain values.

    Raises UserError that says what it is instead.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    check_start(start, named)
    zipped = start.startswith(b"PK")
    broken = f"{named} is cut off or broken; copy or download it anew"
    if zipped and not zipfile.is_zipfile(path):
        raise UserError(broken)
    if zipped and not any(name.endswith("data.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise UserError(f"{named} is a zip archive; unpack it and name the folder that comes of it")
    if start[8:9] == b"{":  # of safetensors, whose first eight bytes are a length
        try:
            return load_file(path)
        except SafetensorError:
            raise UserError(broken) from None
    if not zipped and not start.startswith(b"\x80"):
        said = start[:60].decode(errors="replace")
        raise UserError(
            f"{named} is text ({' '.join(said.split())}), so its download failed; download it anew"
            if said.isascii() and all(c.isprintable() or c.isspace() for c in said)
            else broken
        )
    try:
        # Given a path, torch goes by its ending.
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            why = f"more than tensors ({found[1]}), and reading that can run code"
        else:
            why = "what torch does not read as tensors alone"
        raise UserError(
            f"{named} holds {why}; take model.safetensors of the same model, or have who made it save"
            " model.state_dict() and nothing else, of a checkpoint its `state_dict` alone"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        if "TorchScript" in str(error):
            raise UserError(f"{named} is a TorchScript program; save model.state_dict() instead") from None
        raise UserError(broken) from None


def check_start(start: bytes, named: str) -> None:
    """Raises UserError for what begins as no weights and no JSON do."""
    if not start:
        raise UserError(f"{named} is empty; copy or download it anew")
    if start.startswith(LFS):
        raise UserError(f"{named} is a git-lfs pointer, not the file itself; run `git lfs pull` where it was cloned")
    if PAGE.match(start):
        raise UserError(f"{named} is a web page, so its download failed; download it anew")


def from_pretrained(kind: Any, folder: Path, named: str = "", **options: Any) -> tuple[Any, dict[str, Any]]:
    """The model that `kind`, a class of transformers, makes of a folder, and what it says of the tensors there.

    named: how messages call the folder. Raises UserError for weights and config that are broken or not of one model,
    and for weights that are not finite.
    """
    named = named or str(folder)
    read_config(folder, named)
    with loading(named):
        if "config" in options:
            options["config"].update(RUN)
        else:
            options |= RUN
        model, told = kind.from_pretrained(folder, output_loading_info=True, **options)
    check_finite(model.state_dict(), named)
    return model, told


@contextmanager
def loading(named: str) -> Iterator[None]:
    """Raises UserError for whatever transformers says of a model's folder: it has classes of all kinds for it."""
    remedy = "its config.json, weights and tokenizer are not whole or not of one model; copy or make it anew"
    with reading(named, Exception, remedy=remedy):
        try:
            yield
        except RuntimeError as error:
            if "ignore_mismatched_sizes" not in str(error):
                raise
            raise UserError(f"{named}: config.json and weights differ in sizes; take both from one model") from None


def flat(found: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of all that mappings hold; optimizer states, which have a model's names too, are left out."""
    if isinstance(found, Tensor) and prefix:
        yield prefix, found
    pairs: Iterable[tuple[Any, Any]] = found.items() if isinstance(found, Mapping) else ()
    for key, value in pairs:
        if not str(key).startswith(("optim", "exp_avg")):
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))


def check_finite(tensors: Mapping[str, Tensor], named: str) -> None:
    """Raises UserError that names the first tensor with NaN or infinity, or of a quantized model."""
    if bytes_ := [name for name, tensor in tensors.items() if tensor.dtype in (torch.int8, torch.uint8)]:
        raise UserError(
            f"{named}: {bytes_[0]} is {str(tensors[bytes_[0]].dtype).removeprefix('torch.')}, a quantized model's; take"
            " the model in float32 or float16"
        )
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise UserError(
            f"{named}: {len(bad)} tensors hold NaN or infinity, first {bad[0]}; its training diverged, or the file is"
            " damaged: take another checkpoint"
        )
