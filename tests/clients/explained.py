"""The differences that the JavaScript SDK's users meet, beside those of `tests/conformance`.

Most are those of its `explained.py` again, at the places where this SDK shows them.
"""

from tests.conformance.compare import Difference
from tests.conformance.explained import ONLY_OURS, ONLY_REFERENCE, Explained
from tests.conformance.explained import explanation as common

EXPLAINED = (
    Explained(
        what="Our server also has the chat graph",
        why="The browser's tests need them.",
        where=r"assistants\.create .* · json\.detail$",
        reference="^.Graph 'nope' not found",
        ours="'chat'",
    ),
    Explained(
        what="Going back to an assistant's version brings its `context` and its graph back, too",
        why="The reference forgets both.",
        where=r"/assistants · \d+ assistants\.(setLatest|get|search|count) .* · json",
    ),
    Explained(
        what="An update with an empty `context` leaves it as it is",
        why="As with an empty `config`.",
        where=r"/assistants · \d+ assistants\.(update|getVersions) .*\.context\.suffix$",
        reference=ONLY_REFERENCE,
    ),
    Explained(
        what="A thread is `interrupted` also after a rollback if its checkpoint has nodes left",
        why="One rule for all ends of a run.",
        where=r"/cancels · 10 threads\.get .*json\.status$",
        reference="idle",
        ours="interrupted",
    ),
    Explained(
        what="Crons' times have microseconds",
        why="One format for all times.",
        where=r"/crons · .*\.end_time$",
        reference="2099-01-01",
    ),
    Explained(
        what="A thread's stream reads its modes from `stream_mode`",
        why="That is how this SDK sends them; the reference ignores it.",
        where=r"/joins · \d+ threads\.joinStream .*frames\[updates\]$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="`select` may be JSON",
        why="That is how the older line sends it.",
        where=r"langgraph-sdk-2/runs · \d+ runs\.list .*select.* · status$",
        reference="^422",
        ours="^200",
    ),
    Explained(
        what="The metadata of a stateless run names its graph, as a thread's run does",
        why="One rule for all runs.",
        where=r" runs\.create(Batch)? \[(null|\[).*json(\[\])?\.metadata\.graph_id$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A stateless run's thread may be gone when it is joined; the answer stays JSON",
        why="The reference's answer is empty, which no client can read.",
        where=r"/stateless_join · \d+ runs\.join .* · status$",
        reference="Unexpected end of JSON input",
    ),
    Explained(
        what="A stateless run's stream can be joined",
        why="The reference advertises the path, and answers 404.",
        where=r"/stateless_join · \d+ runs\.joinStream .* · status$",
        reference="^404",
        ours="^200",
    ),
    Explained(
        what="`before` may be a state's checkpoint",
        why="The reference fails with 500.",
        where=r"/states · \d+ threads\.getHistory .*before.* · status$",
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="`checkpoint_ns` is always there",
        why="Clients read one shape.",
        where=r"/states · \d+ threads\.getState .* · json\.checkpoint\.checkpoint_ns$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="Threads are searched by `values` also while one of them has none",
        why="The reference fails with 500.",
        where=r"/threads · \d+ threads\.(search|count) .*values.* · status$",
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="A copy has `values: null` if its thread has none",
        why="The reference leaves it out.",
        where=r"/threads · \d+ threads\.(copy|get) .* · json\.values$",
        reference=ONLY_OURS,
        ours="^null$",
    ),
    Explained(
        what="Store items are listed with the last changed first",
        why="As the reference's PostgreSQL store has them.",
        where=r"/store · \d+ store\.searchItems .*json\.items",
    ),
    Explained(
        what="Messages carry all their fields, their text as text",
        why="One shape in states and streams; the reference leaves out what is empty.",
        where=r"/thread_(events|stream) · .*(\.messages\[\]|thread\.(output|values) · json\[\]).*\."
        r"(additional_kwargs|name|response_metadata|output_version|invalid_tool_calls|tool_calls"
        r"|usage_metadata|content)$",
    ),
    Explained(
        what="Each event of a message names it and its run",
        why="Without that, two messages at once can't be told apart.",
        where=r"/thread_events · .*frames\[messages\]\.data\.(id|run_id)$",
    ),
    Explained(
        what="Messages that LangGraph streams name the versions of LangChain's packages",
        why="More of them are installed where the graphs run.",
        where=r"/streams · .*\.lc_versions\.langchain$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="What a node writes reaches the protocol's `custom` channel",
        why="The reference keeps it back.",
        where=r"/thread_stream · \d+ thread\.(onEvent|extensions) · json(\[\])?$",
    ),
    Explained(
        what="The protocol answers `agent.getTree`, `state.get` and `state.listCheckpoints`",
        why="Its clients have methods for them; the reference refuses them.",
        where=r"/thread_stream · \d+ thread\.(agent|state)\.\w+ · json\.",
        reference="no_such_run|unknown_command|^.absent.$",
    ),
)


def explanation(difference: Difference) -> Explained | None:
    """The first entry that covers a difference, or None."""
    own = (entry for entry in EXPLAINED if entry.covers(difference))
    return common(difference) or next(own, None)
