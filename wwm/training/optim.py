"""BERT's AdamW and LAMB, and the schedule that both follow."""

import re
from collections.abc import Callable
from typing import Protocol

import torch

NORM = re.compile("LayerNorm|layer_norm")


class Settings(Protocol):
    """What optimizers read of the section `pretrain`."""

    weight_decay: float
    adam_betas: list[float]
    adam_epsilon: float
    correct_bias: bool


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Weights, which decay and which LAMB adapts, and biases and LayerNorm, which do neither (google-research/bert,
    optimization.py).
    """
    plain = [
        p for name, p in model.named_parameters() if p.requires_grad and (name.endswith(".bias") or NORM.search(name))
    ]
    chosen = {id(p) for p in plain}
    weights = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    return [
        {"params": weights, "weight_decay": weight_decay, "adapt": True},
        {"params": plain, "weight_decay": 0.0, "adapt": False},
    ]


def linear_schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Factor of the peak learning rate at `step` (from 0), as in google-research/bert's optimization.py.

    Linear warm-up from 0; then the line that falls from 1 at step 0 to 0 at `steps`, so 0.9 where a warm-up of 10 %
    ends.
    """
    return step / warmup_steps if step < warmup_steps else (steps - step) / steps


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay, torch's fused kernel where it has one; by default without bias correction, as
    google-research/bert's AdamWeightDecayOptimizer.
    """

    # From this step on 1 - beta ** step is 1 in floating point, so that torch's kernel corrects nothing.
    PAST_CORRECTION = 1e7

    def __init__(
        self,
        groups: list[dict],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        correct_bias: bool = False,
    ):
        super().__init__(
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            fused=groups[0]["params"][0].device.type != "xla",
        )
        if not correct_bias:
            for p in (p for group in self.param_groups for p in group["params"]):
                step = torch.tensor(
                    self.PAST_CORRECTION, dtype=torch.float32, device=p.device if self.defaults["fused"] else "cpu"
                )
                self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}


class Lamb(torch.optim.Optimizer):
    """LAMB (arXiv 1904.00962, algorithm 2): Adam's bias-corrected update times |weight| / |update|, tensor by tensor.

    The ratio is 1 where either norm is 0, and for biases and LayerNorm, which are not adapted.
    """

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float], eps: float, weight_decay: float):
        super().__init__(
            groups,
            {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "adapt": True, "step": 0},
        )

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # nobody gives a closure
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            group["step"] += 1
            gradients = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["m"], self.state[p]["v"] = torch.zeros_like(p), torch.zeros_like(p)
            first, second = [self.state[p]["m"] for p in params], [self.state[p]["v"] for p in params]
            beta1, beta2 = group["betas"]
            torch._foreach_lerp_(first, gradients, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
            denominator = torch._foreach_sqrt(second)
            torch._foreach_div_(denominator, (1 - beta2 ** group["step"]) ** 0.5)
            torch._foreach_add_(denominator, group["eps"])
            update = torch._foreach_div(first, denominator)
            torch._foreach_div_(update, 1 - beta1 ** group["step"])
            if group["weight_decay"]:
                torch._foreach_add_(update, params, alpha=group["weight_decay"])
            if group["adapt"]:
                norms = zip(torch._foreach_norm(params), torch._foreach_norm(update))
                torch._foreach_mul_(
                    update, [torch.where((w > 0) & (u > 0), w / u, torch.ones_like(w)) for w, u in norms]
                )
            torch._foreach_add_(params, update, alpha=-group["lr"])


def adamw(groups: list[dict], lr: float, settings: Settings) -> AdamW:
    betas = (settings.adam_betas[0], settings.adam_betas[1])
    return AdamW(groups, lr, betas, settings.adam_epsilon, settings.weight_decay, settings.correct_bias)


def lamb(groups: list[dict], lr: float, settings: Settings) -> Lamb:
    betas = (settings.adam_betas[0], settings.adam_betas[1])
    return Lamb(groups, lr, betas, settings.adam_epsilon, settings.weight_decay)


# By the name that a phase gives in params.yaml: (groups of parameters, peak learning rate, the section `pretrain`) ->
# optimizer.
OPTIMIZERS: dict[str, Callable[[list[dict], float, Settings], torch.optim.Optimizer]] = {"adamw": adamw, "lamb": lamb}
