// Usage: CHROMIUM=path node check.mjs REPORT.html OUT. Exits 1 at the first promise that the page does not keep.
import { chromium } from "playwright-core";
import { pathToFileURL } from "node:url";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";

const [file, out] = process.argv.slice(2);
const url = pathToFileURL(file).href;
const profile = mkdtempSync(join(tmpdir(), "pema-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM,
  headless: true,
  viewport: { width: 1280, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  const errors = [], requests = [];
  page.on("console", m => { if (m.type() === "error" || m.type() === "warning") errors.push(m.text()); });
  page.on("pageerror", e => errors.push(String(e)));
  page.on("request", r => { if (r.url() !== url && !r.url().startsWith("data:")) requests.push(r.url()); });
  page.on("dialog", d => { errors.push("a dialog was opened: " + d.message()); d.dismiss(); });

  const cdp = await context.newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(url);
  await page.locator("body.js").waitFor();
  // Usable: all scripts have run, so that sort, filter and cells answer; and the first answer to a key.
  const usable = await page.evaluate(() => Math.round(performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd));
  const { metrics } = await cdp.send("Performance.getMetrics");
  const busy = Math.round(1000 * metrics.find(m => m.name === "TaskDuration").value);
  console.log(`usable after ${usable} ms (${busy} ms of processor time)`);
  await page.screenshot({ path: join(out, "light-top.png") });
  const whole = async name => {
    await page.evaluate(() => { for (const e of document.querySelectorAll(".sheet")) e.style.contentVisibility = "visible"; });
    if (await page.evaluate(() => document.documentElement.scrollHeight) < 60000) await page.screenshot({ path: join(out, name), fullPage: true });
    await page.evaluate(() => { for (const e of document.querySelectorAll(".sheet")) e.style.contentVisibility = ""; });
  };
  await whole("light.png");

  // Sort by a column of numbers, up and down, in the table with the most rows, and filter it. A table of a few rows has no filter.
  const id = await page.evaluate(() => [...document.querySelectorAll(".sheet table[id^='t-']")].sort((a, b) => b.tBodies[0].rows.length - a.tBodies[0].rows.length)[0].id);
  {
    const table = page.locator("#" + id);
    const column = await table.evaluate(t => [...t.tHead.rows[0].cells].findIndex((h, i) => new Set([...t.tBodies[0].rows].map(r => r.cells[i].dataset.v)).size > 1 && h.classList.contains("n")));
    assert.ok(column > 0, "no column of numbers to sort by");
    const values = () => table.evaluate((t, i) => [...t.tBodies[0].rows].map(r => r.cells[i].dataset.v).filter(v => v !== undefined).map(Number), column);
    const head = table.locator("thead th").nth(column);
    await head.getByRole("button").focus();
    await page.keyboard.press("Enter");
    let v = await values();
    assert.deepEqual(v, [...v].sort((a, b) => a - b), "not sorted upwards");
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    await head.getByRole("button").click();
    v = await values();
    assert.deepEqual(v, [...v].sort((a, b) => b - a), "not sorted downwards");

    if (await page.locator(`[data-filter="${id}"]`).isVisible()) {
      // A word of the last row's head leaves rows that have it, and no others.
      const word = await table.evaluate(t => t.tBodies[0].rows[t.tBodies[0].rows.length - 1].cells[0].textContent.trim().split(/\s+/)[0]);
      const all = await table.locator("tbody tr").count();
      await page.locator(`[data-filter="${id}"]`).fill(word);
      const left = await table.locator("tbody tr:visible").allTextContents();
      assert.ok(left.length > 0 && left.every(t => t.toLowerCase().includes(word.toLowerCase())), "the filter leaves rows without the word");
      await page.locator(`[data-filter="${id}"]`).fill("no such row anywhere");
      assert.equal(await table.locator("tbody tr:visible").count(), 0, "the filter leaves rows for a word that is nowhere");
      await page.locator(`[data-filter="${id}"]`).fill("");
      assert.equal(await table.locator("tbody tr:visible").count(), all, "the filter does not give the rows back");
    } else {
      assert.ok(await table.locator("tbody tr").count() < 6, "a long table has no filter");
    }
  }

  // A cell opens its runs, by mouse and by keyboard.
  const cell = page.locator(".sheet td[data-runs]").first();
  await cell.scrollIntoViewIfNeeded();
  await cell.getByRole("button").click();
  const dialog = page.locator("#runs");
  assert.ok(await dialog.isVisible(), "a cell does not open its runs");
  const text = await dialog.innerText();
  assert.match(text, /pema run .* --only /);
  assert.match(text, /runs\/.*\.json/);
  await page.screenshot({ path: join(out, "run.png") });
  await page.keyboard.press("Escape");
  assert.ok(!(await dialog.isVisible()), "Escape does not close the runs");
  await cell.getByRole("button").focus();
  await page.keyboard.press("Enter");
  assert.ok(await dialog.isVisible(), "Enter does not open a cell's runs");
  await page.keyboard.press("Escape");

  // Pictures: there, as wide as they should be, and they enlarge.
  const plots = await page.locator("figure svg").count();
  assert.ok(plots > 0, "no picture");
  await page.locator(".zoom").first().click();
  assert.ok(await page.locator("#zoomed svg").isVisible(), "a picture does not enlarge");
  await page.keyboard.press("Escape");

  // The list of all runs filters too.
  const total = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).runs.length);
  assert.equal(await page.locator("#run-count").textContent(), total + " runs");
  await page.locator("#run-filter").fill("no such run anywhere");
  assert.equal(await page.locator("#all-runs tbody tr").count(), 0, "the list of runs does not filter");
  const [model, having] = await page.evaluate(() => {
    const runs = JSON.parse(document.getElementById("data").textContent).runs, m = runs[0].model;
    return [m, runs.filter(r => [r.id, r.model, r.dataset, r.variant, r.error || ""].join(" ").toLowerCase().includes(m.toLowerCase())).length];
  });
  await page.locator("#run-filter").fill(model);
  assert.ok(parseInt(await page.locator("#run-count").textContent()) >= having && having > 0, "the list of runs loses a model's runs");
  await page.locator("#run-filter").fill("");

  // Dark, phone, print.
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]);
  assert.deepEqual(dark, ["rgb(21, 24, 27)", "rgb(232, 234, 236)"], "dark colours");
  const inks = await page.evaluate(() => [...new Set([...document.querySelectorAll(".picture svg text:not([style*='fill:#'])")].map(t => getComputedStyle(t).fill))]);
  assert.deepEqual(inks, ["rgb(232, 234, 236)"], "text in the pictures in dark");
  await page.evaluate(() => scrollTo(0, 0));
  await whole("dark.png");
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `on a phone the page is ${over} px too wide`);
  await page.screenshot({ path: join(out, "phone-top.png") });
  await page.locator(".sheet").first().scrollIntoViewIfNeeded();
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(out, "phone.png") });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ media: "print" });
  assert.ok(!(await page.locator(".tools").first().isVisible()), "controls are printed");
  await page.emulateMedia({ media: null });
  await page.pdf({ path: join(out, "print.pdf"), preferCSSPageSize: true, printBackground: true });

  assert.deepEqual(errors, [], "errors on the console");
  assert.deepEqual(requests, [], "the page asked for something elsewhere");
  console.log(`browser: ok (${plots} pictures, ${total} runs)`);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
