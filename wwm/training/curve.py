"""The points of the loss curve: what is summed over steps, and what the sums come to."""

from typing import NamedTuple

from wwm.training import device

COLUMNS = [
    "step",
    "phase",
    "mlm_loss",
    "mlm_accuracy",
    "nsp_loss",
    "nsp_accuracy",
    "learning_rate",
    "grad_norm",
    "tokens",
    "fill",
    "heldout_mlm_loss",
    "heldout_mlm_accuracy",
]
# What a student learns of its teacher, behind these.
OF_TEACHER = ["kd_loss", "matches_loss"]
# What differs from machine to machine.
SPEEDS = ["tokens_per_second", "mfu", "memory_gib", "compilations"]


class Sums(NamedTuple):
    """Over the global batches of some steps."""

    mlm: float = 0.0  # cross-entropy in nats
    mlm_correct: float = 0.0
    masked: float = 0.0  # masked positions
    nsp: float = 0.0  # cross-entropy in nats
    nsp_correct: float = 0.0
    pairs: float = 0.0  # examples with a next sentence label
    kd: float = 0.0  # a student's loss on its teacher's logits
    matches: float = 0.0  # and on its hidden states
    tokens: float = 0.0  # positions that are no padding
    positions: float = 0.0
    flops: float = 0.0  # floating point operations

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]  # sums, as it says, and no longer tuple
        return Sums(*(a + b for a, b in zip(self, other)))


def point(sums: Sums, tokens_per_second: float, peak_flops: float | None) -> dict[str, float | None]:
    """The columns that follow from sums; peak_flops: of all devices together, None where it is not known."""
    return dict.fromkeys([*COLUMNS, *OF_TEACHER, *SPEEDS]) | {
        "mlm_loss": sums.mlm / max(1, sums.masked),
        "mlm_accuracy": sums.mlm_correct / max(1, sums.masked),
        "nsp_loss": sums.nsp / sums.pairs if sums.pairs else None,
        "nsp_accuracy": sums.nsp_correct / sums.pairs if sums.pairs else None,
        "kd_loss": sums.kd / sums.masked if sums.kd else None,
        "matches_loss": sums.matches / sums.tokens if sums.matches else None,
        "tokens_per_second": tokens_per_second,
        "fill": sums.tokens / sums.positions,
        "mfu": tokens_per_second * sums.flops / sums.tokens / peak_flops if peak_flops else None,
        "memory_gib": device.peak_memory() / 2**30,
    }
