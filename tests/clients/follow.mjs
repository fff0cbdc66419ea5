// Follows one run of many events over connections that are cut again and again, and prints what
// arrived: {numbers, ids, cuts, calls}. Only the SDK's own waiting before it comes back is shortened.
//
//   node follow.mjs langgraph-sdk-1 http://127.0.0.1:8123 1000

import { cutting } from "./proxy.mjs";

const [line, url, events] = process.argv.slice(2);
const { Client } = await import(line);

const wait = globalThis.setTimeout;
const BACKOFF = { from: 1000, to: 6000 };
globalThis.setTimeout = (act, ms, ...rest) =>
  wait(act, BACKOFF.from <= ms && ms < BACKOFF.to ? 1 : ms, ...rest);

// The first connection lives to name its first event: who has seen none can't say where to go on.
const FIRST = 300;
let connections = 0;
const proxy = await cutting(url, () => {
  connections += 1;
  return connections === 1 ? FIRST : 100 + Math.floor(Math.random() * 300);
});
const client = new Client({ apiUrl: proxy.url, apiKey: null });

const { thread_id } = await new Client({ apiUrl: url, apiKey: null }).threads.create();
const parts = [];
let calls = 0;
let run;

async function read(stream) {
  calls += 1;
  for await (const part of stream) if (part.event) parts.push(part);
}

try {
  const options = { streamMode: "custom", streamResumable: true };
  options.input = { events: Number(events) };
  options.onRunCreated = (created) => (run = created.run_id);
  await read(client.runs.stream(thread_id, "emits", options));
} catch (error) {
  if (error.name !== "MaxReconnectAttemptsError") throw error;
  // The older line never forgets a reconnect: after five it is the application that goes on.
  while (true) {
    try {
      await read(client.runs.joinStream(thread_id, run, { lastEventId: parts.at(-1).id }));
      break;
    } catch (again) {
      if (again.name !== "MaxReconnectAttemptsError") throw again;
    }
  }
}
const custom = parts.filter(({ event }) => event === "custom");
const numbers = custom.map(({ data }) => data.number);
const ids = parts.map(({ id }) => id);
console.log(JSON.stringify({ numbers, ids, cuts: proxy.cuts, calls }));
process.exit(0);
