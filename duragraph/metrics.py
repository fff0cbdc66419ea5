"""Prometheus metrics of this plane. What the database knows is counted there, when asked."""

from prometheus_client import Counter, Histogram

CREATED = Counter("duragraph_runs_created_total", "Runs created by this plane.")
MATCHED = Counter(
    "duragraph_runs_matched_total", "Of those, leased at creation to a waiting worker."
)
CLAIMED = Counter("duragraph_runs_claimed_total", "Runs leased by a claim.")
FINISHED = Counter("duragraph_runs_finished_total", "Attempts that ended by report.", ["outcome"])
TICKS = Counter(
    "duragraph_cron_ticks_total", "Ticks of crons, by what became of them.", ["outcome"]
)
WOKEN = Counter("duragraph_runs_woken_total", "Runs woken by a look for what is due.")
EXPIRED = Counter("duragraph_leases_expired_total", "Leases that ran out.")
BATCH = Histogram(
    "duragraph_flush_items",
    "Items a group commit.",
    ["what"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
WEBHOOKS = Counter("duragraph_webhooks_total", "Tries to deliver a webhook.", ["outcome"])
REQUESTS = Counter(
    "duragraph_http_requests_total", "Requests answered.", ["method", "path", "status"]
)
