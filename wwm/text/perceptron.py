"""LTP's perceptron, as its legacy models are. The only importer of ltp_extension.

ltp itself would do the same by way of torch and transformers, which take seconds to import in every process.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ltp_extension.perceptron import Algorithm, CWSModel, CWSTrainer

Cut = Callable[[list[str]], list[list[str]]]


def train(sentences: list[list[str]], heldout: list[list[str]], epochs: int, seed: int, path: Path) -> None:
    """Writes the averaged perceptron of `sentences`, lists of words, to `path`; `heldout` is what LTP reports on."""
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
        trainer.train().save(str(path))


def load(path: str, parallel: bool = True) -> Cut:
    """A function: list of sentences, none empty -> list of lists of words.

    parallel: over RAYON_NUM_THREADS threads, read from the environment when the first sentence is cut.
    """
    model = CWSModel.load(path)
    return lambda sentences: model.batch_predict(sentences, parallelism=parallel)
