"""Where tensors live: CUDA where there is one, else the CPU. TPUs (XLA) get their place here too."""

import torch


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
