"""The differences that are meant, each with its reason; anything else fails the comparison."""

import re

import attrs

from tests.conformance.compare import ABSENT, Difference


@attrs.frozen
class Explained:
    """Differences whose place and both sides match these patterns (searched, not anchored)."""

    what: str
    why: str
    where: str
    reference: str = ""
    ours: str = ""

    def covers(self, difference: Difference) -> bool:
        return all(
            re.search(pattern, text)
            for pattern, text in (
                (self.where, difference.where),
                (self.reference, difference.reference),
                (self.ours, difference.ours),
            )
        )


ONLY_REFERENCE = ONLY_OURS = f"^{re.escape(ABSENT)}$"
"""The pattern of the side that has nothing there."""

EXPLAINED = (
    Explained(
        what="`metadata` of runs, checkpoints and streamed messages names the reference's "
        "version, plan, host and URL",
        why="They describe another product's installation.",
        where=r"\.langgraph_(version|api_version|plan|host|api_url)$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="`configurable` and `metadata` carry the caller's identity, the request's time and "
        "the delay asked for",
        why="Internals of the reference; the contract has them dropped where clients send them.",
        where=r"\.(langgraph_auth_user(_id)?|langgraph_auth_permissions|user_id"
        r"|__request_start_time_ms__|__after_seconds__)$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Metadata of streamed messages names LangChain's classes and versions",
        why="No LangChain model runs here.",
        where=r"messages.*\.(ls_integration|ls_provider|ls_model_type|lc_versions)\b",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="A thread that has not run yet has `interrupts: {}` and `error: null`",
        why="The contract calls `interrupts` required; the reference leaves both out at first.",
        where=r"json(\[\])?\.(error|interrupts)$",
        reference=ONLY_OURS,
        ours=r"^(null|{})$",
    ),
    Explained(
        what="Every frame has an `id`",
        why="All streams are resumable, not only those of runs made with `stream_resumable`.",
        where=r"frames\[[^]]*\]\.id$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A run made without `stream_resumable` is replayed to who asks for it",
        why="All streams are resumable.",
        where=r"joined_streams · 1[0-4] .*frames\[[^]]*\]$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="Errors carry a `code` and sometimes a `hint` beside `detail`",
        why="Programs need not parse prose.",
        where=r"json\.(code|hint)$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A run's `kwargs.config` is what the client sent",
        why="The reference adds ids and metadata that the run itself has.",
        where=r"kwargs\.config\.(metadata|configurable\.(run_id|thread_id|graph_id|assistant_id"
        r"|__pregel_node_finished))$",
        ours=ONLY_REFERENCE,
    ),
)


def explanation(difference: Difference) -> Explained | None:
    """The first entry that covers a difference, or None."""
    return next((entry for entry in EXPLAINED if entry.covers(difference)), None)


def table() -> str:
    """`docs/differences.md`."""
    rows = "\n".join(f"| {entry.what} | {entry.why} |" for entry in EXPLAINED)
    return f"""# Differences from the LangGraph server

Eight fixture graphs are put through every call of the API on DuraGraph and on `langgraph dev`,
and the answers compared: status, headers, frame order, fields, final state. Ids and times aside,
these are all the differences. This page is written by
`python -m tests.conformance.differential --docs` from the table that the comparison itself uses.

| What differs | Why |
|---|---|
{rows}
"""
