import { useQuery } from "@tanstack/react-query";

import { type Api } from "../api.js";
import { type Site } from "../gen/footfall/registry/v1/site_pb.js";

export type SitesById = ReadonlyMap<string, Site>;

const NONE: SitesById = new Map();
const PAGE = 500;

/** Every site that the caller may see. */
export function useSites(api: Api): SitesById {
  const { data } = useQuery({
    queryKey: ["sites"],
    queryFn: async ({ signal }) => {
      const sites = new Map<string, Site>();
      let pageToken = "";
      do {
        const page = await api.sites.listSites({ pageSize: PAGE, pageToken }, { signal });
        for (const site of page.sites) sites.set(site.id, site);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return sites;
    },
  });
  return data ?? NONE;
}
