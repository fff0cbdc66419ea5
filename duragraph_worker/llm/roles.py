"""What an LLM node asks of a model and which tools a tool node runs: plain data."""

from typing import Any

import attrs

from duragraph_worker.llm.cache import Cache
from duragraph_worker.llm.providers import Parameters
from duragraph_worker.llm.tools import Tool


@attrs.frozen
class LLM:
    """What an LLM node asks, and where the reply goes."""

    models: tuple[str, ...]
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    output: Any = None
    into: str | None = None
    parameters: Parameters = attrs.field(factory=Parameters)
    max_tool_rounds: int = 10
    stream: bool = True
    cache: Cache | None = None
    memo: bool = False
    """Whether equal questions of one run are asked once."""


@attrs.frozen
class ToolRunner:
    """The tools whose calls a tool node runs."""

    tools: tuple[Tool, ...]
