// The chat with `useStream` of the SDK itself, which speaks the runs' own streams.

import { useStream } from "langgraph-sdk-2/react";
import { useState } from "react";
import { View, human, query, remember, show, textOf } from "./view.jsx";

function Page() {
  const [threadId, setThreadId] = useState(query.get("thread"));
  const stream = useStream({
    apiUrl: query.get("api"),
    assistantId: query.get("assistant"),
    threadId,
    onThreadId(id) {
      remember(id);
      setThreadId(id);
    },
    fetchStateHistory: { limit: 100 },
    reconnectOnMount: true,
  });

  const messages = stream.messages.map((message, index) => {
    const { branch, branchOptions, firstSeenState } =
      stream.getMessagesMetadata(message, index) ?? {};
    const checkpoint = firstSeenState?.parent_checkpoint;
    return {
      id: message.id ?? index,
      type: message.type,
      text: textOf(message),
      edit:
        message.type === "human" && checkpoint
          ? (text) => stream.submit(human(text), { checkpoint })
          : undefined,
      branches: branchOptions?.map((option, number) => ({
        name: `${number + 1}`,
        current: option === branch,
        show: () => stream.setBranch(option),
      })),
    };
  });

  return (
    <View
      messages={messages}
      cards={stream.toolCalls.map(({ id, call, result }) => ({
        id,
        name: call.name,
        said: result?.content,
      }))}
      question={stream.interrupt?.value}
      loading={stream.isLoading}
      error={stream.error}
      send={(text) => stream.submit(human(text))}
      answer={(resume) => stream.submit(null, { command: { resume } })}
      stop={() => stream.stop()}
    />
  );
}

show(Page);
