import { useSyncExternalStore, type ReactNode } from "react";

import { type Api } from "./api.js";
import { VisitorsChart } from "./report/VisitorsChart.js";
import { SignIn } from "./session/SignIn.js";
import { useSites } from "./sites/useSites.js";
import { VisitList } from "./visits/VisitList.js";

export function App({ api }: { readonly api: Api }): ReactNode {
  const principal = useSyncExternalStore(api.session.subscribe, () => api.session.principal);
  return principal === undefined ? (
    <SignIn session={api.session} />
  ) : (
    <Dashboard key={principal.tenantId} api={api} seesFaces={principal.seesFaces} />
  );
}

function Dashboard({ api, seesFaces }: { readonly api: Api; readonly seesFaces: boolean }): ReactNode {
  const sites = useSites(api);
  return (
    <>
      <nav>
        <img src="/assets/footfall.svg" alt="" width={28} height={28} />
        <h1>Footfall</h1>
        <button type="button" onClick={() => void api.session.signOut()}>
          Sign out
        </button>
      </nav>
      <main className="dashboard">
        <VisitorsChart api={api} sites={sites} />
        <VisitList api={api} sites={sites} seesFaces={seesFaces} />
      </main>
    </>
  );
}
