"""The client for Python: one module of typed dictionaries and a class, made from the OpenAPI document."""

from __future__ import annotations

import json
import textwrap
from typing import Final

from service.docs.schema_types import ApiCall, Json, TypeWords, calls, type_text

WORDS: Final = TypeWords(
    plain={"string": "str", "number": "float", "integer": "int", "boolean": "bool", "object": "dict[str, Any]"},
    null="None",
    array=lambda items: f"list[{items}]",
    literal=lambda value: f"Literal[{json.dumps(value)}]",
)
_HEAD: Final = '''"""Typed client of the QuantumFinance credit score API, version {version}.

Made from the API's OpenAPI document; needs Python 3.11 and httpx. Keys are for servers.

    with ScoreApi("https://api.example", os.environ["QF_API_KEY"]) as api:
        print(api.score(applicant, idempotency_key=str(uuid.uuid4()))["band"])
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Self, TypeAlias, TypedDict, cast
from urllib.parse import quote

import httpx
'''
_CLIENT: Final = '''

class ApiProblem(Exception):
    """An answer that is no success: RFC 9457 problem details, with the seconds to wait where there are any."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        told = response.headers.get("content-type", "").startswith("application/problem+json")
        self.problem: dict[str, Any] = response.json() if told else {}
        waited = response.headers.get("retry-after", "")
        self.retry_after_s = int(waited) if waited.isdecimal() else None
        broken = "; ".join(f"{one['pointer'] or 'body'} {one['detail']}" for one in self.problem.get("errors", [])[:5])
        detail = ": ".join(part for part in (self.problem.get("detail", ""), broken) if part)
        super().__init__(f"{self.status} {detail}".strip())


class ScoreApi:
    """The API with one key; use it as a context manager, or close it."""

    def __init__(
        self, base_url: str, key: str, *, timeout_s: float = 10.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._client = httpx.Client(
            base_url=base_url, headers={"x-api-key": key}, timeout=timeout_s, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, str | int | None] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        given = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in (query or {}).items()
            if value is not None
        }
        response = self._client.request(method, path, params=given, headers=headers, json=body)
        if response.is_error:
            raise ApiProblem(response)
        return response.json()
'''


def python_client(document: Json) -> str:
    """The module's text."""
    parts = [_HEAD.format(version=document["info"]["version"])]
    for name, schema in document["components"]["schemas"].items():
        parts.append(_type(name, schema))
    parts.append(_CLIENT)
    parts += [_method(one) for one in calls(document)]
    return "".join(parts)


def _type(name: str, schema: Json) -> str:
    if "properties" not in schema:
        return f"\n{name}: TypeAlias = {type_text(schema, WORDS)}\n"
    required = schema.get("required", [])
    lines = [f"\n\nclass {name}(TypedDict):", *_docstring(schema.get("description", f"{name}."), "    "), ""]
    for field, rules in schema["properties"].items():
        kind = type_text(rules, WORDS)
        lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
    return "\n".join(lines) + "\n"


def _method(call: ApiCall) -> str:
    arguments = [*(f"{name}: str" for name in call.in_path), *([f"body: {call.body}"] if call.body else [])]
    keywords = [f"{name}: {type_text(schema, WORDS)} | None = None" for name, schema in call.query]
    keywords += ["idempotency_key: str | None = None"] if call.idempotent else []
    signature = ", ".join(["self", *arguments, *(["*", *keywords] if keywords else [])])
    answer = call.answer or "dict[str, Any]"
    path = call.path
    for name in call.in_path:
        path = path.replace(f"{{{name}}}", f"{{quote({name}, safe='')}}")
    values = [f'"{call.method}"', f'{"f" if call.in_path else ""}"{path}"', *(["body"] if call.body else [])]
    if call.query:
        values.append("query={" + ", ".join(f'"{name}": {name}' for name, _ in call.query) + "}")
    if call.idempotent:
        values.append("idempotency_key=idempotency_key")
    return "\n".join(
        [
            f"\n    def {call.snake_name}({signature}) -> {answer}:",
            *_docstring(call.text, "        "),
            f'        return cast("{answer}", self._send({", ".join(values)}))',
            "",
        ]
    )


def _docstring(text: str, indent: str) -> list[str]:
    lines = textwrap.wrap(" ".join(text.split()), 110 - len(indent))
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    return [f'{indent}"""{lines[0]}', *(indent + line for line in lines[1:]), f'{indent}"""']
