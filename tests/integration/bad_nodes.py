"""Graphs of one node each that does what nodes should not."""

import os
import time

from duragraph_worker import Graph, node


class PaymentRefused(Exception):
    pass


@Graph(id="raises")
class Raises:
    @node
    async def bad(self, state):
        raise ValueError("no such order")


@Graph(id="raises-its-own")
class RaisesItsOwn:
    @node
    async def bad(self, state):
        raise PaymentRefused("card 4711")


@Graph(id="returns-a-list")
class ReturnsAList:
    @node
    async def bad(self, state):
        return [1, 2]


@Graph(id="returns-an-object")
class ReturnsAnObject:
    @node
    async def bad(self, state):
        return {"door": object()}


@Graph(id="blocks")
class Blocks:
    @node
    async def bad(self, state):
        time.sleep(60)  # noqa: ASYNC251 - a bad node is the point
        return {"done": True}


@Graph(id="exits")
class Exits:
    @node
    async def bad(self, state):
        os._exit(3)


@Graph(id="good")
class Good:
    @node
    async def good(self, state):
        return {"done": True}
