import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { Bar, BarChart, CartesianGrid, Legend, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";

import { type Api } from "../api.js";
import { Grain } from "../gen/footfall/reports/v1/report_pb.js";
import { type SitesById } from "../sites/useSites.js";
import { figures, points } from "./series.js";

const RANGES = [7, 28, 90] as const;
const DAY_MS = 86_400_000;
const REFRESH_MS = 10_000;

interface Props {
  readonly api: Api;
  readonly sites: SitesById;
}

export function VisitorsChart({ api, sites }: Props): ReactNode {
  const [days, setDays] = useState<number>(RANGES[0]);
  const [siteId, setSiteId] = useState("");
  const { data, error } = useQuery({
    queryKey: ["series", days, siteId],
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => {
      const now = Date.now();
      return api.reports.getVisitorSeries(
        {
          startTime: timestampFromDate(new Date(now - (days - 1) * DAY_MS)),
          endTime: timestampFromDate(new Date(now)),
          grain: Grain.DAY,
          siteIds: siteId === "" ? [] : [siteId],
        },
        { signal },
      );
    },
  });
  return (
    <section className="card" aria-labelledby="chart-title">
      <header>
        <h2 id="chart-title">Visitors</h2>
        <select
          aria-label="Site"
          value={siteId}
          onChange={(event) => {
            setSiteId(event.target.value);
          }}
        >
          <option value="">all sites</option>
          {[...sites.values()].map((site) => (
            <option key={site.id} value={site.id}>
              {site.displayName}
            </option>
          ))}
        </select>
        <div role="group" aria-label="Range">
          {RANGES.map((range) => (
            <button
              key={range}
              type="button"
              aria-pressed={range === days}
              onClick={() => {
                setDays(range);
              }}
            >
              {range} days
            </button>
          ))}
        </div>
      </header>
      {error !== null && <p role="alert">The report could not be read: {error.message}</p>}
      <dl className="figures">
        {figures(data?.total).map((figure) => (
          <div key={figure.name}>
            <dd>{figure.value}</dd>
            <dt>{figure.name}</dt>
          </div>
        ))}
      </dl>
      <ResponsiveContainer width="100%" height={260}>
        <BarChart data={data === undefined ? [] : points(data)} margin={{ left: -18 }}>
          <CartesianGrid vertical={false} stroke="var(--grid)" />
          <XAxis dataKey="day" tickFormatter={shortDay} stroke="var(--muted)" tickLine={false} />
          <YAxis allowDecimals={false} stroke="var(--muted)" tickLine={false} axisLine={false} />
          <Tooltip contentStyle={{ background: "var(--card)", borderColor: "var(--grid)" }} />
          <Legend />
          <Bar
            dataKey="newVisitors"
            name="new"
            stackId="unique"
            fill="var(--accent)"
            isAnimationActive={false}
          />
          <Bar
            dataKey="returningVisitors"
            name="returning"
            stackId="unique"
            fill="var(--accent-2)"
            isAnimationActive={false}
          />
        </BarChart>
      </ResponsiveContainer>
    </section>
  );
}

/** "2026-10-25" → "25 Oct"; a bucket's date is a wall clock's, so no zone may shift it. */
function shortDay(day: string): string {
  return new Date(`${day.slice(0, 10)}T00:00:00Z`).toLocaleDateString(undefined, {
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
}
