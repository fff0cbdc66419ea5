// Calls every public method of one line of the JavaScript SDK, as its users do, and prints each
// answer as a line of JSON: {scenario, call, sent, status, json | frames}. Judges nothing.
//
//   node calls.mjs langgraph-sdk-1 http://127.0.0.1:8123
//
// The last row, {methods: [...]}, lists what the client offers.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import * as scenarios from "./scenarios.mjs";

const SECONDS = 20;
const [line, url] = process.argv.slice(2);
const sdk = await import(line);
const client = new sdk.Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });

const say = (row) => process.stdout.write(`${JSON.stringify(row)}\n`);

/** The names along an object's prototypes, up to `end`. */
function members(object, end = Object.prototype) {
  const names = new Set();
  for (let kind = Object.getPrototypeOf(object); kind !== end; kind = Object.getPrototypeOf(kind))
    Object.getOwnPropertyNames(kind).forEach((name) => names.add(name));
  names.delete("constructor");
  return [...names];
}

/** Every method of every part of the client; `~` marks what the SDK keeps to itself. */
function methods() {
  const parts = Object.entries(client).filter(([name, part]) => !name.startsWith("~") && part);
  const base = Object.getPrototypeOf(Object.getPrototypeOf(client.runs));
  const named = parts.flatMap(([name, part]) => members(part, base).map((m) => `${name}.${m}`));
  if (!client.threads.stream) return named;
  const thread = client.threads.stream({ assistantId: "echo" });
  return [...named, ...members(thread).map((name) => `thread.${name}`)];
}

/** One conversation: `call` and `stream` print what came back and return it. */
function conversation(scenario) {
  const answered = (name, sent, rest) => say({ scenario, call: name, sent, ...rest });

  function failed(name, sent, error) {
    const [, body] = /^HTTP \d+: (.*)$/s.exec(error.message) ?? [];
    answered(name, sent, { status: error.status ?? 0, text: body ?? `${error}` });
  }

  function method(name) {
    const [part, member] = name.split(".");
    return client[part][member].bind(client[part]);
  }

  return {
    client,
    url,
    has: (name) => name.split(".").reduce((part, member) => part?.[member], client) !== undefined,
    tag: randomUUID(),
    said: (name, json) => answered(name, [], { status: 200, json }),
    heard: (name, frames) => answered(name, [], { status: 200, frames }),

    async call(name, ...sent) {
      try {
        const json = await method(name)(...sent);
        answered(name, sent, { status: 200, json: json === undefined ? "(nothing)" : json });
        return json;
      } catch (error) {
        failed(name, sent, error);
        return undefined;
      }
    },

    /** Reads until `last` holds for a part, or the stream ends. */
    async stream(name, sent, last = () => false) {
      const abort = new AbortController();
      const options = { ...sent.at(-1), signal: abort.signal };
      const frames = [];
      try {
        for await (const part of method(name)(...sent.slice(0, -1), options)) {
          if (part.event) frames.push(part);
          if (last(part)) break;
        }
        answered(name, sent, { status: 200, frames });
      } catch (error) {
        failed(name, sent, error);
      } finally {
        abort.abort();
      }
      return frames;
    },

    /** Asks, unrecorded, until the answer is as wanted. */
    async until(path, holds) {
      while (!holds(await (await fetch(`${url}${path}`)).json())) await setTimeout(50);
    },
  };
}

/** Rejects when a conversation takes longer than any of them should. */
async function late() {
  await setTimeout(SECONDS * 1000);
  throw new Error(`nothing for ${SECONDS} seconds`);
}

/** Plays one conversation; what it can't go on from, or rejects behind its back, is a row too. */
async function converse(scenario, play) {
  const stopped = (error) =>
    say({ scenario, call: "(could not go on)", sent: [], status: 0, text: `${error}` });
  process.on("unhandledRejection", stopped);
  try {
    await Promise.race([play(conversation(scenario)), late()]);
  } catch (error) {
    stopped(error);
  }
  process.off("unhandledRejection", stopped);
}

for (const [scenario, play] of Object.entries(scenarios)) await converse(scenario, play);
say({ methods: methods() });
process.exit(0); // an open thread stream would keep the process
