// A TCP proxy that cuts connections: when a test says, and streams after as many bytes as it says.

import { connect, createServer } from "node:net";

const HEAD_ENDS = "\r\n\r\n";
/** The line is silent before it breaks: what arrives at the moment of the break is thrown away. */
const LINGER_MS = 20;

/**
 * Serves `url` on a port of its own. `bytes()` says for each connection that begins with a stream
 * how much of its body gets through before it is cut.
 */
export async function cutting(url, bytes = () => Infinity) {
  const { hostname, port } = new URL(url);
  const open = new Set();
  const proxy = { cuts: 0 };

  const server = createServer((client) => {
    const plane = connect(port, hostname);
    const pair = [client, plane];
    const close = () => pair.forEach((socket) => socket.destroy());
    let left;
    open.add(close);
    pair.forEach((socket) => socket.on("error", close).on("close", () => open.delete(close)));
    client.pipe(plane);
    plane.on("end", () => client.end());
    plane.on("data", (chunk) => {
      const body = left === undefined ? chunk.indexOf(HEAD_ENDS) + HEAD_ENDS.length : 0;
      left ??= chunk.includes("text/event-stream") ? bytes() : Infinity;
      const through = chunk.subarray(0, body + left);
      left -= through.length - body;
      if (left > 0) return client.write(through);
      proxy.cuts += 1;
      plane.removeAllListeners("data");
      client.write(through, () => setTimeout(close, LINGER_MS));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.cut = () => [...open].forEach((close) => close());
  return proxy;
}
