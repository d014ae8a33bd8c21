"""Raw text, gold words, dictionaries, segmenters and vocabularies of another kind, cut off or not to be read."""

import gzip
import json
from pathlib import Path

from bad_inputs import Bad
from damage import changed, each, half, params_of, put, shaped, with_keys, zeroed

TEXT = ("今天天气很好，我们去公园散步。\n" * 3 + "\n") * 40
FILE = "data/demo/text/bad"
BINARIES = {
    "a zip": shaped("zip"),
    "a tar": shaped("tar"),
    "a tar without a mark": shaped("old tar"),
    "a tar in gzip": shaped("tar.gz"),
    "gzip cut off": shaped("gzip")[:-20],
    "gzip of random bytes": gzip.compress(bytes(range(256)) * 20, mtime=0),
    "Parquet": shaped("Parquet"),
    "zeros": bytes(5000),
    "random bytes": bytes(range(256)) * 20,
    "a PDF": b"%PDF-1.7\n" + bytes(range(256)) * 4,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a pickle": b"\x80\x04\x95" + bytes(100),
    "SQLite": b"SQLite format 3\0" + bytes(200),
    "GB18030": TEXT.encode("gb18030"),
    "Big5": "今天天氣很好，我們去公園散步。\n".encode("big5") * 40,
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 without a mark": TEXT.encode("utf-16-le"),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-32 without a mark": TEXT.encode("utf-32-be"),
    "a bad byte": TEXT.encode()[:3000] + b"\xff" + TEXT.encode()[3000:],
    "empty": b"",
    "blanks": b"  \n\n \n",
}


def source(**keys: object) -> object:
    return params_of({"corpus.sources": {"bad": {"files": "bad", **keys}}})


def cases() -> list[Bad]:
    one = source()
    found = [Bad(f"text, {name}", "corpus", each(put(FILE, content), one), FILE) for name, content in BINARIES.items()]
    jsonl = source(format="jsonl", fields=["text"])
    rows = {
        "a list": "[1, 2]\n",
        "cut off": '{"text": "今天',
        "nested 200,000 deep": "[" * 200_000,
        "an object over lines": '{\n"text": "今天"\n}\n',
        "without the field": '{"content": "今天"}\n' * 5,
        "of numbers": '{"text": 7}\n' * 5,
        "of null": '{"text": null}\n' * 5,
        "a number of 5,000 digits": '{"text": %s}\n' % ("9" * 5000),
    }
    found += [Bad(f"JSON lines, {name}", "corpus", each(put(FILE, text), jsonl), FILE) for name, text in rows.items()]
    parquet = source(format="parquet", fields=["text"])
    found += [
        Bad(f"Parquet, {name}", "corpus", each(put(FILE, content), parquet), FILE)
        for name, content in {
            "cut off": shaped("Parquet")[:200],
            "of text": TEXT.encode(),
            "zeroed within": shaped("Parquet")[:4] + bytes(200) + shaped("Parquet")[204:],
            "with a huge footer": shaped("Parquet")[:-8] + b"\xff\xff\xff\x7fPAR1",
        }.items()
    ]
    absent = source(format="parquet", fields=["body"])
    found += [Bad("Parquet without the column", "corpus", each(put(FILE, shaped("Parquet")), absent), "body")]
    for form in ("mediawiki", "wikiextractor", "wiki2019zh"):
        wiki = source(format=form)
        found += [Bad(f"{form} of plain text", "corpus", each(put(FILE, TEXT), wiki), FILE)]
        found += [Bad(f"{form} cut off", "corpus", each(put(FILE, "<mediawiki><page><title>x"), wiki), FILE)]
    link = each(lambda: Path(FILE).symlink_to("nowhere"), one)
    found += [
        Bad("a link to nothing", "corpus", link, FILE),
        Bad(
            "a link to nothing among files",
            "corpus",
            each(
                put("data/demo/text/a.txt", TEXT),
                lambda: Path("data/demo/text/b.txt").symlink_to("nowhere"),
                params_of({"corpus.sources": {"bad": "*.txt"}}),
            ),
            "b.txt",
        ),
        Bad("a link to itself", "corpus", each(lambda: Path(FILE).symlink_to("bad"), one), "bad"),
        Bad("a folder", "corpus", each(put(f"{FILE}/x", b""), one), "bad"),
        Bad("no such file", "corpus", one, "bad"),
        Bad(
            "a path out of the folder", "corpus", params_of({"corpus.sources": {"bad": "../words.txt"}}), "sources.bad"
        ),
        Bad("an absolute path", "corpus", params_of({"corpus.sources": {"bad": "/etc/passwd"}}), "sources.bad"),
        Bad("no such folder", "corpus", params_of({"corpus.folder": "data/nowhere"}), "data/nowhere"),
        Bad(
            "a URL that nobody serves",
            "corpus",
            params_of({"corpus.sources": {"bad": "http://127.0.0.1:9/x"}}),
            "sources.bad",
        ),
        Bad("a data set that is not here", "corpus", source(dataset="nobody/nothing"), "sources.bad"),
        Bad("all too short", "corpus", each(put(FILE, "好\n\n好\n"), one), "sources.bad"),
        Bad("one document", "corpus", each(put(FILE, "今天天气很好，我们去公园散步。\n"), one), "sources.bad"),
    ]
    gold = "data/demo/words.txt"
    found += [Bad(f"gold, {name}", "segmenter", put(gold, content), gold) for name, content in BINARIES.items()]
    found += [
        Bad("gold without spaces", "segmenter", put(gold, TEXT), gold),
        Bad("gold missing", "segmenter", lambda: Path(gold).unlink(), gold),
        Bad("gold a folder", "segmenter", each(lambda: Path(gold).unlink(), put(f"{gold}/x", b"")), gold),
    ]
    model, config = "elsewhere/ltp/cws_model.bin", "elsewhere/ltp/config.json"
    ltp = params_of({"segmenter.source": "elsewhere/ltp"})
    found += [
        Bad(f"LTP folder, {name}", "segmenter", each(moved, damage, ltp), "elsewhere/ltp|data/.segmenter.tmp")
        for name, damage in {
            "perceptron cut off": half(model),
            "perceptron cut off at 100 bytes": changed(model, lambda content: content[:100]),
            "perceptron of random bytes": put(model, bytes(range(256)) * 40),
            "perceptron of Avro's mark alone": put(model, b"Obj\x01" + b"\xfe\xff\xff\xff\xff\xff\x7f" * 20),
            "perceptron empty": put(model, b""),
            "perceptron zeroed": zeroed(model, 0.1),
            "perceptron missing": lambda: Path(model).unlink(),
            "config missing": lambda: Path(config).unlink(),
            "config a list": put(config, "[]"),
            "config nested 200,000 deep": put(config, "[" * 200_000),
            "config without tasks": with_keys(config, tasks=None),
            "config of a neural model": with_keys(config, nerual=True),
            "config that says maybe": with_keys(config, nerual="maybe"),
            "config with a task that is a list": with_keys(config, tasks={"cws": [1]}),
        }.items()
    ]
    found += [
        Bad(f"segment, {name}", "segment", damage, says)
        for name, damage, says in [
            ("perceptron cut off", half("data/segmenter/cws_model.bin"), "cws_model.bin"),
            ("origin.json missing", lambda: Path("data/segmenter/origin.json").unlink(), "origin.json"),
            ("origin.json cut off", half("data/segmenter/origin.json"), "origin.json"),
            ("origin.json a list", put("data/segmenter/origin.json", "[]"), "origin.json"),
            ("config a list", put("data/segmenter/config.json", "[]"), "data/segmenter/config.json"),
            ("no corpus", lambda: Path("data/corpus").rename("data/other"), "data/corpus"),
            ("a shard cut off", half("data/corpus/train/00000.parquet"), "00000.parquet"),
            ("a shard empty", put("data/corpus/train/00000.parquet", b""), "00000.parquet"),
            ("a shard zeroed", zeroed("data/corpus/train/00000.parquet"), "00000.parquet"),
            ("a shard of text", put("data/corpus/train/00000.parquet", TEXT), "00000.parquet"),
        ]
    ]
    words = params_of({"segment.dictionary": "words.txt"})
    found += [
        Bad(f"dictionary, {name}", "segment", each(put("words.txt", content), words), "words.txt")
        for name, content in {
            **{
                name: BINARIES[name]
                for name in ("a zip", "a tar without a mark", "zeros", "GB18030", "UTF-16", "empty")
            },
            "with frequencies": "天气 3 n\n",
            "of sentences": TEXT,
            "a word of 1,000 characters": "天" * 1000,
        }.items()
    ]
    found += [Bad("dictionary missing", "segment", words, "words.txt")]
    vocab = params_of({"vocab.source": "vocab.txt"})
    entries = Path("data/vocab/vocab.txt")
    found += [
        Bad(f"vocabulary, {name}", "vocab", each(put("vocab.txt", content), vocab), "vocab.txt")
        for name, content in {**BINARIES, "JSON": json.dumps({"[PAD]": 0}), "no special tokens": "好\n坏\n"}.items()
    ]
    found += [
        Bad(
            "vocabulary with an entry twice",
            "vocab",
            each(lambda: put("vocab.txt", entries.read_bytes() + b"[UNK]\n")(), vocab),
            "vocab.txt",
        ),
        Bad("vocabulary missing", "vocab", vocab, "vocab.source"),
        Bad(
            "vocabulary of few characters",
            "vocab",
            each(put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n好\n"), vocab),
            "unknown_share_limit",
        ),
    ]
    folder = params_of({"vocab.source": "elsewhere/vocab"})
    own = "elsewhere/vocab/tokenizer_config.json"
    found += [
        Bad(f"vocabulary folder, {name}", "vocab", each(moved, damage, folder), "elsewhere/vocab")
        for name, damage in {
            "without vocab.txt": lambda: Path("elsewhere/vocab/vocab.txt").unlink(),
            "tokenizer_config.json cut off": half(own),
            "tokenizer_config.json a list": put(own, "[]"),
            "tokenizer_config.json a text": put(own, '"maybe"'),
            "tokenizer_config.json with do_lower_case maybe": with_keys(own, do_lower_case="maybe"),
            "tokenizer_config.json nested 200,000 deep": put(own, "[" * 200_000),
            "map_characters a list": with_keys(own, map_characters=[1]),
        }.items()
    ]
    return found


def moved() -> None:
    """The segmenter and the vocabulary, to where somebody else's may be."""
    Path("elsewhere").mkdir()
    Path("data/segmenter").rename("elsewhere/ltp")
    Path("data/vocab").rename("elsewhere/vocab")
