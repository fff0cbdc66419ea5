"""`Idempotency-Key`: what a request makes is made once, however often it is sent.

Key, thing and answer commit together, so no crash can strand a key. A request that fails leaves
its key free.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import attrs
import msgspec

from duragraph import codec
from duragraph.api.io import Call
from duragraph.pg import idempotency

P = ParamSpec("P")
T = TypeVar("T")


def once(
    create: Callable[Concatenate[Call, P], Awaitable[T]],
) -> Callable[Concatenate[Call, P], Awaitable[T]]:
    """A `create` that makes something through `call.tenant()` alone, once for each key.

    Its route says `once=True`.
    """
    noun: type[T] = inspect.get_annotations(create, eval_str=True)["return"]

    @wraps(create)
    async def create_once(call: Call, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = call.key
        if key is None:
            return await create(call, *args, **kwargs)
        async with call.tenant() as conn, conn.transaction():
            if (before := await idempotency.claim(conn, key)) is not None:
                return msgspec.json.decode(before, type=noun)
            made = await create(attrs.evolve(call, key=None, conn=conn), *args, **kwargs)
            await idempotency.answer(conn, key, codec.dumps(made))
            return made

    return create_once
