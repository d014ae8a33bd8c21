"""Result files of pre-training as wwm/pretrain.py writes them."""

from pathlib import Path

import finetuned

ARCHITECTURE = {
    "num_hidden_layers": 4,
    "hidden_size": 128,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
EXAMPLES = {"set": "words", "unit": "whole_word", "masking": "static", "next_sentence_prediction": True}
PHASE = {"max_seq_length": 32, "steps": 1000, "batch_size": 16, "optimizer": "adamw", "train": None}


def save(model: str, init: str, seen: dict, own_steps: int, **changes) -> None:
    """seen: steps and tokens of the model, its starting points included. `changes` replace keys of its recipe."""
    recipe = {"architecture": ARCHITECTURE, "vocab_size": 6000, "examples": EXAMPLES, "phases": [PHASE]} | changes
    given = {"init": init, "init_weights": init, "weights": model, "recipe": recipe, "mlm_loss": 7.25}
    given |= {"all_else": model}
    cost = {"flops": 5 * 10**12, "own_flops": 2 * 10**12, "own_steps": own_steps}
    finetuned.write(f"results/pretrain/{model}.json", given | cost | seen)
    Path(f"results/pretrain/{model}.csv").write_text("step,phase,mlm_loss\n20,1,8.5\n40,1,7.25\n", encoding="utf-8")
