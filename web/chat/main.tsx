import { render } from "preact";
import { App } from "./app.tsx";
import { createStore } from "./store.ts";
import "./chat.css";

const store = createStore();
void store.actions.connect();
render(<App store={store} />, document.querySelector("#app")!);
