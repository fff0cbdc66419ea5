"""What a graph can tell while it runs: custom data, tagged and untagged models, tools' progress."""

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import StreamWriter
from scripted import Scripted, calls


@tool
def count_records(table: str) -> str:
    """Count the records of a table, slowly."""
    write = get_stream_writer()
    for percent in (0, 50, 100):
        write({"tool": "count_records", "percent": percent})
    return f"{table} has 107 records"


def think(messages: list[BaseMessage]) -> AIMessage | str:
    return calls(("count_records", {"table": "users"}), after=messages)


chooser = Scripted(think)
loud = Scripted(lambda messages: f"All in all: {messages[-1].text}", tags=["summary"])
quiet = Scripted(lambda messages: "not to be heard", tags=["nostream"])


async def choose(state: MessagesState, writer: StreamWriter) -> MessagesState:
    writer("choosing a tool")
    return {"messages": [await chooser.ainvoke(state["messages"])]}


async def sum_up(state: MessagesState) -> MessagesState:
    write = get_stream_writer()
    await quiet.ainvoke(state["messages"])
    write({"numbers": [1, 2.5, None], "text": "Größe"})
    said = ""
    async for chunk in loud.astream(state["messages"]):
        said += chunk.text
    return {"messages": [{"role": "assistant", "content": said, "id": "sum"}]}


graph = (
    StateGraph(MessagesState)
    .add_node(choose)
    .add_node("tools", ToolNode([count_records]))
    .add_node(sum_up)
    .add_edge(START, "choose")
    .add_edge("choose", "tools")
    .add_edge("tools", "sum_up")
    .compile()
)
