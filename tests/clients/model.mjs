// The chat graph's model: an HTTP server whose every token a test lets out when it wants to.

import { createServer } from "node:http";

/** Serves the model. `next()` is the next question asked of it; nobody else answers it. */
export async function scripted(port) {
  const asked = [];
  let wake = () => {};
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.writeHead(200).flushHeaders();
    asked.push({
      said: JSON.parse(body),
      say: (token) => response.write(`${JSON.stringify(token)}\n`),
      end: () => response.end(),
      /** Settles when who asked does not listen any more. */
      left: new Promise((resolve) => response.on("close", resolve)),
    });
    wake();
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    async next() {
      while (!asked.length) await new Promise((resolve) => (wake = resolve));
      return asked.shift();
    },
    async answer(...tokens) {
      const question = await this.next();
      tokens.forEach(question.say);
      question.end();
      return question;
    },
    close: () => server.closeAllConnections(server.close()),
  };
}
