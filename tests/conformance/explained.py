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
        where=r"replays_of_unkept · .*frames\[[^]]*\]$",
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
        where=r"kwargs\.config\.(metadata(\.(graph_id|assistant_id|run_attempt))?"
        r"|configurable\.(run_id|thread_id|graph_id|assistant_id|__pregel_node_finished))$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Other words for what is wrong with a request's fields",
        why="The contract leaves the text of a 422 open; the reference prints its schemas.",
        where=r"json\.detail$",
        reference="Failed validating",
    ),
    Explained(
        what="Messages of `InvalidUpdateError` and of cancelled runs are worded otherwise",
        why="The reference links its own documentation and names its routes.",
        where=r"\.(error|message)$",
        reference="docs.langchain.com|requested via POST|on_disconnect=cancel",
    ),
    Explained(
        what="Other words in the `detail` of some refusals",
        why="Each says what is wrong and where; the reference's are less exact.",
        where=r"json\.detail$",
        reference='^"(Invalid (assistant|checkpoint ID|thread ID|xray value|limit)|Not Found)',
    ),
    Explained(
        what="Fields with a wrong value are refused, also those that the endpoint does not use",
        why="One body shape for all endpoints that create runs.",
        where=r"bad_bodies · .* status$",
        reference="^200",
        ours="^422",
    ),
    Explained(
        what="An id in a path that is no UUID, or a number in a query that is none, is always 422",
        why="The reference answers 400 at some routes and 422 at others.",
        where=r"missing · .* status$",
        reference="^400",
        ours="^422",
    ),
    Explained(
        what="`Allow` names all methods of the resource",
        why="The reference names those of one of its routes.",
        where=r"headers\.allow$",
    ),
    Explained(
        what="Threads are searched by `values` also while one of them has none",
        why="The reference fails with 500.",
        where=r"threads/search .* status$",
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="Joining a run that does not exist names no place to come back to",
        why="There is nothing to reconnect to.",
        where=r"/runs/<id>/(join|stream) · headers\.(content-location|location|transfer-encoding)$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="A preflight's answer has no body, and `location` is exposed to browsers",
        why="Browsers need `location` to reconnect; the reference forgets it.",
        where=r"cors · .*(access-control-expose-headers|content-type|text)$",
    ),
    Explained(
        what="A checkpoint that does not exist is echoed, and `checkpoint_ns` is always there",
        why="Clients read one shape.",
        where=r"/state/<id> · json\.(checkpoint|checkpoint_id|checkpoint\.checkpoint_ns)$",
    ),
    Explained(
        what="After a join the state names the node that waits for it in `next`",
        why="The reference loses it when it reads the checkpoint back.",
        where=r"fanout/.*\.(next|tasks)\[\]$",
        reference=ONLY_OURS,
        ours="gather",
    ),
    Explained(
        what="`durability: exit` leaves a second checkpoint in a graph that asks a model",
        why="A recorded reply belongs to the checkpoint that its node started from.",
        where=r"tokens/durability · (09|12) POST /threads/<id>/history",
    ),
    Explained(
        what="`wait` with modes beside `values` returns the state, too",
        why="The reference leaves it out beside an interrupt.",
        where=r"/runs/wait .*\"stream_mode\":\[.* · json\.\w+$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="`wait` with modes beside `values` returns each interrupt once",
        why="The reference repeats it for each mode.",
        where=r"/runs/wait .*\"stream_mode\":\[.* · json\.__interrupt__\[\]$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="A jump to a node that does not exist fails the run",
        why="The reference ignores it.",
        where=r"jumps_to_nowhere · ",
    ),
    Explained(
        what="Cancelling a pending run leaves the thread `interrupted` if nodes are left to run",
        why="The reference calls it idle.",
        where=r"cancelled_waits · 11 .*json\.status$",
        reference="idle",
        ours="interrupted",
    ),
    Explained(
        what="A thread's `values` are those of its newest checkpoint also while a run is under way",
        why="The reference copies them when the run ends.",
        where=r"multitask · 06 GET /threads/<id> · json\.values\.",
    ),
    Explained(
        what="A thread's `config` is that of its last run",
        why="The reference keeps the first value of a key.",
        where=r"configuration · .* GET /threads/<id> · json\.config\.configurable\.suffix$",
    ),
    Explained(
        what="JSON Schemas are titled by graph and part, without defaults of null",
        why="They are made by msgspec, not by pydantic; the types are the same.",
        where=r"_schema\.(title|required|properties\.\w+\.(default|title))$",
    ),
    Explained(
        what="Schemas of messages describe DuraGraph's message types",
        why="The fields are LangChain's, the schema's text and order are not.",
        where=r"tokens/description · .*_schema\.(\$defs|properties\.messages)",
    ),
    Explained(
        what="The replay of a failed run ends with its `error` frame",
        why="The reference does not keep that frame.",
        where=r"error-\w+/replays · .*frames\[error\]$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="Updating the state at an older checkpoint takes the thread's `interrupts` with it",
        why="The reference goes on showing those of the branch that was left.",
        where=r"travel · 12 GET /threads/<id> · json\.interrupts\.<id>$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Resuming a thread that has no checkpoint says so",
        why="The reference fails with its own TypeError.",
        where=r"bad_bodies · .*frames\[error\]\.data\.(error|message)$",
        reference="TypeError|NoneType",
        ours="EmptyInputError|no input",
    ),
    Explained(
        what="The metadata of a stateless run names its graph, as a thread's run does",
        why="One rule for all runs.",
        where=r"stateless · .*json\.metadata\.graph_id$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A thread's `values` and `interrupts` are its root graph's, whatever was streamed",
        why="With `stream_subgraphs` the reference shows those of the subgraph that ran last.",
        where=r"subgraph_resume · 03 GET /threads/<id> · json\.(values\.notes|interrupts\.<id>)$",
    ),
    Explained(
        what="A path with a slash at its end is redirected to a path, with a body that says so",
        why="A path holds behind any proxy, a URL does not.",
        where=r"GET /threads/ · (headers\.(location|content-type)|text|json)$",
    ),
    Explained(
        what="A thread's `values` are the updated ones after an update at an older checkpoint",
        why="The reference shows those before the update.",
        where=r"subgraph[\w-]*/travel · 12 GET /threads/<id> · json\.values\.topic$",
    ),
    Explained(
        what="Queries may repeat `stream_mode`, or list modes with commas; `select` may be JSON",
        why="The official clients write all of these; the reference reads only some.",
        where=r"dialects · .*(stream_mode=values.*frames\[\w+\]|select=\[.* status)$",
        reference="^(.absent.|422 .*)$",
    ),
    Explained(
        what="A subgraph that has not started has an address, but no state",
        why="The reference makes up an empty one and leaves the address out.",
        where=r"subgraph.* · .*\?subgraphs=true · json\.tasks\[\]\.(checkpoint|state)$",
        reference='^null$|"checkpoint": null',
        ours='^null$|"checkpoint_ns": "research:',
    ),
    Explained(
        what="`/ok?check_db=1` names the database; `/info` and `/metrics` tell of this server",
        why="Another product, another machine.",
        where=r"/(ok\?check_db=1|info|metrics\?format=json) · json\.(services\.database|\w*version"
        r"|flags\.langsmith_\w+|queue|api|workers)",
    ),
    Explained(
        what="A wrong method is 405 everywhere",
        why="The reference answers 404 at the paths that tell of the server itself.",
        where=r" (/ok|/info) .*status$|(/ok|/info) · status$",
        reference="^404",
        ours="^405",
    ),
    Explained(
        what="Crons' times are in UTC and have microseconds; `next_run_date` is null when no tick "
        "is left before `end_time`",
        why="One format for all times; the reference echoes `end_time` and announces ticks that "
        "never come.",
        where=r"crons/.* · json(\[\])?\.(next_run_date|end_time)$",
        ours='^("<time>"|null)$',
    ),
    Explained(
        what="What would fail at every tick is refused when the cron is made",
        why="The reference takes it, and its scheduler stops at an `end_time` that is none.",
        where=r"crons/refused · .* status$",
        reference="^200",
        ours="^4(00|22)",
    ),
    Explained(
        what="A schedule that is never due, a time zone with an odd name and a cron without a "
        "required field are 422",
        why="The reference answers 400 and 500.",
        where=r"crons/(schedules|refused) · .* status$",
        reference="^[45]00",
        ours="^422",
    ),
    Explained(
        what="A cron's `input` may be any JSON, as a run's",
        why="The plane does not look into it.",
        where=r'crons/refused · .*"input":(null|3)} · status$',
        reference="^422",
        ours="^200",
    ),
    Explained(
        what="A cron's `payload` has no keys that nothing reads",
        why="Unknown keys are ignored everywhere.",
        where=r"crons/refused · .* json\.payload\.unheard$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Metadata given to a cron later is merged also for its runs",
        why="The reference merges the cron's and replaces its runs'.",
        where=r"crons/changes · .* json\.payload\.metadata\.a$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A webhook that is no whole URL is refused in other words",
        why="The reference names its own settings.",
        where=r"json\.detail$",
        reference="Loopback webhooks",
    ),
    Explained(
        what="Crons are sorted by `end_time`",
        why="The reference fails with 500 where one has none.",
        where=r'crons/search · .*"sort_by":"end_time"} · status$',
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="The store's plain text says that it is plain text",
        why="The reference leaves the content type out.",
        where=r"/store/.* · headers\.content-type$",
        reference=ONLY_OURS,
        ours="text/plain",
    ),
    Explained(
        what="The store's `error` stands beside `detail`",
        why="One shape of errors for all endpoints.",
        where=r"GET /store/items\?.* · json\.detail$",
        reference=ONLY_OURS,
        ours="Key is required",
    ),
    Explained(
        what="A time to live, a limit, an offset and a depth of the store have their bounds",
        why="The reference takes any number, and reads some from the end.",
        where=r'/store/.*"(ttl|limit|offset|max_depth)":-?\d+} · status$',
        reference="^20",
        ours="^422 .*Expected `(int|float)`",
    ),
    Explained(
        what="Store filters compare strings with strings, and find nothing where nothing is",
        why="The reference fails unless both sides are numbers.",
        where=r'/store/items/search .*"\$gt".* · status$',
        reference="^(400 .*could not convert|500)",
        ours="^200",
    ),
    Explained(
        what="A store search without a prefix searches everything",
        why="The reference fails, though its document calls the prefix optional.",
        where="/store/items/search .* · status$",
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="Store items are listed with the last changed first",
        why="So its document says; the reference's in-memory store lists in order of creation.",
        where=r"listing · .*/store/items/search .* · json\.items\[\]\.key$",
    ),
    Explained(
        what="`query` finds store items by their words and gives them a `score`",
        why="Without an embedding model the reference ignores it.",
        where=r'/store/items/search .*"query".* · json\.items\[\]',
    ),
    Explained(
        what="A webhook to `[::1]` is refused as loopback, one without a host as such",
        why="That is what they are; there are no calls within this server.",
        where=r'"webhook":"(http://\[::1\]|/)x?[^ ]* · json\.detail$',
        reference="blocked IP range|Loopback webhooks",
    ),
    Explained(
        what="`null` for `webhook` is as good as leaving it out",
        why="As with the other fields that may be left out.",
        where=r'"webhook":null} · status$',
        reference="^422",
        ours="^200",
    ),
)


def explanation(difference: Difference) -> Explained | None:
    """The first entry that covers a difference, or None."""
    return next((entry for entry in EXPLAINED if entry.covers(difference)), None)
