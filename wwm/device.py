"""Where tensors live, and the processes that train together: CUDA where there is one, else the CPU.

TPUs (XLA) get their place here too.
"""

import ctypes
import os
import signal
import sys
from typing import NamedTuple

import torch

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def pick() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_all(seed: int) -> None:
    """Seeds torch on every device: initial weights and dropout. Draws by numpy take generators of their own."""
    torch.manual_seed(seed)


def random_state() -> dict[str, torch.Tensor]:
    """What `set_random_state` needs to go on with the same draws (dropout) on the CPU and on this process's GPU."""
    return {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


class Processes(NamedTuple):
    """Those that train one model together, as `accelerate launch` or torchrun start them; one where nobody did."""

    rank: int
    count: int
    device: torch.device

    def total(self, values: list[float]) -> list[float]:
        """Sums over all processes."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return tensor.tolist()

    def gathered(self, value) -> list:
        """`value` of each process, by rank."""
        values = [value] * self.count
        if self.count > 1:
            torch.distributed.all_gather_object(values, value)
        return values

    def from_first(self, value):
        """The first process's `value`."""
        return self.gathered(value)[0]


def end_with_parent() -> None:
    """The kernel (Linux) kills this process when the one that started it ends, as launchers that are killed leave theirs running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def join() -> Processes:
    count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    place = pick()
    if place.type == "cuda":
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    if count > 1 and not torch.distributed.is_initialized():
        end_with_parent()
        torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Processes(int(os.environ.get("RANK", "0")) if count > 1 else 0, count, place)
