"""The page on 127.0.0.1, for who knows the password.

No JavaScript, no cookie, nothing from another address. A cookie would go to every port of 127.0.0.1; what a browser
remembers of a Basic password belongs to this port alone.
"""

import base64
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from wwm.common.errors import UserError
from wwm.play import page, texts
from wwm.play.models import Models

ADDRESS = "127.0.0.1"
VARIABLE = "WWM_PLAY_PASSWORD"
SHORTEST = 8  # characters of a password
BODY = 2**16  # bytes of a form, several times what its longest texts take
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer` browsers would hide the origin of our own form, too.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def main(folders: list[Path], port: int, look: page.Look) -> None:
    """Serves until Ctrl-C. Raises UserError for a port that is taken, a short password or a folder that is no model."""
    given = os.environ.get(VARIABLE)
    if given is not None and len(given) < SHORTEST:
        raise UserError(f"{VARIABLE} has {len(given)} characters; give it {SHORTEST} or more, or unset it")
    password = given or secrets.token_urlsafe(16)
    with listening(port) as listener:
        served = app(Models(folders), look, password)
        shown = f"that of {VARIABLE}" if given else password
        config = uvicorn.Config(
            served,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
        )
        with suppress(KeyboardInterrupt):
            print(f"http://{ADDRESS}:{port}  any user name, password: {shown}\nCtrl-C ends it.", flush=True)
            uvicorn.Server(config).run([listener])


def listening(port: int) -> socket.socket:
    """Raises UserError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(f"--port {port}: {error.strerror}; give another one, such as --port {port + 1}") from None
    return listener


def app(models: Models, look: page.Look, password: str) -> Starlette:
    lock = Lock()  # one request at a time: torch takes all cores, and loading is not safe side by side

    async def empty(request: Request) -> Response:
        preferred = request.headers.get("accept-language", "").lower()
        return HTMLResponse(page.empty(models, "zh" if preferred.startswith("zh") else "en"))

    async def answer(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY:
                return PlainTextResponse(f"The form has more than {BODY} bytes; shorten the text.", 413)
        given = parse_qs(body.decode("latin-1"), keep_blank_values=True)
        asked = given.get("language", [""])[-1]

        def work() -> tuple[int, str]:
            with lock:
                return page.answer(models, look, asked if asked in texts.LANGUAGES else "en", given)

        status, html = await run_in_threadpool(work)
        return HTMLResponse(html, status)

    async def style(_: Request) -> Response:
        return FileResponse(Path(__file__).with_name("style.css"))

    async def with_headers(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await go_on(request)
        response.headers.update(HEADERS)
        return response

    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        own = f"http://{request.headers['host']}"
        if request.headers.get("origin", own) != own:
            return PlainTextResponse("This form is sent from its own page alone.", 403)
        if not secrets.compare_digest(told(request.headers.get("authorization", "")), password.encode()):
            ask = {"WWW-Authenticate": 'Basic realm="wwm play", charset="UTF-8"'}
            return PlainTextResponse("The password is printed where `wwm play` was started.", 401, ask)
        return await go_on(request)

    return Starlette(
        routes=[Route("/", empty), Route("/", answer, methods=["POST"]), Route("/style.css", style)],
        middleware=[
            # Whatever is answered, refusals as well.
            Middleware(BaseHTTPMiddleware, dispatch=with_headers),
            # Another name that leads here is that of a foreign page, which would be taken for ours (DNS rebinding).
            Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"], www_redirect=False),
            Middleware(BaseHTTPMiddleware, dispatch=guard),
        ],
    )


def told(authorization: str) -> bytes:
    """The password in a header of Basic authentication; empty where there is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except ValueError:  # binascii's, or of what is not even ASCII
        return b""
