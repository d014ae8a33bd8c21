"""A model as it was at a step of its training: a model like any other, to be measured, fine-tuned or trained on.

Reads   models/SOURCE/milestones/STEP/
Writes  models/NAME/: all that lies there: config.json, model.safetensors, the tokenizer, training.json
By hand python -m wwm.milestones NAME
"""

import shutil
from pathlib import Path

from wwm.common import files, room
from wwm.common.errors import UserError


def main(name: str) -> None:
    from wwm import params, track

    milestones = params.read().milestones
    model = milestones.models[params.one_of("milestones NAME", name, milestones.models)]
    kept, out = Path("models", model.source, "milestones"), Path("models", name)
    with track.run("milestones", name=name, params=model.model_dump(), outs=[out]):
        if not (kept / f"{model.step}").is_dir():
            steps = sorted(int(folder.name) for folder in kept.glob("*") if folder.name.isdecimal())
            raise UserError(
                f"milestones.models.{name}.step: {kept} has {', '.join(map(str, steps)) or 'nothing'} and no"
                f" {model.step}; run the stage that makes {model.source} again"
            )
        room.check(f"milestones {name}", made=room.size_of(kept / f"{model.step}"))
        with files.new_folder(out) as folder:
            shutil.copytree(kept / f"{model.step}", folder, dirs_exist_ok=True)
        print(f"milestones {name}: {model.source} after {model.step:,} steps")


if __name__ == "__main__":
    from wwm.common import command

    command.run(main)
