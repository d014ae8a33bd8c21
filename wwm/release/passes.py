"""Forward passes of a model that may be too many rows for a GPU, and that take a while."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from wwm.common.errors import UserError


def halving(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A transformers model's `forward`, of tensors (R, L) by name, that halves the rows for which there is no memory,
    now and later. Raises UserError where one row is too much.
    """
    too_many = math.inf  # positions

    @wraps(forward)
    def halved(**inputs: Tensor) -> Any:
        nonlocal too_many
        rows, length = inputs["input_ids"].shape
        if rows == 1 or rows * length < too_many:
            try:
                return forward(**inputs)
            except torch.OutOfMemoryError:
                too_many = rows * length
        if rows == 1:
            raise UserError(
                f"the GPU has no memory for {length} pieces of one text; free some, or put CUDA_VISIBLE_DEVICES= before"
                " the command for the CPU"
            )
        halves = slice(rows // 2), slice(rows // 2, rows)
        said = [halved(**{name: tensor[half] for name, tensor in inputs.items()}) for half in halves]
        return type(said[0])(**{name: torch.cat([one[name] for one in said]) for name in said[0]})

    return halved


@contextmanager
def told(model: PreTrainedModel, rows: int, done: Callable[[float], object]) -> Iterator[None]:
    """Calls `done` after each forward pass with the share of so many rows that are through."""
    through = 0

    def count(module: object, args: object, inputs: dict[str, Tensor], output: object) -> None:
        nonlocal through
        through += len(inputs["input_ids"])
        done(through / rows)

    with model.register_forward_hook(count, with_kwargs=True):
        yield
