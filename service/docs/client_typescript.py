"""The client for TypeScript and JavaScript: an ES module and its types, made from the OpenAPI document."""

from __future__ import annotations

import json
from typing import Final

from service.docs.schema_types import ApiCall, Json, TypeWords, calls, type_text

WORDS: Final = TypeWords(
    plain={
        "string": "string",
        "number": "number",
        "integer": "number",
        "boolean": "boolean",
        "object": "Record<string, unknown>",
    },
    null="null",
    array=lambda items: f"({items})[]" if "|" in items else f"{items}[]",
    literal=json.dumps,
)
_HEAD: Final = "// {what} of the QuantumFinance credit score API, version {version}; made from its OpenAPI document.\n"
_MODULE: Final = """// Needs nothing but fetch: Node 18 or later, on a server. A key in a browser is a key lost.

/** An answer that is no success: RFC 9457 problem details, with the seconds to wait where there are any. */
export class ApiProblem extends Error {
  constructor(status, problem, retryAfterSeconds) {
    const broken = (problem.errors ?? []).slice(0, 5).map(({ pointer, detail }) => `${pointer || "body"} ${detail}`);
    super(`${status} ${[problem.detail, broken.join("; ")].filter(Boolean).join(": ")}`.trim());
    this.name = "ApiProblem";
    this.status = status;
    this.problem = problem;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The API with one key. */
export class ScoreApi {
  #base;
  #key;
  #fetch;

  constructor(baseUrl, key, { fetch: own = globalThis.fetch } = {}) {
    this.#base = baseUrl.replace(/\\/+$/, "");
    this.#key = key;
    this.#fetch = own;
  }

  async #send(method, path, { body, query = {}, idempotencyKey } = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = given.length ? `?${new URLSearchParams(given)}` : "";
    const headers = { "x-api-key": this.#key };
    if (body !== undefined) headers["content-type"] = "application/json";
    if (idempotencyKey !== undefined) headers["idempotency-key"] = idempotencyKey;
    const sent = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
    const response = await this.#fetch(this.#base + path + search, sent);
    if (response.ok) return response.json();
    const told = (response.headers.get("content-type") ?? "").startsWith("application/problem+json");
    const waited = response.headers.get("retry-after");
    throw new ApiProblem(response.status, told ? await response.json() : {}, waited === null ? null : Number(waited));
  }
"""
_TYPES: Final = """
export class ApiProblem extends Error {
  readonly status: number;
  readonly problem: Partial<ProblemSchema>;
  readonly retryAfterSeconds: number | null;
}

export class ScoreApi {
  constructor(baseUrl: string, key: string, options?: { fetch?: typeof globalThis.fetch });
"""


def javascript_client(document: Json) -> str:
    """The module's text."""
    head = _HEAD.format(what="Client", version=document["info"]["version"])
    return head + _MODULE + "".join(_method(one) for one in calls(document)) + "}\n"


def typescript_types(document: Json) -> str:
    """The text of its declarations."""
    parts = [_HEAD.format(what="Types of the client", version=document["info"]["version"])]
    parts += [_type(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "".join([*parts, _TYPES, *(_declared(one) for one in calls(document)), "}\n"])


def _type(name: str, schema: Json) -> str:
    if "properties" not in schema:
        return f"\nexport type {name} = {type_text(schema, WORDS)};\n"
    required = schema.get("required", [])
    lines = [*_comment(schema.get("description", ""), ""), f"export interface {name} {{"]
    for field, rules in schema["properties"].items():
        lines += _comment(rules.get("description", ""), "  ")
        lines.append(f"  {field}{'' if field in required else '?'}: {type_text(rules, WORDS)};")
    return "\n" + "\n".join([*lines, "}"]) + "\n"


def _options(call: ApiCall) -> list[str]:
    return [*(name for name, _ in call.query), *(["idempotencyKey"] if call.idempotent else [])]


def _method(call: ApiCall) -> str:
    options = _options(call)
    arguments = [*call.in_path, *(["body"] if call.body else [])]
    arguments += [f"{{ {', '.join(options)} }} = {{}}"] if options else []
    path = call.path
    for name in call.in_path:
        path = path.replace(f"{{{name}}}", f"${{encodeURIComponent({name})}}")
    members = [*(["body"] if call.body else []), *(["idempotencyKey"] if call.idempotent else [])]
    if call.query:
        members.append(f"query: {{ {', '.join(name for name, _ in call.query)} }}")
    literal = f", {{ {', '.join(members)} }}" if members else ""
    lines = [
        *_comment(call.text, "  "),
        f"  async {call.name}({', '.join(arguments)}) {{",
        f'    return this.#send("{call.method}", `{path}`{literal});',
        "  }",
    ]
    return "\n" + "\n".join(lines) + "\n"


def _declared(call: ApiCall) -> str:
    options = [f"{name}?: {type_text(schema, WORDS)}" for name, schema in call.query]
    options += ["idempotencyKey?: string"] if call.idempotent else []
    arguments = [*(f"{name}: string" for name in call.in_path), *([f"body: {call.body}"] if call.body else [])]
    arguments += [f"options?: {{ {'; '.join(options)} }}"] if options else []
    answer = call.answer or "Record<string, unknown>"
    return "\n".join([*_comment(call.text, "  "), f"  {call.name}({', '.join(arguments)}): Promise<{answer}>;", ""])


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}/** {' '.join(text.split()).replace('*/', '* /')} */"] if text else []
