/** Settings: the system prompt, sampling, the key and the look. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { defaultSettings, numberSettings, type Settings } from "./settings.ts";
import type { Actions, State } from "./store.ts";

interface SettingsDialogProps {
  readonly state: State;
  readonly system: string;
  readonly actions: Actions;
  readonly onClose: () => void;
}

export function SettingsDialog({ state, system, actions, onClose }: SettingsDialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const { settings } = state;
  const change = (part: Partial<Settings>): void => actions.setSettings(part);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="settings-title" onClose={onClose}>
      <h2 id="settings-title">Settings</h2>
      <label class="wide">
        System prompt of this conversation
        <textarea rows={3} value={system} onInput={(event) => actions.setSystem(event.currentTarget.value)} />
      </label>
      <Choices settings={settings} onChange={change} />
      <form method="dialog">
        <ApiKey apiKey={state.apiKey} onChange={(key) => void actions.setApiKey(key)} />
        <p class="actions">
          <button
            type="button"
            class="quiet"
            onClick={() => change({ ...defaultSettings, model: settings.model, theme: settings.theme })}
          >
            Meta's settings
          </button>
          <button type="submit" class="primary">
            Done
          </button>
        </p>
      </form>
    </dialog>
  );
}

// --- internal ---

function Choices({ settings, onChange: change }: ChoicesProps): VNode {
  return (
    <div class="grid">
      {numberSettings.map(({ key, label, hint, ...bounds }) => (
        <label key={key} title={hint}>
          <span>
            {label} <span class="value">{settings[key]}</span>
          </span>
          <input
            type="range"
            {...bounds}
            value={settings[key]}
            onInput={(event) => change({ [key]: event.currentTarget.valueAsNumber })}
          />
          <small>{hint}</small>
        </label>
      ))}
      <label>
        <span>Seed</span>
        <input
          inputMode="numeric"
          pattern="\d*"
          value={settings.seed}
          onInput={(event) => change({ seed: event.currentTarget.value })}
        />
        <small>The same seed gives the same answer; empty for another each time</small>
      </label>
      <label>
        <span>Look</span>
        <select
          value={settings.theme}
          onChange={(event) => change({ theme: event.currentTarget.value as Settings["theme"] })}
        >
          <option value="auto">as the system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
    </div>
  );
}

interface ChoicesProps {
  readonly settings: Settings;
  readonly onChange: (part: Partial<Settings>) => void;
}

function ApiKey({ apiKey, onChange }: { apiKey: string; onChange: (key: string) => void }): VNode {
  const [draft, setDraft] = useState(apiKey);
  return (
    <label class="wide">
      API key, where the server wants one
      <input
        type="password"
        autocomplete="off"
        value={draft}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    </label>
  );
}
