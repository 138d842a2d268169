import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type ReactNode } from "react";

import { type Api } from "../api.js";
import { VisitState, type VisitRecord } from "../gen/footfall/ingest/v1/visit_pb.js";
import { type SitesById } from "../sites/useSites.js";
import { useImages } from "./useImages.js";
import { useVisits, type Line } from "./useVisits.js";

const LINES: Record<Line, string> = { connecting: "connecting …", live: "live", lost: "reconnecting …" };

interface Props {
  readonly api: Api;
  readonly sites: SitesById;
  readonly seesFaces: boolean;
}

export function VisitList({ api, sites, seesFaces }: Props): ReactNode {
  const { visits, line } = useVisits(api);
  const shown = visits.flatMap((visit) => (visit.imageId === undefined ? [] : [visit.imageId]));
  const images = useImages(api, seesFaces ? shown : []);
  return (
    <section className="card" aria-labelledby="visits-title">
      <header>
        <h2 id="visits-title">Visits</h2>
        <span className={`line ${line}`} role="status">
          {LINES[line]}
        </span>
      </header>
      {visits.length === 0 ? (
        <p className="empty">Nobody yet. A visit appears here within two seconds of its passage.</p>
      ) : (
        <ol className="visits">
          {visits.map((visit) => (
            <Visit
              key={visit.id}
              visit={visit}
              sites={sites}
              image={visit.imageId === undefined ? undefined : images.get(visit.imageId)}
            />
          ))}
        </ol>
      )}
    </section>
  );
}

interface VisitProps {
  readonly visit: VisitRecord;
  readonly sites: SitesById;
  readonly image: string | undefined;
}

function Visit({ visit, sites, image }: VisitProps): ReactNode {
  const site = sites.get(visit.siteId);
  return (
    <li data-visit={visit.id}>
      {image === undefined ? (
        <span className="face" aria-hidden="true" />
      ) : (
        <img className="face" src={image} alt="" />
      )}
      <div>
        <strong>
          {visit.startTime === undefined ? "" : localTime(timestampDate(visit.startTime), site?.timeZone)}
        </strong>
        <span className="muted">{site?.displayName ?? "…"}</span>
      </div>
      <div className="marks">
        <span className={visit.isNew ? "mark new" : "mark"}>{visit.isNew ? "new" : "returning"}</span>
        {visit.state === VisitState.OPEN && <span className="mark open">here now</span>}
        <span className="muted">{stay(visit)}</span>
      </div>
    </li>
  );
}

/** The wall clock of the site, not of whoever looks. */
function localTime(instant: Date, timeZone: string | undefined): string {
  return instant.toLocaleString(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    ...(timeZone === undefined ? {} : { timeZone }),
  });
}

/** How long; unknown is not zero. */
function stay(visit: VisitRecord): string {
  if (visit.dwell === undefined) return "stay unknown";
  const seconds = Number(visit.dwell.seconds);
  return seconds < 60 ? `${String(seconds)} s` : `${String(Math.round(seconds / 60))} min`;
}
