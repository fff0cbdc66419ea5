"""What a schema can't say: which graph is served, what excludes what, and not to wait for years."""

from urllib.parse import urlencode

import schemathesis

SERVED = "hello"
LONGEST_SECONDS = 1e9
VALID = {"schedule": "@yearly", "timezone": "UTC", "webhook": "https://webhook.invalid/"}
LONGEST_QUERY = 8000
"""Characters: the first line of a request, which no schema bounds, ends at 8190."""
FINDS = ("/search", "/count")
"""What ids are filters of; they need not exist."""


@schemathesis.hook
def map_body(context, body):
    for one in body if isinstance(body, list) else [body]:
        if isinstance(one, dict):
            make_servable(one, context.operation.path)
    return body


def make_servable(body, path):
    name = "assistant_id" if "/runs" in path else "graph_id"
    if isinstance(body.get(name), str) and not path.endswith(FINDS):
        body[name] = SERVED
    for field, text in VALID.items():
        if isinstance(body.get(field), str):
            body[field] = text
    seconds = body.get("after_seconds")
    if isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_SECONDS:
        body["after_seconds"] = 0
    config = body.get("config")
    if body.get("context") and isinstance(config, dict):
        drop_object(config, "configurable")


@schemathesis.hook
def filter_query(context, query):
    """Without what is too long, begins as a list in JSON does and is none, or repeats blanks.

    Blanks in a list are skipped, so a hundred of them break no bound.
    """
    text = urlencode(query or {}, doseq=True, errors="replace")
    return len(text) < LONGEST_QUERY and "=%5B" not in text and f"{text}&".count("=&") <= 1


@schemathesis.hook
def map_headers(context, headers):
    """A key that was used before brings back an answer of then; what it names may be deleted."""
    return {name: value for name, value in (headers or {}).items() if name != "Idempotency-Key"}


def drop_object(config, name):
    if isinstance(config.get(name), dict):
        del config[name]
