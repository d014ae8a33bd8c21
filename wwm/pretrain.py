"""Masked examples -> a model: one or more phases, each with its own length, batch, optimizer and warm-up.

Reads   data/mask/SET/, models/INIT/
Writes  models/NAME/: config.json, model.safetensors (MLM and NSP heads included), the tokenizer, training.json;
        models/NAME/milestones/STEP/: the same of the model as it was after that step, where params.yaml asks for it;
        results/pretrain/NAME.csv (the curve) and NAME.json (its last values); results/times/pretrain/NAME.csv and
        NAME.json: how fast it was, on what
By hand python -m wwm.pretrain NAME; several processes: accelerate launch -m wwm.pretrain NAME
"""

from wwm import pretraining


def main(name: str) -> None:
    from wwm import params

    values = params.read()
    models = values.pretrain.models
    pretraining.run(name, models[params.one_of("pretrain NAME", name, models)], values.base, values.pretrain)


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
