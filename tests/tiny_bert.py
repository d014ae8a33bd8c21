"""A random BERT, two layers of 32, whose vocabulary is the characters of given texts: for tests that need a model's folder."""

from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForPreTraining

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(folder: Path, texts: list[str]) -> BertForPreTraining:
    folder.mkdir(parents=True)
    vocabulary = [*SPECIALS, *sorted(set("".join(texts)) - set(" "))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertWordPieceTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}).save(str(folder / "tokenizer.json"))
    torch.manual_seed(1)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 40}
    model = BertForPreTraining(BertConfig(vocab_size=len(vocabulary), **sizes)).eval()
    model.save_pretrained(folder)
    return model
