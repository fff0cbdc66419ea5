"""Content blocks in the dialects that people write them in: LangChain's, OpenAI's, Anthropic's.

Owns how they are read; how a provider has them is its own module's business.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from duragraph_worker.messages import Message

Block = Mapping[str, Any]


@attrs.frozen
class Image:
    """A picture: at a URL, or base64 `data` of a `mime_type`."""

    url: str | None = None
    data: str | None = None
    mime_type: str | None = None

    @property
    def href(self) -> str:
        """Its URL; a `data:` URL if it is here."""
        return self.url or f"data:{self.mime_type};base64,{self.data}"


@attrs.frozen
class Reasoning:
    """What a model thought. `signature` is the provider's proof that it did."""

    text: str
    signature: str | None = None


def blocks(message: Message) -> Iterator[Block]:
    """The blocks of a message's content; empty texts are left out, as providers refuse them."""
    content = message.content
    for block in [content] if isinstance(content, str) else content:
        whole = {"type": "text", "text": block} if isinstance(block, str) else block
        if whole.get("text") != "":
            yield whole


def image(block: Block) -> Image | None:
    """The picture that a block is, if it is one. Raises ValueError if its type is missing."""
    match block:
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return _at(url)
        case {"type": "image", "source": {"type": "base64", "data": data, **rest}}:
            return _here(data, rest.get("media_type"))
        case {"type": "image", "url": str(url)} | {"type": "image", "source": {"url": str(url)}}:
            return _at(url)
        case {"type": "image", "base64": str(data), **rest}:
            return _here(data, rest.get("mime_type"))
        case {"type": "image", "source_type": "base64", "data": str(data), **rest}:
            return _here(data, rest.get("mime_type"))
    return None


def reasoning(block: Block) -> Reasoning | None:
    """The thought that a block is, if it is one."""
    match block:
        case {"type": "reasoning", "reasoning": str(text), **rest}:
            return Reasoning(text, (rest.get("extras") or {}).get("signature"))
        case {"type": "thinking", "thinking": str(text), **rest}:
            return Reasoning(text, rest.get("signature"))
    return None


def thought(text: str, index: int = 0, signature: str | None = None) -> list[str | dict[str, Any]]:
    """Content that is a piece of the reasoning block `index`."""
    proof = {"extras": {"signature": signature}} if signature else {}
    return [{"type": "reasoning", "reasoning": text, "index": index, **proof}]


def _at(url: str) -> Image:
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return Image(data=data, mime_type=head.removeprefix("data:"))
    return Image(url=url)


def _here(data: str, mime_type: Any) -> Image:
    if not mime_type:
        raise ValueError('an image given as base64 needs its `mime_type`, such as "image/png"')
    return Image(data=data, mime_type=mime_type)
