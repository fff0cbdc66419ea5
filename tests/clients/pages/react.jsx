// The chat with `useStream` of @langchain/react, which speaks the event-streaming protocol.

import { useStream } from "@langchain/react";
import { useState } from "react";
import { View, human, query, remember, show, textOf } from "./view.jsx";

function Page() {
  const [threadId, setThreadId] = useState(query.get("thread"));
  const stream = useStream({
    apiUrl: query.get("api"),
    assistantId: query.get("assistant"),
    transport: query.get("transport") ?? "sse",
    threadId,
    onThreadId(id) {
      remember(id);
      setThreadId(id);
    },
  });

  // The hook's own metadata names the newest checkpoint for every message, also for the oldest.
  async function ask(text, before) {
    const states = await stream.client.threads.getHistory(threadId, { limit: 100 });
    const holds = ({ values }) => values.messages?.some(({ id }) => id === before);
    const forkFrom = states.findLast(holds).parent_checkpoint.checkpoint_id;
    await stream.submit(human(text), { forkFrom });
  }

  const messages = stream.messages.map((message, index) => ({
    id: message.id ?? index,
    type: message.type,
    text: textOf(message),
    edit: message.type === "human" ? (text) => ask(text, message.id) : undefined,
  }));

  return (
    <View
      messages={messages}
      cards={stream.toolCalls.map(({ id, name, output }) => ({
        id,
        name,
        said: output ?? undefined,
      }))}
      question={stream.interrupt?.value}
      loading={stream.isLoading}
      error={stream.error}
      send={(text) => stream.submit(human(text))}
      answer={(response) => stream.respond(response)}
      stop={() => stream.stop()}
    />
  );
}

show(Page);
