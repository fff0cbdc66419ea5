import runpy
from pathlib import Path

import pytest

from duragraph.project import Project
from duragraph_worker.example import Demo

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_bundled_example_streams_asks_and_sends():
    app = Demo()
    question = {"messages": [("user", "tea")]}
    stream = app.stream(question, stream_mode=["messages-tuple", "custom"], thread_id="t")
    parts = [part async for part in stream]
    tokens = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert "".join(tokens).startswith("Dear reader, tea has been around")
    assert len(tokens) > 10
    assert parts[0].event == "custom"
    again = await app.aresume("t", {"approve": False, "wish": "Make it longer."})
    assert again.interrupts[0].value["node"] == "approve"
    sent = await app.aresume("t", {"approve": True})
    assert sent.output["messages"][-1].text.startswith("The letter is out (sent once")
    assert "Make it longer." in sent.output["messages"][2].text


def test_hello_greets(capsys):
    runpy.run_path(str(EXAMPLES / "hello.py"), run_name="__main__")
    assert capsys.readouterr().out == "Hello, Ada!\nHello! Who are you?\n"


def test_the_barista_asks_before_it_brews():
    pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[langgraph]'")
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415
    from langgraph.types import Command  # noqa: PLC0415

    project = Project.read(EXAMPLES / "langgraph" / "langgraph.json")
    assert project.notice() is None
    (entry,) = project.graphs.values()
    graph = runpy.run_path(str(project.folder / entry.path.partition(":")[0]))["graph"]
    barista = graph.copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "t"}}
    asked = barista.invoke({"messages": [("user", "A flat white!")]}, config)
    assert asked["__interrupt__"][0].value == "One flat white, right?"
    steps = barista.stream(Command(resume=True), config, stream_mode="custom")
    assert [step["step"] for step in steps] == ["grinding", "brewing", "pouring"]
    said = barista.get_state(config).values["messages"]
    assert said[-1].text == "Your flat white, enjoy!"
    told = barista.invoke({"messages": [("user", "Tea?")]}, config)["messages"][-1].text
    assert told == "We have espresso, cappuccino, flat white."
