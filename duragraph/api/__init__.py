"""The route table: one line an endpoint. Each is mounted at `/` and at `/api/v1`.

An endpoint stands before its guard, which asks auth handlers about users; there is none without.
"""

from duragraph.api import (
    assistants,
    crons,
    runs,
    signals,
    states,
    store,
    system,
    thread_stream,
    threads,
    workers,
)
from duragraph.api.access import assistants as on_assistants
from duragraph.api.access import crons as on_crons
from duragraph.api.access import runs as on_runs
from duragraph.api.access import store as on_store
from duragraph.api.access import threads as on_threads
from duragraph.api.access.asking import everybody, later, workers_only
from duragraph.api.agents import a2a, mcp
from duragraph.api.event_streaming import commands, events, sockets
from duragraph.api.io import Route

MOUNTS = ("", "/api/v1")

ROUTES = (
    Route("GET", "/", system.ok, everybody),
    Route("GET", "/ok", system.ok, everybody),
    Route("GET", "/info", system.info, everybody),
    Route("GET", "/metrics", system.metrics, everybody),
    Route("GET", "/openapi.json", system.openapi, everybody),
    Route("GET", "/docs", system.page, everybody),
    Route("POST", "/assistants", assistants.create, on_assistants.create, once=True),
    Route("POST", "/assistants/search", assistants.search, on_assistants.search),
    Route("POST", "/assistants/count", assistants.count, on_assistants.search),
    Route("GET", "/assistants/{assistant_id}", assistants.get, on_assistants.one("read")),
    Route("PATCH", "/assistants/{assistant_id}", assistants.update, on_assistants.update),
    Route("DELETE", "/assistants/{assistant_id}", assistants.delete, on_assistants.delete),
    Route(
        "GET",
        "/assistants/{assistant}/graph",
        assistants.graph,
        on_assistants.one("read", "assistant"),
    ),
    Route(
        "GET", "/assistants/{assistant_id}/schemas", assistants.schemas, on_assistants.one("read")
    ),
    Route(
        "GET",
        "/assistants/{assistant_id}/subgraphs",
        assistants.subgraphs,
        on_assistants.one("read"),
    ),
    Route(
        "GET",
        "/assistants/{assistant_id}/subgraphs/{namespace}",
        assistants.subgraph,
        on_assistants.one("read"),
    ),
    Route(
        "POST", "/assistants/{assistant_id}/versions", assistants.versions, on_assistants.versions
    ),
    Route(
        "POST", "/assistants/{assistant_id}/latest", assistants.set_latest, on_assistants.set_latest
    ),
    Route("POST", "/threads", threads.create, on_threads.create, once=True),
    Route("POST", "/threads/search", threads.search, on_threads.search),
    Route("POST", "/threads/count", threads.count, on_threads.search),
    Route("POST", "/threads/prune", threads.prune, on_threads.prune),
    Route("GET", "/threads/{thread_id}", threads.get, on_threads.one("read")),
    Route("PATCH", "/threads/{thread_id}", threads.update, on_threads.update),
    Route("DELETE", "/threads/{thread_id}", threads.delete, on_threads.one("delete")),
    Route("POST", "/threads/{thread_id}/copy", threads.copy, on_threads.copy, once=True),
    Route("GET", "/threads/{thread_id}/storage", states.storage, on_threads.one("read")),
    Route("GET", "/threads/{thread_id}/stream", thread_stream.join, on_threads.one("read")),
    Route("POST", "/threads/{thread_id}/stream/events", events.stream, on_threads.one("read")),
    Route(
        "GET",
        "/threads/{thread_id}/stream/events",
        sockets.connect,
        on_threads.one("read", absent=True),
    ),
    Route(
        "POST", "/threads/{thread_id}/commands", commands.send, on_threads.one("read", absent=True)
    ),
    Route(
        "POST",
        "/threads/{thread_id}/signals",
        signals.send,
        on_threads.one("update"),
        status=202,
        once=True,
    ),
    Route("GET", "/threads/{thread_id}/state", states.get, on_threads.one("read")),
    Route("POST", "/threads/{thread_id}/state", states.update, on_threads.update_state),
    Route("POST", "/threads/{thread_id}/state/checkpoint", states.post_at, on_threads.one("read")),
    Route(
        "GET", "/threads/{thread_id}/state/{checkpoint_id}", states.get_at, on_threads.one("read")
    ),
    Route("GET", "/threads/{thread_id}/history", states.history, on_threads.one("read")),
    Route("POST", "/threads/{thread_id}/history", states.search, on_threads.one("read")),
    Route("POST", "/threads/{thread_id}/runs", runs.create, on_runs.create, once=True),
    Route("GET", "/threads/{thread_id}/runs", runs.search, on_threads.list_runs),
    Route("POST", "/threads/{thread_id}/runs/stream", runs.stream, on_runs.create, once=True),
    Route("POST", "/threads/{thread_id}/runs/wait", runs.wait, on_runs.create, once=True),
    Route(
        "POST",
        "/threads/{thread_id}/runs/crons",
        crons.create_for_thread,
        on_crons.create,
        once=True,
    ),
    Route("GET", "/threads/{thread_id}/runs/{run_id}", runs.get, on_threads.one("read")),
    Route(
        "DELETE",
        "/threads/{thread_id}/runs/{run_id}",
        runs.delete,
        on_threads.one("delete", "run_id"),
    ),
    Route("GET", "/threads/{thread_id}/runs/{run_id}/join", runs.join, on_threads.one("read")),
    Route(
        "GET",
        "/threads/{thread_id}/runs/{run_id}/stream",
        runs.join_stream,
        on_threads.one("read", absent=True),
    ),
    Route(
        "POST", "/threads/{thread_id}/runs/{run_id}/cancel", runs.cancel, on_runs.cancel, status=202
    ),
    Route("POST", "/runs", runs.create_stateless, on_runs.create, once=True),
    Route("POST", "/runs/stream", runs.stream_stateless, on_runs.create, once=True),
    Route("POST", "/runs/wait", runs.wait_stateless, on_runs.create, once=True),
    Route("POST", "/runs/batch", runs.batch, on_runs.create, once=True),
    Route("POST", "/runs/cancel", runs.cancel_many, on_runs.cancel_many),
    Route("POST", "/runs/crons", crons.create, on_crons.create, once=True),
    Route("POST", "/runs/crons/search", crons.search, on_crons.search),
    Route("POST", "/runs/crons/count", crons.count, on_crons.search),
    Route("GET", "/runs/crons/{cron_id}", crons.get, on_crons.one("read")),
    Route("PATCH", "/runs/crons/{cron_id}", crons.update, on_crons.update),
    Route("DELETE", "/runs/crons/{cron_id}", crons.delete, on_crons.one("delete")),
    Route("GET", "/runs/{run_id}/stream", runs.join_stream_stateless, on_runs.stateless),
    Route("PUT", "/store/items", store.put, on_store.put),
    Route("GET", "/store/items", store.get, on_store.get),
    Route("DELETE", "/store/items", store.delete, on_store.delete),
    Route("POST", "/store/items/search", store.search, on_store.search),
    Route("POST", "/store/namespaces", store.namespaces, on_store.namespaces),
    Route("POST", "/mcp", mcp.post, later, status=202),
    Route("GET", "/.well-known/agent-card.json", a2a.well_known_card, on_assistants.card),
    Route("POST", "/a2a/{assistant}", a2a.post, on_assistants.one("read", "assistant"), status=202),
    Route("GET", "/a2a/{assistant}", a2a.get, on_assistants.one("read", "assistant")),
    Route(
        "GET",
        "/a2a/{assistant}/.well-known/agent-card.json",
        a2a.card,
        on_assistants.one("read", "assistant"),
    ),
    Route("POST", "/workers", workers.register, workers_only),
    Route("POST", "/workers/{worker_id}/poll", workers.poll, workers_only),
    Route("POST", "/workers/{worker_id}/report", workers.report, workers_only),
    Route("POST", "/workers/{worker_id}/checkpoints", workers.checkpoints, workers_only),
    Route("POST", "/workers/{worker_id}/erasures", workers.erase, workers_only),
    Route("POST", "/workers/{worker_id}/copies", workers.copy, workers_only),
    Route("POST", "/workers/{worker_id}/children", workers.start_child, workers_only),
    Route("POST", "/workers/{worker_id}/heartbeat", workers.heartbeat, workers_only),
    Route("POST", "/workers/{worker_id}/drain", workers.drain, workers_only),
    Route("POST", "/workers/{worker_id}/answers", workers.answers, workers_only),
)
