/** The list of visits as a pure function of what the feed says. */
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { VisitChange_Kind, type VisitChange } from "../gen/footfall/ingest/v1/feed_pb.js";
import { VisitState, type VisitRecord } from "../gen/footfall/ingest/v1/visit_pb.js";

/** Visits that the list holds at most; older ones are a report's business. */
export const MOST_VISITS = 60;

export type Visits = readonly VisitRecord[];

/** The list after a change, the latest visit first. Changes may come twice and in any order: the later update wins. */
export function applyChange(visits: Visits, change: VisitChange): Visits {
  if (change.visit === undefined) return visits;
  return change.kind === VisitChange_Kind.REMOVED
    ? visits.filter((visit) => visit.id !== change.visit?.id)
    : merge(visits, [change.visit]);
}

/** The list with these visits in it. */
export function merge(visits: Visits, more: Visits): Visits {
  const byId = new Map(visits.map((visit) => [visit.id, visit]));
  for (const visit of more) {
    const known = byId.get(visit.id);
    if (known === undefined || updated(known) <= updated(visit)) byId.set(visit.id, visit);
  }
  return [...byId.values()]
    .filter((visit) => visit.state !== VisitState.SUPERSEDED && visit.state !== VisitState.RETRACTED)
    .sort((one, other) => started(other) - started(one) || (one.id < other.id ? 1 : -1))
    .slice(0, MOST_VISITS);
}

function started(visit: VisitRecord): number {
  return visit.startTime === undefined ? 0 : timestampDate(visit.startTime).getTime();
}

function updated(visit: VisitRecord): number {
  return visit.updateTime === undefined ? 0 : timestampDate(visit.updateTime).getTime();
}
