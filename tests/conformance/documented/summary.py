"""A chat that forgets: old messages become a summary and are removed, long ones are trimmed."""

from typing import Literal

from langchain_core.messages import BaseMessage, RemoveMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately
from langgraph.graph import END, START, MessagesState, StateGraph
from scripted import Scripted, asked


class State(MessagesState):
    summary: str


def think(messages: list[BaseMessage]) -> str:
    return f"I see {len(messages)} messages, the last of which says {asked(messages)}"


chat = Scripted(think)
summarizer = Scripted(lambda messages: f"They spoke {len(messages) - 1} times")


def call_model(state: State) -> dict[str, list[BaseMessage]]:
    kept = trim_messages(
        state["messages"],
        strategy="last",
        token_counter=count_tokens_approximately,
        max_tokens=60,
        start_on="human",
    )
    about = [{"role": "system", "content": state["summary"]}] if state.get("summary") else []
    return {"messages": [chat.invoke([*about, *kept])]}


def summarize(state: State) -> dict[str, object]:
    summary = summarizer.invoke([*state["messages"], ("user", "Sum this up.")])
    gone = [RemoveMessage(id=message.id) for message in state["messages"][:-2]]
    return {"summary": summary.text, "messages": gone}


def should_end(state: State) -> Literal["summarize", "__end__"]:
    return "summarize" if len(state["messages"]) > 4 else END


graph = (
    StateGraph(State)
    .add_node(call_model)
    .add_node(summarize)
    .add_edge(START, "call_model")
    .add_conditional_edges("call_model", should_end)
    .add_edge("summarize", END)
    .compile()
)
