"""Prefect's temporary server, for a flow that is told of no other.

    python flows/server.py PORT < a pipe        serves until the pipe closes

The one that Prefect starts by itself gets Ctrl-C along with the flow, which can then tell nobody how it ended, and
outlives a flow that is killed by -9.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

START_SECONDS = 300  # a busy machine needs minutes
STOP_SECONDS = 5
# As Prefect tells its own.
TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class Ended(RuntimeError):
    """The server was gone before the flow was over."""


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """Serves within the block, unless PREFECT_API_URL names a server. Raises RuntimeError if it does not start, and
    Ended where it did not live as long as the block, whatever came of that.
    """
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, get_current_settings, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(port)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | settings | TEMPORARY,
    )
    try:
        url = f"http://127.0.0.1:{port}/api"
        wait_for(process, f"{url}/health")
        # It has no pages to point to.
        with temporary_settings({PREFECT_API_URL: url, PREFECT_UI_URL: ""}):
            try:
                yield
            finally:
                if process.poll() is not None:
                    raise Ended(
                        f"Prefect's temporary server ended with exit code {process.returncode} before the flow did;"
                        " what was made is kept: run again"
                    )
                APILogHandler().flush()
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with (
            contextlib.suppress(urllib.error.URLError, TimeoutError),
            urllib.request.urlopen(url, timeout=START_SECONDS),
        ):
            return
        if process.poll() is not None:
            raise RuntimeError(f"Prefect's temporary server ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"Prefect's temporary server does not answer at {url} after {START_SECONDS} s")
        time.sleep(0.1)


def serve(port: int) -> None:
    import uvicorn

    def stop_with_the_flow() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_with_the_flow, daemon=True).start()
    uvicorn.run("prefect.server.api.server:create_app", factory=True, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
