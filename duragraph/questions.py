"""What plane and workers say to each other of users: questions for auth handlers, and answers.

Part of the worker protocol, see `protocol.py`. JSON travels as bytes.
"""

import attrs

WORKER_HEADER = "x-duragraph-worker"
"""Names the worker that calls an endpoint of clients."""


@attrs.frozen
class AuthSpec:
    """What the plane must know of a project's auth handlers, none of which it runs."""

    reads: list[str]
    """What of a request `authenticate` looks at: requests equal in that have one identity."""
    studio: bool = True
    """Whether LangGraph Studio may come without credentials, where the plane lets it."""
    security: bytes = b"null"
    """For the OpenAPI document: `{securitySchemes, security}`."""


@attrs.frozen
class Credentials:
    """A request, as far as it tells who sends it."""

    method: str
    path: str
    path_params: dict[str, str]
    query: str
    headers: list[tuple[bytes, bytes]]
    socket: bool = False


@attrs.frozen
class Intent:
    """What a client is about to do: `value` is the JSON object that handlers may change."""

    user: bytes
    permissions: list[str]
    resource: str
    action: str
    value: bytes


@attrs.frozen
class AuthQuestion:
    """Asked of one worker, and of another if that one is slow. Held in memory alone."""

    question_id: str
    plane_id: str
    """Of the bus: who asks, since any plane may be given the answer."""
    credentials: Credentials | None = None
    """Who is this?"""
    intent: Intent | None = None
    """May it? One of the two is asked."""


@attrs.frozen
class AuthAnswer:
    """`POST /workers/{id}/answers`, a list of these. A `status` of 400 and more refuses."""

    question_id: str
    plane_id: str
    status: int = 200
    detail: str = ""
    headers: dict[str, str] = attrs.field(factory=dict)
    user: bytes = b"null"
    """To credentials: a JSON object with `identity`."""
    permissions: list[str] = attrs.field(factory=list)
    filter: bytes = b"null"
    """To an intent: a JSON object that metadata must satisfy, or null."""
    changed: dict[str, bytes] = attrs.field(factory=dict)
    """To an intent: the keys of `value` that have another value now, as JSON."""
