"""Gate: who may speak to the lab: the browser that was given its address, on this machine, and no page of others.

A page of another site can make a browser call this machine, under a name of its own [DNS rebinding]: what counts is
the name that was called, where the call comes from, and the token that was printed on the terminal.
"""

import hmac
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "trimtab_lab"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}  # fmt: skip
NAMES = ("127.0.0.1", "localhost")


class Gate:
    """Lets through to `app` who names this machine at `port` and has the `token`, in the address once and in a cookie
    from then on."""

    def __init__(self, app: ASGIApp, *, token: str, port: Callable[[], int]) -> None:
        self.app, self.token, self.port = app, token, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._answer(scope)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        await self.app(scope, receive, _with_headers(send))

    def _answer(self, scope: Scope) -> Response | None:
        """What is answered in the place of the page; None where the page itself is."""
        headers = Headers(scope=scope)
        hosts = [f"{name}:{self.port()}" for name in NAMES]
        if headers.get("host") not in hosts:
            return _refused("This lab answers to its own address alone.")
        origin = headers.get("origin")
        if origin is not None and origin not in [f"http://{host}" for host in hosts]:
            return _refused("This lab answers to its own pages alone.")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if "token" in query and self._is_token(query["token"][0]):
            rest = {name: values[0] for name, values in query.items() if name != "token"}
            place = scope["path"] if scope["path"].startswith("/") and not scope["path"].startswith("//") else "/"
            answer = RedirectResponse(place + ("?" + urlencode(rest) if rest else ""), status_code=303)
            # Cookies do not tell ports apart: another lab on this machine has another name for its own.
            answer.set_cookie(f"{COOKIE}_{self.port()}", self.token, httponly=True, samesite="strict")
            return answer
        if not self._is_token(_cookie(headers, f"{COOKIE}_{self.port()}")):
            return _refused("Open the lab by the address that it has printed, with its token.")
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def _cookie(headers: Headers, name: str) -> str:
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _refused(why: str) -> Response:
    return PlainTextResponse(why + "\n", status_code=403)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message.get("headers", [])}
            more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in own]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sending
