"""What a model provider must do, and which provider a model's name means.

Providers are loaded when a model of theirs is first asked; none is imported here.
"""

import importlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import attrs

from duragraph_worker.extras import MissingExtraError
from duragraph_worker.llm.tools import Tool
from duragraph_worker.messages import AIMessage, AIMessageChunk, Message


@attrs.frozen
class Output:
    """The JSON Schema that a reply must have; its top is an object."""

    name: str
    schema: dict[str, Any]


def texts(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """One text, several or none."""
    return (given,) if isinstance(given, str) else tuple(given or ())


@attrs.frozen(kw_only=True)
class Parameters:
    """How a model is to answer. What is None is left to the provider; what it lacks is left out."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = attrs.field(default=(), converter=texts)
    """Texts that end the reply as they would come."""
    seed: int | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)
    """The provider's own parameters, under the names that it gives them; these win."""
    request_timeout: float | None = None
    """Seconds that the provider may be silent before a request counts as lost."""


@attrs.frozen(kw_only=True)
class Request:
    """One question to a model."""

    model: str
    """Without the provider's name."""
    messages: list[Message]
    tools: tuple[Tool, ...] = ()
    output: Output | None = None
    parameters: Parameters = attrs.field(factory=Parameters)


class Provider(Protocol):
    """Asks models. One object serves many requests at once, on any event loop."""

    errors: tuple[type[Exception], ...]
    """What it raises when a model can't answer. Refused requests have a `status_code`."""

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""

    def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply as it comes; the chunks add up to it. A chunk's usage is of all so far."""


class ModelError(ValueError):
    """A model's name leads to no provider that is installed."""


_BUILT_IN = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "cohere": "Cohere",
    "ollama": "Ollama",
}
"""Provider -> its class. Its module and the extra that it needs have the provider's name."""

_WELL_KNOWN = {
    "ollama": re.compile(r"llama|mistral|mixtral|qwen|phi|deepseek|gemma|gpt-oss"),
    "openai": re.compile(r"gpt-|chatgpt-|o\d|ft:"),
    "anthropic": re.compile(r"claude"),
    "cohere": re.compile(r"command|c4ai-"),
    "google": re.compile(r"gemini"),
}
"""Bare names; the first that fits."""

_registered: dict[str, Provider] = {}


def register_provider(name: str, provider: Provider | type[Provider]) -> None:
    """Have models named `name/…` asked through `provider`, or an instance of that class."""
    _registered[name] = provider() if isinstance(provider, type) else provider


def unregister_provider(name: str) -> None:
    """Undo `register_provider`; a built-in provider of that name is back."""
    _registered.pop(name, None)


@contextmanager
def replaced(providers: Iterable[str], stand_in: Provider) -> Iterator[None]:
    """Have the models of all these asked through another provider while the block runs."""
    before = {name: _registered.get(name) for name in providers}
    _registered.update(dict.fromkeys(before, stand_in))
    try:
        yield
    finally:
        for name, provider in before.items():
            unregister_provider(name)
            if provider is not None:
                register_provider(name, provider)


def resolve(model: str) -> tuple[Provider, str]:
    """The provider of `provider/model`, `provider:model` or a well-known bare name, and the model.

    Raises ModelError naming the providers there are, or the pip line that installs this one.
    """
    name, bare = split(model)
    if name in _registered:
        return _registered[name], bare
    if name not in _BUILT_IN:
        raise ModelError(
            f"model {model!r} needs the provider {name!r}, which is not installed; installed: "
            f"{', '.join(names())}. Others are added with register_provider({name!r}, …)"
        )
    try:
        module = importlib.import_module(f"duragraph_worker.integrations.{name}")
    except MissingExtraError as error:
        raise ModelError(f"model {model!r}: {error}") from error
    provider: Provider = getattr(module, _BUILT_IN[name])()
    _registered[name] = provider
    return provider, bare


def split(model: str) -> tuple[str, str]:
    """The name of its provider, and the model's own. Raises ModelError if it has none."""
    known = names()
    for separator in "/:":
        name, _, bare = model.partition(separator)
        if bare and (name in known or name in _WELL_KNOWN):
            return name, bare
    if "/" in model:
        name, bare = model.split("/", 1)
        return name, bare
    for name, pattern in _WELL_KNOWN.items():
        if pattern.match(model):
            return name, model
    raise ModelError(
        f"model {model!r} doesn't say whose it is: write `provider/{model}`; "
        f"installed providers: {', '.join(known)}"
    )


def names() -> list[str]:
    """The providers there are, built in or registered."""
    return sorted(_BUILT_IN.keys() | _registered.keys())
