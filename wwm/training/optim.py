"""BERT's AdamW, LAMB and Muon, and the schedule that all follow."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypedDict

import torch

NORM = re.compile("LayerNorm|layer_norm")
ITERATIONS = 5  # of Newton-Schulz, in Muon
HIDDEN = re.compile(r"encoder\.layer\.|predictions\.transform\.")  # matrices from hidden states to hidden states


class Settings(Protocol):
    """What optimizers read of the section `pretrain`."""

    weight_decay: float
    adam_betas: list[float]
    adam_epsilon: float
    correct_bias: bool


def parameter_groups(model: torch.nn.Module, weight_decay: float, single_segments: bool = False) -> list[dict]:
    """Groups of what is trained: biases and LayerNorm neither decay nor does LAMB adapt them (google-research/bert,
    optimization.py), the matrices from hidden states to hidden states are `orthogonal` for Muon.

    With `single_segments` the embeddings of token types do not decay: the second one has no gradient that would hold
    against it, and every task of pairs needs it.
    """
    groups: dict[tuple[bool, bool, bool], list[torch.Tensor]] = defaultdict(list)
    for name, p in model.named_parameters():
        if p.requires_grad:
            weight = not (name.endswith(".bias") or NORM.search(name))
            decays = weight and not (single_segments and "token_type_embeddings" in name)
            groups[decays, weight, weight and bool(HIDDEN.search(name))].append(p)
    return [
        {"params": params, "weight_decay": weight_decay * decays, "adapt": adapt, "orthogonal": orthogonal}
        for (decays, adapt, orthogonal), params in groups.items()
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

    The ratio is 1 where either norm is 0, and in groups that are not to `adapt`: biases and LayerNorm.
    """

    def __init__(
        self,
        groups: list[dict],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        correct_bias: bool = True,
    ):
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "adapt": True}
        super().__init__(groups, defaults | {"correct_bias": correct_bias, "step": 0})

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
            weight1, weight2 = (1 - beta ** group["step"] if group["correct_bias"] else 1.0 for beta in group["betas"])
            torch._foreach_lerp_(first, gradients, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
            denominator = torch._foreach_sqrt(second)
            torch._foreach_div_(denominator, weight2**0.5)
            torch._foreach_add_(denominator, group["eps"])
            update = torch._foreach_div(first, denominator)
            torch._foreach_div_(update, weight1)
            if group["weight_decay"]:
                torch._foreach_add_(update, params, alpha=group["weight_decay"])
            if group["adapt"]:
                norms = zip(torch._foreach_norm(params), torch._foreach_norm(update))
                torch._foreach_mul_(
                    update, [torch.where((w > 0) & (u > 0), w / u, torch.ones_like(w)) for w, u in norms]
                )
            torch._foreach_add_(params, update, alpha=-group["lr"])


class Muon(AdamW):
    """Muon as torch.optim.Muon has it, with `adjust_lr_fn="match_rms_adamw"`, for groups with `orthogonal`; AdamW for
    the others.

    An update is the nearest orthogonal matrix to Nesterov's momentum, found by five steps of a Newton-Schulz iteration
    in bfloat16 (https://kellerjordan.github.io/posts/muon/), times 0.2 * sqrt(its longer side), so that an element
    moves about as far as by AdamW at the same rate (arXiv 2502.16982). Weight decay is decoupled. torch's own takes one
    matrix after the other; here those of one shape, transposed or not, are one stack.
    """

    COEFFICIENTS = (3.4445, -4.7750, 2.0315)
    MOMENTUM = 0.95

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        for p in self.matrices():
            # AdamW wants `step` in all that it loads.
            self.state[p] = {"step": torch.tensor(0.0), "momentum": torch.zeros_like(p)}

    def matrices(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups if group.get("orthogonal") for p in group["params"]]

    def flops(self) -> int:
        """Floating point operations of one step."""
        return orthogonalization_flops(p.shape for p in self.matrices())

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # nobody gives a closure
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None] if group.get("orthogonal") else []
            if not params:
                continue
            gradients, momenta = [p.grad for p in params], [self.state[p]["momentum"] for p in params]
            torch._foreach_lerp_(momenta, gradients, 1 - self.MOMENTUM)
            updates = self.orthogonalized(torch._foreach_lerp(gradients, momenta, self.MOMENTUM))
            rates = [-0.2 * max(p.shape) ** 0.5 * group["lr"] for p in params]
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, torch._foreach_mul(updates, rates))
            for p in params:
                # AdamW passes over what has no gradient.
                p.grad = None
        super().step()

    def orthogonalized(self, matrices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The nearest orthogonal matrix to each, roughly: what singular values are far from 0 come out near 1."""
        tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
        wide = [matrix.mT if is_tall else matrix for matrix, is_tall in zip(matrices, tall)]
        shapes: dict[torch.Size, list[int]] = defaultdict(list)
        for number, matrix in enumerate(wide):
            shapes[matrix.shape].append(number)
        a, b, c = self.COEFFICIENTS
        for numbers in shapes.values():
            x = torch.stack([wide[number] for number in numbers]).bfloat16()
            x /= torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
            for _ in range(ITERATIONS):
                gram = x @ x.mT
                x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
            for number, update in zip(numbers, x.to(matrices[0].dtype)):
                wide[number] = update
        return [update.mT if is_tall else update for update, is_tall in zip(wide, tall)]


def orthogonalization_flops(shapes: Iterable[Sequence[int]]) -> int:
    """Floating point operations of one step of Muon: the products of the Newton-Schulz iterations. A matrix of (a, b),
    a <= b, costs 2aab + 2aaa + 2aab in each.
    """
    sides = [sorted(shape) for shape in shapes]
    return ITERATIONS * sum(4 * a * a * b + 2 * a**3 for a, b in sides)


class Options(TypedDict):
    betas: tuple[float, float]
    eps: float
    weight_decay: float


def options(settings: Settings) -> Options:
    beta1, beta2 = settings.adam_betas
    return {"betas": (beta1, beta2), "eps": settings.adam_epsilon, "weight_decay": settings.weight_decay}


def adamw(groups: list[dict], lr: float, settings: Settings) -> AdamW:
    return AdamW(groups, lr, **options(settings), correct_bias=settings.correct_bias)


def lamb(groups: list[dict], lr: float, settings: Settings) -> Lamb:
    return Lamb(groups, lr, **options(settings))


def lamb_ymcui(groups: list[dict], lr: float, settings: Settings) -> Lamb:
    """ymcui/LAMB_Optimizer_TF, June 2019: no bias correction, and the ratio for every tensor."""
    return Lamb([group | {"adapt": True} for group in groups], lr, **options(settings), correct_bias=False)


def muon(groups: list[dict], lr: float, settings: Settings) -> Muon:
    return Muon(groups, lr, **options(settings), correct_bias=settings.correct_bias)


# By the name that a phase gives in params.yaml: (groups of parameters, peak learning rate, the section `pretrain`) ->
# optimizer.
OPTIMIZERS: dict[str, Callable[[list[dict], float, Settings], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "lamb": lamb,
    "lamb-ymcui": lamb_ymcui,
    "muon": muon,
}
