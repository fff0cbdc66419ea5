"""Our extras go together, each is enough for what needs it, and their page tells of them all."""

import subprocess
import sys

import pytest

from tests.extras import PAGE, ROOT, NoIndexError, extras, module, resolved


def all_resolved(**options):
    try:
        return resolved(*extras(), **options)
    except NoIndexError as error:
        pytest.skip(f"no package index to ask: {error}")


def test_the_page_has_every_extra_and_what_it_brings():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = {line.split("`")[1]: line for line in lines}
    assert rows.keys() == extras().keys(), "write it anew: python -m tests.extras"
    for name, brings in extras().items():
        assert all(f" {package} " in rows[name] for package in brings), name


def test_all_extras_go_together():
    # What all ask for together holds for some of them, too.
    versions = all_resolved()
    assert {package.lower() for brings in extras().values() for package in brings} <= set(versions)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_all_extras_go_together_on_every_python(python):
    assert all_resolved(python=python)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("extra", [name for name in extras() if module(name)])
def test_an_extra_alone_is_enough_for_what_needs_it(extra):
    name = module(extra).relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    alone = [sys.executable, "-m", "uv", "run", "--isolated", "--no-project", "--quiet"]
    done = subprocess.run(
        [*alone, "--with", f"{ROOT}[{extra}]", "python", "-P", "-c", f"import {name}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
