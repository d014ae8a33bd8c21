"""The weights of a BERT from any folder, in the names that transformers has today, held against its config.json."""

import re
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import BertConfig, BertForPreTraining

from wwm.common import files
from wwm.common.errors import UserError
from wwm.training import weight_files

# What a config must say, for transformers would fill in base's values, and heads show in no tensor's shape.
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
# What else of it is the architecture; the rest is of the task or the program that it comes from.
KEPT = (
    *REQUIRED,
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
    "tie_word_embeddings",
)
# What torch puts into names that it wraps, at any depth.
WRAPPERS = re.compile(r"\b(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
GAMMA, BETA = re.compile(r"\.gamma$"), re.compile(r"\.beta$")
ENCODER = ("embeddings.", "encoder.", "pooler.")
DRAWN = ("bert.pooler.", "cls.")  # what a model may lack
WORDS = "bert.embeddings.word_embeddings.weight"
BIAS, DECODER = "cls.predictions.bias", "cls.predictions.decoder"
# Vocabularies are padded to a multiple of 128 at most (Megatron-LM's make-vocab-size-divisible-by).
MOST_SPARE = 127
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Bert(NamedTuple):
    """config: without what is not the architecture; tensors: float32, as BertForPreTraining calls them; lacking: its
    names that are not there and have to be drawn; told: a line for each thing that was left out or cut.
    """

    config: BertConfig
    tensors: dict[str, Tensor]
    lacking: list[str]
    told: list[str]


def entries(folder: Path, named: str) -> list[str]:
    """The vocabulary of a model's folder in the order of ids: vocab.txt, else of tokenizer.json. Raises UserError where
    there is neither, or where tokens were added behind it.
    """
    listed, whole = folder / "vocab.txt", folder / "tokenizer.json"
    described = weight_files.read_object(whole, f"{named}: {whole.name}") if whole.is_file() else {}
    model = described.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    if whole.is_file() and not (isinstance(ids, dict) and all(type(number) is int for number in ids.values())):
        raise UserError(f"{named}: {whole.name} has no vocabulary with ids; copy the one that belongs to its weights")
    told = sorted(ids, key=ids.__getitem__) if ids else []
    if listed.is_file():
        with open(listed, "rb") as file:
            weight_files.check_start(file.read(24), f"{named}: {listed.name}")
        found = list(files.lines(listed))
        for number, (one, other) in enumerate(zip_longest(found, told) if told else (), 1):
            if one != other:
                raise UserError(
                    f"{named}: {listed.name}, line {number}: {one!r}, where {whole.name} has {other!r}; one of them is"
                    " another model's or has lost a line: copy both anew"
                )
    elif told:
        found = told
    else:
        raise UserError(
            f"{named} has no {listed.name}, so nobody knows which piece a row of its embeddings is of; copy the one"
            " that belongs to its weights"
        )
    added = {token["content"]: token["id"] for token in described.get("added_tokens", [])}
    if (folder / "added_tokens.json").is_file():
        added |= weight_files.read_object(folder / "added_tokens.json", f"{named}: added_tokens.json")
    if behind := sorted((number, token) for token, number in added.items() if number >= len(found)):
        raise UserError(
            f"{named} has {len(behind)} tokens behind the {len(found):,} entries of its vocabulary, first"
            f" {behind[0][1]}; append them to its {listed.name} in the order of their ids"
        )
    return found


def bert(folder: Path, named: str, n_entries: int) -> Bert:
    """The BERT in `folder`, whose vocabulary has `n_entries`.

    Prefixes and wrappers are taken off, gamma and beta are called weight and bias, and rows of the embeddings past the
    vocabulary are cut, if they are few enough to be padding. named: how messages call the folder. Raises UserError of
    one line for all that is no such BERT, or not a whole one.
    """
    name, described = weight_files.read_config(folder, named)
    config, wanted = architecture(described, f"{named}: {name}")
    tensors, foreign = todays_names(weight_files.read(folder, named), set(wanted), named)
    extra = sorted(tensors.keys() - wanted.keys())
    if extra:
        raise UserError(
            f"{named} has {len(extra)} tensors that its {name} (num_hidden_layers {config.num_hidden_layers}) does not"
            f" know, {first(extra)}; take the {name} that belongs to its weights"
        )
    told = [f"left out, for no BERT to be trained on has them: {first(foreign)}"] if foreign else []
    if config.tie_word_embeddings:
        for part in (f"{DECODER}.bias", f"{DECODER}.weight"):
            del wanted[part]
        tensors, untied = tied(tensors)
        told += [untied] if untied else []
    elif heads := [tensors[name] for name in (BIAS, f"{DECODER}.bias") if name in tensors]:
        tensors |= {BIAS: heads[0], f"{DECODER}.bias": heads[0]}
    lacking = sorted(wanted.keys() - tensors.keys())
    if missing := [one for one in lacking if not one.startswith(DRAWN)]:
        raise UserError(
            f"{named} lacks {len(missing)} of the {len(wanted)} tensors that its {name} describes, {first(missing)};"
            " its weights and its config are not of one BERT, or not whole"
        )
    check_rows(tensors, config.vocab_size, n_entries, f"{named}: {name}")
    for one, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            raise UserError(
                f"{named}: {one} is {str(tensor.dtype).removeprefix('torch.')}, a quantized model's; take the model in"
                " float32 or float16"
            )
        if tensor.shape != wanted[one]:
            raise UserError(
                f"{named}: {one} is {tuple(tensor.shape)} in its weights and {tuple(wanted[one])} by its {name}; take"
                " both from one model"
            )
    if spare := config.vocab_size - n_entries:
        told.append(
            f"cut: the last {spare} of {config.vocab_size:,} rows of the embeddings, which the vocabulary of"
            f" {n_entries:,} entries has no piece for"
        )
        config.vocab_size = n_entries
        tensors |= {
            one: tensors[one][:n_entries]
            for one in (WORDS, BIAS, f"{DECODER}.weight", f"{DECODER}.bias")
            if one in tensors
        }
    tensors = {one: tensor.float() for one, tensor in tensors.items()}
    weight_files.check_finite(tensors, named)
    return Bert(config, tensors, lacking, told)


def widened(loaded: Bert, pieces: dict[int, list[int]], size: int) -> Bert:
    """With a vocabulary of `size` entries, of which those of the ids in `pieces` are new: their embeddings, and what a
    head has by entry, are the means of those of these old entries.
    """
    tensors = dict(loaded.tensors)
    for name in (WORDS, BIAS, f"{DECODER}.weight", f"{DECODER}.bias"):
        if name in tensors:
            old = tensors[name]
            tensors[name] = old.new_empty((size, *old.shape[1:]))
            tensors[name][: len(old)] = old
            for place, parts in pieces.items():
                tensors[name][place] = old[parts].mean(0)
    config = BertConfig.from_dict(loaded.config.to_dict() | {"vocab_size": size})
    return loaded._replace(config=config, tensors=tensors)


def pretrained(folder: Path, **options: str) -> BertForPreTraining:
    """A BERT that a stage made, with its heads, in 32-bit weights. Raises UserError for a folder that is none, or
    lacks some of its tensors.
    """
    name, described = weight_files.read_config(folder, str(folder))
    architecture(described, f"{folder}: {name}")
    bert, told = weight_files.from_pretrained(BertForPreTraining, folder, dtype=torch.float32, **options)
    if missing := sorted(told["missing_keys"]):
        head = " has no trained MLM head" if all(name.startswith("cls.predictions.") for name in missing) else ""
        raise UserError(
            f"{folder}{head or ' is not whole'}: {first(missing)} missing; save the model with its heads"
            " (BertForPreTraining)"
        )
    return bert


def architecture(described: dict[str, Any], named: str) -> tuple[BertConfig, dict[str, torch.Size]]:
    """The config of a BERT, and the names and shapes of its tensors. Raises UserError for another architecture."""
    kind = described.get("model_type", "bert")
    if kind != "bert" or described.get("is_decoder"):
        raise UserError(
            f"{named} is of a {kind!r}{' that is a decoder' if kind == 'bert' else ''}, and what is trained on here is"
            " a BERT encoder; to compare another model name it in `load.models`"
        )
    if (positions := described.get("position_embedding_type", "absolute")) != "absolute":
        raise UserError(
            f"{named} has the positions {positions!r}, and a BERT here has absolute ones; take another model"
        )
    lacking = [key for key in REQUIRED if type(described.get(key)) is not int or described[key] < 1]
    if lacking:
        raise UserError(f"{named} has no whole number as {', '.join(lacking)}; take the config of the BERT itself")
    try:
        config = BertConfig(**{key: described[key] for key in KEPT if key in described})
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in BertForPreTraining(config).state_dict().items()}
    except Exception as error:  # transformers has classes of several kinds for what a config must not say
        raise UserError(f"{named} describes no BERT ({' '.join(str(error).split())}); mend it") from None
    return config, shapes


def todays_names(tensors: dict[str, Tensor], wanted: set[str], named: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of the encoder and of its heads as BertForPreTraining calls them, those that it does not know
    included, and the names of others, as a classifier's. Raises UserError if there is no BERT, or more than one.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.endswith("position_ids"):
            new = GAMMA.sub(".weight", BETA.sub(".bias", WRAPPERS.sub("", name)))
            if new in renamed:
                raise UserError(f"{named} has {new} twice, under another name ({name}) too; save the model alone")
            renamed[new] = tensor
    tails = {name.removeprefix("bert.") for name in wanted if name.startswith("bert.")}
    # Before each dot a prefix may end.
    cuts = ((name[:at], name[at:]) for name in renamed for at in (0, *(i + 1 for i, c in enumerate(name) if c == ".")))
    prefixes = Counter(prefix for prefix, tail in cuts if tail in tails).most_common(2)
    if not prefixes:
        raise UserError(f"{named} holds no BERT: its tensors are {first(sorted(tensors))}; take another model")
    prefix, most = prefixes[0]
    if len(prefixes) > 1 and prefixes[1][1] == most:
        raise UserError(
            f"{named} holds more than one BERT, under {prefix or 'no prefix'} and {prefixes[1][0]}; save the one"
            " that is meant by itself"
        )
    # The heads stand below the same prefix as the encoder's parts, or around it.
    ends = (at for at in range(len(prefix), -1, -1) if not at or prefix[at - 1] == ".")
    heads = next((prefix[:at] for at in ends if any(name.startswith(f"{prefix[:at]}cls.") for name in renamed)), prefix)
    found, foreign = {}, []
    for name, tensor in renamed.items():
        if name.startswith(tuple(prefix + part for part in ENCODER)):
            found[f"bert.{name.removeprefix(prefix)}"] = tensor
        elif (of_head := name.removeprefix(heads)) in wanted and name.startswith(heads):
            found[of_head] = tensor
        else:
            foreign.append(name)
    return found, sorted(foreign)


def tied(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Without the copies that a head has of its bias and of the embeddings; a head that has others was trained to go
    with those, and is left out with a line that says so.
    """
    weight, bias = tensors.get(f"{DECODER}.weight"), tensors.get(f"{DECODER}.bias")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(DECODER)}
    if bias is not None:
        kept.setdefault(BIAS, bias)
    words = kept.get(WORDS)
    if weight is None or words is None:
        return kept, ""
    # One of them may have been saved in less precision.
    if weight.to(words.dtype).equal(words) or words.to(weight.dtype).equal(weight):
        return kept, ""
    kept = {name: tensor for name, tensor in kept.items() if not name.startswith("cls.predictions.")}
    return kept, f"left out: its MLM head, whose {DECODER}.weight is not the embeddings, as its config says"


def check_rows(tensors: dict[str, Tensor], vocab_size: int, n_entries: int, named: str) -> None:
    """Raises UserError where embeddings, config and vocabulary are of different sizes, padding apart."""
    rows = [*tensors[WORDS].shape, 0][0]
    sizes = f"{rows:,} rows of embeddings, a vocab_size of {vocab_size:,} and a vocabulary of {n_entries:,} entries"
    fits = n_entries <= rows <= n_entries + MOST_SPARE
    if rows != vocab_size or not fits:
        remedy = f"if all are one model's, set vocab_size to {rows}" if fits else "take all from one model"
        raise UserError(f"{named}: {sizes}; {remedy} (up to {MOST_SPARE} rows past the vocabulary are cut)")


def first(names: list[str]) -> str:
    """The first ones, and how many there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
