// Signs in and takes a picture of the first screen: node e2e/screenshot.mjs URL EMAIL PASSWORD OUT.png
import { chromium } from "playwright-core";

const [url, email, password, out] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 760 },
    ignoreHTTPSErrors: true,
    locale: "en-GB",
  });
  page.on("console", (message) => {
    if (message.type() === "error") console.error(message.text());
  });
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(url);
  await page.fill("input[name=email]", email);
  await page.fill("input[name=password]", password);
  await page.click("button[type=submit]");
  await page.waitForSelector("[data-visit] img.face", { timeout: 20_000 });
  await page.waitForFunction(() =>
    [...document.querySelectorAll("img.face")].every((image) => image.complete),
  );
  await page.screenshot({ path: out });
} finally {
  await browser.close();
}
