"""Who runs the graph says how: model, prompt and tone come from the run's context."""

from dataclasses import dataclass, field
from typing import Literal

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime, get_runtime
from scripted import Scripted


@dataclass
class Context:
    """How the assistant behaves."""

    model: Literal["formal", "casual"] = "formal"
    system_prompt: str = "You are helpful."
    hobbies: list[str] = field(default_factory=list)


MODELS = {
    "formal": Scripted(lambda messages: f"Good day. {messages[0].text}"),
    "casual": Scripted(lambda messages: f"Hey! {messages[0].text}"),
}


async def call_model(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    system = {"role": "system", "content": runtime.context.system_prompt}
    reply = await MODELS[runtime.context.model].ainvoke([system, *state["messages"]])
    return {"messages": [reply]}


def sign(state: MessagesState, config: RunnableConfig) -> MessagesState:
    hobbies = ", ".join(get_runtime(Context).context.hobbies) or "none"
    limit = config.get("recursion_limit", "not set")
    tags = ", ".join(config["tags"]) if config.get("tags") else "no tags"
    text = f"Hobbies: {hobbies}; limit {limit}; {tags}"
    return {"messages": [{"role": "ai", "content": text, "id": "signature"}]}


graph = (
    StateGraph(MessagesState, context_schema=Context)
    .add_node(call_model)
    .add_node(sign)
    .add_edge(START, "call_model")
    .add_edge("call_model", "sign")
    .compile()
)
