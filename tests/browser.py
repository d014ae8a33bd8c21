"""A headless Chromium that a test types into, by the DevTools protocol over two pipes: no driver, no port, no package.

https://chromedevtools.github.io/devtools-protocol, with --remote-debugging-pipe: JSON objects that a NUL ends.
"""

import json
import os
import select
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60
# Of root, as in a container, Chromium asks for --no-sandbox; the page is ours.
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]


class Browser:
    """One page. `events` are (method, params) of all that it told."""

    def __init__(self, to: int, back: int):
        self.to, self.back, self.read, self.number, self.session = to, back, b"", 0, ""
        self.events: list[tuple[str, dict]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, seconds: float = SECONDS, **params: Any) -> dict:
        """Raises TimeoutError where no answer comes in time."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        os.write(self.to, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while True:
            *whole, self.read = self.read.split(b"\0")
            for position, one in enumerate(map(json.loads, whole)):
                if one.get("id") == self.number:
                    self.read = b"".join(rest + b"\0" for rest in whole[position + 1 :]) + self.read
                    assert "error" not in one, one
                    return one["result"]
                if "method" in one:
                    self.events.append((one["method"], one["params"]))
            if not select.select([self.back], [], [], seconds)[0]:
                raise TimeoutError(method)
            new = os.read(self.back, 2**16)
            assert new, "Chromium has ended"
            self.read += new

    def value(self, script: str) -> Any:
        """Of a JavaScript expression."""
        found = self.ask("Runtime.evaluate", seconds=5, expression=script, returnByValue=True)
        return found["result"].get("value")

    def until(self, script: str) -> None:
        end = time.monotonic() + SECONDS
        while not self.asked_again(script):
            assert time.monotonic() < end, f"{script} does not come true: {self.value('document.body.innerText')}"
            time.sleep(0.1)

    def asked_again(self, script: str) -> Any:
        try:
            return self.value(script)
        except TimeoutError:  # an answer is lost where one page gives way to the next
            return None

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        scheme = urllib.parse.urlsplit(url).scheme
        self.until(f"document.readyState == 'complete' && location.protocol == '{scheme}:'")

    def click(self, selector: str) -> None:
        corner = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{corner}.scrollIntoView({{block: 'center'}})")
        x, y = self.value(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({corner}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """In place of what stands there."""
        self.click(selector)
        self.value("document.activeElement.select()")
        self.ask("Input.insertText", text=text)

    def texts(self, selector: str) -> list[str]:
        return self.value(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.innerText)")


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """profile: an empty folder that Chromium may fill."""
    (its_in, to), (back, its_out) = os.pipe(), os.pipe()
    # It reads commands from descriptor 3 and answers on 4.
    shell = f'exec "$@" 3<&{its_in} 4>&{its_out}'
    command = ["bash", "-c", shell, "bash", str(PROGRAM), *OPTIONS, f"--user-data-dir={profile}"]
    with open(profile.with_suffix(".log"), "wb") as log:
        process = subprocess.Popen(command, pass_fds=(its_in, its_out), stdout=log, stderr=log)
    os.close(its_in)
    os.close(its_out)
    try:
        yield Browser(to, back)
    finally:
        process.kill()
        process.wait()
        os.close(to)
        os.close(back)
