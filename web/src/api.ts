/** The mesh as the browser sees it: gRPC-web through the gateway that served this page. */
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { FeedService } from "./gen/footfall/ingest/v1/feed_pb.js";
import { AuthService } from "./gen/footfall/registry/v1/auth_pb.js";
import { SiteService } from "./gen/footfall/registry/v1/site_pb.js";
import { ReportService } from "./gen/footfall/reports/v1/report_pb.js";
import { VisitService } from "./gen/footfall/reports/v1/visit_pb.js";
import { Session } from "./session/session.js";

export interface Api {
  readonly session: Session;
  readonly feed: Client<typeof FeedService>;
  readonly sites: Client<typeof SiteService>;
  readonly reports: Client<typeof ReportService>;
  readonly visits: Client<typeof VisitService>;
}

export function connect(baseUrl: string): Api {
  const anonymous = createGrpcWebTransport({ baseUrl });
  const session = new Session(createClient(AuthService, anonymous));
  const bearer: Interceptor = (next) => async (request) => {
    request.header.set("authorization", `Bearer ${await session.token()}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl, interceptors: [bearer] });
  return {
    session,
    feed: createClient(FeedService, transport),
    sites: createClient(SiteService, transport),
    reports: createClient(ReportService, transport),
    visits: createClient(VisitService, transport),
  };
}
