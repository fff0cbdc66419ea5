"""An agent whose answer is an object; a wrong one is asked for again (`ToolStrategy`)."""

from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, Field
from scripted import Scripted, calls


class Contact(BaseModel):
    """How somebody is reached."""

    name: str
    email: str
    age: int = Field(ge=0)


def extract(messages: list[BaseMessage]) -> AIMessage | str:
    age = -1 if messages[-1].type == "human" else 36
    fields = {"name": "Ada", "email": "ada@example.com", "age": age}
    return calls(("Contact", fields), after=messages)


graph = create_agent(Scripted(extract), response_format=ToolStrategy(Contact))
