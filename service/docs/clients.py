"""What a partner's developer takes along: clients in two languages and a Postman collection, made from the document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from service.docs.client_python import python_client
from service.docs.client_typescript import javascript_client, typescript_types
from service.docs.postman import postman_collection
from service.docs.schema_types import Json

CLIENTS: Final[dict[str, tuple[Callable[[Json], str], bytes]]] = {
    "quantumfinance.py": (python_client, b"text/x-python; charset=utf-8"),
    "quantumfinance.mjs": (javascript_client, b"text/javascript; charset=utf-8"),
    "quantumfinance.d.mts": (typescript_types, b"text/plain; charset=utf-8"),
    "quantumfinance.postman_collection.json": (postman_collection, b"application/json"),
}
"""Files by name: what makes each of the OpenAPI document, and its media type."""


def client_files(document: Json) -> dict[str, tuple[bytes, bytes]]:
    """Content and media type of each file."""
    return {name: (make(document).encode(), kind) for name, (make, kind) in CLIENTS.items()}
