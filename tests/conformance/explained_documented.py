"""The meant differences between servers of the same LangGraph graphs, each with its reason."""

from tests.conformance import explained
from tests.conformance.compare import Difference
from tests.conformance.explained import EVENTS, ONLY_OURS, ONLY_REFERENCE, Explained

OWN = (
    Explained(
        what="The state that an update made names the hidden run that it was, `run_id`",
        why="By it a worker that takes an update over knows what has been done of it.",
        where=r"/(travel|updates) · .*/(state|history)\b.*json(\[\])?\.metadata\.run_id$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="Messages, events and checkpoints of a graph that a function makes do not name the "
        "request and an empty namespace",
        why="They do so nowhere else: the reference makes a difference here.",
        where=r"/evaluator/.*\.(langgraph_request_id|metadata\.checkpoint_ns)$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="Decimals and dates in a pydantic value are in states as in threads and frames",
        why="The reference shows another type in states, and can't read its own dates again.",
        where=r"/typed_state/.*\.(price|born)$",
    ),
    Explained(
        what="A state is shown also where it does not fit its graph's model, or its reducers",
        why="The reference fails with 400 or 500, for the whole history.",
        where=r"/(typed_state|failures)/.*/(state|history)\b.* status$",
        reference="^(400|500)",
        ours="^200",
    ),
    Explained(
        what="A thread's `values` are those of its newest checkpoint, also if they don't fit",
        why="The reference shows those before.",
        where=r"/typed_state/.* GET /threads/<id> · json\.values\.words$",
    ),
    Explained(
        what="Frames show a message as it was then, with the id that it keeps",
        why="The reference is late and shows what was changed in it since: a name, an id.",
        where=r"frames\[(events|updates)\]\.data\.(data\.(output|chunk)\b.*|call_tool)\.(id|name)$",
        reference='^"',
        ours="^null$",
    ),
    Explained(
        what="A message that a node returns has an id before it is told of or recorded",
        why="Whoever takes a run over shows the same one; the reference gives some theirs late.",
        where=r"^documented/(supervisor|swarm)/.*(frames\[(updates|tasks|debug)\]|json).*"
        r"messages\[\]\.id$",
        reference="^null$",
        ours="^.<message",
    ),
    Explained(
        what="Events of tools that run at the same time change places",
        why="Neither server promises an order; here the store is a network away.",
        where=r"^documented/long_term_memory/streams · .*frames\[events\]",
    ),
    Explained(
        what="Values shown of a subgraph are those it had",
        why="The supervisor adds messages to them afterwards, and the reference shows those, too.",
        where=r"^documented/supervisor/.*frames\[(values|checkpoints|debug|events)\b.*messages\[\]$",
        reference="ransferr(ed|ing) back to supervisor",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="An update that nobody can go on from is refused",
        why="The graph's own edges fail on it; the reference answers 500.",
        where=r" POST /threads/<id>/state .* status$",
        reference="^500",
        ours='^400 .*"refused"',
    ),
    Explained(
        what="A thread's `values` and `status` are those after an update at an older checkpoint",
        why="The reference shows those before the update.",
        where=r"/travel · (12|29) GET /threads/<id> · json\.(values|status)\b",
    ),
    Explained(
        what="A thread's `config` is that of its last run",
        why="The reference keeps that of its first.",
        where=r" GET /threads/<id> · json\.config\.",
    ),
    Explained(
        what="A subgraph that has not started has an address, but no state",
        why="The reference makes up an empty one and leaves the address out.",
        where=r"/state\?subgraphs=true · json\.tasks\[\]\.(checkpoint|state)$",
        reference='^null$|"checkpoint": null',
        ours='^null$|"checkpoint_ns": "',
    ),
    Explained(
        what="A resume's `kwargs` name the interrupts that it found waiting, in `resumes`",
        why="Of many answers to one question one counts, also if they wait in line.",
        where=r"kwargs\.resumes$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="`wait` returns the state beside several questions, too",
        why="The reference leaves it out there.",
        where=r"/(parallel_questions|approval_per_call)/.*/runs/wait .* · json\.\w+$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A thread's `values` hold no questions",
        why="They stand in `interrupts`; the reference adds them to a functional graph's result.",
        where=r"/functional/.* GET /threads/<id> · json\.values\.__interrupt__$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="A graph that can't be drawn has no nodes",
        why="LangGraph draws by running a cache's key function on nothing; the reference fails.",
        where=r"/retries/description · .*/graph.* status$",
        reference="^500",
        ours="^200",
    ),
    Explained(
        what="A thread goes on showing a question that is open while its last run failed",
        why="It is in its state on both servers, and can be answered.",
        where=r" GET /threads/<id> · json\.interrupts\.<id>$",
        reference=ONLY_OURS,
    ),
    Explained(
        what="A thread's `values`, `interrupts` and `status` are its root graph's",
        why="With `stream_subgraphs` the reference shows those of the subgraph that ran last.",
        where=r"/parallel_questions/conversation · .* GET /threads/<id> · "
        r"json\.(values\.notes|interrupts|status)\b",
    ),
    Explained(
        what="A thread shows nothing of a subgraph that keeps a state of its own",
        why="With `stream_subgraphs` the reference shows that, and its tasks: ids come otherwise.",
        where=r"/own_memory/conversation · .*json(\[\])?\."
        r"(values\.kept|tasks\[\]\..*(id|checkpoint_ns))$",
    ),
    Explained(
        what="A thread does not show an untracked value",
        why="LangGraph keeps it off every checkpoint; the reference's thread has it all the same.",
        where=r"/channels/.* GET /threads/<id> · json\.values\.handle$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="The checkpoint before a `DeltaChannel`'s first writes under `exit` shows no values",
        why="Nothing ran there, and reducers' empty values are known from what runs.",
        where=r"/channels/durability · .*/history .*json\[\]\.values\.(seen|total|words|never)$",
        ours=ONLY_REFERENCE,
    ),
    Explained(
        what="After a join the state names the node that waits for it in `next`",
        why="The reference loses it when it reads the checkpoint back.",
        where=r"/(routing|parallel_questions)/.*/(state|history)\b.*\.(next|tasks)\[\]$",
        reference=ONLY_OURS,
        ours="combine|sum_up",
    ),
    Explained(
        what="The tools of a drawing's node come in another order",
        why="LangGraph keeps them in a set.",
        where=r"/description · .*/graph\?xray=true · json\.nodes\[\]\.metadata\.__tools\[\]$",
    ),
    Explained(
        what="A tool's answer grows by `delta`",
        why="As the protocol has it for all messages; the reference sends a `content` there.",
        where=EVENTS + r"frames\[messages\]\.data\.params\.data\.(content|delta)$",
        reference=r'"type": "text"}$|^.absent.$',
        ours=r'"type": "text-delta"}$|^.absent.$',
    ),
    Explained(
        what="The event of a tool that has finished may come before its message is in the state",
        why="Only there it gets an id, on either server.",
        where=EVENTS + r"frames\[tools\]\.data\.params\.data\.output\.id$",
        reference=r"^null$|message",
        ours=r"^null$|message",
    ),
    Explained(
        what="Tools of every graph tell of their calls",
        why="The protocol has a channel for them; in the reference a graph must ask for it.",
        where=r"^documented/streaming/events .*frames\[(tools|messages)\]$",
        reference=ONLY_OURS,
    ),
)
EXPLAINED = (*(entry for entry in explained.EXPLAINED if entry.of_any_graph), *OWN)


def explanation(difference: Difference) -> Explained | None:
    """The first entry that covers a difference, or None."""
    return next((entry for entry in EXPLAINED if entry.covers(difference)), None)
