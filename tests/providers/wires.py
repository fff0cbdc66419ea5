"""The four wires as their vendors' public references describe them, over one scripted reply.

A wire turns a `Reply` into the whole answer or into the frames of a stream, and reads back from a
request what the tests ask about. References: OpenAI chat completions, Anthropic messages
(2023-06-01), Cohere chat v2, Ollama's `/api/chat`.
"""

import json
from typing import Any

import attrs


@attrs.frozen
class Call:
    """A tool call. `args` is the JSON as the model writes it, `pieces` how it streams."""

    name: str
    args: str
    id: str = "call_1"

    @property
    def pieces(self) -> list[str]:
        half = len(self.args) // 2
        return [self.args[:half], self.args[half:]]

    @property
    def parsed(self) -> Any:
        return json.loads(self.args)


@attrs.frozen(kw_only=True)
class Reply:
    """What the model says. Texts are as they stream."""

    text: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    refusal: str | None = None
    cut_short: bool = False
    input_tokens: int = 9
    output_tokens: int = 4
    cached: int = 2

    @property
    def asks(self) -> bool:
        return bool(self.calls)


def says(*text: str, **more: Any) -> Reply:
    return Reply(text=text, **more)


def calls(*calls: Call, **more: Any) -> Reply:
    return Reply(calls=calls, **more)


def sse(data: Any, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


class OpenAIWire:
    name = "openai"
    path = "/v1/chat/completions"
    content_type = "text/event-stream"
    garbage = b'data: {"id": "chatcmpl-1", "choi\n\n'

    def refusal(self, status: int, why: str) -> Any:
        return {"error": {"message": why, "type": "x", "code": None, "param": None}}

    def whole(self, reply: Reply) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.text) or None}
        message["refusal"] = reply.refusal
        if reply.thinking:
            message["reasoning_content"] = "".join(reply.thinking)
        if reply.calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.args}}
                for c in reply.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _stop(reply)}
        return self._head("chat.completion") | {"choices": [choice], "usage": self._usage(reply)}

    def frames(self, reply: Reply) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": piece} for piece in reply.thinking]
        deltas += [{"content": piece} for piece in reply.text]
        deltas += [{"refusal": piece} for piece in (reply.refusal or "").split("|") if piece]
        for index, call in enumerate(reply.calls):
            first = {"name": call.name, "arguments": ""}
            head = {"index": index, "id": call.id, "type": "function", "function": first}
            deltas.append({"tool_calls": [head]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in call.pieces
            ]
        events = [self._chunk(delta) for delta in deltas]
        events.append(self._chunk({}, _stop(reply)))
        usage = self._head("chat.completion.chunk") | {"choices": [], "usage": self._usage(reply)}
        return [*(sse(event) for event in (*events, usage)), sse("[DONE]")]

    def failing(self, why: str) -> bytes:
        return sse({"error": {"message": why, "type": "server_error"}})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head("chat.completion.chunk") | {"choices": [choice], "usage": None}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "the-model"}

    def _usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
            "prompt_tokens_details": {"cached_tokens": reply.cached},
        }


class AnthropicWire:
    name = "anthropic"
    path = "/v1/messages"
    content_type = "text/event-stream"
    garbage = b'event: content_block_delta\ndata: {"type": "content_bl\n\n'

    def refusal(self, status: int, why: str) -> Any:
        return {"type": "error", "error": {"type": "x", "message": why}, "request_id": "req_1"}

    def whole(self, reply: Reply) -> Any:
        content: list[dict[str, Any]] = []
        if reply.thinking:
            thought = "".join(reply.thinking)
            content.append({"type": "thinking", "thinking": thought, "signature": "sig"})
        if reply.text:
            content.append({"type": "text", "text": "".join(reply.text)})
        content += [
            {"type": "tool_use", "id": c.id, "name": c.name, "input": c.parsed} for c in reply.calls
        ]
        return self._message(reply, content, self._stop(reply), reply.output_tokens)

    def frames(self, reply: Reply) -> list[bytes]:
        start = self._message(reply, [], None, 1)
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        events.append({"type": "ping"})
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if reply.thinking:
            thoughts = [{"type": "thinking_delta", "thinking": t} for t in reply.thinking]
            thoughts.append({"type": "signature_delta", "signature": "sig"})
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thoughts))
        if reply.text:
            deltas = [{"type": "text_delta", "text": t} for t in reply.text]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for call in reply.calls:
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            pieces = [{"type": "input_json_delta", "partial_json": p} for p in call.pieces]
            blocks.append((block, pieces))
        for index, (block, pieces) in enumerate(blocks):
            events += self.block(index, block, pieces)
        delta = {"stop_reason": self._stop(reply), "stop_sequence": None}
        usage = {"output_tokens": reply.output_tokens}
        events.append({"type": "message_delta", "delta": delta, "usage": usage})
        events.append({"type": "message_stop"})
        return [sse(event, event["type"]) for event in events]

    def block(self, index: int, block: Any, deltas: list[Any]) -> list[dict[str, Any]]:
        at = {"index": index}
        return [
            {"type": "content_block_start", "content_block": block} | at,
            *({"type": "content_block_delta", "delta": delta} | at for delta in deltas),
            {"type": "content_block_stop"} | at,
        ]

    def failing(self, why: str) -> bytes:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": why}}
        return sse(error, "error")

    def _stop(self, reply: Reply) -> str:
        if reply.refusal:
            return "refusal"
        if reply.cut_short:
            return "max_tokens"
        return "tool_use" if reply.asks else "end_turn"

    def _message(self, reply: Reply, content: Any, stop: str | None, made: int) -> Any:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "the-model",
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {
                # What the cache read stands beside the input, not in it.
                "input_tokens": reply.input_tokens - reply.cached,
                "cache_read_input_tokens": reply.cached,
                "cache_creation_input_tokens": 0,
                "output_tokens": made,
            },
        }


class CohereWire:
    name = "cohere"
    path = "/v2/chat"
    content_type = "text/event-stream"
    garbage = b'event: content-delta\ndata: {"type": "content-del\n\n'

    def refusal(self, status: int, why: str) -> Any:
        return {"message": why}

    def whole(self, reply: Reply) -> Any:
        message: dict[str, Any] = {"role": "assistant"}
        content = [{"type": "thinking", "thinking": "".join(reply.thinking)}]
        content = content if reply.thinking else []
        if reply.text:
            content.append({"type": "text", "text": "".join(reply.text)})
        if content:
            message["content"] = content
        if reply.calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.args}}
                for c in reply.calls
            ]
        end = {"finish_reason": self._stop(reply), "usage": self._usage(reply)}
        return {"id": "c1", "message": message} | end

    def frames(self, reply: Reply) -> list[bytes]:
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
        start = {"type": "message-start", "id": "c1", "delta": {"message": message}}
        events: list[dict[str, Any]] = [start]
        index = 0
        for kind, pieces in (("thinking", reply.thinking), ("text", reply.text)):
            if pieces:
                events += self.content(index, kind, pieces)
                index += 1
        for at, call in enumerate(reply.calls):
            function = {"name": call.name, "arguments": ""}
            head = {"id": call.id, "type": "function", "function": function}
            events.append(self._call("tool-call-start", at, head))
            events += [
                self._call("tool-call-delta", at, {"function": {"arguments": piece}})
                for piece in call.pieces
            ]
            events.append({"type": "tool-call-end", "index": at})
        end = {"finish_reason": self._stop(reply), "usage": self._usage(reply)}
        events.append({"type": "message-end", "id": "c1", "delta": end})
        return [*(sse(event, event["type"]) for event in events), sse("[DONE]")]

    def content(self, index: int, kind: str, pieces: tuple[str, ...]) -> list[dict[str, Any]]:
        def event(name: str, said: dict[str, Any]) -> dict[str, Any]:
            return {"type": name, "index": index, "delta": {"message": {"content": said}}}

        return [
            event("content-start", {"type": kind, kind: ""}),
            *(event("content-delta", {kind: piece}) for piece in pieces),
            {"type": "content-end", "index": index},
        ]

    def failing(self, why: str) -> bytes:
        end = {"finish_reason": "ERROR", "error": why}
        return sse({"type": "message-end", "id": "c1", "delta": end}, "message-end")

    def _call(self, kind: str, index: int, call: Any) -> dict[str, Any]:
        return {"type": kind, "index": index, "delta": {"message": {"tool_calls": call}}}

    def _stop(self, reply: Reply) -> str:
        if reply.cut_short:
            return "MAX_TOKENS"
        return "TOOL_CALL" if reply.asks else "COMPLETE"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        billed = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        read = {"input_tokens": reply.input_tokens + 60, "output_tokens": reply.output_tokens}
        return {"billed_units": billed, "tokens": read, "cached_tokens": reply.cached}


class OllamaWire:
    name = "ollama"
    path = "/api/chat"
    content_type = "application/x-ndjson"
    garbage = b'{"model": "the-model", "mess\n'

    def refusal(self, status: int, why: str) -> Any:
        return {"error": why}

    def whole(self, reply: Reply) -> Any:
        message = self._said(content="".join(reply.text))
        if reply.thinking:
            message["thinking"] = "".join(reply.thinking)
        if reply.calls:
            message["tool_calls"] = [self._call(call) for call in reply.calls]
        return self._part(message) | self._end(reply)

    def frames(self, reply: Reply) -> list[bytes]:
        messages = [self._said(thinking=piece) for piece in reply.thinking]
        messages += [self._said(content=piece) for piece in reply.text]
        messages += [self._said(tool_calls=[self._call(call)]) for call in reply.calls]
        parts = [self._part(message) | {"done": False} for message in messages]
        parts.append(self._part(self._said()) | self._end(reply))
        return [json.dumps(part).encode() + b"\n" for part in parts]

    def failing(self, why: str) -> bytes:
        return json.dumps({"error": why}).encode() + b"\n"

    def _said(self, **said: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": ""} | said

    def _call(self, call: Call) -> Any:
        return {"function": {"name": call.name, "arguments": call.parsed}}

    def _part(self, message: Any) -> dict[str, Any]:
        return {
            "model": "the-model",
            "created_at": "2026-01-01T00:00:00Z",
            "message": message,
        }

    def _end(self, reply: Reply) -> dict[str, Any]:
        return {
            "done": True,
            "done_reason": "length" if reply.cut_short else "stop",
            "total_duration": 5,
            "prompt_eval_count": reply.input_tokens,
            "eval_count": reply.output_tokens,
        }


def _stop(reply: Reply) -> str:
    if reply.cut_short:
        return "length"
    return "tool_calls" if reply.asks else "stop"


WIRES = {wire.name: wire for wire in (OpenAIWire(), AnthropicWire(), CohereWire(), OllamaWire())}
