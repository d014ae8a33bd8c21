"""Property tests look at the same cases every time, and however long a case takes on a busy machine. Nothing is sent to
MLflow but by tests that ask for it: each stage would start a process that imports mlflow for seconds.
"""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

from wwm import track

settings.register_profile("wwm", deadline=None, derandomize=True)
settings.load_profile("wwm")


def leave_unread(server: socket.socket) -> None:
    def drain(connection: socket.socket) -> None:
        with connection:
            while connection.recv(2**16):
                pass

    while True:
        threading.Thread(target=drain, args=server.accept()[:1], daemon=True).start()


@contextmanager
def unread() -> Iterator[None]:
    """The stages of a pipeline run share a process that sends for them; here it reads, and sends nothing."""
    with tempfile.TemporaryDirectory() as folder:
        server = socket.create_server(f"{folder}/socket", family=socket.AF_UNIX)
        threading.Thread(target=leave_unread, args=(server,), daemon=True).start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(track.SENDER, f"{folder}/socket")
            yield


@pytest.fixture(scope="session", autouse=True)
def untracked():
    with unread():
        yield
