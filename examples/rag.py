"""Answers from documents in PostgreSQL: `python examples/rag.py`, `--plane` through a plane.

Needs a PostgreSQL with pgvector where PGHOST, PGUSER, … say; without PGHOST one is started.
"""

from stage import main, pretend

from duragraph_worker import Graph, llm_node, node, vector_node
from duragraph_worker.integrations.pgvector import PgVector
from duragraph_worker.vectors.embeddings import Words
from duragraph_worker.vectors.store import Document

# Texts are near that share words. `OpenAIEmbeddings()` instead finds what means the same.
handbook = PgVector("handbook", url="postgresql://", embeddings=Words())

PAGES = {
    "brewing": "Green tea is brewed at 80 degrees for two minutes.",
    "returns": "A teapot may be returned within 30 days.",
    "opening": "The shop is open from ten to six.",
}


@Graph(id="fill_handbook")
class Fill:
    """Puts pages into the handbook. Done again, it replaces them."""

    @node
    async def fill(self, state):
        pages = [Document(text, id=name) for name, text in state["pages"].items()]
        return {"filled": await handbook.upsert(pages)}


@Graph(id="ask_handbook")
class Ask:
    """Answers from the handbook."""

    @vector_node(handbook, k=1)
    def find(self, state): ...

    @llm_node(model="openai/gpt-4o-mini", system="Answer from what is given, or say: no idea.")
    def answer(self, state):
        found = "\n".join(page["text"] for page in state["documents"])
        return f"{found}\n\nQuestion: {state['messages'][-1].text}"

    find >> answer


async def play(stage):
    await stage.run(Fill, {"pages": PAGES})
    question = "How hot is green tea brewed?"
    return await stage.run(Ask, {"messages": [("user", question)]})


pretend("openai", lambda request: f"The handbook says: {request.messages[-1].text.splitlines()[0]}")

if __name__ == "__main__":
    main(play, Fill, Ask, database=True)
