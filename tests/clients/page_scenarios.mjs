// What is done to a page, and what it must show: one exported function a scenario.

const done = { loading: "false" };
const streaming = { loading: "true" };
const told = (text) => ["human", text];
const reply = (text) => ["ai", text];

export async function tokens({ user, model }) {
  await user.says("A story?");
  const { said, say, end } = await model.next();
  if (said.join() !== "A story?") throw new Error(`the model was asked ${said}`);
  say("Once ");
  await user.sees([told("A story?"), reply("Once ")], streaming);
  say("upon ");
  await user.sees([told("A story?"), reply("Once upon ")], streaming);
  say("a time.");
  await user.sees([told("A story?"), reply("Once upon a time.")], streaming);
  end();
  await user.sees([told("A story?"), reply("Once upon a time.")], done);
  await user.page.reload();
  await user.sees([told("A story?"), reply("Once upon a time.")], done);
}

export async function reload({ user, model }) {
  await user.says("A story?");
  const { say, end } = await model.next();
  say("Once ");
  await user.sees([told("A story?"), reply("Once ")], streaming);
  await user.page.reload();
  await user.sees([told("A story?"), reply("Once ")], streaming);
  say("upon a time.");
  await user.sees([told("A story?"), reply("Once upon a time.")], streaming);
  end();
  await user.sees([told("A story?"), reply("Once upon a time.")], done);
  const { values } = await user.get(`/threads/${user.thread()}/state`);
  if (values.messages.length !== 2) throw new Error(JSON.stringify(values));
}

export async function cut({ user, model }) {
  await user.says("A story?");
  const { say, end } = await model.next();
  say("Once ");
  await user.sees([told("A story?"), reply("Once ")], streaming);
  user.cut();
  say("upon ");
  await user.sees([told("A story?"), reply("Once upon ")], streaming);
  user.cut();
  say("a time.");
  end();
  await user.sees([told("A story?"), reply("Once upon a time.")], done);
}

export async function interrupt({ user }) {
  await user.says("A refund!");
  const asked = "Pay it back?";
  await user.sees([told("A refund!")], { ...done, asked });
  await user.page.reload();
  await user.sees([told("A refund!")], { ...done, asked });
  await user.clicks("approve");
  await user.sees([told("A refund!"), reply("Refund: approve.")], { ...done, asked: undefined });
}

export async function branch({ user, model, name }) {
  await user.says("Tea?");
  await model.answer("With ", "milk.");
  await user.sees([told("Tea?"), reply("With milk.")], done);
  await user.says("Sugar?");
  await model.answer("None.");
  const first = [told("Tea?"), reply("With milk."), told("Sugar?"), reply("None.")];
  await user.sees(first, done);

  await user.says("Coffee?", "edit");
  const { said } = await model.answer("Black.");
  if (said.join() !== "Coffee?") throw new Error(`the model was asked ${said}`);
  const second = [told("Coffee?"), reply("Black.")];
  // Until it is loaded again the other page goes on showing the branch that was left, too.
  if (name === "sdk") await user.sees(second, done);
  await user.rests();
  await user.page.reload();
  await user.sees(second, done);
  if (name !== "sdk") return;
  await user.clicks("1");
  await user.sees(first, done);
  await user.clicks("2");
  await user.sees(second, done);
}

export async function stop({ user, model }) {
  await user.says("A story?");
  const { say, left } = await model.next();
  say("Once ");
  await user.sees([told("A story?"), reply("Once ")], streaming);
  await user.clicks("stop");
  await left;
  await user.sees([told("A story?"), reply("Once ")], done);
  const [run] = await user.get(`/threads/${user.thread()}/runs`);
  if (run.status !== "interrupted") throw new Error(`the run is ${run.status}`);
}

/** A tool's card is there while its arguments come, and has the answer when the tool has. */
export async function tool({ user, model, name }) {
  await user.says("My money!");
  const first = await model.next();
  first.say({ name: "pay", args: "", id: "call-1" });
  first.say({ args: '{"euros": ' });
  first.say({ args: "30}" });
  first.end();
  const { said, say, end } = await model.next();
  if (said.at(-1) !== "Paid 30") throw new Error(`the model was asked ${said}`);
  const cards = ["pay: Paid 30"];
  const paid = [told("My money!"), reply(""), ["tool", "Paid 30"]];
  await user.sees(paid, { ...streaming, cards });
  say("Done.");
  await user.sees([...paid, reply("Done.")], { ...streaming, cards });
  end();
  await user.sees([...paid, reply("Done.")], { ...done, cards });
  await user.page.reload();
  // Of a run that is over the other page does not ask for its tools' events.
  await user.sees([...paid, reply("Done.")], name === "sdk" ? { ...done, cards } : done);
}

/** What the page may read of an answer from another origin. */
export async function headers({ user }) {
  const seen = await user.page.evaluate(async (api) => {
    const ask = async (path, body) => {
      const headers = { "content-type": "application/json", "x-api-key": "any" };
      const sent = { method: "POST", headers, body: JSON.stringify(body) };
      const answer = await fetch(`${api}${path}`, sent);
      await answer.text();
      return Object.fromEntries(answer.headers);
    };
    const run = await ask("/runs/stream", { assistant_id: "echo", input: { msg: "hi" } });
    const found = await ask("/assistants/search", { limit: 1 });
    return [run["content-location"], run.location, found["x-pagination-next"]];
  }, user.api);
  const [run, stream, next] = seen;
  if (!run.startsWith("/runs/") || !stream.startsWith(`${run}/stream`) || next !== "1")
    throw new Error(JSON.stringify(seen));
}

/** agent-chat-ui as its makers have it: a reply, a reload, a question to a person. */
export async function chatUi({ user, model }) {
  const { page } = user;
  const says = async (text) => {
    await page.locator("textarea").fill(text);
    await page.keyboard.press("Enter");
  };
  const shows = async (text) => {
    await page.getByText(text, { exact: true }).last().waitFor();
    await user.shoots();
  };
  await says("Tea?");
  const { say, end } = await model.next();
  say("With ");
  await shows("With");
  say("milk.");
  end();
  await shows("With milk.");
  await page.reload();
  await shows("With milk.");

  await user.opens(); // a new thread
  await says("A refund!");
  await shows("Currently selected: Approve");
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await shows("Refund: approve.");
}
