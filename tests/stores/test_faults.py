"""Servers that refuse in passing, or are gone."""

import asyncio

import asyncpg
import pytest
from pinecone import PineconeError
from qdrant_client.http.exceptions import UnexpectedResponse

from duragraph_worker.integrations.chroma import Chroma
from duragraph_worker.integrations.pgvector import PgVector
from duragraph_worker.vectors.store import Document

TWO = [Document(id="1", vector=[1.0, 0.0]), Document(id="2", vector=[0.0, 1.0])]


@pytest.mark.parametrize("vendor", ["pinecone", "qdrant-server"], indirect=True)
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_is_refused_in_passing_is_asked_again(make, request, vendor, status):
    store = make()
    fake = request.getfixturevalue(vendor.removesuffix("-server"))
    fake.refusals = [status, status]
    await store.upsert(TWO)
    fake.refusals = [status]
    assert len(await store.query([1.0, 0.0])) == 2


@pytest.mark.parametrize("vendor", ["pinecone", "qdrant-server"], indirect=True)
async def test_what_is_wrong_is_not_asked_again(make, request, vendor):
    store = make()
    await store.upsert(TWO)
    fake = request.getfixturevalue(vendor.removesuffix("-server"))
    fake.refusals, asked = [400], len(fake.asked)
    with pytest.raises((PineconeError, UnexpectedResponse), match="400"):
        await store.query([1.0, 0.0])
    assert len(fake.asked) == asked + 1


@pytest.mark.parametrize("vendor", ["pinecone", "qdrant-server"], indirect=True)
async def test_tries_run_out(make, request, vendor):
    store = make(max_retries=1)
    fake = request.getfixturevalue(vendor.removesuffix("-server"))
    fake.refusals = [500, 500, 500]
    with pytest.raises((PineconeError, UnexpectedResponse), match="500"):
        await store.upsert(TWO)
    assert fake.refusals == [500]


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_database_that_hangs_up_is_asked_again(retries):
    calls = []

    async def hang_up(reader, writer):
        calls.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://somebody@127.0.0.1:{port}/vectors?sslmode=disable"
        with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
            await PgVector("handbook", url=url, max_retries=retries).get("1")
    assert len(calls) == retries + 1


@pytest.mark.parametrize("vendor", ["qdrant-server"], indirect=True)
async def test_namespaces_are_tenants_to_qdrant(make, qdrant):
    await make().upsert(TWO)
    (index,) = qdrant.indexed
    assert index["field_name"] == "namespace"
    assert index["field_schema"]["is_tenant"] is True


async def test_a_chroma_server_that_is_not_there(unused_tcp_port):
    store = Chroma("handbook", host="127.0.0.1", port=unused_tcp_port, max_retries=0)
    with pytest.raises(ValueError, match="Could not connect to a Chroma server"):
        await store.upsert(TWO)


@pytest.mark.parametrize("vendor", ["pgvector"], indirect=True)
async def test_connections_stay_prepared(make):
    store = make()
    await store.upsert(TWO)
    await store.query([1.0, 0.0])
    pool = await store._pools.here()
    assert await pool.fetchval("show hnsw.iterative_scan") == "strict_order"
