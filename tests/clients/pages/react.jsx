// The chat with `useStream` of @langchain/react, which speaks the event-streaming protocol.

import { useMessageMetadata, useStream } from "@langchain/react";
import { useState } from "react";
import { View, human, query, remember, show, textOf } from "./view.jsx";

function Page() {
  const [threadId, setThreadId] = useState(query.get("thread"));
  const stream = useStream({
    apiUrl: query.get("api"),
    assistantId: "chat",
    threadId,
    onThreadId(id) {
      remember(id);
      setThreadId(id);
    },
  });

  const first = stream.messages.find((message) => message.type === "human");
  const { parentCheckpointId } = useMessageMetadata(stream, first?.id) ?? {};
  const messages = stream.messages.map((message, index) => ({
    id: message.id ?? index,
    type: message.type,
    text: textOf(message),
    edit:
      message === first && parentCheckpointId
        ? (text) => stream.submit(human(text), { forkFrom: parentCheckpointId })
        : undefined,
  }));

  return (
    <View
      messages={messages}
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
