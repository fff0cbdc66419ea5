// Drives one page through one scenario in headless Chromium; exits with 1 and says why it failed.
//
//   node browser.mjs SCENARIO PAGE \
//     '{"api", "assistant", "modelPort", "chromium", "pages", "shots", "site"?}'
//
// PAGE is one of the built pages, `socket` for the second over a WebSocket, or `site`: whatever is
// served there.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { chromium } from "playwright-core";
import { scripted } from "./model.mjs";
import * as scenarios from "./page_scenarios.mjs";
import { cuttable } from "./proxy.mjs";

const [scenario, name, settings] = process.argv.slice(2);
const { api, assistant, modelPort, chromium: executablePath, pages, shots, site } = JSON.parse(settings);
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const TYPES = { html: "text/html", js: "text/javascript" };
const SECONDS = 20;

/** The built pages, at an origin that is not the server's. */
async function served() {
  const server = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, "http://page");
    try {
      const file = await readFile(`${pages}${pathname}`);
      response.writeHead(200, { "content-type": TYPES[pathname.split(".").at(-1)] }).end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}`;
}

const read = () => ({
  loading: document.querySelector("main")?.dataset.loading,
  cards: [...document.querySelectorAll("section")].map((card) => card.textContent),
  asked: document.querySelector("aside p")?.textContent,
  messages: [...document.querySelectorAll("li")].map((item) => [
    item.dataset.type,
    item.querySelector("span").textContent,
  ]),
});

/** The page as a user has it, behind a connection that can be cut. */
function user(page, { url, cut }) {
  let shot = 0;
  return {
    page,
    api: url,
    cut,
    async opens() {
      const at = encodeURIComponent(url);
      const query = `api=${at}&assistant=${assistant}`;
      const addresses = {
        site: `${site}/?apiUrl=${at}&assistantId=${assistant}`,
        socket: `/react.html?${query}&transport=websocket`,
      };
      await page.goto(addresses[name] ?? `/${name}.html?${query}`);
    },
    async shoots() {
      await page.screenshot({ path: `${shots}/${scenario}-${name}-${++shot}.png` });
    },
    async clicks(button, nth = 0) {
      await page.getByRole("button", { name: button, exact: true }).nth(nth).click();
    },
    async says(text, button = "send") {
      await page.locator("input").fill(text);
      await this.clicks(button);
    },
    /** Waits until the page shows exactly these messages, and what else is named. */
    async sees(messages, rest = {}) {
      const wanted = Object.entries({ ...rest, messages });
      const end = Date.now() + SECONDS * 1000;
      let shown = await page.evaluate(read);
      while (!wanted.every(([key, value]) => isDeepStrictEqual(shown[key], value))) {
        if (Date.now() > end)
          throw new Error(`wanted ${JSON.stringify(wanted)}, shown ${JSON.stringify(shown)}`);
        await page.waitForTimeout(20);
        shown = await page.evaluate(read);
      }
      await this.shoots();
    },
    thread: () => new URL(page.url()).searchParams.get("thread"),
    /** Waits until the server has nothing more to do on the thread. */
    async rests() {
      while ((await this.get(`/threads/${this.thread()}`)).status === "busy")
        await page.waitForTimeout(20);
    },
    async get(path) {
      return (await fetch(`${api}${path}`)).json();
    },
  };
}

const model = await scripted(modelPort);
const proxy = await cuttable(api);
const browser = await chromium.launch({ executablePath, args: ARGS });
const page = await browser.newPage({ baseURL: await served() });
const heard = [];
page.setDefaultTimeout(SECONDS * 1000);
page.on("console", (message) => heard.push(message.text()));
page.on("pageerror", (error) => heard.push(`uncaught: ${error}`));
page.on("requestfailed", (request) =>
  heard.push(`${request.url()}: ${request.failure().errorText}`),
);

let code = 0;
try {
  const own = user(page, proxy);
  await own.opens();
  await scenarios[scenario]({ user: own, model, name });
} catch (error) {
  code = 1;
  console.error(`${error.stack}\n${heard.join("\n")}`);
}
await browser.close();
process.exit(code);
