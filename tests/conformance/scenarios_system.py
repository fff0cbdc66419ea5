"""What is asked of the server about itself."""

from collections.abc import Awaitable, Callable

from tests.conformance.wire import Wire


async def health(wire: Wire) -> None:
    for path in ("/", "/ok", "/ok?check_db=1", "/ok?check_db=0"):
        await wire.get(path)
        await wire.call("HEAD", path)
    await wire.post("/ok", {})


async def description(wire: Wire) -> None:
    await wire.get("/info")
    await wire.get("/metrics?format=json")
    for path in ("/info", "/openapi.json", "/docs", "/metrics"):
        await wire.call("HEAD", path)
    await wire.call("DELETE", "/info")


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (health, description)
