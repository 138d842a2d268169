import { timestampDate } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { type Api } from "../api.js";

/** Addresses are asked for again this long before they end. */
const MARGIN_MS = 30_000;
const SHORTEST_MS = 5_000;
/** As GetImageUrlsRequest.ids. */
const MOST_IDS = 100;

/** Short-lived addresses of images by image id, renewed while they are shown. */
export function useImages(api: Api, imageIds: readonly string[]): ReadonlyMap<string, string> {
  const ids = [...new Set(imageIds)].slice(0, MOST_IDS).sort();
  const { data } = useQuery({
    queryKey: ["images", ids],
    enabled: ids.length > 0,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => (await api.feed.getImageUrls({ ids }, { signal })).images,
    refetchInterval: ({ state }) => {
      const ends = (state.data ?? []).flatMap((image) =>
        image.expireTime === undefined ? [] : [timestampDate(image.expireTime).getTime()],
      );
      return ends.length === 0 ? false : Math.max(SHORTEST_MS, Math.min(...ends) - Date.now() - MARGIN_MS);
    },
  });
  return new Map((data ?? []).map((image) => [image.id, image.url]));
}
