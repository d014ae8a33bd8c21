"""A name that code does not know is a bug, and never taken for another name: every choice of params.yaml is matched in
full.
"""

import pytest
import torch

from wwm import mask
from wwm.masks import masking
from wwm.training import device

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "字"]
SETTINGS = {
    "unit": "whole_word",
    "random_token": "vocabulary",
    "ngram_probs": [1.0],
    "masked_lm_prob": 0.15,
    "max_predictions_per_seq": 5,
}


@pytest.mark.parametrize(
    "choose",
    [
        lambda: device.autocast(torch.device("cpu"), "fp16"),
        lambda: masking.of_set(TOKENS, SETTINGS | {"unit": "phrase"}),
        lambda: masking.of_set(TOKENS, SETTINGS | {"random_token": "pieces"}),
        lambda: mask.schema("uint16", "lazy"),
    ],
    ids=["precision", "unit", "random_token", "masking"],
)
def test_an_unknown_name_is_no_other_one(choose):
    with pytest.raises(AssertionError):
        choose()
