"""A folder to play in, and `wwm play` as a process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import keeping
import pytest

from wwm import segmenter, vocab
from wwm.text import vocabulary

ROOT = Path(__file__).parent.parent
GOLD = ["春天 天气 很 热 。", "冬天 在 下 大雪 。", "河 里 鱼 很 多 ， 鸟 在 飞 。", "山 上 开花 了 吗 ？"]
LABELS = {"single": ("冷", "热"), "pair": ("不同", "相同"), "reading": ("",), "tagging": ("O", "B-天", "I-天")}
PASSWORD = "春天-password"


def project(folder: Path) -> None:
    """models/bert, a fine-tuned model of each kind, a segmenter and a vocabulary in `folder`, which one works in."""
    for kind, labels in LABELS.items():
        home = keeping.model(kind, labels)
        home.parent.rename(folder / "models/finetuned" / kind)
        shutil.rmtree(folder / "finished")
    gold = [line.split() for line in GOLD] * 10
    for name in ("segmenter", "vocab"):
        (folder / "data" / name).mkdir(parents=True)
    segmenter.train_perceptron(gold, gold, epochs=3, seed=1, folder=folder / "data/segmenter")
    tokens = vocab.train(vocabulary.build(vocabulary.SPECIAL, True), lambda: ["".join(words) for words in gold], 200, 1)
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, folder / "data/vocab")


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of `wwm play` on a free port, and its process, which Ctrl-C has ended at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from wwm.cli import app; app()", "play", *arguments, "--port", str(port)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "WWM_PLAY_PASSWORD": PASSWORD}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=folder, env=env, text=True, **pipes)
    try:
        line = process.stdout.readline()
        assert line.startswith(f"http://127.0.0.1:{port} "), process.communicate()[1]
        with pytest.raises(HTTPError, match="401"):  # else Ctrl-C might come before it serves
            urlopen(f"http://127.0.0.1:{port}", timeout=30)
        yield f"127.0.0.1:{port}", process
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
