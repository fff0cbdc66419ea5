"""From files and web pages to the documents of a store: loading, and splitting into parts.

Text, Markdown, HTML, PDF, CSV, JSON and JSON lines. HTML becomes Markdown, so that it is split
where its headings are.
"""

import asyncio
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import attrs
import msgspec

from duragraph_worker.extras import needs
from duragraph_worker.vectors.filters import Scalar
from duragraph_worker.vectors.store import Document, DocumentError

with needs("documents"):
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

Known: TypeAlias = dict[str, Scalar]
Read: TypeAlias = Callable[[bytes], Iterator[tuple[str, Known]]]

PATIENCE = aiohttp.ClientTimeout(total=60)
"""Seconds that a page may take."""


async def load(source: str | Path, *, pattern: str = "**/*") -> list[Document]:
    """The documents of a file, of a folder's files that `pattern` fits, or of a page by its URL.

    A PDF is a document a page, a table one a row, a JSON list one an item. Metadata say `source`,
    `format`, and `title`, `page`, `row` or `item` where there are such. Empty ones are left out;
    so are a folder's files of other kinds. Raises DocumentError for what can't be read, OSError,
    `aiohttp.ClientError`.
    """
    if urlsplit(str(source)).scheme in ("http", "https"):
        content, suffix = await _fetched(str(source))
        return await asyncio.to_thread(_documents, str(source), content, suffix)
    return await asyncio.to_thread(_from_disk, Path(source), pattern)


def split(
    documents: Iterable[Document] | Document,
    *,
    size: int = 1000,
    overlap: int = 100,
    length: Callable[[str], int] = len,
) -> list[Document]:
    """Parts of documents, cut between sections, paragraphs, sentences or words as they fit.

    `size` and `overlap` are measured by `length`: characters, unless it counts something else.
    A part has its document's metadata and its number as `part`; its id is `<document's>#<part>`.
    """
    given = [documents] if isinstance(documents, Document) else documents
    kinds: dict[Scalar | None, TextSplitter | MarkdownSplitter] = {
        "markdown": MarkdownSplitter.from_callback(length, size, overlap)
    }
    plain = TextSplitter.from_callback(length, size, overlap)
    return [
        attrs.evolve(
            document,
            text=text,
            metadata={**document.metadata, "part": number},
            id=f"{document.id}#{number}",
            vector=None,
        )
        for document in given
        for number, text in enumerate(
            kinds.get(document.metadata.get("format"), plain).chunks(document.text)
        )
    ]


async def _fetched(url: str) -> tuple[bytes, str]:
    """A page, and the suffix that a file of its kind would have."""
    async with (
        aiohttp.ClientSession(timeout=PATIENCE, raise_for_status=True) as session,
        session.get(url) as answer,
    ):
        suffix = _OF_TYPE.get(answer.content_type, PurePosixPath(urlsplit(url).path).suffix)
        return await answer.read(), suffix


def _from_disk(path: Path, pattern: str) -> list[Document]:
    if not path.is_dir():
        return _documents(str(path), path.read_bytes(), path.suffix)
    files = sorted(file for file in path.glob(pattern) if file.is_file())
    return [
        document
        for file in files
        if file.suffix.lower() in _READ
        for document in _documents(str(file), file.read_bytes(), file.suffix)
    ]


def _documents(source: str, content: bytes, suffix: str) -> list[Document]:
    read = _READ.get(suffix.lower(), _text)
    try:
        # PostgreSQL, for one, keeps no NUL; PDFs have some.
        parts = [(text.replace("\0", ""), known) for text, known in read(content)]
    except (ValueError, PyPdfError, csv.Error, RecursionError) as error:
        raise DocumentError(f"{source} can't be read: {error}") from error
    return [
        Document(text, metadata={"source": source, **known})
        for text, known in parts
        if text.strip()
    ]


def _text(content: bytes) -> Iterator[tuple[str, Known]]:
    yield content.decode("utf-8-sig"), {"format": "text"}


def _markdown(content: bytes) -> Iterator[tuple[str, Known]]:
    yield content.decode("utf-8-sig"), {"format": "markdown"}


def _html(content: bytes) -> Iterator[tuple[str, Known]]:
    page = BeautifulSoup(content, "html.parser")
    known: Known = {"format": "markdown"}
    if page.title is not None and page.title.string:
        known["title"] = page.title.string.strip()
    text: str = MarkdownConverter(heading_style="ATX").convert_soup(page.body or page)
    yield text.strip(), known


def _pdf(content: bytes) -> Iterator[tuple[str, Known]]:
    for number, page in enumerate(PdfReader(io.BytesIO(content)).pages, 1):
        yield page.extract_text(), {"format": "text", "page": number}


def _csv(content: bytes) -> Iterator[tuple[str, Known]]:
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restkey="")
    for number, row in enumerate(rows, 1):
        lines = [f"{column}: {value}" for column, value in row.items() if value]
        yield "\n".join(lines), {"format": "text", "row": number}


def _json(content: bytes) -> Iterator[tuple[str, Known]]:
    whole = msgspec.json.decode(content)
    if not isinstance(whole, list):
        yield _as_text(whole), {"format": "text"}
        return
    for number, item in enumerate(whole, 1):
        yield _as_text(item), {"format": "text", "item": number}


def _json_lines(content: bytes) -> Iterator[tuple[str, Known]]:
    for number, item in enumerate(msgspec.json.Decoder().decode_lines(content), 1):
        yield _as_text(item), {"format": "text", "item": number}


def _as_text(item: Any) -> str:
    return item if isinstance(item, str) else msgspec.json.encode(item).decode()


_READ: dict[str, Read] = {
    ".txt": _text,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
"""By the suffix of a file."""

_OF_TYPE = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "application/pdf": ".pdf",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
}
