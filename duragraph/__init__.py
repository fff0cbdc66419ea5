"""DuraGraph, the control plane. Imports nothing, so that a worker can share the pure files.

A request goes `api/` -> `pg/`: a handler parses, one function runs one statement. Around them:

    errors ids models codec protocol   the nouns, and what plane and worker say to each other
    pg/                                PostgreSQL, the only record
    bus frames                         NATS, hints and copies between planes
    commit                             many small writes, one COMMIT
    assistants creates                 from requests to runs
    seats dispatch                     from claimable runs to waiting workers
    inspection reports                 from workers to the record and to whoever follows
    streams                            following runs and threads, live and from the record
    thread_events                      what their frames are on the event-streaming protocol
    reaper                             what nobody reports: lost leases, delays, erasures
    api/                               HTTP and SSE
    app deps tasks runtime             what is made, passed and supervised
    config logs metrics                what operators set and see
    __main__ dev demo embedded/        the commands, and servers out of wheels
"""

__version__ = "0.1.0"
