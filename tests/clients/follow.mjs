// Follows one run's events for as long as it takes, and prints each part as a line of JSON, then
// {calls}: how often the application itself had to come back. Only the SDK's own waiting before it
// reconnects is shortened.
//
//   node follow.mjs langgraph-sdk-1 http://127.0.0.1:8123 GRAPH INPUT

const [line, url, graph, input] = process.argv.slice(2);
const { Client } = await import(line);

const wait = globalThis.setTimeout;
const BACKOFF = { from: 1000, to: 6000 };
globalThis.setTimeout = (act, ms, ...rest) =>
  wait(act, BACKOFF.from <= ms && ms < BACKOFF.to ? ms / 20 : ms, ...rest);

/** What the older line ends with after five reconnects, or where it finds no server for a moment. */
const GIVES_UP = ["MaxReconnectAttemptsError", "ConnectionError"];

const client = new Client({ apiUrl: url, apiKey: null });
const { thread_id } = await client.threads.create();
let calls = 0;
let run;
let last = "-";

/** Whether the stream came to its end. */
async function read(stream) {
  calls += 1;
  try {
    for await (const part of stream) {
      if (!part.event) continue;
      last = part.id;
      console.log(JSON.stringify(part));
    }
    return true;
  } catch (error) {
    if (!GIVES_UP.includes(error.name)) throw error;
    return false;
  }
}

const options = { input: JSON.parse(input), streamMode: "custom" };
options.onRunCreated = (created) => (run = created.run_id);
let ended = await read(client.runs.stream(thread_id, graph, options));
while (!ended) ended = await read(client.runs.joinStream(thread_id, run, { lastEventId: last }));
console.log(JSON.stringify({ calls }));
