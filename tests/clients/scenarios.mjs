// What calls.mjs plays: one exported function a conversation. Between them they call every method
// of the client; what only one line of the SDK has is asked for with `has`.

const QUESTION = { messages: [{ type: "human", content: "hello", id: "question" }] };
const HANG = { n: 0, limit: 3, hang_at: 2 };
const NOBODY = "11111111-1111-4111-8111-111111111111";
const isRunning = ({ status }) => status === "running";
const hasEnded = ({ status }) => !["pending", "running"].includes(status);
const done = ({ data }) => data?.status === "run_done";

export async function assistants({ call, tag }) {
  const made = await call("assistants.create", {
    graphId: "echo",
    name: "First",
    description: "one",
    metadata: { tag },
    context: { suffix: "!" },
  });
  const id = made.assistant_id;
  await call("assistants.create", { graphId: "echo", assistantId: id });
  await call("assistants.create", { graphId: "echo", assistantId: id, ifExists: "do_nothing" });
  await call("assistants.create", { graphId: "nope" });
  const both = { config: { configurable: { a: 1 } }, context: { a: 1 } };
  await call("assistants.create", { graphId: "echo", ...both });
  await call("assistants.get", id);
  await call("assistants.get", NOBODY);
  await call("assistants.get", "echo");
  await call("assistants.getGraph", id);
  await call("assistants.getGraph", "subgraph", { xray: true });
  await call("assistants.getGraph", "subgraph", { xray: 1 });
  await call("assistants.getSchemas", id);
  await call("assistants.getSubgraphs", id);
  await call("assistants.update", id, { name: "Second", metadata: { more: 1 } });
  await call("assistants.update", id, { graphId: "cycle", context: {}, description: "two" });
  await call("assistants.update", NOBODY, { name: "Nobody" });
  await call("assistants.getVersions", id);
  await call("assistants.getVersions", id, { limit: 1, offset: 1 });
  await call("assistants.getVersions", id, { metadata: { more: 1 } });
  await call("assistants.setLatest", id, 1);
  await call("assistants.setLatest", id, 9);
  await call("assistants.get", id);

  const found = { metadata: { tag } };
  await call("assistants.search", found);
  await call("assistants.search", { ...found, name: "FIR", graphId: "echo" });
  await call("assistants.search", { ...found, limit: 1, includePagination: true });
  await call("assistants.search", { ...found, select: ["name", "version"] });
  await call("assistants.search", { ...found, sortBy: "name", sortOrder: "asc", offset: 1 });
  await call("assistants.count", found);
  await call("assistants.count", { ...found, graphId: "cycle", name: "first" });

  const nested = await call("assistants.create", { graphId: "subgraph", metadata: { tag } });
  await call("assistants.getSubgraphs", nested.assistant_id);
  const named = { namespace: "research", recurse: true };
  await call("assistants.getSubgraphs", nested.assistant_id, named);
  await call("assistants.delete", nested.assistant_id, { deleteThreads: true });
  await call("assistants.delete", id);
  await call("assistants.delete", id);
}

export async function threads({ call, tag }) {
  const made = await call("threads.create", { metadata: { tag }, graphId: "echo" });
  const id = made.thread_id;
  await call("threads.create", { threadId: id });
  await call("threads.create", { threadId: id, ifExists: "do_nothing" });
  await call("threads.create", { metadata: { tag, n: 2 }, ttl: 5 });
  await call("threads.create", {
    graphId: "router",
    metadata: { tag, n: 3 },
    supersteps: [
      { updates: [{ asNode: "__input__", values: { number: 4 } }] },
      { updates: [{ asNode: "measure", values: { seen: "saw 4" } }] },
    ],
  });
  await call("threads.get", id);
  await call("threads.get", id, { include: ["ttl"] });
  await call("threads.get", NOBODY);
  await call("threads.update", id, { metadata: { more: 1 } });
  await call("threads.update", id, { ttl: { ttl: 60, strategy: "delete" } });
  await call("threads.update", id, { metadata: { more: 2 }, returnMinimal: true });
  await call("threads.update", NOBODY, { metadata: {} });

  const found = { metadata: { tag } };
  const stable = { ...found, sortBy: "created_at", sortOrder: "asc" };
  await call("threads.search", stable);
  await call("threads.search", { ...stable, limit: 1, offset: 1, select: ["metadata", "status"] });
  await call("threads.search", { ...stable, status: "interrupted" });
  await call("threads.search", { ...found, values: { number: 4 } });
  await call("threads.search", { ...stable, ids: [id], select: ["thread_id"] });
  await call("threads.search", { ...stable, select: ["thread_id"], extract: { n: "metadata.n" } });
  await call("threads.count", found);
  await call("threads.count", { ...found, status: "idle" });
  await call("threads.count", { ...found, values: { number: 4 } });

  const copied = await call("threads.copy", id);
  await call("threads.copy", NOBODY);
  await call("threads.get", copied.thread_id);
  await call("threads.delete", copied.thread_id);
  await call("threads.delete", copied.thread_id);
}

export async function pruned({ call, has, tag }) {
  if (!has("threads.prune")) return;
  const { thread_id } = await call("threads.create", { metadata: { tag } });
  await call("threads.prune", [thread_id, NOBODY]);
  await call("threads.prune", []);
  await call("threads.get", thread_id);
}

export async function states({ call }) {
  const { thread_id } = await call("threads.create");
  await call("threads.getState", thread_id);
  await call("threads.getHistory", thread_id);
  await call("threads.updateState", thread_id, { values: { number: 1 } });
  await call("threads.getState", NOBODY);
  await call("runs.wait", thread_id, "router", { input: { number: 3 } });
  const state = await call("threads.getState", thread_id);
  const history = await call("threads.getHistory", thread_id);
  await call("threads.getHistory", thread_id, { limit: 2 });
  await call("threads.getHistory", thread_id, { limit: 2, before: history[1] });
  await call("threads.getHistory", thread_id, { metadata: { source: "input" } });
  const older = history[2];
  await call("threads.getState", thread_id, older.checkpoint.checkpoint_id);
  await call("threads.getState", thread_id, older.checkpoint, { subgraphs: true });
  await call("threads.getState", thread_id, NOBODY);
  await call("threads.updateState", thread_id, { values: { number: 8 }, asNode: "measure" });
  await call("threads.updateState", thread_id, { values: {}, asNode: "nope" });
  const { checkpoint } = older;
  await call("threads.updateState", thread_id, { values: { number: 6 }, checkpoint });
  const checkpointId = checkpoint.checkpoint_id;
  await call("threads.updateState", thread_id, { values: null, checkpointId });
  await call("runs.wait", thread_id, "router", { input: null, checkpointId });
  await call("runs.wait", thread_id, "router", { input: { number: 2 }, checkpoint });
  await call("threads.getState", thread_id, state.checkpoint);
  await call("threads.patchState", thread_id, { more: 1 });
}

export async function runs({ call }) {
  const { thread_id } = await call("threads.create");
  const created = [];
  const onRunCreated = (run) => created.push(run);
  const options = { input: { msg: "hi" }, metadata: { a: 1 }, durability: "sync", onRunCreated };
  const run = await call("runs.create", thread_id, "echo", options);
  await call("runs.join", thread_id, run.run_id);
  await call("runs.get", thread_id, run.run_id);
  await call("runs.get", thread_id, NOBODY);
  await call("runs.list", thread_id);
  await call("runs.list", thread_id, { limit: 1, offset: 1, status: "success" });
  await call("runs.list", thread_id, { select: ["run_id", "status"] });
  await call("runs.list", NOBODY);
  await call("runs.join", thread_id, NOBODY);
  await call("runs.create", NOBODY, "echo", { input: { msg: "hi" } });
  await call("runs.create", thread_id, "nope", { input: { msg: "hi" } });
  await call("runs.wait", null, "echo", { input: { msg: "hi" }, onRunCreated });
  await call("runs.wait", thread_id, "error", { input: { kind: "value" } });
  await call("runs.wait", thread_id, "error", { input: { kind: "custom" }, raiseError: false });
  await call("runs.delete", thread_id, run.run_id);
  await call("runs.delete", thread_id, run.run_id);
  await call("runs.create", null, "echo", { input: { msg: "alone" } });
  await call("runs.createBatch", [
    { assistantId: "echo", input: { msg: "one" }, streamMode: ["values"] },
    { assistantId: "router", input: { number: 2 } },
  ]);
  await call("runs.createBatch", []);
}

export async function cancels({ call, has, until }) {
  const { thread_id } = await call("threads.create");
  const first = await call("runs.create", thread_id, "cycle", { input: HANG });
  await until(`/threads/${thread_id}/state`, ({ values }) => values.n === 1);
  const reject = { input: HANG, multitaskStrategy: "reject" };
  await call("runs.create", thread_id, "cycle", reject);
  await call("runs.cancel", thread_id, first.run_id);
  await until(`/threads/${thread_id}/runs/${first.run_id}`, hasEnded);
  await call("runs.cancel", thread_id, first.run_id);
  await call("runs.cancel", thread_id, NOBODY);
  const second = await call("runs.create", thread_id, "cycle", { input: HANG });
  await until(`/threads/${thread_id}/runs/${second.run_id}`, isRunning);
  await call("runs.cancel", thread_id, second.run_id, true, "rollback");
  await call("runs.get", thread_id, second.run_id);
  await call("threads.get", thread_id);
  if (!has("runs.cancelMany")) return;
  const third = await call("runs.create", thread_id, "cycle", { input: HANG });
  await until(`/threads/${thread_id}/runs/${third.run_id}`, isRunning);
  await call("runs.cancelMany", { threadId: thread_id, runIds: [third.run_id] });
  await until(`/threads/${thread_id}/runs/${third.run_id}`, hasEnded);
  await call("runs.cancelMany", { threadId: thread_id, runIds: [NOBODY] });
  await call("runs.get", thread_id, third.run_id);
}

export async function streams({ call, said, stream }) {
  const { thread_id } = await call("threads.create");
  const created = [];
  const onRunCreated = (run) => created.push(run);
  const hello = { input: { msg: "hi" }, onRunCreated };
  await stream("runs.stream", [thread_id, "echo", hello]);
  await stream("runs.stream", [null, "echo", { ...hello, streamMode: ["values", "updates"] }]);
  said(
    "onRunCreated",
    created.map((run) => Object.keys(run).sort()),
  );
  const fresh = async () => (await call("threads.create")).thread_id;
  for (const streamMode of ["messages", "messages-tuple", "custom", "tasks"])
    await stream("runs.stream", [await fresh(), "tokens", { input: QUESTION, streamMode }]);
  const nested = { input: { topic: "tea" }, streamMode: "updates", streamSubgraphs: true };
  await stream("runs.stream", [await fresh(), "subgraph", nested]);
  await stream("runs.stream", [await fresh(), "error", { input: { kind: "value" } }]);
  await stream("runs.stream", [await fresh(), "nope", { input: {} }]);
}

export async function interrupts({ call, stream }) {
  const { thread_id } = await call("threads.create");
  const streamMode = "updates";
  await stream("runs.stream", [thread_id, "interrupt", { input: { title: "" }, streamMode }]);
  await call("runs.wait", thread_id, "interrupt", { command: { resume: "A title" } });
  await call("threads.get", thread_id);
  await stream("runs.stream", [thread_id, "interrupt", { command: { resume: ["x"] } }]);
  await call("threads.getState", thread_id);
  const approve = { command: { resume: { approve: true } } };
  await call("runs.wait", thread_id, "interrupt", approve);
  await call("runs.wait", null, "interrupt", approve);
}

export async function joins({ call, stream, until }) {
  const { thread_id } = await call("threads.create");
  const kept = { input: { limit: 3 }, streamMode: "updates", streamResumable: true };
  const { run_id } = await call("runs.create", thread_id, "cycle", kept);
  await until(`/threads/${thread_id}/runs/${run_id}`, hasEnded);
  const replay = { lastEventId: "-1" };
  await stream("runs.joinStream", [thread_id, run_id, replay]);
  await stream("runs.joinStream", [thread_id, run_id, { ...replay, streamMode: ["updates"] }]);
  await stream("runs.joinStream", [thread_id, run_id, { ...replay, cancelOnDisconnect: true }]);
  await stream("runs.joinStream", [thread_id, run_id, {}]);
  await stream("runs.joinStream", [thread_id, NOBODY, {}]);
  await stream("threads.joinStream", [thread_id, { lastEventId: "-" }], done);
  const lifecycle = { lastEventId: "-", streamMode: ["lifecycle"] };
  await stream("threads.joinStream", [thread_id, lifecycle], done);
}

export async function stateless_join({ call, stream }) {
  const input = { n: 0, limit: 2 };
  const kept = { input, streamMode: "updates", streamResumable: true, onCompletion: "keep" };
  const { run_id, thread_id } = await call("runs.create", null, "cycle", kept);
  await call("runs.join", thread_id, run_id);
  await stream("runs.joinStream", [null, run_id, { lastEventId: "-1" }]);
}

/** The newer line asks how a run ended once its stream has closed. */
export async function probes({ client, said, url }) {
  const requests = [];
  const onRequest = ({ pathname }, init) => {
    requests.push(`${init.method ?? "GET"} ${pathname}`);
    return init;
  };
  const watched = new client.constructor({ apiUrl: url, apiKey: null, onRequest });
  const { thread_id } = await watched.threads.create();
  for await (const _ of watched.runs.stream(thread_id, "echo", { input: { msg: "hi" } }));
  for await (const _ of watched.runs.stream(null, "echo", { input: { msg: "hi" } }));
  said("requests", requests);
}

export async function crons({ call, tag }) {
  const { thread_id } = await call("threads.create");
  const schedule = "0 5 1 1 *";
  const metadata = { tag };
  const yearly = { schedule, metadata, input: { msg: "hi" } };
  const made = await call("crons.create", "echo", { ...yearly, timezone: "Europe/Berlin" });
  const id = made.cron_id;
  const kept = { ...yearly, enabled: false, onRunCompleted: "keep" };
  const disabled = await call("crons.create", "echo", kept);
  await call("crons.create", "echo", { schedule: "zz" });
  const elsewhere = await call("crons.create", "echo", { ...yearly, timezone: "X/Y" });
  await call("crons.create", "nope", yearly);
  const threads = await call("crons.createForThread", thread_id, "echo", yearly);
  await call("crons.createForThread", NOBODY, "echo", yearly);
  const endTime = "2099-01-01T00:00:00+00:00";
  await call("crons.update", id, { endTime, input: { msg: "changed" } });
  await call("crons.update", id, { enabled: false, timezone: "UTC" });
  await call("crons.update", id, {});
  await call("crons.update", NOBODY, { enabled: false });

  const stable = { metadata, sortBy: "created_at", sortOrder: "asc" };
  await call("crons.search", stable);
  await call("crons.search", { ...stable, threadId: thread_id });
  await call("crons.search", { ...stable, enabled: false, select: ["cron_id", "enabled"] });
  await call("crons.search", { ...stable, assistantId: made.assistant_id, limit: 1, offset: 1 });
  await call("crons.count", { metadata });
  await call("crons.count", { metadata, threadId: thread_id });
  await call("crons.count", { metadata, assistantId: made.assistant_id });
  // The older line knows no time zones, nor metadata in searches: it must find no others' crons.
  for (const cron of [made, made, disabled, elsewhere, threads])
    if (cron) await call("crons.delete", cron.cron_id);
}

export async function store({ call, tag }) {
  const notes = [tag, "notes"];
  await call("store.putItem", notes, "first", { text: "one", n: 1 });
  await call("store.putItem", notes, "second", { text: "two", n: 2 }, { index: false, ttl: 60 });
  await call("store.putItem", [tag, "other"], "third", { text: "three", n: 3 });
  await call("store.putItem", [], "nowhere", {});
  await call("store.putItem", ["a.b"], "refused by the client", {});
  await call("store.getItem", notes, "first");
  await call("store.getItem", notes, "second", { refreshTtl: true });
  await call("store.getItem", notes, "missing");
  await call("store.putItem", notes, "first", { text: "one more", n: 4 });
  await call("store.getItem", notes, "first");
  await call("store.searchItems", notes);
  await call("store.searchItems", [tag], { filter: { n: { $gt: 2 } } });
  await call("store.searchItems", [tag], { filter: { text: "two" }, limit: 1, refreshTtl: true });
  await call("store.searchItems", [tag], { offset: 2, limit: 5 });
  await call("store.listNamespaces", { prefix: [tag] });
  await call("store.listNamespaces", { prefix: [tag], suffix: ["other"], maxDepth: 2 });
  await call("store.listNamespaces", { prefix: [tag], maxDepth: 1, limit: 5, offset: 0 });
  await call("store.deleteItem", notes, "first");
  await call("store.deleteItem", notes, "first");
  await call("store.getItem", notes, "first");
}

export { thread_stream, thread_events, thread_answers } from "./thread_stream.mjs";
