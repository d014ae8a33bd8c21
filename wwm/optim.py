"""BERT's AdamW and LAMB, and the schedule that both follow."""

import torch


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Weights, which decay and which LAMB adapts, and biases and LayerNorm, which do neither (google-research/bert, optimization.py)."""
    plain = [p for name, p in model.named_parameters() if p.requires_grad and (name.endswith(".bias") or "LayerNorm" in name)]
    chosen = {id(p) for p in plain}
    weights = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    return [{"params": weights, "weight_decay": weight_decay, "adapt": True}, {"params": plain, "weight_decay": 0.0, "adapt": False}]


def linear_schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Factor of the peak learning rate at `step` (from 0): linear warm-up, then linear decay to 0 at `steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return (steps - step) / max(1, steps - warmup_steps)


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay; by default without bias correction, as google-research/bert's AdamWeightDecayOptimizer."""

    def __init__(
        self,
        groups: list[dict],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        correct_bias: bool = False,
    ):
        super().__init__(
            groups, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "correct_bias": correct_bias, "adapt": False, "step": 0}
        )

    @torch.no_grad()
    def step(self) -> None:
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
            if group["correct_bias"]:
                torch._foreach_div_(denominator, (1 - beta2 ** group["step"]) ** 0.5)
            torch._foreach_add_(denominator, group["eps"])
            update = torch._foreach_div(first, denominator)
            if group["correct_bias"]:
                torch._foreach_div_(update, 1 - beta1 ** group["step"])
            if group["weight_decay"]:
                torch._foreach_add_(update, params, alpha=group["weight_decay"])
            self.scale(group, params, update)
            torch._foreach_add_(params, update, alpha=-group["lr"])

    def scale(self, group: dict, params: list[torch.Tensor], update: list[torch.Tensor]) -> None:
        """A hook for what is done to the update before the learning rate; nothing here."""


class Lamb(AdamW):
    """LAMB (arXiv 1904.00962, algorithm 2): Adam's bias-corrected update times |weight| / |update|, tensor by tensor.

    The ratio is 1 where either norm is 0, and for biases and LayerNorm, which are not adapted.
    """

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6, weight_decay: float = 0.01):
        super().__init__(groups, lr, betas, eps, weight_decay, correct_bias=True)

    def scale(self, group: dict, params: list[torch.Tensor], update: list[torch.Tensor]) -> None:
        if group["adapt"]:
            norms = zip(torch._foreach_norm(params), torch._foreach_norm(update))
            torch._foreach_mul_(update, [torch.where((w > 0) & (u > 0), w / u, torch.ones_like(w)) for w, u in norms])
