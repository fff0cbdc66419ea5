"""The event-streaming protocol: commands to a thread, and its events as SSE or on a WebSocket."""
