import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";

import { GetVisitorSeriesResponseSchema, VisitorBucketSchema } from "../gen/footfall/reports/v1/report_pb.js";
import { figures, points } from "./series.js";

describe("the chart", () => {
  it("keeps dark days apart from empty ones", () => {
    const drawn = points(
      create(GetVisitorSeriesResponseSchema, {
        buckets: [
          { localStart: "2026-03-01" },
          { localStart: "2026-03-02", visits: 0, newVisitors: 0, returningVisitors: 0 },
        ],
      }),
    );
    expect(drawn.map((point) => point.visits)).toEqual([null, 0]);
  });

  it("shows the server's unique visitors, not a sum", () => {
    const total = create(VisitorBucketSchema, {
      uniqueVisitors: 7,
      newVisitors: 5,
      returningVisitors: 2,
      visits: 12,
      coverage: { ratio: 0.934 },
    });
    expect(figures(total).map((figure) => figure.value)).toEqual(["7", "5", "2", "12", "93 %"]);
  });

  it("shows an unknown count as unknown", () => {
    expect(figures(undefined).every((figure) => figure.value === "–")).toBe(true);
  });
});
