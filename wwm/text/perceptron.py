"""LTP's perceptron, as its legacy models are. The only importer of ltp_extension.

ltp itself would do the same by way of torch and transformers, which take seconds to import in every process.
"""

import hashlib
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from ltp_extension.perceptron import Algorithm, CWSModel, CWSTrainer

from wwm.common.errors import UserError

T = TypeVar("T")
Cut = Callable[[list[str]], list[list[str]]]
POSITIONS = 4  # what a feature speaks for or against: that the character begins, is within, ends or is a word
# A container file of Avro, https://avro.apache.org/docs/1.11.1/specification: what it begins with, and the bytes of the
# mark that stands behind its head and each of its blocks.
MAGIC, MARK = b"Obj\x01", 16


def train(sentences: list[list[str]], heldout: list[list[str]], epochs: int, seed: int, path: Path) -> None:
    """Writes the averaged perceptron of `sentences`, lists of words, to `path`, the same bytes each time; `heldout` is
    what LTP reports on.
    """
    # LTP's own shuffle takes no seed; with our order, no shuffle and one thread the same words give the same
    # segmentation.
    order = np.random.default_rng([seed, 0]).permutation(len(sentences))
    with tempfile.TemporaryDirectory() as temporary:
        for name, part in {"train": [sentences[i] for i in order], "eval": heldout}.items():
            Path(temporary, name).write_text("".join(" ".join(words) + "\n" for words in part), encoding="utf-8")
        trainer = CWSTrainer()
        trainer.load_train_data(f"{temporary}/train")
        trainer.load_eval_data(f"{temporary}/eval")
        trainer.algorithm = Algorithm("AP", 1)
        trainer.epoch = epochs
        trainer.shuffle = False
        trainer.compress = True
        trainer.train().save(f"{temporary}/model")
        path.write_bytes(canonical(Path(temporary, "model").read_bytes()))


def canonical(model: bytes) -> bytes:
    """A word model as LTP writes it, without what is random there: the order of a hash map, in which features have
    their numbers and stand in the file, and the mark between blocks.

    It is one record of Avro: a map from features (UTF-8) to their rows in an array of doubles (rows x POSITIONS).
    """
    file = BytesIO(model)
    file.seek(len(MAGIC))
    schema = dict(entries(file, octets))[b"avro.schema"]
    file.seek(MARK, 1)
    assert number(file) == 1, "records"
    record = BytesIO(zlib.decompress(octets(file), -zlib.MAX_WBITS))
    rows = dict(entries(record, number))
    weights = np.frombuffer(record.read(8 * number(record)), "<f8").reshape(-1, POSITIONS)
    features, places = sorted(rows), sorted(rows.values())
    # The first rows are no feature's.
    ordered = weights.copy()
    ordered[places] = weights[[rows[feature] for feature in features]]
    body = mapped(dict(zip(features, map(encoded, places)))) + encoded(weights.size) + ordered.tobytes() + encoded(0)
    # Zlib is not the same everywhere: "null" is not compressed.
    head = mapped({key: with_length(value) for key, value in ((b"avro.codec", b"null"), (b"avro.schema", schema))})
    mark = hashlib.sha256(body).digest()[:MARK]
    return MAGIC + head + mark + encoded(1) + with_length(body) + mark


def entries(file: BytesIO, value: Callable[[BytesIO], T]) -> Iterator[tuple[bytes, T]]:
    """Of a map."""
    while count := number(file):
        assert count > 0, "a block with its size before it"
        for _ in range(count):
            yield octets(file), value(file)


def octets(file: BytesIO) -> bytes:
    return file.read(number(file))


def number(file: BytesIO) -> int:
    """Seven bits a byte, the lowest first, the sign in the lowest of all."""
    value = shift = 0
    more = True
    while more:
        byte = file.read(1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        more = byte > 0x7F
    return value >> 1 ^ -(value & 1)


def encoded(number: int) -> bytes:
    """What `number` reads, of 0 or more."""
    value, found = number << 1, bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def with_length(octets: bytes) -> bytes:
    return encoded(len(octets)) + octets


def mapped(values: dict[bytes, bytes]) -> bytes:
    """A map of values that are encoded already; not an empty one."""
    return encoded(len(values)) + b"".join(with_length(key) + value for key, value in values.items()) + encoded(0)


def check(path: str) -> None:
    """Raises UserError for a file that LTP cannot load: what is cut off or foreign would end the process."""
    code = "import sys; from ltp_extension.perceptron import CWSModel; CWSModel.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = [*done.stderr.split("\n")[::-1], ""]
        reason = next(line for line in said if line.strip() and not line.startswith("note:") or line == said[-1])
        raise UserError(f"{path} is no word model of LTP, or not a whole one ({reason.strip()[:200]}); copy it anew")


def load(path: str, parallel: bool = True) -> Cut:
    """A function: list of sentences, none empty -> list of lists of words.

    parallel: over RAYON_NUM_THREADS threads, read from the environment when the first sentence is cut.
    """
    check(path)
    model = CWSModel.load(path)
    return lambda sentences: model.batch_predict(sentences, parallelism=parallel)


def refuse_outside(config: object, folder: str) -> None:
    """Raises UserError if config.json of an LTP folder names a file that is not in the folder."""
    if isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            refuse_outside(value, folder)
    elif isinstance(config, str) and len(config) > 1 and (config.startswith("/") or ".." in config.split("/")):
        raise UserError(f"{folder}/config.json: {config!r} is outside of the folder; take the folder from LTP itself")
