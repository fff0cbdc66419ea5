"""The API's description as one page: no script, nothing remote, every word escaped."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Any

import msgspec

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; background: #8881; padding: .6rem; border-radius: 6px; }
b { display: inline-block; min-width: 4.5rem; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body>"
        f"<h1>{title}</h1><p>{escape(document['info']['description'])}"
        " The same for programs: <a href='openapi.json'>openapi.json</a>.</p>"
        f"{''.join(_sections(document['paths']))}<h2>Schemas</h2>"
        f"{''.join(_schemas(document['components']['schemas']))}</body></html>"
    )


def _sections(paths: dict[str, Any]) -> Iterable[str]:
    seen = ""
    for path, operations in paths.items():
        for method, operation in operations.items():
            (tag,) = operation["tags"]
            if tag != seen:
                seen = tag
                yield f"<h2>{escape(tag)}</h2>"
            shown = {k: operation[k] for k in ("parameters", "requestBody") if operation.get(k)}
            answers = {k: v for k, v in operation["responses"].items() if "$ref" not in v}
            yield (
                f"<details><summary><b>{escape(method.upper())}</b><code>{escape(path)}</code>"
                f"</summary><p>{escape(operation.get('description', ''))}</p>"
                f"{_json(shown | {'responses': answers})}</details>"
            )


def _schemas(schemas: dict[str, Any]) -> Iterable[str]:
    for name, schema in schemas.items():
        yield (
            f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>"
            f"{_json(schema)}</details>"
        )


def _json(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>"
