from typing import Annotated, Literal

import pytest
from pydantic import BaseModel

from duragraph_worker import tool
from duragraph_worker.llm.tools import ToolInputError, as_tool


@tool
def look_up(order_id: str, kind: Literal["new", "old"] = "new", limit: int = 3) -> dict:
    """Find an order.

    Looks in both shops.

    Args:
        order_id: as on the receipt
        limit: how many at most

    """
    return {"id": order_id, "kind": kind, "limit": limit}


def test_schema_and_description_come_from_signature_and_docstring():
    assert look_up.name == "look_up"
    assert look_up.description == "Find an order.\nLooks in both shops."
    assert look_up.parameters == {
        "title": "look_up",
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "description": "as on the receipt"},
            "kind": {"enum": ["new", "old"], "default": "new"},
            "limit": {"type": "integer", "description": "how many at most", "default": 3},
        },
        "required": ["order_id"],
        "additionalProperties": False,
    }


def test_a_tool_is_still_the_function():
    assert look_up("1", limit=2) == {"id": "1", "kind": "new", "limit": 2}


async def test_arguments_are_checked_before_the_call():
    assert await look_up.run({"order_id": "1"}) == {"id": "1", "kind": "new", "limit": 3}
    for wrong in ({}, {"order_id": 1}, {"order_id": "1", "other": 1}):
        with pytest.raises(ToolInputError, match="tool look_up: "):
            await look_up.run(wrong)


async def test_async_functions_and_methods_are_tools():
    class Shop:
        name = "here"

        @tool(name="find", description="Find it", record=False)
        async def look_up(self, what: Annotated[str, "a thing"]):
            return f"{what} {self.name}"

    assert (Shop.look_up.name, Shop.look_up.record) == ("find", False)
    assert Shop.look_up.parameters["properties"] == {
        "what": {"type": "string", "description": "a thing"}
    }
    assert await Shop().look_up.run({"what": "it"}) == "it here"
    assert await Shop().look_up("it") == "it here"


async def test_pydantic_models_are_parameters():
    class Place(BaseModel):
        city: str

    @tool
    def weather(place: Place, days: list[int] = [1, 2]):  # noqa: B006
        return place.city, days

    assert weather.parameters["properties"]["place"]["properties"]["city"]["type"] == "string"
    assert await weather.run({"place": {"city": "Ulm"}}) == ("Ulm", [1, 2])


def test_what_a_model_cannot_fill_is_refused():
    with pytest.raises(TypeError, match=r"tool any_of: a model can't fill '\*args'"):

        @tool
        def any_of(*args): ...

    with pytest.raises(TypeError, match="annotations can't be evaluated"):

        @tool
        def postponed(x: "Nowhere"): ...  # noqa: F821

    with pytest.raises(TypeError, match="is no tool"):
        as_tool("look_up")


def test_a_plain_function_is_taken_as_a_tool():
    def plain(a: int) -> int:
        """Add nothing."""
        return a

    assert as_tool(plain).description == "Add nothing."
    assert as_tool(look_up) is look_up
