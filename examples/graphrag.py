"""Answers from a graph of facts in Apache AGE: `python examples/graphrag.py`, or with `--plane`.

A model finds facts in texts; they become nodes and edges. A question is answered from what lies
around the things that it names, which no single text says. Needs a PostgreSQL with Apache AGE,
where PGHOST, PGUSER, … or AGE_URL say.
"""

import os

import attrs
from stage import main, pretend

from duragraph_worker import Graph, entrypoint, knowledge_node, llm_node, node
from duragraph_worker.integrations.age import ApacheAGE
from duragraph_worker.knowledge.graph import Entity, Relation

knowledge = ApacheAGE("tea_shop", url=os.environ.get("AGE_URL", "postgresql://"))

TEXTS = [
    "Sencha is grown in Uji. Matcha is grown in Uji, too.",
    "Uji lies in Kyoto. Assam lies in India.",
    "Ada orders from Uji.",
]


@attrs.frozen
class Fact:
    subject: str
    relation: str
    object: str


@Graph(id="learn_facts")
class Learn:
    """Reads texts into the graph. Done again, it changes nothing."""

    @entrypoint
    @llm_node(
        model="openai/gpt-4o-mini",
        system="List the facts. A relation is one or two words: GROWN_IN.",
        output=list[Fact],
        into="facts",
    )
    def read(self, state):
        return "\n".join(state["texts"])

    @node
    async def write(self, state):
        facts = [
            Relation(thing(fact["subject"]), fact["relation"], thing(fact["object"]))
            for fact in state["facts"]
        ]
        await knowledge.upsert(facts)
        return {"written": len(facts)}

    read >> write


@Graph(id="ask_facts")
class Ask:
    """Answers from the facts of what is at most two steps away."""

    @entrypoint
    @llm_node(
        model="openai/gpt-4o-mini",
        system="Name the things that are asked about.",
        output=list[str],
        into="things",
    )
    def name(self, state):
        return state["messages"][-1]

    @knowledge_node(
        knowledge,
        cypher="""
        MATCH (asked:Thing)-[*0..2]-(near:Thing) WHERE asked.name IN $things
        WITH DISTINCT near MATCH (near)-[fact]->(other:Thing)
        RETURN near.name AS subject, type(fact) AS relation, other.name AS object
        ORDER BY near.name, type(fact), other.name
        """,
        into="facts",
    )
    def look_around(self, state):
        return {"things": state["things"]}

    @llm_node(model="openai/gpt-4o-mini", system="Answer from these facts alone.")
    def answer(self, state):
        facts = [
            f"{fact['subject']} {fact['relation']} {fact['object']}" for fact in state["facts"]
        ]
        return "\n".join([*facts, f"Question: {state['messages'][-1].text}"])

    name >> look_around >> answer


def thing(name):
    return Entity("Thing", {"name": name})


async def play(stage):
    await stage.run(Learn, {"texts": TEXTS})
    question = "What does Ada's supplier grow?"
    return await stage.run(Ask, {"messages": [("user", question)]})


FACTS = """[
    {"subject": "Sencha", "relation": "GROWN_IN", "object": "Uji"},
    {"subject": "Matcha", "relation": "GROWN_IN", "object": "Uji"},
    {"subject": "Uji", "relation": "LIES_IN", "object": "Kyoto"},
    {"subject": "Assam", "relation": "LIES_IN", "object": "India"},
    {"subject": "Ada", "relation": "ORDERS_FROM", "object": "Uji"}
]"""


def script(request):
    match request.messages[0].text.split():
        case ["List", *_]:
            return f'{{"value": {FACTS}}}'
        case ["Name", *_]:
            return '{"value": ["Ada"]}'
    facts = request.messages[-1].text.splitlines()
    return " and ".join(fact.split()[0] for fact in facts if "GROWN_IN Uji" in fact) + "."


pretend("openai", script)

if __name__ == "__main__":
    main(play, Learn, Ask)
