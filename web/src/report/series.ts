/** From the report's buckets to what a chart draws. */
import { type GetVisitorSeriesResponse, type VisitorBucket } from "../gen/footfall/reports/v1/report_pb.js";

export interface Point {
  readonly day: string;
  /** null: nothing was watched. A gap, never a zero. */
  readonly newVisitors: number | null;
  readonly returningVisitors: number | null;
  readonly visits: number | null;
  readonly closed: boolean;
}

export function points(response: GetVisitorSeriesResponse): Point[] {
  return response.buckets.map((bucket) => ({
    day: bucket.localStart,
    newVisitors: bucket.newVisitors ?? null,
    returningVisitors: bucket.returningVisitors ?? null,
    visits: bucket.visits ?? null,
    closed: bucket.closed,
  }));
}

export interface Figure {
  readonly name: string;
  readonly value: string;
}

/** The whole range in a few figures; unique visitors are the server's, for days must not be added up. */
export function figures(total: VisitorBucket | undefined): Figure[] {
  const count = (value: number | undefined) => (value === undefined ? "–" : value.toLocaleString());
  return [
    { name: "unique visitors", value: count(total?.uniqueVisitors) },
    { name: "new", value: count(total?.newVisitors) },
    { name: "returning", value: count(total?.returningVisitors) },
    { name: "visits", value: count(total?.visits) },
    { name: "watched", value: share(total?.coverage?.ratio) },
  ];
}

function share(ratio: number | undefined): string {
  return ratio === undefined ? "–" : `${String(Math.round(ratio * 100))} %`;
}
