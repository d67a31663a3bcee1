"""`/openapi.json` as a page: no script, and nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

import msgspec

from adapters.codecs.plain import plain

STYLE: Final = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h2 { border-top: 1px solid; margin-top: 3rem; padding-top: 1rem; }
h3 code { font-size: 1.1rem; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid; padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; }
pre { border: 1px solid; overflow-x: auto; padding: 0.5rem; }
"""

_LINKS: Final = (
    '<p><a href="/openapi.json">openapi.json</a> <a href="/asyncapi.json">asyncapi.json</a>'
    ' <a href="/problems">all problems</a></p>'
)

Json = Mapping[str, Any]


def docs_page(document: Json) -> bytes:
    """Return the page about a document of `openapi.py`."""
    info = document["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<title>{escape(info["title"])}</title><link rel="stylesheet" href="/docs/style.css"></head><body><main>',
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>",
        _LINKS,
        *_operations(document),
        "<h2>Types</h2>",
        *_schemas(document["components"]["schemas"]),
        "</main></body></html>",
    ]
    return "\n".join(parts).encode()


def _operations(document: Json) -> Iterator[str]:
    tag = None
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{escape(tag)}</h2>"
            yield f'<section id="{operation["operationId"]}">'
            yield f"<h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(operation['summary'])}.</p>"
            yield f"<p>{_access(operation['security'])}</p>"
            yield from _rows(
                ("name", "in", "form", "meaning"),
                (
                    (each["name"], each["in"], _form(each["schema"]), each.get("description", ""))
                    for each in operation["parameters"]
                ),
            )
            if "requestBody" in operation:
                yield from _content("Body", operation["requestBody"]["content"])
            yield from _responses(operation["responses"], document["components"]["responses"])
            yield "</section>"


def _access(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "Open to all."
    scopes = " or ".join(f"<code>{escape(scope)}</code>" for each in security for scope in each["key"])
    return f"Needs a key with {scopes}." if scopes else "Needs a key."


def _responses(responses: Json, refusals: Json) -> Iterator[str]:
    for status, response in responses.items():
        if "$ref" not in response:
            yield from _content(f"{status} {response['description']}", response.get("content", {}))
    refused = (status for status, response in responses.items() if "$ref" in response)
    yield from _rows(("status", "refused because"), ((status, refusals[status]["description"]) for status in refused))


def _content(title: str, content: Json) -> Iterator[str]:
    types = " or ".join(f"<code>{escape(media_type)}</code>" for media_type in content) or "no body"
    yield f"<p>{escape(title)}: {types}</p>"
    for each in content.values():
        if "$ref" in each.get("schema", {}):
            yield f"<p>{_reference(each['schema'])}</p>"
        if "example" in each:
            yield f"<pre>{_pretty(each['example'])}</pre>"


def _schemas(schemas: Json) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><pre>{_pretty(schema)}</pre>'


def _rows(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield "<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"
        yield from ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in found)
        yield "</table>"


def _form(schema: Json) -> str:
    return ", ".join(f"{name}: {value}" for name, value in schema.items() if name != "description")


def _reference(schema: Json) -> str:
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _pretty(content: object) -> str:
    return escape(msgspec.json.format(msgspec.json.encode(content, enc_hook=plain), indent=2).decode())
