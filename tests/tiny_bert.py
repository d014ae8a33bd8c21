"""A random BERT, two layers of 32, whose vocabulary is the characters of given texts: for tests that need a model's folder."""

from pathlib import Path

import torch
from transformers import BertConfig, BertForPreTraining

from wwm import vocab


def write(folder: Path, texts: list[str]) -> BertForPreTraining:
    folder.mkdir(parents=True)
    vocabulary = [*vocab.SPECIAL, *sorted(set("".join(texts)) - set(" "))]
    vocab.save(vocab.build(vocabulary, lower_case=True), vocabulary, True, folder)
    torch.manual_seed(1)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 40}
    model = BertForPreTraining(BertConfig(vocab_size=len(vocabulary), **sizes)).eval()
    model.save_pretrained(folder)
    return model
