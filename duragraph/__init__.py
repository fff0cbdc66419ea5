"""DuraGraph, the control plane. Imports nothing, so that a worker can share the pure files.

A request goes `api/` -> `pg/`: a handler parses, one function runs one statement. Around them:

    errors ids models codec protocol   the nouns, and what plane and worker say to each other
    config logs metrics                what operators set and see
    project headers                    what a LangGraph project says of the plane and of its runs
    commit                             many small writes, one COMMIT
    frames thread_events               what a run's worker tells, and how each protocol shows it
    pg/                                PostgreSQL, the only record
    bus                                NATS, hints and copies between planes
    assistants intake creates          from requests to runs
    streams                            following runs and threads, live and from the record
    seats dispatch                     from claimable runs to waiting workers
    cancels                            from whoever ends a run to whoever works on it or follows it
    inspection reports                 from workers to the record and to whoever follows
    schedule scheduler                 from crons that are due to runs
    webhooks addresses                 from runs that ended to whoever is to be told
    sweeps reaper presence retention   what nobody reports: what is lost, due, dead or too old
    api/                               HTTP, SSE and WebSockets
    deps app tasks runtime             what is passed, made and supervised
    __main__ dev reload demo embedded/ the commands, and servers out of wheels
"""

__version__ = "0.1.0"
