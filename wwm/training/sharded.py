"""FSDP: each of several processes keeps a part of the weights, gradients and optimizer, and fetches the rest layer by
layer.
"""

import copy
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from wwm.training.device import Processes
from wwm.training.model import Pretraining


def shard(losses: Pretraining, processes: Processes) -> Pretraining:
    """A copy of a model with its losses, whose parameters are spread over the processes."""
    losses = copy.deepcopy(losses)
    mesh = init_device_mesh(processes.device.type, (processes.count,))
    for layer in losses.bert.bert.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(losses, mesh=mesh)
    return losses


def gather(state: Any) -> Any:
    """`state` (tensors in dicts and lists) with whole tensors on the CPU, in place of parts or of those elsewhere;
    every process takes part.
    """
    if isinstance(state, dict):
        return {key: gather(value) for key, value in state.items()}
    if isinstance(state, list):
        return [gather(value) for value in state]
    if isinstance(state, DTensor):
        state = state.full_tensor()
    return state.cpu() if isinstance(state, torch.Tensor) else state


def scatter(state: dict, optimizer: torch.optim.Optimizer) -> dict:
    """An optimizer's state with whole tensors, as that of `optimizer`, whose parameters are spread over processes."""
    params = [p for group in optimizer.param_groups for p in group["params"]]

    def part(value: Any, like: DTensor) -> Any:
        is_moment = isinstance(value, torch.Tensor) and value.shape == like.shape
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements) if is_moment else value

    return state | {
        "state": {
            i: {key: part(value, params[i]) for key, value in values.items()} for i, values in state["state"].items()
        }
    }
