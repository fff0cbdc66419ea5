"""What the vendors' replies and refusals mean for fallbacks and for the account."""

import pytest

from duragraph_worker.llm import prices
from duragraph_worker.llm.providers import register_provider
from duragraph_worker.testing import scripted
from tests.providers.asking import run
from tests.providers.fake import Breaks, Refuses
from tests.providers.vendors import provider
from tests.providers.wires import says


@pytest.fixture
def priced(vendor, tmp_path):
    """A price for the vendor's model: 2 dollars in, 1 from its cache, 10 out."""
    path, before = tmp_path / "prices.csv", dict(prices._table())
    columns = "model,input,cached_input,cache_write,output,over,valid_from"
    path.write_text(f"{columns}\n{vendor}/the-model,2,1,,10,,2026-01-01\n")
    prices.load(path)
    yield
    prices._table().clear()
    prices._table().update(before)


async def test_a_reply_has_its_price(fake, vendor, stream, priced):
    fake.script = [says("Hello", input_tokens=900, output_tokens=400, cached=200)]
    usage = (await run(vendor, stream=stream)).usage
    cached = 0 if vendor == "ollama" else 200
    assert usage["cost_usd"] == ((900 - cached) * 2 + cached + 400 * 10) / 1e6
    assert usage["models"].keys() == {f"{vendor}/the-model"}


@pytest.mark.parametrize("status", [404, 413, 429, 500, 503])
async def test_refusals_that_another_model_may_mend(fake, vendor, stream, status):
    register_provider(vendor, provider(vendor, fake.url, max_retries=0))
    fake.script = [Refuses(status)]
    with scripted("spare", ["Hello"]):
        result = await run(vendor, stream=stream, model=[f"{vendor}/the-model", "spare/m"])
    assert result.output["messages"][-1].text == "Hello"
    assert result.usage["models"][f"{vendor}/the-model"]["failed_calls"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_refusals_that_no_other_model_mends(fake, vendor, stream, status):
    fake.script = [Refuses(status)]
    with scripted("spare", []) as spare:
        result = await run(vendor, stream=stream, model=[f"{vendor}/the-model", "spare/m"])
    assert result.error.status_code == status
    assert spare.requests == []


@pytest.mark.parametrize("vendor", ["anthropic"])
async def test_what_a_vendor_told_before_its_stream_broke_counts(fake, vendor, priced):
    reply = says("Hel", "lo", input_tokens=900, output_tokens=400, cached=200)
    fake.script = [Breaks(reply, after=2)]
    usage = (await run(vendor)).usage
    assert (usage["failed_calls"], usage["input_tokens"]) == (1, 900)
    assert usage["cost_usd"] == pytest.approx((700 * 2 + 200) / 1e6, abs=1e-4)
