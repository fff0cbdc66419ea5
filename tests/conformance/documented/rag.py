"""Agentic retrieval: an agent looks things up in a vector store, grades them, asks anew."""

import hashlib
import re
from typing import Literal

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_qdrant import QdrantVectorStore
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel, Field
from scripted import Scripted, asked, calls

TEXTS = [
    "Reward hacking is when an agent finds a flaw in its reward.",
    "Diffusion models learn to take noise away step by step.",
    "Hallucination is when a model makes up what it does not know.",
]
DIMENSIONS = 64


class Words(Embeddings):
    """A text is the words in it: those with the same words lie close to each other."""

    def embed_query(self, text: str) -> list[float]:
        vector = [0.0] * DIMENSIONS
        for word in re.findall(r"\w+", text.lower()):
            vector[hashlib.md5(word.encode()).digest()[0] % DIMENSIONS] += 1
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


store = QdrantVectorStore.from_texts(TEXTS, Words(), location=":memory:", collection_name="posts")
retriever = store.as_retriever(search_kwargs={"k": 1})


@tool
def retrieve_posts(query: str) -> str:
    """Search the blog posts."""
    return "\n\n".join(document.page_content for document in retriever.invoke(query))


class Grade(BaseModel):
    """Whether a document is about the question."""

    binary_score: Literal["yes", "no"] = Field(description="'yes' if relevant, 'no' if not")


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if "hello" in asked(messages):
        return "Hello! Ask me about the posts."
    return calls(("retrieve_posts", {"query": asked(messages)}), after=messages)


def grade(messages: list[BaseMessage]) -> AIMessage:
    question, document = messages[-1].text.split("\n---\n")
    shared = set(re.findall(r"\w{6,}", question)) & set(re.findall(r"\w{6,}", document.lower()))
    return calls(("Grade", {"binary_score": "yes" if shared else "no"}), after=messages)


chat = Scripted(think).bind_tools([retrieve_posts])
grader = Scripted(grade).with_structured_output(Grade)
rewriter = Scripted(lambda messages: "what is reward hacking?")
writer = Scripted(lambda messages: f"In short: {messages[-1].text}")


def query_or_respond(state: MessagesState) -> MessagesState:
    return {"messages": [chat.invoke(state["messages"])]}


def grade_documents(state: MessagesState) -> Literal["answer", "rewrite"]:
    prompt = f"{asked(state['messages'])}\n---\n{state['messages'][-1].text}"
    return "answer" if grader.invoke(prompt).binary_score == "yes" else "rewrite"


def rewrite(state: MessagesState) -> MessagesState:
    return {"messages": [HumanMessage(rewriter.invoke(state["messages"]).text)]}


def answer(state: MessagesState) -> MessagesState:
    return {"messages": [writer.invoke(state["messages"])]}


graph = (
    StateGraph(MessagesState)
    .add_node(query_or_respond)
    .add_node("retrieve", ToolNode([retrieve_posts]))
    .add_node(rewrite)
    .add_node(answer)
    .add_edge(START, "query_or_respond")
    .add_conditional_edges("query_or_respond", tools_condition, {"tools": "retrieve", END: END})
    .add_conditional_edges("retrieve", grade_documents)
    .add_edge("answer", END)
    .add_edge("rewrite", "query_or_respond")
    .compile()
)
