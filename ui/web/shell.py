"""The page before Streamlit has started: language, title, description, and the brand painted with the first bytes.

Streamlit's own document is an empty English shell until three megabytes of script have run. This middleware writes into
it what a newcomer, a search engine and a screen reader need at once, and a picture that gives way to the page.
"""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.texts.brand import ICON, picture
from ui.texts.wording import HTML_LANGUAGES, Texts, choose_language, texts

_ROOT: Final = '<div id="root">'
_STYLE: Final = """
#qf-first{position:fixed;inset:0;z-index:9;display:grid;place-content:center;justify-items:center;gap:.75rem;
padding:1rem;
background:#fff;color:#101828;font:1rem/1.5 system-ui,sans-serif;text-align:center}
#qf-first b{font-size:1.6rem}#qf-first p{margin:0;max-width:34rem}#qf-first svg{width:min(22rem,80vw)}
@media(prefers-color-scheme:dark){#qf-first{background:#0E1420;color:#F2F4F8}}
"""
# Taken away when the page has its heading; after 20 s in any case, so that it never hides what went wrong.
_LEAVE: Final = """
(() => {const first = document.getElementById("qf-first");
const seen = new MutationObserver(() => {
  if (document.querySelector("[data-testid=stMain] h1, [data-testid=stException], [role=dialog]")) leave();
});
const leave = () => {seen.disconnect(); first.remove();};
seen.observe(document.getElementById("root"), {childList: true, subtree: true}); setTimeout(leave, 20000);})();
"""
_GUARDS: Final = {
    "content-security-policy": "frame-ancestors 'self'; base-uri 'self'; object-src 'none'",
    "referrer-policy": "strict-origin-when-cross-origin",
    "x-content-type-options": "nosniff",
}


class FirstPaint:
    """Completes each HTML document on its way to the browser; everything else passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "GET" or "html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        language = choose_language(Headers(scope=scope).get("accept-language"))
        # Uncompressed and whole: a document of 8 kB is rewritten, so no older copy of it may be confirmed.
        plain = [pair for pair in scope["headers"] if pair[0] not in (b"accept-encoding", b"if-none-match")]
        await self._app({**scope, "headers": plain}, receive, _Rewriter(send, texts(language)))


class _Rewriter:
    """Holds the start and the body of an HTML answer back until it is whole."""

    def __init__(self, send: Send, words: Texts) -> None:
        self._send, self._words = send, words
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and "text/html" in Headers(raw=message["headers"]).get(
            "content-type", ""
        ):
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        body = completed(self._body.decode("utf-8"), self._words).encode()
        headers = MutableHeaders(raw=list(start["headers"]))
        for name in ("etag", "last-modified"):
            del headers[name]
        headers.update({"content-length": str(len(body)), "vary": "accept-language", **_GUARDS})
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def completed(document: str, t: Texts) -> str:
    """Streamlit's document with language, title, description, and the first picture."""
    title, promise = escape(t("app.title")), escape(t("app.promise"))
    head = (
        f'<meta name="description" content="{promise}"><meta property="og:title" content="{title}">'
        f'<meta property="og:description" content="{promise}"><link rel="icon" href="{ICON}"><style>{_STYLE}</style>'
    )
    first = (
        f'<div id="qf-first" role="status">{picture()}<b>{title}</b><p>{promise}</p><p>{escape(t("app.opening"))}</p>'
        f"</div>"
    )
    return (
        document.replace('<html lang="en">', f'<html lang="{HTML_LANGUAGES[t.language]}">')
        .replace("<title>Streamlit</title>", f"<title>{title}</title>{head}")
        .replace('<link rel="shortcut icon" href="./favicon.png" />', "")
        .replace(_ROOT, f"{first}{_ROOT}")
        .replace("</body>", f"<script>{_LEAVE}</script></body>")
    )
