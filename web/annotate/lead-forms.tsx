/** What a lead fills in: a new batch, an invitation. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { call, type LeadView } from "./api.ts";

interface BatchFormProps {
  readonly variants: LeadView["variants"];
  readonly onDone: () => void;
}

export function BatchForm({ variants, onDone }: BatchFormProps): VNode {
  const [problem, setProblem] = useState("");
  const submit = (form: HTMLFormElement): void => {
    const batch = {
      name: fieldOf(form, "name"),
      policyVersion: fieldOf(form, "policy"),
      quality: fieldOf(form, "quality"),
      split: fieldOf(form, "split"),
      overlapShare: Number(fieldOf(form, "overlap")) / 100,
    };
    call("POST", "/lead/batches", batch).then(
      () => {
        form.reset();
        setProblem("");
        onDone();
      },
      (error: Error) => setProblem(error.message),
    );
  };
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        submit(event.currentTarget);
      }}
    >
      <h2>Open a batch</h2>
      <BatchFields />
      <p class="soft">It compares {variants.map(({ name }) => name).join(" and ")}.</p>
      <p class="problem" role="alert">
        {problem}
      </p>
      <button type="submit" class="primary">
        Open
      </button>
    </form>
  );
}

export function InvitationForm(): VNode {
  const [answer, setAnswer] = useState<{ link?: string; problem?: string }>({});
  const submit = (form: HTMLFormElement): void => {
    const person = {
      name: fieldOf(form, "name"),
      role: fieldOf(form, "lead") === "" ? "annotator" : "lead",
    };
    call<{ token: string }>("POST", "/lead/invitations", person).then(
      ({ token }) => setAnswer({ link: `${location.origin}/annotate/#${token}` }),
      (error: Error) => setAnswer({ problem: error.message }),
    );
  };
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        submit(event.currentTarget);
      }}
    >
      <h2>Invite</h2>
      <div class="fields">
        <label>
          Name <input name="name" required maxLength={60} />
        </label>
        <label class="check">
          <input type="checkbox" name="lead" /> as a lead
        </label>
      </div>
      <p class="soft">The link signs in whoever has it. A new link of the same name ends the old one.</p>
      {answer.problem !== undefined && (
        <p class="problem" role="alert">
          {answer.problem}
        </p>
      )}
      {answer.link !== undefined && (
        <label>
          Link, shown once{" "}
          <input readOnly value={answer.link} onFocus={(event) => event.currentTarget.select()} />
        </label>
      )}
      <button type="submit" class="primary">
        Invite
      </button>
    </form>
  );
}

// --- internal ---

/** The text of a field; "" for a box that is not ticked. */
function fieldOf(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === "string" ? value : "";
}

function BatchFields(): VNode {
  return (
    <div class="fields">
      <label>
        Name <input name="name" required maxLength={100} />
      </label>
      <label>
        Policy <input name="policy" required maxLength={100} />
      </label>
      <label>
        About
        <select name="quality">
          <option value="helpfulness">Helpfulness</option>
          <option value="safety">Safety</option>
        </select>
      </label>
      <label>
        For
        <select name="split">
          <option value="train">Train</option>
          <option value="test">Test</option>
        </select>
      </label>
      <label>
        Repeated, % <input name="overlap" type="number" min={0} max={50} value={10} required />
      </label>
    </div>
  );
}
