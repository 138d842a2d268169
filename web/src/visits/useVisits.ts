import { Code, ConnectError } from "@connectrpc/connect";
import { useEffect, useReducer, useState } from "react";

import { type Api } from "../api.js";
import { type VisitChange } from "../gen/footfall/ingest/v1/feed_pb.js";
import { applyChange, merge, MOST_VISITS, type Visits } from "./feed.js";

export type Line = "connecting" | "live" | "lost";

const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 15_000;

type Action = { readonly listed: Visits } | { readonly change: VisitChange };

function reduce(visits: Visits, action: Action): Visits {
  return "change" in action ? applyChange(visits, action.change) : merge(visits, action.listed);
}

/** Recent visits, kept up by the feed for as long as the component lives. */
export function useVisits(api: Api): { visits: Visits; line: Line } {
  const [visits, dispatch] = useReducer(reduce, []);
  const [line, setLine] = useState<Line>("connecting");

  useEffect(() => {
    const ending = new AbortController();
    void follow(api, ending.signal, dispatch, setLine);
    return () => {
      ending.abort();
    };
  }, [api]);

  return { visits, line };
}

/** Follows the feed until told to end: opens it, waits for its first message, then lists; comes back at its cursor. */
async function follow(
  api: Api,
  signal: AbortSignal,
  dispatch: (action: Action) => void,
  setLine: (line: Line) => void,
): Promise<void> {
  let cursor = "";
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      let listed = cursor !== "";
      for await (const message of api.feed.watchVisits({ cursor }, { signal })) {
        if (message.message.case === "problem") break;
        cursor = message.cursor;
        pause = FIRST_PAUSE_MS;
        setLine("live");
        if (!listed) {
          listed = true;
          dispatch({ listed: (await api.visits.listVisits({ pageSize: MOST_VISITS }, { signal })).visits });
        }
        if (message.message.case === "change") dispatch({ change: message.message.value });
      }
    } catch (error) {
      // A cursor from before what the feed keeps: begin anew. Anything else passes, or ends the session by itself.
      if (error instanceof ConnectError && error.code === Code.InvalidArgument) cursor = "";
    }
    // React ignores what an ended component says; the loop's condition sees the end.
    setLine("lost");
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
    pause = Math.min(pause * 2, MOST_PAUSE_MS);
  }
}
