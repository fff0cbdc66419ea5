"""A graph with no model and no key: `python examples/hello.py`.

Served: `duragraph dev examples/hello.py:Hello`.
"""

from duragraph_worker import Graph, node, router_node


@Graph(id="hello")
class Hello:
    """Greets whom it knows, asks the others for their name."""

    @router_node
    def known(self, state):
        return "name" in state

    @node
    def greet(self, state):
        return {"text": f"Hello, {state['name']}!"}

    @node
    async def ask(self, state):
        return {"text": "Hello! Who are you?"}

    known >> {True: greet, False: ask}


if __name__ == "__main__":
    print(Hello().run({"name": "Ada"}).output["text"])
    print(Hello().run({"somebody": True}).output["text"])
