"""A supervisor and its team: `python examples/team.py`, with `--plane` through a plane.

Each task is a child run, on any worker: two researchers work beside each other, while their
supervisor holds nothing.
"""

from stage import main, pretend

from duragraph_worker import Graph, llm_node, tool
from duragraph_worker.testing import calls

LIBRARY = {"green": "80 degrees, two minutes", "black": "boiling, four minutes"}


@tool
def look_up(tea: str) -> str:
    """How a tea is brewed: green or black."""
    return LIBRARY[tea]


@Graph(id="researcher")
class Researcher:
    """Finds out how a tea is brewed."""

    @llm_node(model="openai/gpt-4o-mini", system="You are the researcher.", tools=[look_up])
    def look(self, state): ...


@Graph(id="writer")
class Writer:
    """Writes a leaflet about what was found out."""

    @llm_node(model="openai/gpt-4o-mini", system="You are the writer.")
    def write(self, state): ...


@Graph(id="team")
class Team:
    """A supervisor who gives tasks to researchers and a writer."""

    @llm_node(
        model="openai/gpt-4o-mini",
        system="You are the supervisor: have it researched, then written.",
        tools=[Researcher.as_tool(), Writer.as_tool()],
    )
    def supervise(self, state): ...


async def play(stage):
    return await stage.run(Team, {"messages": [("user", "A leaflet on green and black tea.")]})


def script(request):
    role = request.messages[0].text.removeprefix("You are the ").split(".")[0].split(":")[0]
    said = [message.text for message in request.messages if message.type == "tool"]
    match role, said:
        case "supervisor", []:
            tasks = ("How is green tea brewed?", "How is black tea brewed?")
            return calls(*(("researcher", {"task": task}) for task in tasks))
        case "supervisor", [green, black]:
            return calls(("writer", {"task": f"{green} {black}"}))
        case "supervisor", [*_, leaflet]:
            return f"Here is the leaflet. {leaflet}"
        case "researcher", []:
            tea = "green" if "green" in request.messages[-1].text else "black"
            return calls(("look_up", {"tea": tea}))
        case "researcher", [found]:
            return f"It is brewed: {found}."
        case _:
            return f"How to brew. {request.messages[-1].text}"


pretend("openai", script)

if __name__ == "__main__":
    main(play, Team, Researcher, Writer)
