import { render } from "preact";
import { App } from "./app.tsx";
import "./annotate.css";

render(<App />, document.querySelector("#app")!);
