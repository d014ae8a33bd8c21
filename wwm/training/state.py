"""Where a training stands: all that a run which goes on needs of the one that was stopped."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from wwm.training import checkpoint, device, sharded
from wwm.training.curve import Sums
from wwm.training.device import Processes
from wwm.training.micro_batch import Fitting
from wwm.training.model import Pretraining


@dataclass
class State:
    """Counts and curve. Weights, optimizer and random state are where they are used: a checkpoint has them beside
    these.
    """

    phase: int = 0  # that is trained, from 0
    step: int = 0  # steps done in it
    total_steps: int = 0
    tokens: int = 0
    examples: int = 0
    flops: float = 0.0
    seconds: float = 0.0  # that it took, without what a kill lost
    rows: list[dict] = field(default_factory=list)  # points of the curve
    recent: list[float] = field(default_factory=list)  # losses of the last steps
    sums: Sums = Sums()  # of the steps since the last point of the curve
    micro_batch: Fitting | None = None  # rows of one pass, and what they were found for
    restored: dict | None = (
        None  # the tensors of the checkpoint that this comes from, until they are where they are used
    )

    @classmethod
    def newest(cls, scratch: Path) -> "State":
        """Of the newest checkpoint in `scratch` that can be read; of a training that begins if there is none."""
        found = checkpoint.newest(scratch)
        if found is None:
            return cls()
        counts = json.loads(found.pop("state"))
        return cls(**counts | {"sums": Sums(*counts["sums"])}, restored=found)

    def restore(self, optimizer: torch.optim.Optimizer, processes: Processes, fsdp: bool) -> None:
        """Puts what the checkpoint had besides weights where it is used; nothing where there is no checkpoint, or that
        is done.
        """
        if self.restored is None:
            return
        moments, random = self.restored["optimizer"], self.restored["random"]
        optimizer.load_state_dict(sharded.scatter(moments, optimizer) if fsdp else moments)
        if len(random) == processes.count:
            device.set_random_state(random[processes.rank])
        else:
            print(
                f"the checkpoint is of {len(random)} processes, these are {processes.count}: dropout will differ from a"
                " run that was not stopped",
                flush=True,
            )
        self.restored = None

    def save(
        self,
        scratch: Path,
        whole: torch.nn.Module,
        plain: Pretraining,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        fsdp: bool,
    ) -> None:
        """Writes a checkpoint; all processes take part. With `fsdp` the `whole` model gets the weights that are spread
        over them.
        """
        random = processes.gathered(device.random_state())
        # Where each process has all of them, one is enough to copy them from.
        if fsdp or processes.rank == 0:
            weights, moments = sharded.gather(plain.state_dict()), sharded.gather(optimizer.state_dict())
        if fsdp:
            whole.load_state_dict(weights)
        if processes.rank == 0:
            counts = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "restored"}
            tensors = {"model": weights, "optimizer": moments, "random": random}
            checkpoint.save(scratch, self.total_steps, tensors | {"state": json.dumps(counts)})
        # None goes on before it is written, lest one that is killed now finds another one than the rest.
        processes.total([0.0])
