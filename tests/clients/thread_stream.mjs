// The conversations over `client.threads.stream`: the event-streaming protocol, which only the
// newer line speaks.

const QUESTION = { messages: [{ type: "human", content: "hello", id: "question" }] };
const CHANNELS = ["lifecycle", "values", "messages", "input"];

async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** What a command answered, or how it was refused. */
async function outcome(command) {
  try {
    return (await command) ?? "(nothing)";
  } catch (error) {
    return { refused: error.code ?? error.name };
  }
}

/** Whether the thread's root graph ran to its end. */
const ended = ({ method, params }) =>
  method === "lifecycle" && !params.namespace.length && params.data.event === "completed";

/** A function that waits for the next event of a kind, however early it came. */
function until(thread, wanted) {
  const came = [];
  let wake = () => {};
  thread.onEvent((event) => {
    if (!wanted(event)) return;
    came.push(event.params.data);
    wake();
  });
  return async () => {
    while (!came.length) await new Promise((resolve) => (wake = resolve));
    return came.shift();
  };
}

const plain = (messages) => messages.map(({ id, type, content }) => ({ id, type, content }));

export async function thread_stream({ client, has, said }) {
  if (!has("threads.stream")) return;
  const thread = client.threads.stream({ assistantId: "tokens" });
  said("threads.stream", Object.keys(thread).sort());
  const seen = [];
  thread.onEvent((event) => seen.push(event.method));
  thread.onError((error) => seen.push(`${error}`));
  const messages = all(thread.messages);
  const parts = { values: all(thread.values), toolCalls: all(thread.toolCalls) };
  parts.subgraphs = all(thread.subgraphs);
  parts.subagents = all(thread.subagents);
  for (const kind of ["audio", "images", "video", "files"]) parts[kind] = all(thread[kind]);
  const custom = all(thread.extensions.progress);
  said("thread.run.start", await outcome(thread.run.start({ input: QUESTION })));
  said("thread.output", plain((await thread.output).messages));
  said("thread.messages", await Promise.all((await messages).map((message) => message.text)));
  parts.values = parts.values.then((each) => each.map((value) => plain(value.messages ?? [])));
  for (const [name, items] of Object.entries(parts)) said(`thread.${name}`, await items);
  said("thread.extensions", await custom);
  said("thread.onEvent", [...new Set(seen)].sort());
  said("thread.onError", thread.interrupted);
  said("thread.agent.getTree", await outcome(thread.agent.getTree({})));
  said("thread.state.get", await outcome(thread.state.get({})));
  said("thread.state.listCheckpoints", await outcome(thread.state.listCheckpoints({})));
  said("thread.close", await outcome(thread.close()));
}

export async function thread_events({ client, has, said, heard }) {
  if (!has("threads.stream")) return;
  for (const assistantId of ["tokens", "subgraph"]) {
    const thread = client.threads.stream({ assistantId });
    const events = await thread.subscribe(CHANNELS);
    const input = assistantId === "tokens" ? QUESTION : { topic: "tea" };
    said("thread.submitRun", await outcome(thread.submitRun({ input })));
    const frames = [];
    for await (const { method, params } of events) {
      const namespace = params.namespace.map((name) => name.split(":")[0]);
      frames.push({ event: method, namespace, data: params.data });
      if (ended({ method, params })) break;
    }
    // How root and subgraph, its states and its life, interleave is nobody's promise.
    heard(
      "thread.subscribe",
      frames.filter(({ namespace }) => !namespace.length),
    );
    for (const kind of ["lifecycle", "values"])
      heard(
        "thread.subscribe",
        frames.filter(({ event, namespace }) => namespace.length && event === kind),
      );
    await thread.close();
  }
}

export async function thread_answers({ client, has, said }) {
  if (!has("threads.stream")) return;
  const thread = client.threads.stream({ assistantId: "interrupt" });
  const next = until(thread, ({ method }) => method === "input.requested");
  const over = until(thread, ended);
  said("thread.startLifecycleWatcher", await outcome(thread.startLifecycleWatcher()));
  await thread.run.start({ input: { title: "" } });

  const first = await next();
  said("thread.interrupts", first.payload);
  const answer = { interrupt_id: first.interrupt_id, namespace: [], response: "A title" };
  said("thread.input.respond", await outcome(thread.input.respond(answer)));
  const second = await next();
  said("thread.interrupts", second.payload);
  const tags = { interrupt_id: second.interrupt_id, namespace: [], response: ["x"] };
  said("thread.respondInput", await outcome(thread.respondInput(tags)));
  said("thread.interrupts", (await next()).payload);
  const nobody = { interrupt_id: "0".repeat(32), namespace: [], response: 1 };
  said("thread.respondInput", await outcome(thread.respondInput(nobody)));
  said("thread.submitRun", await outcome(thread.submitRun({ input: { approve: true } })));
  await over();
  await thread.close();
  const state = await client.threads.getState(thread.threadId);
  said("threads.getState", state.values);
}
