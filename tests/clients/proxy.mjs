// A TCP proxy whose connections a test cuts when it wants to.

import { connect, createServer } from "node:net";

/** Serves `url` on a port of its own: {url, cut}. */
export async function cuttable(url) {
  const { hostname, port } = new URL(url);
  const open = new Set();
  const server = createServer((client) => {
    const plane = connect(port, hostname);
    const pair = [client, plane];
    const close = () => pair.forEach((socket) => socket.destroy());
    open.add(close);
    pair.forEach((socket) => socket.on("error", close).on("close", () => open.delete(close)));
    client.pipe(plane).pipe(client);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut: () => open.forEach((close) => close()),
  };
}
