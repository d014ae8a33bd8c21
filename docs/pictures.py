"""Writes docs/pictures/: MLflow, Prefect and the playground after `make demo`, as a headless Chromium shows them.

By hand PYTHONPATH=tests python docs/pictures.py
"""

import base64
import io
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import browser
import playing
from PIL import Image

from flows import password
from wwm.common import files

FOLDER = Path("docs/pictures")
WIDTH, HEIGHT = 1400, 800
PORTS = {"MLFLOW_PORT": "5055", "PREFECT_PORT": "4255"}
COMPARED = ("bert", "rbt3-init", "rbt3")
SENTENCE = "房间很干净，服务也好。"
# Charts grow, and graphs find their place, for some seconds after the page says that it is complete.
STILL = 5
# MLflow opens a panel of its own over the page at first.
CLOSED = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"


@contextmanager
def ui() -> Iterator[dict[str, str]]:
    """The links that `make ui` prints, while its servers answer."""
    command = ["make", "ui", *(f"{name}={port}" for name, port in PORTS.items())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        lines = iter(process.stdout.readline, "Ctrl-C stops what runs here.\n")
        links = dict(line.strip().rsplit(maxsplit=1) for line in lines if "://" in line)
        for port in PORTS.values():
            wait(f"http://127.0.0.1:{port}")
        yield links
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def wait(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    raise TimeoutError(url)


def let_in() -> str:
    """What Prefect's server wants to see, and its page keeps."""
    return base64.b64encode(password.password(Path(".prefect")).encode()).decode()


def longest_flow_run(prefect: str) -> str:
    """The page of the run of the pipeline that had most to do, among those that came to their end."""
    asked = {"flows": {"name": {"any_": ["pipeline"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {let_in()}"}
    request = urllib.request.Request(f"{prefect}/api/flow_runs/filter", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        longest = max(json.load(answer), key=lambda run: run["total_run_time"])
    return f"{prefect}/runs/flow-run/{longest['id']}"


def picture(page: browser.Browser, name: str, top: str | None = None) -> None:
    """top: a selector; the picture is what stands from there to the end of the page, else the window."""
    time.sleep(STILL)
    part = {}
    if top:
        first = f"document.querySelector({top!r}).getBoundingClientRect().y + scrollY"
        y, height = page.value(f"[{first}, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": y, "width": WIDTH, "height": height - y, "scale": 1}
        part = {"captureBeyondViewport": True, "clip": clip}
    shot = Image.open(io.BytesIO(base64.b64decode(page.ask("Page.captureScreenshot", **part)["data"])))
    with files.new_file(FOLDER / f"{name}.png") as temporary:
        shot.convert("RGB").quantize(128).save(temporary, format="PNG", optimize=True)
    print(FOLDER / f"{name}.png")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        page = stack.enter_context(browser.opened(Path(folder, "profile")))
        page.ask("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)
        with ui() as links:
            kept = f"{CLOSED}; localStorage.setItem('prefect-password', '{let_in()}')"
            page.ask("Page.addScriptToEvaluateOnNewDocument", source=f"try {{ {kept} }} catch {{ }}")
            page.open(links["MLflow, models compared"])
            page.until("document.querySelectorAll('.js-plotly-plot').length > 2")
            picture(page, "mlflow")
            page.open(longest_flow_run(f"http://127.0.0.1:{PORTS['PREFECT_PORT']}"))
            page.until("document.querySelector('canvas') != null")
            picture(page, "prefect")
        address, _ = stack.enter_context(playing.served(Path.cwd()))
        page.open(f"http://anyone:{urllib.parse.quote(playing.PASSWORD)}@{address}/")
        page.type("#text", SENTENCE)
        for name in COMPARED:
            page.value(f"document.querySelector('[value=\"models/finetuned/reviews/{name}\"]').checked = true")
        page.click("button")
        page.until("document.readyState == 'complete' && document.querySelector('#words') != null")
        picture(page, "play", "h2")
        page.click(".language")
        page.until("document.readyState == 'complete' && document.documentElement.lang == 'zh-CN'")
        picture(page, "play.zh", "h2")


if __name__ == "__main__":
    main()
