"""The route table: one line an endpoint. Each is mounted at `/` and at `/api/v1`."""

from duragraph.api import assistants, runs, states, threads, workers
from duragraph.api.io import Route

MOUNTS = ("", "/api/v1")

ROUTES = (
    Route("POST", "/assistants", assistants.create),
    Route("POST", "/assistants/search", assistants.search),
    Route("POST", "/assistants/count", assistants.count),
    Route("GET", "/assistants/{assistant_id}", assistants.get),
    Route("PATCH", "/assistants/{assistant_id}", assistants.update),
    Route("DELETE", "/assistants/{assistant_id}", assistants.delete),
    Route("GET", "/assistants/{assistant}/graph", assistants.graph),
    Route("GET", "/assistants/{assistant_id}/schemas", assistants.schemas),
    Route("GET", "/assistants/{assistant_id}/subgraphs", assistants.subgraphs),
    Route("POST", "/threads", threads.create),
    Route("POST", "/threads/search", threads.search),
    Route("POST", "/threads/count", threads.count),
    Route("GET", "/threads/{thread_id}", threads.get),
    Route("PATCH", "/threads/{thread_id}", threads.update),
    Route("DELETE", "/threads/{thread_id}", threads.delete),
    Route("GET", "/threads/{thread_id}/state", states.get),
    Route("POST", "/threads/{thread_id}/state", states.update),
    Route("POST", "/threads/{thread_id}/state/checkpoint", states.post_at),
    Route("GET", "/threads/{thread_id}/state/{checkpoint_id}", states.get_at),
    Route("GET", "/threads/{thread_id}/history", states.history),
    Route("POST", "/threads/{thread_id}/history", states.search),
    Route("POST", "/threads/{thread_id}/runs", runs.create),
    Route("GET", "/threads/{thread_id}/runs", runs.search),
    Route("POST", "/threads/{thread_id}/runs/stream", runs.stream),
    Route("POST", "/threads/{thread_id}/runs/wait", runs.wait),
    Route("GET", "/threads/{thread_id}/runs/{run_id}", runs.get),
    Route("DELETE", "/threads/{thread_id}/runs/{run_id}", runs.delete),
    Route("GET", "/threads/{thread_id}/runs/{run_id}/join", runs.join),
    Route("GET", "/threads/{thread_id}/runs/{run_id}/stream", runs.join_stream),
    Route("POST", "/threads/{thread_id}/runs/{run_id}/cancel", runs.cancel),
    Route("POST", "/runs", runs.create_stateless),
    Route("POST", "/runs/stream", runs.stream_stateless),
    Route("POST", "/runs/wait", runs.wait_stateless),
    Route("GET", "/runs/{run_id}/stream", runs.join_stream_stateless),
    Route("POST", "/workers", workers.register),
    Route("POST", "/workers/{worker_id}/poll", workers.poll),
    Route("POST", "/workers/{worker_id}/report", workers.report),
    Route("POST", "/workers/{worker_id}/heartbeat", workers.heartbeat),
    Route("POST", "/workers/{worker_id}/drain", workers.drain),
)
