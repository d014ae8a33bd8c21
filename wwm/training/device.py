"""Where tensors live, and the processes that train together: CUDA where there is one, else the CPU, or what XLA drives.

XLA (a TPU) is for pre-training, asked for by torch-xla's own variable PJRT_DEVICE. All devices of a machine are driven
by one process (SPMD): weights are on each of them, rows are shared out, and the compiler adds the sums between them.
What is to be computed is collected until `flush`, compiled once for each shape, and run; reading a number waits for all
of it.
"""

import ctypes
import os
import platform
import re
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import NamedTuple, NotRequired, TypedDict, TypeVar

import torch

PR_SET_PDEATHSIG = 1  # linux/prctl.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
PATIENCE = timedelta(hours=1)  # while one process hashes what a training reads
T = TypeVar("T")
# Of torch's own allocators, of cuBLAS and cuDNN for their workspaces, and of CUDA as Triton hands it on.
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|CUBLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)|CUDNN_STATUS_ALLOC_FAILED"
)
# Blocks that grow: passes of other shapes take what earlier ones left. Read when a GPU's memory is first asked for.
if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
    os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


def pick() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def places() -> list[torch.device]:
    """Every GPU, or the CPU."""
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())] or [torch.device("cpu")]


def set_up_cpu(threads: int) -> None:
    """How many threads compute, and that memory once used is kept.

    glibc gives blocks of 32 MB and more back as soon as they are free, and the kernel clears each page anew when they
    are asked for again: a copy of such a tensor takes five times as long.
    """
    torch.set_num_threads(threads)
    if platform.libc_ver()[0] == "glibc" and not torch.cuda.is_available():
        ctypes.CDLL(None).mallopt(M_MMAP_MAX, 0)
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, -1)


def autocast(place: torch.device, precision: str) -> AbstractContextManager:
    """Where matrix products are in bfloat16 for "bf16"; nothing changes for "fp32"."""
    match precision:
        case "bf16":
            return torch.autocast(place.type, torch.bfloat16)
        case "fp32":
            return nullcontext()
        case _:
            raise AssertionError(precision)


def xla() -> bool:
    return "PJRT_DEVICE" in os.environ


def cores(place: torch.device) -> int:
    """Devices that share the rows of a batch in one process."""
    if place.type != "xla":
        return 1
    from torch_xla import runtime

    return runtime.global_runtime_device_count()


def named(place: torch.device, processes: int = 1) -> str:
    """What computes, as tables have it: `CPU`, `NVIDIA H100 80GB HBM3`, `8 x TPU`."""
    match place.type:
        case "cuda":
            name = torch.cuda.get_device_name(place)
        case "xla":
            from torch_xla import runtime

            name = runtime.device_type()
        case _:
            name = place.type.upper()
    count = processes * cores(place)
    return name if count == 1 else f"{count} x {name}"


def share_rows(tensors: dict[str, torch.Tensor]) -> None:
    """Marks tensors (R, L) on an XLA device to be split by rows over its cores."""
    from torch_xla.distributed import spmd

    count = cores(torch.device("xla"))
    mesh = spmd.Mesh(range(count), (count,), ("rows",))
    for tensor in tensors.values():
        if tensor.dim() == 2:
            spmd.mark_sharding(tensor, mesh, ("rows", None))


def xla_checkpoint() -> Callable:
    """What calls a layer so that its activations are computed again in the backward pass."""
    from torch_xla.utils.checkpoint import checkpoint

    return checkpoint


def flush(place: torch.device) -> None:
    """Sends what XLA has collected to its device; nothing elsewhere, where work is sent at once."""
    if place.type == "xla":
        import torch_xla

        torch_xla.sync()


def compilations(place: torch.device, compiled: bool) -> int | None:
    """How many graphs XLA has compiled, or torch.compile where that is used: a number that goes on growing means shapes
    that keep changing.
    """
    if place.type == "xla":
        from torch_xla.debug import metrics

        return (metrics.metric_data("CompileTime") or (0,))[0]
    if not compiled:
        return None
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


def uncompiled() -> set[str]:
    """Why torch.compile left a part of what it was given as it is, each reason in one line."""
    from torch._dynamo.utils import counters

    reasons = [*counters["unimplemented"], *counters["graph_break"]]
    return {" ".join(reason.split("Hint:")[0].split()) for reason in reasons}


def seed_all(seed: int) -> None:
    """Seeds torch on every device: initial weights and dropout. Draws by numpy take generators of their own."""
    torch.manual_seed(seed)
    if xla():
        import torch_xla

        torch_xla.manual_seed(seed)


def make_deterministic(place: torch.device) -> None:
    """Asks a GPU for the kernels that add in the same order each time, as those of a CPU do; it warns of those that
    have none.
    """
    if place.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property
        # The backward passes of the other kernels of attention add in any order, unless what has no fixed order is an
        # error.
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)


class RandomState(TypedDict):
    cpu: torch.Tensor
    cuda: NotRequired[torch.Tensor]
    xla: NotRequired[int]


def random_state() -> RandomState:
    """What `set_random_state` needs to go on with the same draws (dropout) on the CPU and this GPU or TPU."""
    state: RandomState = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if xla():
        from torch_xla.core import xla_model

        state["xla"] = xla_model.get_rng_state()
    return state


def set_random_state(state: RandomState) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "xla" in state and xla():
        from torch_xla.core import xla_model

        xla_model.set_rng_state(state["xla"])


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
    return next((flops for part, flops in PEAK_FLOPS.items() if re.search(rf"\b{part}\b", name)), None)


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def forget_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> int:
    """Most bytes that this process held: on its GPU since `forget_peak_memory`, or where there is none in all."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Processes(NamedTuple):
    """Those that train one model together, as `accelerate launch` or torchrun start them; one where nobody did."""

    rank: int
    count: int  # type: ignore[assignment]  # not tuple's method
    device: torch.device

    def total(self, values: list[float]) -> list[float]:
        """Sums over all processes."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return tensor.tolist()

    def gathered(self, value: T) -> list[T]:
        """`value` of each process, by rank."""
        values = [value] * self.count
        if self.count > 1:
            torch.distributed.all_gather_object(values, value)
        return values

    def from_first(self, value: T) -> T:
        """The first process's `value`."""
        return self.gathered(value)[0]


def end_with_parent() -> None:
    """The kernel (Linux) kills this process when the one that started it ends, as launchers that are killed leave
    theirs running.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def join() -> Processes:
    if xla():
        import torch_xla
        from torch_xla import runtime

        runtime.use_spmd()
        return Processes(0, 1, torch_xla.device())
    count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    place = pick()
    if place.type == "cuda":
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    if count > 1 and not torch.distributed.is_initialized():
        end_with_parent()
        torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=PATIENCE)
    return Processes(int(os.environ.get("RANK", "0")) if count > 1 else 0, count, place)
