"""What an LLM node asks of a model and which tools a tool node runs: plain data."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import attrs

from duragraph_worker.llm.cache import Cache
from duragraph_worker.llm.providers import Parameters, texts
from duragraph_worker.llm.tools import Tool, as_tools


class Template(Protocol):
    """A system prompt to fill with the state, as `prompts.Prompt`; `str` of it is its name."""

    def render(self, /, **variables: Any) -> str: ...


@attrs.frozen
class LLM:
    """What an LLM node asks, and where the reply goes."""

    models: tuple[str, ...] = attrs.field(converter=texts)
    system: str | None = None
    template: Template | None = None
    """What the system prompt is made of, if it is one."""
    tools: tuple[Tool, ...] = attrs.field(default=(), converter=as_tools)
    output: Any = None
    into: str | None = None
    parameters: Parameters = attrs.field(factory=Parameters)
    max_tool_rounds: int = 10
    stream: bool = True
    cache: Cache | None = None
    memo: bool = False
    """Whether equal questions of one run are asked once."""

    def filled(self, values: Mapping[str, Any]) -> Self:
        """With the system prompt that its template makes of the state."""
        if self.template is None:
            return self
        return attrs.evolve(self, system=self.template.render(**values))


@attrs.frozen
class ToolRunner:
    """The tools whose calls a tool node runs."""

    tools: tuple[Tool, ...] = attrs.field(converter=as_tools)
