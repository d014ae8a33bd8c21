"""The tokenizer of a vocabulary's or model's folder, as every stage loads it."""

from pathlib import Path

from tokenizers import Tokenizer


def load(folder: str | Path) -> Tokenizer:
    """A literal [MASK] or [SEP] in a text is text; nothing is cut or padded. Raises ValueError if there is no tokenizer.json."""
    path = Path(folder, "tokenizer.json")
    if not path.is_file():
        raise ValueError(f"{path} is not there; vocab writes it, and every model's folder has a copy")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
