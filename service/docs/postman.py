"""The API as a Postman collection (format 2.1), made from the OpenAPI document: a folder for each tag."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any, Final

from service.docs.schema_types import ApiCall, Json, calls, json_example, success

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def postman_collection(document: Json) -> str:
    """The collection's JSON; the address and the key are its variables `baseUrl` and `apiKey`."""
    folders: dict[str, list[Json]] = {}
    for call in calls(document):
        folders.setdefault(call.operation["tags"][0], []).append(_item(call))
    collection = {
        "info": {
            "_postman_id": str(uuid.uuid5(uuid.NAMESPACE_URL, "urn:quantumfinance:postman")),
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": SCHEMA,
        },
        "auth": {"type": "apikey", "apikey": _pairs(key="x-api-key", value="{{apiKey}}", **{"in": "header"})},
        "variable": [
            {"key": "baseUrl", "value": "http://127.0.0.1:3000"},
            {"key": "apiKey", "value": "", "type": "secret"},
        ],
        "item": [{"name": tag, "item": items} for tag, items in folders.items()],
    }
    return json.dumps(collection, indent=2, ensure_ascii=False) + "\n"


def _pairs(**values: str) -> list[dict[str, str]]:
    return [{"key": name, "value": value, "type": "string"} for name, value in values.items()]


def _item(call: ApiCall) -> Json:
    examples = {one["name"]: one.get("example") for one in call.operation.get("parameters", [])}
    segments = [f":{part[1:-1]}" if part.startswith("{") else part for part in call.path.strip("/").split("/")]
    url: Json = {"raw": "{{baseUrl}}/" + "/".join(segments), "host": ["{{baseUrl}}"], "path": segments}
    if call.in_path:
        url["variable"] = [{"key": name, "value": examples[name]} for name in call.in_path]
    if call.query:
        url["query"] = [{"key": name, "value": "", "disabled": True} for name, _ in call.query]
    headers = [{"key": "content-type", "value": "application/json"}] if call.body else []
    if call.idempotent:
        headers.append({"key": "idempotency-key", "value": "{{$guid}}"})
    request: dict[str, Any] = {"method": call.method, "header": headers, "url": url, "description": call.text}
    if call.body:
        text = json.dumps(json_example(call.operation["requestBody"]), indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    status, response = success(call.operation)
    answer = {
        "name": response["description"],
        "originalRequest": request,
        "status": HTTPStatus(status).phrase,
        "code": status,
        "header": [{"key": "content-type", "value": "application/json"}],
        "body": json.dumps(json_example(response), indent=2, ensure_ascii=False),
    }
    return {"name": call.operation["summary"], "request": request, "response": [answer]}
