"""Every way a request can fail, by code. Only `api/` knows that HTTP exists."""

from collections.abc import Mapping
from typing import ClassVar


class DuraGraphError(Exception):
    """Something went wrong."""

    code = "internal"

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """`message` defaults to the class's docstring; `hint` says what to do about it."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)


class Invalid(DuraGraphError):
    """The request does not have the shape it must have."""

    code = "invalid"


class InvalidLabel(Invalid):
    """A namespace has a label that can't be one."""


class Refused(DuraGraphError):
    """The request is well-formed but can't be carried out."""

    code = "refused"


class KeyRequired(Refused):
    """Key is required"""  # noqa: D400, D415 - the wire's own words


class Unauthorized(DuraGraphError):
    """The API key is missing or unknown."""

    code = "unauthorized"


class Forbidden(DuraGraphError):
    """Pages of this origin may not ask."""

    code = "forbidden"


class NotFound(DuraGraphError):
    """Not Found"""  # noqa: D400, D415 - the wire's own words

    code = "not_found"


class Conflict(DuraGraphError):
    """Conflict"""  # noqa: D400, D415 - the wire's own words

    code = "conflict"


class Gone(DuraGraphError):
    """The events after this id are no longer kept."""

    code = "gone"


class TooLarge(DuraGraphError):
    """Request body too large."""

    code = "too_large"


class Busy(DuraGraphError):
    """Too many requests are under way."""

    code = "busy"


class Unavailable(DuraGraphError):
    """Something this request needs is not there right now."""

    code = "unavailable"


class Denied(DuraGraphError):
    """An auth handler's own words, with a status and headers of its choice."""

    CODES: ClassVar = {401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict"}

    def __init__(
        self, status: int, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.code = self.CODES.get(status, "refused" if status < 500 else "internal")  # noqa: PLR2004 - HTTP's
