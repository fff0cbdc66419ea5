"""What a schema can't say: which graph is served, what excludes what, and not to wait for years."""

import schemathesis

SERVED = "hello"
LONGEST_SECONDS = 1e9


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        name = "assistant_id" if "/runs" in context.operation.path else "graph_id"
        if isinstance(body.get(name), str):
            body[name] = SERVED
        seconds = body.get("after_seconds")
        if isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_SECONDS:
            body["after_seconds"] = 0
        config = body.get("config")
        if body.get("context") and isinstance(config, dict):
            drop_object(config, "configurable")
    return body


def drop_object(config, name):
    if isinstance(config.get(name), dict):
        del config[name]
