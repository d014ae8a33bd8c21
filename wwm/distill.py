"""Masked examples and a bigger model -> a smaller one, which learns from that one's answers beside the text.

Reads   data/mask/SET/, models/INIT/, models/TEACHER/
Writes  what pretrain writes: models/NAME/; results/pretrain/NAME.csv, with the losses by its teacher, and NAME.json;
        results/times/pretrain/NAME.csv and NAME.json
By hand python -m wwm.distill NAME; several processes: accelerate launch -m wwm.distill NAME
"""

from functools import partial
from pathlib import Path

from wwm import pretraining
from wwm.training.distillation import student


def main(name: str) -> None:
    from wwm import params

    values = params.read()
    models = values.distill.models
    model = models[params.one_of("distill NAME", name, models)]
    teacher = Path("models", model.teacher)
    pretraining.run(name, model, values.base, values.pretrain, partial(student, teacher, model), teacher)


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
