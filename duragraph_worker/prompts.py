"""Prompts as templates with versions, from files or texts: an extra.

A template is the author's, and is filled in a sandbox; what fills it is never read as one.
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import attrs

from duragraph_worker.extras import needs

with needs("prompts"):
    from jinja2 import StrictUndefined, Template, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

# Prompts are no HTML: nothing in them is escaped.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


_FAULTS = (
    TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
    RecursionError,
)  # fmt: skip
"""What a template raises that can't be filled: Jinja passes on what expressions in it do."""


class PromptError(ValueError):
    """A prompt that isn't there, can't be read, or lacks what would fill it."""


@attrs.frozen(eq=False)
class Prompt:
    """One version of a template in Jinja's language. As a text it is `name@version`.

    Raises PromptError for a template that can't be read.
    """

    name: str
    text: str = attrs.field(repr=False)
    version: str = attrs.field()
    """By default a digest of the text."""
    _template: Template = attrs.field(init=False, repr=False)

    @version.default
    def _digest(self) -> str:
        return blake2b(self.text.encode(), digest_size=4).hexdigest()

    @_template.default
    def _compiled(self) -> Template:
        try:
            return _ENVIRONMENT.from_string(self.text)
        except (TemplateError, RecursionError) as error:
            line = f" in line {error.lineno}" if hasattr(error, "lineno") else ""
            raise PromptError(f"prompt {self} can't be read: {error}{line}") from error

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def render(self, /, **variables: Any) -> str:
        """The text, filled. Raises PromptError naming what is missing, or fails."""
        try:
            return self._template.render(variables)
        except _FAULTS as error:
            given = ", ".join(variables) or "nothing"
            raise PromptError(f"prompt {self}: {error}; given: {given}") from error


class Prompts(Mapping[str, Prompt]):
    """The prompts of a folder, or of a mapping of names to texts.

    A file is named `greet.md`, or `greet@2.md` for version 2; its suffix means nothing.
    `prompts["greet"]` is the newest version, `prompts["greet@1"]` that one. Raises PromptError.
    """

    def __init__(self, source: str | Path | Mapping[str, str]) -> None:
        texts = source if isinstance(source, Mapping) else _files(Path(source))
        self._versions: dict[str, Prompt] = {}
        newest: dict[str, Prompt] = {}
        for key, text in sorted(texts.items(), key=lambda item: _order(item[0])):
            name, at, version = key.partition("@")
            prompt = Prompt(name, text, version) if at else Prompt(name, text)
            self._versions[str(prompt)] = newest[name] = prompt
        self._newest = newest

    def __getitem__(self, name: str) -> Prompt:
        found = self._newest.get(name) or self._versions.get(name)
        if found is None:
            known = ", ".join(self._versions) or "none"
            raise PromptError(f"there is no prompt {name!r}; known: {known}")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._newest or name in self._versions

    def __iter__(self) -> Iterator[str]:
        """Names, without versions."""
        return iter(self._newest)

    def __len__(self) -> int:
        return len(self._newest)


def _files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise PromptError(f"there is no folder {folder} with prompts; paths start at {Path.cwd()}")
    files = [file for file in folder.iterdir() if file.is_file() and file.name[0] != "."]
    try:
        texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    except UnicodeDecodeError as error:
        raise PromptError(f"a file in {folder} is no text in UTF-8: {error}") from error
    if len(texts) < len(files):
        raise PromptError(f"two files in {folder} have one name: {sorted(map(str, files))}")
    return texts


def _order(key: str) -> tuple[str, list[tuple[int, str]]]:
    """Versions in the order of their numbers; a file without one is the newest."""
    name, at, version = key.partition("@")
    if not at:
        return name, [(1 << 62, "")]
    parts = re.findall(r"\d+|[^\d.]+", version)
    return name, [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
