"""Where models begin: random weights of a given architecture, or a model from a folder or the hub.

Reads   data/vocab/
Writes  models/NAME/: config.json, model.safetensors, the tokenizer; training.json (what the model has seen, heads that
        were never trained)
By hand python -m wwm.init NAME
"""

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from wwm.common import files, hub, model_folder, room
from wwm.common.errors import UserError
from wwm.text import added

if TYPE_CHECKING:
    from wwm.training import weights


def main(name: str) -> None:
    import torch
    from transformers import BertConfig, BertForPreTraining
    from transformers.utils import logging

    from wwm import params, track
    from wwm.training import released, weights
    from wwm.training.head import untrained_heads

    logging.disable_progress_bar()
    values = params.read()
    base, init = values.base, values.init
    model = init.models[params.one_of("init NAME", name, init.models)]
    out, key, choices = Path("models", name), f"init.models.{name}.source", hub.CHOICES["init"]
    source = None if model.source == "random" else hub.folder(model.source, key, released.FILES, choices)
    with track.run(
        "init", name=name, params=model.model_dump() | (hub.origin(source) if source else {}), outs=[out]
    ) as run:
        if model.own_vocabulary:
            n_parameters = released.take_over(source, f"{key}: {model.source}", out)
            run.log({"parameters": n_parameters})
            print(f"init {name}: {n_parameters:,} parameters, with a vocabulary of its own")
            return
        vocabulary = list(files.lines("data/vocab/vocab.txt"))
        named, loaded = f"{key}: {model.source}", None
        if source is None:
            config = BertConfig(vocab_size=len(vocabulary), **model.architecture.model_dump())
        else:
            own = weights.entries(source, named)
            loaded = weights.bert(source, named, len(own))
            new = added.new_ids(own, vocabulary)
            if new is None:
                line, (one, other) = next(
                    (n, pair) for n, pair in enumerate(zip_longest(own, vocabulary), 1) if pair[0] != pair[1]
                )
                raise UserError(
                    f"{named} has a vocabulary of {len(own)} entries, data/vocab another one of {len(vocabulary)}: line"
                    f" {line} is {one!r} and {other!r}; set vocab.source to {model.source} too"
                )
            if new:
                told = files.read_json("data/vocab/tokenizer_config.json")
                entries = [vocabulary[place] for place in new]
                were = added.pieces(own, entries, told["do_lower_case"], told.get("map_characters", {}))
                loaded = weights.widened(loaded, dict(zip(new, were)), len(vocabulary))
                print(f"{model.source}: {len(new)} entries of its vocabulary are new, each the mean of its pieces")
            config = loaded.config
        # Also what a loaded model lacks starts from this.
        torch.manual_seed(base.seed if model.seed is None else model.seed)
        bert = BertForPreTraining(config)
        if loaded:
            bert.load_state_dict(loaded.tensors, strict=False)
        untrained = untrained_heads(bert, loaded.lacking if loaded else ())
        if loaded:
            tell(model.source, loaded, untrained)
        n_parameters = sum(p.numel() for p in bert.parameters())
        room.check(f"init {name}", made=4 * n_parameters)
        with files.new_folder(out) as folder:
            bert.save_pretrained(folder)
            model_folder.copy_tokenizer(Path("data/vocab"), folder)
            # transformers cuts a text to this length if asked to cut.
            tokenizer = folder / "tokenizer_config.json"
            files.write_json(
                tokenizer, files.read_json(tokenizer) | {"model_max_length": bert.config.max_position_embeddings}
            )
            seen = dict.fromkeys(model_folder.COST, None if loaded else 0)
            files.write_json(folder / "training.json", seen | {"untrained": untrained})
        run.log({"parameters": n_parameters})
        print(f"init {name}: {n_parameters:,} parameters")


def tell(source: str, loaded: "weights.Bert", untrained: list[str]) -> None:
    """What is not as it was in `source`, and what was not trained there."""
    for line in loaded.told:
        print(f"{source}: {line}")
    if loaded.lacking:
        print(f"{source} lacks these tensors, which start at random: {', '.join(loaded.lacking)}")
    if model_folder.MLM_HEAD in untrained:
        drawn = any(name.startswith(model_folder.MLM_HEAD) for name in loaded.lacking)
        saved = "" if drawn else f"{source} has an MLM head that was never trained: it is as in a new model. "
        print(
            f"{saved}Its head is to be trained first, by a phase with `train: mlm_head`, which leaves the encoder as it"
            " is (presets domain, rbt3 and rbtl3 have one); until then `cloze` marks what the model says"
        )


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
