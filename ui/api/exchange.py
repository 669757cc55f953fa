"""One request and its answer as a developer wants to see them, and as what code of theirs would make it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

KEY_VARIABLE: Final = "QF_API_KEY"


@dataclass(frozen=True)
class Exchange:
    """What was sent and what came back, as bytes: decoded only if somebody looks. The key is no part of it."""

    method: str
    path: str
    request_body: bytes | None
    status: int
    response: bytes
    headers: dict[str, str]
    took_ms: float

    @property
    def body(self) -> Any:
        """The request's body, decoded; None where there was none."""
        return None if self.request_body is None else json.loads(self.request_body)

    @property
    def answer(self) -> Any:
        """The answer, decoded; None where it is no JSON."""
        try:
            return json.loads(self.response)
        except ValueError:
            return None


def snippets(exchange: Exchange, endpoint: str) -> dict[str, tuple[str, str]]:
    """The request as (language for highlighting, code) by title; each reads the key from the environment."""
    return {
        "curl": ("bash", _curl(exchange, endpoint)),
        "Python": ("python", _python(exchange, endpoint)),
        "JavaScript": ("javascript", _javascript(exchange, endpoint)),
    }


def _curl(exchange: Exchange, endpoint: str) -> str:
    lines = [f"curl -sS -X {exchange.method} '{endpoint}{exchange.path}'", f'  -H "x-api-key: ${KEY_VARIABLE}"']
    if exchange.body is not None:
        body = _pretty(exchange.body).replace("'", "'\\''")
        lines += ["  -H 'content-type: application/json'", f"  -d '{body}'"]
    return " \\\n".join(lines)


def _python(exchange: Exchange, endpoint: str) -> str:
    lines = ["import json", "import os", "import urllib.request", ""]
    if exchange.body is not None:
        lines += [f"body = {_python_literal(exchange.body)}", ""]
    data = ", data=json.dumps(body).encode()" if exchange.body is not None else ""
    lines += [
        f'request = urllib.request.Request("{endpoint}{exchange.path}"{data}, method="{exchange.method}")',
        f'request.add_header("x-api-key", os.environ["{KEY_VARIABLE}"])',
        'request.add_header("content-type", "application/json")',
        "with urllib.request.urlopen(request, timeout=10) as response:",
        "    print(json.load(response))",
    ]
    return "\n".join(lines)


def _javascript(exchange: Exchange, endpoint: str) -> str:
    body = f"\n  body: JSON.stringify({_pretty(exchange.body)})," if exchange.body is not None else ""
    return (
        "// On your server: a key in a web page belongs to everyone who opens it.\n"
        f'const response = await fetch("{endpoint}{exchange.path}", {{\n'
        f'  method: "{exchange.method}",\n'
        f'  headers: {{ "x-api-key": process.env.{KEY_VARIABLE}, "content-type": "application/json" }},{body}\n'
        "});\n"
        "if (!response.ok) throw new Error(`HTTP ${response.status}`);\n"
        "console.log(await response.json());"
    )


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _python_literal(body: Any) -> str:
    """`body` as Python writes it, one key a line at the top."""
    if not isinstance(body, dict):
        return repr(body)
    return "{\n" + "".join(f"    {json.dumps(key)}: {value!r},\n" for key, value in body.items()) + "}"
