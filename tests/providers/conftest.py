"""A fake server for each vendor, and the vendor's provider pointed at it."""

import pytest

from duragraph_worker.llm.providers import register_provider, unregister_provider
from tests.providers.fake import Fake, serving
from tests.providers.vendors import VENDORS, provider


@pytest.fixture(params=VENDORS)
def vendor(request):
    return request.param


@pytest.fixture(params=["streamed", "whole"])
def stream(request):
    return request.param == "streamed"


@pytest.fixture
async def fake(vendor):
    """The vendor's fake; models of the vendor are asked there."""
    async with serving(Fake(vendor)) as fake:
        register_provider(vendor, provider(vendor, fake.url))
        yield fake
        unregister_provider(vendor)
