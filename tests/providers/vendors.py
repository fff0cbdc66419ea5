"""The providers under test, each through its vendor's own SDK."""

from typing import Any

from duragraph_worker.integrations.anthropic import Anthropic
from duragraph_worker.integrations.cohere import Cohere
from duragraph_worker.integrations.ollama import Ollama
from duragraph_worker.integrations.openai import OpenAI
from duragraph_worker.llm.providers import Provider

VENDORS = ("openai", "anthropic", "cohere", "ollama")


def provider(name: str, url: str, *, max_retries: int = 2) -> Provider:
    """The provider `name`, asking the server at `url`."""
    if name == "ollama":
        return Ollama(host=url, max_retries=max_retries)
    makers: dict[str, Any] = {"openai": OpenAI, "anthropic": Anthropic, "cohere": Cohere}
    base = f"{url}/v1" if name == "openai" else url
    made: Provider = makers[name](base_url=base, api_key="secret", max_retries=max_retries)
    return made
