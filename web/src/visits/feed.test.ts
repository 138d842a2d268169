import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";

import { VisitChange_Kind, VisitChangeSchema } from "../gen/footfall/ingest/v1/feed_pb.js";
import { VisitRecordSchema, VisitState } from "../gen/footfall/ingest/v1/visit_pb.js";
import { applyChange, merge, MOST_VISITS, type Visits } from "./feed.js";

function visit(id: string, startMs: number, updateMs = startMs, sightingCount = 1, state = VisitState.OPEN) {
  return create(VisitRecordSchema, {
    id,
    sightingCount,
    state,
    startTime: timestampFromMs(startMs),
    updateTime: timestampFromMs(updateMs),
  });
}

function change(kind: VisitChange_Kind, record: ReturnType<typeof visit>) {
  return create(VisitChangeSchema, { kind, visit: record });
}

const ids = (visits: Visits) => visits.map((each) => each.id);

describe("the list of visits", () => {
  it("shows the latest first", () => {
    expect(ids(merge([], [visit("a", 1), visit("c", 3), visit("b", 2)]))).toEqual(["c", "b", "a"]);
  });

  it("shows a visit once, as it was last changed, whatever comes late", () => {
    const newer = visit("a", 1, 20, 2);
    const after = applyChange([newer], change(VisitChange_Kind.UPDATED, visit("a", 1, 10, 1)));
    expect(after.map((each) => each.sightingCount)).toEqual([2]);
    const again = applyChange(after, change(VisitChange_Kind.CREATED, visit("a", 1, 30, 3)));
    expect(again.map((each) => each.sightingCount)).toEqual([3]);
  });

  it("takes off what counts no more", () => {
    const list = merge([], [visit("a", 1), visit("b", 2)]);
    expect(ids(applyChange(list, change(VisitChange_Kind.REMOVED, visit("a", 1))))).toEqual(["b"]);
    expect(ids(merge(list, [visit("b", 2, 9, 0, VisitState.RETRACTED)]))).toEqual(["a"]);
  });

  it("takes a kind that this build does not know for an update", () => {
    const strange = Object.assign(change(VisitChange_Kind.UPDATED, visit("a", 1)), { kind: 99 });
    expect(ids(applyChange([], strange))).toEqual(["a"]);
  });

  it("holds no more than it can show", () => {
    const many = Array.from({ length: MOST_VISITS + 5 }, (_, index) => visit(`v${String(index)}`, index));
    expect(merge([], many)).toHaveLength(MOST_VISITS);
  });
});
