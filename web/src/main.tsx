import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App.js";
import { connect } from "./api.js";
import "./styles.css";

const api = connect(window.location.origin);
const queries = new QueryClient();
// What one principal has read is not for the next.
api.session.subscribe(() => {
  if (api.session.principal === undefined) queries.clear();
});

const place = document.getElementById("root");
if (place === null) throw new Error("index.html has no #root");
const root = createRoot(place);
const show = (): void => {
  root.render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <App api={api} />
      </QueryClientProvider>
    </StrictMode>,
  );
};
// The first picture is the right one: no sign-in form that vanishes. If the registry is away, the form says so later.
api.session.resume().then(show, show);
