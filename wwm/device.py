"""Where tensors live, and the processes that train together: CUDA where there is one, else the CPU.

TPUs (XLA) get their place here too.
"""

import ctypes
import os
import resource
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


# Dense bfloat16 products with 32-bit sums, floating point operations a second, as the makers' data sheets have them.
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "H800": 989e12,
    "H20": 148e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L20": 119.5e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}


def peak_flops(place: torch.device, precision: str) -> float | None:
    """Of one device, what MFU is a share of; None where this table does not know it, and for 32-bit products."""
    if place.type != "cuda" or precision != "bf16":
        return None
    name = torch.cuda.get_device_name(place)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def peak_memory() -> int:
    """Most bytes that this process held so far: on its GPU, or where there is none in all."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
