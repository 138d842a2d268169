// Looks at the first screen as a person does, and tells what it shows: node e2e/watch.mjs URL EMAIL PASSWORD
//
// One line of JSON for each thing that appears: {"alert": words}, {"line": "live"}, {"visit": id, "at": ms, "words": …}
// and {"face": visit id} once a picture is painted. Ends when its standard input does.
import { chromium } from "playwright-core";

const [url, email, password] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

/** Runs in the page, before its own script. */
function observe() {
  const seen = new Set();
  const once = (key, what) => {
    if (seen.has(key)) return;
    seen.add(key);
    window.tell(what);
  };
  const look = () => {
    for (const visit of document.querySelectorAll("[data-visit]")) {
      const id = visit.dataset.visit;
      once(`visit ${id}`, { visit: id, at: Date.now(), words: visit.innerText });
    }
    for (const alert of document.querySelectorAll("[role=alert]"))
      once(alert.innerText, { alert: alert.innerText });
    for (const line of document.querySelectorAll("[role=status]"))
      once(line.innerText, { line: line.innerText });
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  // Load events do not bubble, and are caught on their way down.
  document.addEventListener(
    "load",
    ({ target }) => {
      const visit = target instanceof HTMLImageElement ? target.closest("[data-visit]") : null;
      if (visit !== null && target.naturalWidth > 0)
        once(`face ${visit.dataset.visit}`, { face: visit.dataset.visit });
    },
    true,
  );
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // As root, and in containers, Chromium's own sandbox cannot be built; it sees nothing here but our own page.
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  // The mesh's certificate is of its own authority, which no browser knows.
  const page = await browser.newPage({
    ignoreHTTPSErrors: true,
    locale: "en-GB",
    timezoneId: "Asia/Kathmandu",
  });
  await page.exposeFunction("tell", tell);
  await page.addInitScript(observe);
  page.on("pageerror", (error) => {
    tell({ problem: String(error) });
  });
  await page.goto(url);
  await page.fill("input[name=email]", email);
  await page.fill("input[name=password]", password);
  await page.click("button[type=submit]");
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once("end", resolve));
} finally {
  await browser.close();
}
