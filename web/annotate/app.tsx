/** The page: who is signed in, which batch, and whether one annotates or looks at what was annotated. */

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, call, type Me } from "./api.ts";
import { Annotating } from "./annotating.tsx";
import { Dashboard } from "./dashboard.tsx";

export function App(): VNode {
  const [me, setMe] = useState<Me | "stranger" | undefined>(undefined);
  const [problem, setProblem] = useState("");
  useEffect(() => void enter().then(setMe, (error: Error) => setProblem(messageOf(error))), []);
  if (problem !== "") return <Message title="The server does not answer" text={problem} />;
  if (me === undefined) return <Message title="" text="" />;
  if (me === "stranger") {
    return (
      <Message
        title="You are not signed in"
        text="Open the link of your invitation. If it does not work any more, ask your lead for a new one."
      />
    );
  }
  return <Desk me={me} />;
}

// --- internal ---

/** The token is in the part of the address that browsers send to no server; it goes as soon as it was used. */
async function enter(): Promise<Me | "stranger"> {
  const token = location.hash.slice(1);
  try {
    if (token !== "") {
      await call("POST", "/session", { token });
      history.replaceState(null, "", location.pathname);
    }
    return await call<Me>("GET", "/me");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return "stranger";
    throw error;
  }
}

function messageOf(error: Error): string {
  return error instanceof ApiError ? error.message : "Reload the page when it runs again.";
}

function Message({ title, text }: { title: string; text: string }): VNode {
  return (
    <main class="message" aria-busy={title === ""}>
      <h1>{title === "" ? "Cria" : title}</h1>
      <p>{text}</p>
    </main>
  );
}

function Desk({ me }: { me: Me }): VNode {
  const [view, setView] = useState<"annotate" | "lead">(me.role === "lead" ? "lead" : "annotate");
  const [batchId, setBatchId] = useState(me.batches[0]?.id ?? "");
  const batch = me.batches.find(({ id }) => id === batchId);
  return (
    <div class="desk">
      <header>
        <h1>
          Cria <span>{view === "lead" ? "annotation, the lead's view" : "which answer is better?"}</span>
        </h1>
        {view === "annotate" && me.batches.length > 1 && (
          <label class="batch">
            <span class="hidden">Batch</span>
            <select value={batchId} onChange={(event) => setBatchId(event.currentTarget.value)}>
              {me.batches.map(({ id, name }) => (
                <option value={id}>{name}</option>
              ))}
            </select>
          </label>
        )}
        {me.role === "lead" && (
          <nav aria-label="Views">
            {(["lead", "annotate"] as const).map((name) => (
              <button
                type="button"
                class="quiet"
                aria-current={view === name ? "page" : undefined}
                onClick={() => setView(name)}
              >
                {name === "lead" ? "Batches" : "Annotate"}
              </button>
            ))}
          </nav>
        )}
        <span class="who">{me.name}</span>
      </header>
      {view === "lead" ? (
        <Dashboard />
      ) : batch === undefined ? (
        <main class="message">
          <h2>There is nothing to annotate</h2>
          <p>No batch is open. Your lead opens the next one; then reload this page.</p>
        </main>
      ) : (
        <Annotating key={batch.id} me={me} batch={batch} />
      )}
    </div>
  );
}
