"""The types and calls of an OpenAPI document, as generators of clients need them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
CLIENT_PATHS: Final = "/v1/"
"""Only these routes are called by partners' programs; the others are for browsers, proxies and Prometheus."""
_NAMES: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


def snake(name: str) -> str:
    """A camelCase name in snake_case."""
    return _NAMES.sub(r"_\1", name).lower()


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One operation that a client offers."""

    name: str
    method: str
    path: str
    text: str
    body: str | None
    """Name of the request's schema."""
    answer: str | None
    """Name of the answer's schema; None for any object."""
    query: tuple[tuple[str, Json], ...]
    idempotent: bool
    operation: Json

    @property
    def in_path(self) -> list[str]:
        """Names of the parameters in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def snake_name(self) -> str:
        """The name as Python writes it."""
        return snake(self.name)


def calls(document: Json) -> Iterator[ApiCall]:
    """The operations for partners' programs, in the document's order."""
    for path, item in document["paths"].items():
        if not path.startswith(CLIENT_PATHS):
            continue
        for method, operation in item.items():
            parameters = operation.get("parameters", [])
            yield ApiCall(
                name=operation["operationId"],
                method=method.upper(),
                path=path,
                text=" ".join(filter(None, (operation["summary"] + ".", operation.get("description")))),
                body=_schema_of(operation.get("requestBody")),
                answer=_schema_of(success(operation)[1]),
                query=tuple((one["name"], one["schema"]) for one in parameters if one["in"] == "query"),
                idempotent=any(one["name"] == "Idempotency-Key" for one in parameters),
                operation=operation,
            )


def success(operation: Json) -> tuple[int, Json]:
    """Status and response of an operation that went well."""
    status = min(operation["responses"])
    return int(status), operation["responses"][status]


def json_example(part: Json) -> Any:
    """The example of a request or response in JSON."""
    return part["content"]["application/json"]["example"]


def _schema_of(part: Json | None) -> str | None:
    schema = part["content"]["application/json"]["schema"] if part else {}
    return name_of(schema["$ref"]) if "$ref" in schema else None


def name_of(reference: str) -> str:
    """The name that a `$ref` ends with."""
    return reference.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class TypeWords:
    """How a language writes types."""

    plain: dict[str, str]
    """By JSON Schema's `type`."""
    null: str
    array: Callable[[str], str]
    literal: Callable[[Any], str]


def type_text(schema: Json, words: TypeWords) -> str:
    """A schema as a type of a language."""
    if "$ref" in schema:
        return name_of(schema["$ref"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_text(one, words) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(words.literal(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "null":
        return words.null
    if kind == "array":
        return words.array(type_text(schema["items"], words))
    return words.plain[kind or "object"]
