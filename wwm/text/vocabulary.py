"""A WordPiece vocabulary, and BERT's tokenizer over it."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from wwm.common import files, kinds
from wwm.common.errors import UserError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def read_vocab(path: Path) -> list[str]:
    """Entries in id order. Raises UserError for a missing special token, a repeated or an empty entry."""
    tokens = list(files.lines(path))
    first: dict[str, int] = {}
    for line, token in enumerate(tokens, 1):
        if not token:
            raise UserError(
                f"{path}, line {line}: empty entry; a vocabulary has one entry a line and its line is its id"
            )
        if first.setdefault(token, line) != line:
            raise UserError(
                f"{path}, line {line}: {token!r} stands in line {first[token]} too; remove one (ids after it shift)"
            )
    missing = [token for token in SPECIAL if token not in first]
    if missing:
        if known := form_of(tokens):
            raise UserError(f"{path}: this is {known}, and no vocab.txt of WordPiece, which has one entry a line")
        raise UserError(
            f"{path}: {', '.join(missing)} missing; masked language modelling needs {' '.join(SPECIAL)}, each on a line"
            " of its own"
        )
    return tokens


def form_of(lines: list[str]) -> str | None:
    """What a file without special tokens is, where it can be told."""
    if not lines:
        return None
    if known := kinds.foreign(lines[0].encode()):
        return f"{known[0]} ({known[1]})"
    if re.match(r'\s*(?:\{\s*(?:"|$)|\[\s*(?:["{\[]|$))', lines[0]):
        return "JSON (of a vocab.json write each entry in the line of its id, of a tokenizer.json those of model.vocab)"
    if sum(re.fullmatch(r".*[\t ]-?\d+(\.\d+)?(e-?\d+)?", line) is not None for line in lines) > 0.9 * len(lines):
        return "a list of words or SentencePiece with a number beside each entry"
    return None


def build(tokens: list[str], lower_case: bool, mapped: Mapping[str, str] = MappingProxyType({})) -> Tokenizer:
    """BERT's tokenizer over these entries, which reads each character of `mapped` as what it is mapped to; special
    tokens that stand literally in text are text. Offsets of pieces are those of the text as it is.
    """
    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lower_case
    )
    replaced = [normalizers.Replace(character, text) for character, text in sorted(mapped.items())]
    tokenizer.normalizer = normalizers.Sequence([*replaced, bert]) if replaced else bert
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.encode_special_tokens = True
    return tokenizer


def save(
    tokenizer: Tokenizer,
    tokens: list[str],
    lower_case: bool,
    folder: Path,
    mapped: Mapping[str, str] = MappingProxyType({}),
) -> None:
    (folder / "vocab.txt").write_bytes(("\n".join(tokens) + "\n").encode())
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower_case,
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "model_max_length": 512,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    if mapped:
        # transformers' BertTokenizer makes its own normalizer, without them; this class takes tokenizer.json's.
        config |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "map_characters": dict(mapped),
        }
    files.write_json(folder / "tokenizer_config.json", config)
