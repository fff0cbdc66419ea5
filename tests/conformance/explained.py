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
    of_any_graph: bool = False
    """Also where LangGraph's own graphs are compared (`explained_documented.py`)."""

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

EVENTS = r"^(protocol/|documented/\w+/events ).*"
"""The scenarios of the event-streaming protocol."""

EXPLAINED = (
    Explained(
        what="`metadata` of runs, checkpoints and streamed messages names the reference's "
        "version, plan, host and URL",
        why="They describe another product's installation.",
        where=r"\.langgraph_(version|api_version|plan|host|api_url)$",
        ours=ONLY_REFERENCE,
        of_any_graph=True,
    ),
    Explained(
        what="`configurable` and `metadata` carry the caller's identity, the request's time and "
        "the delay asked for",
        why="Internals of the reference; the contract has them dropped where clients send them.",
        where=r"\.(langgraph_auth_user(_id)?|langgraph_auth_permissions|user_id"
        r"|__request_start_time_ms__|__after_seconds__)$",
        ours=ONLY_REFERENCE,
        of_any_graph=True,
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
        of_any_graph=True,
    ),
    Explained(
        what="Every frame has an `id`",
        why="All streams are resumable, not only those of runs made with `stream_resumable`.",
        where=r"frames\[[^]]*\]\.id$",
        reference=ONLY_OURS,
        of_any_graph=True,
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
        of_any_graph=True,
    ),
    Explained(
        what="A run's `kwargs.config` is what the client sent",
        why="The reference adds ids and metadata that the run itself has.",
        where=r"kwargs\.config\.(metadata(\.(graph_id|assistant_id|run_attempt))?"
        r"|configurable\.(run_id|thread_id|graph_id|assistant_id|__pregel_node_finished))$",
        ours=ONLY_REFERENCE,
        of_any_graph=True,
    ),
    Explained(
        what="Other words for what is wrong with a request's fields",
        why="The contract leaves the text of a 422 open; the reference prints its schemas.",
        where=r"json\.detail$",
        reference="Failed validating",
        of_any_graph=True,
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
        reference='^"(Invalid (assistant|checkpoint ID|thread ID|xray value|limit|stream mode)'
        "|Not Found)",
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
        where=r"(missing|copies|searches) · .* status$",
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
        of_any_graph=True,
    ),
    Explained(
        what="After a join the state names the node that waits for it in `next`",
        why="The reference loses it when it reads the checkpoint back.",
        where=r"(fanout/|supersteps|histories).*\.(next|tasks)\[\]$",
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
        where=r"(stateless|batches|create_batch) · .*json(\[\])?\.metadata\.graph_id$",
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
        where=r"(dialects|joined_by_id) · .*"
        r"(stream_mode=values.*frames\[\w+\]|select=\[.* status)$",
        reference="^(.absent.|422 .*)$",
    ),
    Explained(
        what="A state shows what nodes did to which a command jumped, while others wait",
        why="The reference shows it of the superstep's own nodes only.",
        where=r"runs/commands · .*/state.* · json\.values\.published$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A thread's storage is counted as it is stored here",
        why="The reference stores other bytes, and channels of its own.",
        where=r"/storage · json\.(total_bytes|\w+\.(count|bytes|by_channel\..*))$",
    ),
    Explained(
        what="`keep_latest` prunes",
        why="The reference's development server refuses it.",
        where=r"threads/prune .*keep_latest.* status$",
        reference="^422 .*not supported in in-memory",
        ours="^200",
    ),
    Explained(
        what="A time to live is kept, shown and kept to",
        why="The reference's development server forgets it.",
        where=r"include=.*ttl.* · json\.ttl$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A time to live is above 0; `ttl: null` is for ever",
        why="The reference takes any number, and has no way to say never.",
        where=r"time_to_live · .* status$",
        reference="^(200|422 .*null is not of type)",
        ours="^(422 .*Expected `float` > 0|200)",
    ),
    Explained(
        what="`null` for what need not be there counts as not there",
        why="The Python client sends `metadata: null` with a new time to live.",
        where=r"\b(PATCH /threads/|POST /threads/(search|count) ).* status$",
        reference="^422 .*null is not of type",
        ours="^200",
    ),
    Explained(
        what="Metadata of supersteps' checkpoints names graph and thread in all of them",
        why="The reference names the graph in the first and the parent in the others.",
        where=r"(goes_on_from_)?supersteps · .*metadata\.(graph_id|thread_id|checkpoint_id)$",
    ),
    Explained(
        what="Where a superstep fails, the thread shows the state that those before it made",
        why="The reference shows none until the thread runs.",
        where=r"supersteps · .* GET /threads/<id> · json\.(values|status)$",
        reference="^(null|.idle.)$",
        ours="^({}|.interrupted.)$",
    ),
    Explained(
        what="After supersteps that meet a join the thread waits for the node after it",
        why="The reference loses it when it reads the checkpoint back.",
        where=r"supersteps · .*\"graph_id\":\"fanout\".* · json\.status$",
        reference="idle",
        ours="interrupted",
    ),
    Explained(
        what="Refusals of an unknown graph in supersteps are those of runs",
        why="One rule for all that names a graph.",
        where=r"supersteps · .*\"graph_id\":\"nope\".* · json\.detail$",
        reference="Graph 'nope' not found",
        ours="Invalid assistant: 'nope'",
    ),
    Explained(
        what="Two writes of one key in a superstep name their nodes",
        why="The reference links its own documentation.",
        where=r"supersteps · .* · json\.detail$",
        reference="Can receive only one value per step.*docs.langchain",
        ours="Can receive only one value per step",
    ),
    Explained(
        what="History takes `before` as an id or as a checkpoint, in queries and in bodies",
        why="The official clients send both; the reference fails with 500 or refuses.",
        where=r"histories · .*\"before\":.* status$",
        reference="^(500|422)",
        ours="^200",
    ),
    Explained(
        what="A thread's `values` are its root graph's after an update of a subgraph's state",
        why="The reference shows the subgraph's.",
        where=r"nested_updates · .* GET /threads/<id> · json\.values\.",
    ),
    Explained(
        what="Metadata of an update at a subgraph's checkpoint does not repeat its map",
        why="`parents` and `checkpoint` say it.",
        where=r"nested_updates · .*metadata\.checkpoint_map$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="What a run from a subgraph's checkpoint makes in the root graph names no subgraph",
        why="The reference calls the subgraphs parents of the root.",
        where=r"nested_travel · .*(metadata\.(checkpoint_(map|id|ns)|parents\..*)|checkpoint_map)$",
    ),
    Explained(
        what="Frames of branches that run at the same time change places",
        why="Neither server promises an order.",
        where=r"nested/streams · 24 .*frames\[(updates|tasks|debug)\]$",
        reference=f'{ONLY_OURS}|"beside"',
        ours=f'{ONLY_REFERENCE}|"beside"',
    ),
    Explained(
        what="A subgraph that has not started has an address, but no state",
        why="The reference makes up an empty one and leaves the address out.",
        where=r"(subgraph|nested).* · .*subgraphs.*true.* · json\.tasks\[\].*\.(checkpoint|state)$",
        reference='^null$|"checkpoint": null',
        ours='^null$|"checkpoint_ns": "',
    ),
    Explained(
        what="`/ok?check_db=1` names the database; `/info` and `/metrics` tell of this server",
        why="Another product, another machine.",
        where=r"/(ok\?check_db=1|info|metrics\?format=json) · json\.(services\.database|\w*version"
        r"|flags\.langsmith_\w+|queue|api|workers)",
    ),
    Explained(
        what="A stream's `Location` says what was asked for and where the stream began; also a "
        "thread's stream has one",
        why="Clients that come back send no query, and, if they were cut before the first frame, "
        "no id: they would miss what came meanwhile.",
        where=r"headers\.location$",
        ours=r"\?(.*&)?last_event_id=",
        of_any_graph=True,
    ),
    Explained(
        what="A thread's stream reads its modes from `stream_mode` too, and from a JSON array",
        why="That is how the official clients send them; the reference ignores the one and "
        "refuses the other.",
        where=r"thread_stream/forms · .*(stream_mode=zz|stream_modes=%5B).* status$",
    ),
    Explained(
        what="A `cancel_on_disconnect` that says neither yes nor no is refused",
        why="The reference takes it for a no, whatever was meant.",
        where=r"cancel_on_disconnect=maybe · status$",
        reference="^200",
        ours="^422",
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
        where=r"crons[/.].* · json(\[\])?\.(next_run_date|end_time)$",
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
    Explained(
        what="A thread's copy is answered with its `values`",
        why="As every answer that is a thread.",
        where=r"(/copy|threads\.copy) · .*json(\[\])?\.values$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="MCP and A2A tell the product and its version",
        why="They are this server's.",
        where=r"^agents/.* · json\.(result\.)?(serverInfo\.(name|version)|version)$",
    ),
    Explained(
        what="MCP's newest revision (2026-07-28) is spoken too: `server/discover`",
        why="The official client asks for it first.",
        where=r"^agents/.*server/discover.* · json\.(error|result)$",
    ),
    Explained(
        what="An unknown revision in MCP's header is 400",
        why="The specification demands it; the reference does not look.",
        where=r"^agents/initialize · .* · status$",
        ours="^400 .*-32022",
    ),
    Explained(
        what="A tool's schema is called after its graph and tells of the messages' shape",
        why="As `/assistants/{assistant_id}/schemas` has it.",
        where=r"^agents/tools · .* · json\.result\.tools\[\]\.inputSchema\.(title|\$defs)$",
    ),
    Explained(
        what="A tool's output is JSON text",
        why="The reference sends Python's `repr`, which no client can read.",
        where=r"^agents/calls · .* · json\.result\.content\[\]\.text$",
        reference=r"^.\{'",
    ),
    Explained(
        what="What failed in a tool or a task is told with its message",
        why="A model can do nothing with the name of a class; what is masked stays masked.",
        where=r"^agents/calls · .* · json\.result\.content\[\]\.text$",
        reference=r'^"\w+Error"$',
        ours=r'^"\w+Error: ',
    ),
    Explained(
        what="Answers that wait for a run are chunked",
        why="A newline every 5 s keeps the connection, as in `/runs/wait`.",
        where=r"^agents/.* · headers\.transfer-encoding$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="Errors of JSON-RPC are worded differently",
        why="By the one reader of all bodies; the codes are the same.",
        where=r"^agents/.* · json\.error\.message$",
    ),
    Explained(
        what="MCP refuses bad envelopes with the error body of all endpoints",
        why="One shape for every 4xx.",
        where=r"^agents/.* POST /mcp.* · json\.(error|detail)$",
    ),
    Explained(
        what="Parameters that are an array, an id that is an object: no 500, no answer to it",
        why="JSON-RPC has neither in MCP.",
        where=r"^agents/.* POST /mcp .* · status$",
        reference=r'^(500|200 \{"id": \{\})',
        ours="^(200 .*-32602|400)",
    ),
    Explained(
        what="A2A's notifications, and what has no method, are answered 202",
        why="Nobody awaits an answer to them.",
        where=r"^agents/envelopes · .* POST /a2a/.* · status$",
        ours="^202",
    ),
    Explained(
        what="Where an envelope is wrong, the error's `id` is null",
        why="It is read as a whole or not at all.",
        where=r"^agents/envelopes · .* POST /a2a/.* · json\.id$",
        ours="^null$",
    ),
    Explained(
        what="`Accept: */*` is enough for MCP, and any for A2A",
        why="Whoever takes anything takes JSON.",
        where=r"^agents/envelopes · .* · status$",
        reference="^400 .*Accept header",
        ours="^200",
    ),
    Explained(
        what="`DELETE /mcp` is 405",
        why="There are no sessions to end; the specification has 405 for that.",
        where=r"^agents/.* DELETE /mcp · status$",
        ours="^405",
    ),
    Explained(
        what="405 and 307 of MCP and A2A have the body and headers of all endpoints",
        why="One shape for every answer.",
        where=r"^agents/envelopes · .* · (headers\.(content-type|location)|text|json)$",
    ),
    Explained(
        what="An agent's history does not name the task of each message",
        why="A thread's messages do not know the run that wrote them; A2A has it as optional.",
        where=r"^agents/.* · .*history\[\]\.taskId$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Ids of streamed messages have no `lc_run--`",
        why="No LangChain model made them.",
        where=r"^agents/.* · .*history\[\]\.messageId$",
        reference="lc_run--",
    ),
    Explained(
        what="An artifact, and what an agent says while it works, keep their ids",
        why="Who reads a task again sees the same artifact; the reference makes ids up.",
        where=r"^agents/.* · .*(artifact(s\[\])?\.artifactId|status\.message\.messageId)$",
    ),
    Explained(
        what='A task that is read again has its artifacts, and no "Task completed successfully"',
        why="What came of it is what is asked for; its state tells the rest.",
        where=r"^agents/talk · .* · json\.result\.(status\.message|artifacts)$",
    ),
    Explained(
        what="`ListTasks` has no `artifacts` unless asked for, and no `history` either",
        why="The reference has an empty list, and everything that was ever said for each task.",
        where=r"^agents/talk · .*ListTasks.* · json\.result\.tasks\[\]\.artifacts$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Answers in A2A 1.0 are written as it says",
        why="The reference mixes in 0.3's `kind` and `final` and does not wrap streamed updates, "
        "which the official client then does not see.",
        where=r'^agents/.*"method":"(GetTask|SendMessage|SendStreamingMessage|ListTasks)".* · '
        r"(json|frames\[message\]\.data)\.result\.",
    ),
    Explained(
        what="A graph without messages answers with a part of data",
        why="The reference sends Python's `repr`, with an empty list of messages made up.",
        where=r"^agents/talk_of_data · .* · json\.result\.artifacts\[\]\.parts\[\]\.",
    ),
    Explained(
        what="A part that is no object is a wrong parameter (-32602)",
        why="It has no content type that could be unsupported.",
        where=r"^agents/wrong_talk · .* · json\.error\.code$",
        reference="^-32005$",
        ours="^-32602$",
    ),
    Explained(
        what="A task of an assistant that does not exist: the assistant is what is missing",
        why="-32602 as with the other methods.",
        where=r"^agents/wrong_talk · .*tasks/get.* · json\.error\.code$",
        reference="^-32001$",
        ours="^-32602$",
    ),
    Explained(
        what="Assistants are also named by their graph in `/a2a`, and in the cards' addresses",
        why="As in `/assistants/{assistant}/graph`; an unknown name is an unknown id.",
        where=r"^agents/wrong_talk · .* /a2a/nope .*message/stream.* · (headers|json|frames)",
    ),
    Explained(
        what="A card also says how A2A 0.3 is spoken, and knows no LangChain extension",
        why="Both dialects are served; `history-scope` is not.",
        where=r"^agents/.* · json\.(result\.)?"
        r"(supportedInterfaces|protocolVersion|preferredTransport|capabilities\.extensions)",
    ),
    Explained(
        what="The card of nobody is 404",
        why="As everywhere. Without `assistant_id` it is 400, as with the reference.",
        where=r"^agents/cards · .* · status$",
        reference="^400",
        ours="^404",
    ),
    Explained(
        what="Going back to an assistant's version brings its `context` and its graph back, too",
        why="The reference brings back the `config` alone and keeps a context that contradicts it.",
        where=r"assistants/latest · .*json(\[\])?\.(context\.suffix|out)$",
    ),
    Explained(
        what="`recurse=1` asks for subgraphs at any depth, as `recurse=true` does",
        why="A yes is `true`, `1` or `yes` in every query.",
        where=r"recurse=1 · json\.",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A `latest` that names no version is refused as incomplete",
        why="The reference looks for version None.",
        where=r"assistants/latest · .* status$",
        reference="^404 .*Version None",
        ours="^422",
    ),
    Explained(
        what="An update with an empty `context` leaves it as it is",
        why="The reference empties it and leaves the same values in `configurable`.",
        where=r"assistants/creations · .*PATCH .*\"context\":{}} · json\.context\.a$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A stream whose run is deleted just ends, and a run of a deleted thread is not found",
        why="A deleted run is no failed run.",
        where=r"(assistants/deletions|batch/cancel_some) · .*(frames\[error\]|json\.detail)$",
        reference="Run not found|Thread with ID",
    ),
    Explained(
        what="`GET /runs/{run_id}/stream` replays the run and follows it",
        why="The reference hands out that path as `Location`, and answers 404 there.",
        where=r"joins_without_a_thread · .* GET /runs/.* · status$",
        reference="^404",
        ours="^(200|422)",
    ),
    Explained(
        what="Other words for ids and columns that a list may not hold",
        why="Each says which entry is wrong.",
        where=r"batch/(bad_cancels|lists) · .*json\.detail$",
        reference='^"Invalid (run ID|select columns)',
    ),
    Explained(
        what="`feedback_keys` are kept with the run, and nobody is asked for addresses",
        why="They are LangSmith's; without it the reference fails the run.",
        where=r"batch/feedback · .*json\.(__error__|msg|out)$",
    ),
    Explained(
        what="`strict_resume` is heeded: an answer to nothing that waits fails its run and leaves "
        "the thread as it was",
        why="The reference's version knows it only in its library; `/info` tells clients.",
        where=r"strict_resumes · .*\"strict_resume\":true.* · json\.|flags\.strict_resume$",
    ),
    Explained(
        what="A resume's `kwargs` name the interrupts that it found waiting, in `resumes`",
        why="Of many answers to one question one counts, also if they wait in line.",
        where=r"kwargs\.resumes$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A card that can't be given has the error body of all endpoints",
        why="One shape for every 4xx.",
        where=r"^agents/cards · .* · json\.(error|detail)$",
    ),
    Explained(
        what="Messages in events' values are as they are in every other answer",
        why="For events the reference rewrites them: no empty fields, what was streamed as blocks.",
        where=EVENTS + r"frames\[(values|updates)\].*messages\[\]\.(additional_kwargs|content|name"
        r"|response_metadata(\.output_version)?|(invalid_)?tool_calls|usage_metadata)$",
        of_any_graph=True,
    ),
    Explained(
        what="A question is told as `payload` and as `value`",
        why="The protocol says `payload`, Python's client reads `value`.",
        where=EVENTS + r"frames\[input\.requested\]\.data\.params\.data\.value$",
        reference=ONLY_OURS,
        of_any_graph=True,
    ),
    Explained(
        what="Events of a message name it (`id`, `run_id`) and its node",
        why="Clients can't tell parallel messages apart otherwise: each looks for another of them.",
        where=EVENTS + r"frames\[messages\]\.data\.params\.(data\.(id|run_id)|node)$",
        of_any_graph=True,
    ),
    Explained(
        what="A failure says why also to who comes later",
        why="A replay is the same as the first play; the reference forgets the error.",
        where=EVENTS + r"frames\[lifecycle\]\.data\.params\.data\.error$",
        reference=ONLY_OURS,
        of_any_graph=True,
    ),
    Explained(
        what="A run's last lifecycle event comes when it has ended, behind those of its subgraphs",
        why="Who answers a question may then do so; the reference tells of the end before it.",
        where=r"^protocol/graph_subgraph-ask · .*frames\[lifecycle\]",
    ),
    Explained(
        what="Runs started by `run.start` tell of updates, custom values, tasks and checkpoints",
        why="The protocol has channels for them; in the reference a graph must ask for each.",
        where=r"^protocol/more_.*frames\[(updates|custom|tasks|checkpoints)\]$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="In a run that was not started by `run.start` a question replaces the same values "
        "told again",
        why="One frame of the log is one event, so that its number can't move.",
        where=r"^protocol/runs_of_others · .*frames\[values\]$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Other words for what is wrong with a command, and `invalid_argument` for an "
        "assistant that there can't be",
        why="As other endpoints say it.",
        where=r"^protocol/(bad|no)_commands · .*json\.(message|error)$",
        reference="required|requires?\\b|must|Invalid|found|Must|unknown_error",
    ),
    Explained(
        what="What is no command is answered in the protocol's shape, with its `id` if that is one",
        why="One shape for all answers.",
        where=r"^protocol/no_commands · .*json\.(detail|type|id|error|message)$",
    ),
    Explained(
        what="`state.get`, `state.listCheckpoints` and `state.fork` are carried out",
        why="The protocol has them, and JavaScript's client sends them.",
        where=r"^protocol/bad_commands · .*\"method\":\"state\.",
    ),
    Explained(
        what="A subscription by HTTP is `not_supported`",
        why="It ends with its connection: the reference's success subscribes to nothing.",
        where=r"^protocol/bad_commands · .*\"method\":\"subscription\.",
    ),
    Explained(
        what="A thread's id must be a UUID, and a body have its shape, else 422",
        why="As at every other endpoint.",
        where=r"^protocol/(no_commands|bad_filters) · .* status$",
        ours="^422",
    ),
    Explained(
        what="The refusal of a channel names all channels",
        why="The reference's forgets `checkpoints`.",
        where=r"^protocol/bad_filters · .*json\.detail$",
    ),
    Explained(
        what="A run whose models were asked has `usage`",
        why="What they took, in tokens and dollars (`docs/costs.md`).",
        where=r"\.usage$",
        reference=ONLY_REFERENCE,
        of_any_graph=True,
    ),
)


def explanation(difference: Difference) -> Explained | None:
    """The first entry that covers a difference, or None."""
    return next((entry for entry in EXPLAINED if entry.covers(difference)), None)
