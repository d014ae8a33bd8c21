"""Checkpoints: written whole or not at all, the last two kept, the newest readable one found."""

import os
from pathlib import Path

import torch

from wwm.common import files

KEPT = 2


def save(folder: Path, step: int, state: dict) -> None:
    """`state` (tensors, numbers, strings, lists and dicts of them) -> folder/step-NNNNNNNN.pt; older ones than the last
    two go.
    """
    path = folder / f"step-{step:08d}.pt"
    with files.new_file(path) as temporary, open(temporary, "wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    prune(folder, KEPT)


def prune(folder: Path, kept: int) -> None:
    """All but the newest go, and what a kill has left half written."""
    for old in [*paths(folder)[:-kept], *folder.glob(".step-*.tmp")]:
        old.unlink()


def paths(folder: Path) -> list[Path]:
    """Of those that are whole, the oldest first."""
    return sorted(folder.glob("step-*.pt"))


def step(path: Path) -> int:
    """The step after which it was written."""
    return int(path.stem.removeprefix("step-"))


def newest(folder: Path) -> dict | None:
    """The newest state that can be read, on the CPU, or None. One that cannot is named, and the one before it taken."""
    for path in reversed(paths(folder)):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(
                f"{path} cannot be read ({type(error).__name__}: {error}); falling back to the checkpoint before it",
                flush=True,
            )
            continue
        print(f"going on from {path}", flush=True)
        return state
    return None
