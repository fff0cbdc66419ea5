// What both pages show: messages, a question, and buttons for all that a user may do. A message
// is {id, type, text, edit?, branches?}; `edit` asks again from just before it. A tool's card is
// {id, name, said?}.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

/** Where the server is, which graph is spoken with, and the thread that a reload comes back to. */
export const query = new URLSearchParams(location.search);

export function remember(thread) {
  query.set("thread", thread);
  history.replaceState(null, "", `?${query}`);
}

export const textOf = ({ content }) =>
  typeof content === "string" ? content : content.map((block) => block.text ?? "").join("");

export const human = (content) => ({ messages: [{ type: "human", content }] });

export function View({ messages, cards, question, loading, error, send, answer, stop }) {
  const [draft, setDraft] = useState("");
  const sending = (act) => () => {
    act(draft);
    setDraft("");
  };
  return (
    <main data-loading={loading}>
      <ol>
        {messages.map(({ id, type, text, edit, branches }) => (
          <li key={id} data-type={type}>
            <span>{text}</span>
            {edit && <button onClick={sending(edit)}>edit</button>}
            {branches?.map(({ name, current, show }) => (
              <button key={name} className="branch" disabled={current} onClick={show}>
                {name}
              </button>
            ))}
          </li>
        ))}
      </ol>
      {cards.map(({ id, name, said }) => (
        <section key={id}>{said === undefined ? `${name} …` : `${name}: ${said}`}</section>
      ))}
      {question && (
        <aside>
          <p>{question.action_requests[0].description}</p>
          <button onClick={() => answer({ decisions: [{ type: "approve" }] })}>approve</button>
        </aside>
      )}
      {error && <pre>{`${error}`}</pre>}
      <input value={draft} onChange={(event) => setDraft(event.target.value)} />
      <button onClick={sending(send)}>send</button>
      <button onClick={stop}>stop</button>
    </main>
  );
}

export function show(Page) {
  createRoot(document.getElementById("root")).render(
    <StrictMode>
      <Page />
    </StrictMode>,
  );
}
