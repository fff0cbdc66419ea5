"""What the plane says of itself holds against thousands of generated requests."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "tests/fuzz"
WORKER = [sys.executable, "-m", "duragraph_worker", "examples/hello.py:Hello", "--url"]
SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli"]


@pytest.fixture
async def served(plane):
    """A plane whose worker serves the graph `hello`."""
    worker = await asyncio.create_subprocess_exec(*WORKER, plane.url, cwd=ROOT)
    try:
        async with asyncio.timeout(30):
            while (await plane.get("/assistants/hello/graph")).status != 200:
                assert worker.returncode is None
                await asyncio.sleep(0.05)
        yield plane
    finally:
        worker.terminate()
        await worker.wait()


@pytest.mark.parametrize(
    ("examples", "seed"),
    [(5, "1"), pytest.param(200, str(random.getrandbits(64)), marks=pytest.mark.slow)],
    ids=["same", "other"],
)
@pytest.mark.timeout(1800)
async def test_generated_requests_find_nothing(served, tmp_path, examples, seed):
    config = tmp_path / "schemathesis.toml"
    config.write_text((FUZZ / "schemathesis.toml").read_text())
    run = await asyncio.create_subprocess_exec(
        *SCHEMATHESIS,
        "run",
        f"{served.url}/openapi.json",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--no-color",
        "--continue-on-failure",
        "--request-timeout=30",
        "--generation-database=none",
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode().partition("= FAILURES =")[2] or output.decode()
    assert (await served.get("/ok?check_db=1")).status == 200
