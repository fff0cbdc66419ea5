// LangGraph's RemoteGraph in JavaScript, alone and inside of a local graph:
//
//   node remote.mjs http://127.0.0.1:8123

import { Annotation, Command, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { RemoteGraph } from "@langchain/langgraph/remote";
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const [url] = process.argv.slice(2);
const remote = (graphId) => new RemoteGraph({ graphId, url, apiKey: null });
const aThread = () => ({ configurable: { thread_id: randomUUID() } });

async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

const router = remote("router");
const thread = aThread();
const odd = { number: 3, parity: "odd", seen: "saw 3, odd" };
assert.deepEqual(await router.invoke({ number: 3 }, thread), odd);
const streamed = await router.stream({ number: 3 }, { ...aThread(), streamMode: "updates" });
assert.deepEqual(await all(streamed), [
  { measure: { seen: "saw 3" } },
  { route: null },
  { odd: { parity: "odd" } },
  { finish: { seen: "saw 3, odd" } },
]);

const state = await router.getState(thread);
assert.deepEqual(state.values, odd);
const history = await all(router.getStateHistory(thread));
assert.deepEqual(
  history.map(({ next }) => next),
  [[], ["finish"], ["odd"], ["route"], ["measure"], ["__start__"]],
);
assert.deepEqual((await router.getState(history[2].config)).values, history[2].values);
const changed = await router.updateState(history[3].config, { number: 8 }, "measure");
assert.equal((await router.invoke(null, changed)).parity, "even");

const article = remote("interrupt");
const asked = aThread();
const asks = { name: "GraphInterrupt" };
await assert.rejects(article.invoke({ title: "" }, asked), asks);
assert.equal((await article.getState(asked)).tasks[0].interrupts[0].value, "title?");
await assert.rejects(article.invoke(new Command({ resume: "A title" }), asked), asks);
await assert.rejects(article.invoke(new Command({ resume: ["x"] }), asked), asks);
const published = await article.invoke(new Command({ resume: { approve: true } }), asked);
assert.equal(published.published, "A title");

await assert.rejects(remote("error").invoke({ kind: "value" }, aThread()), /boom/);
const { nodes } = await router.getGraphAsync();
assert.ok("measure" in nodes && "finish" in nodes);

const Parent = Annotation.Root({ topic: Annotation, notes: Annotation, answer: Annotation });
const parent = new StateGraph(Parent)
  .addNode("remote", remote("subgraph"))
  .addEdge(START, "remote")
  .compile({ checkpointer: new MemorySaver() });
const whole = await parent.invoke({ topic: "tea" }, aThread());
assert.equal(whole.answer, "looked at tea, enough");
process.exit(0);
