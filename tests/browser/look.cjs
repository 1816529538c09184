// node look.cjs CHROMIUM PAGE [SCREENSHOTS]: opens a page of ours at two widths, light and dark, and
// prints as JSON what went wrong and what it does: tests/test_pages_in_browser.py says what it must be.

const path = require("path");
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");

const [program, page, pictures] = process.argv.slice(2);
const LOOKS = [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]];

async function opened(browser, width, scheme) {
  const tab = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
  const found = { width, scheme, errors: [], requests: [] };
  tab.on("pageerror", (error) => found.errors.push(error.message));
  tab.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
  tab.on("dialog", (dialog) => { found.errors.push("a dialog"); dialog.dismiss(); });
  tab.on("request", (request) => found.requests.push(request.url()));
  const before = Date.now();
  await tab.goto(`file://${page}`);
  if (await tab.$("#data")) await tab.waitForFunction(() => document.body.dataset.ready === "yes");
  found.seconds = (Date.now() - before) / 1000;
  return [tab, found];
}

async function looked(browser, width, scheme) {
  const [tab, found] = await opened(browser, width, scheme);
  found.overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  found.figures = await tab.evaluate(() => [...document.querySelectorAll("svg")]
    .map((one) => one.getBoundingClientRect().width - one.parentElement.clientWidth));
  if (pictures) {
    await tab.screenshot({ path: path.join(pictures, `${width}-${scheme}.png`), fullPage: true });
  }
  await tab.evaluate(() => document.querySelectorAll("details").forEach((one) => one.open = true));
  await tab.addScriptTag({ path: axe });
  found.violations = await tab.evaluate(async () => (await axe.run()).violations
    .map((one) => `${one.id}: ${one.nodes[0].html}`));
  await tab.close();
  return found;
}

const painted = (id) => { // how many pixels of a plot have a colour, and a sum that tells plots apart
  const canvas = document.querySelector(`#${id} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let [count, sum] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = data.subarray(at, at + 3);
    if (data[at + 3] && Math.max(red, green, blue) - Math.min(red, green, blue) > 40) {
      count++;
      sum = (sum * 31 + at) % 1000003;
    }
  }
  return [count, sum];
};

// What a plot says over a grid of its places, each sentence once.
async function pointed(tab, place, columns, rows) {
  const over = tab.locator(`${place} .u-over`);
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  const told = () => tab.textContent(`${place} .told`);
  await tab.mouse.move(0, 0);
  const [hint, found] = [await told(), new Set()];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      await tab.mouse.move(box.x + box.width * (column + 0.5) / columns,
        box.y + box.height * (row + 0.5) / rows);
      found.add(await told());
    }
  }
  found.delete(hint);
  return [...found];
}

const keyed = (tab, place) => tab.$$eval(`${place} .keys span`, (all) =>
  all.map((one) => [one.textContent, one.querySelector("i").style.background]));

async function used(browser) {
  const [tab, found] = await opened(browser, 1280, "light");
  const first = () => tab.$$eval("#layers tbody tr:not([hidden])", (rows) =>
    rows.map((row) => row.cells[0].textContent));
  const shown = (id) => tab.$eval(`#${id}`, (place) => place.dataset.shown.split(" ").map(Number));
  const pixels = (id) => tab.evaluate(painted, id);
  found.order = await first();
  await tab.getByRole("button", { name: "cycles" }).click();
  found.slowest = await first();
  await tab.getByRole("button", { name: "cycles" }).press("Enter");
  found.fastest = await first();
  await tab.fill("#filter", found.order[1].slice(0, 40));
  found.filtered = await first();
  found.counted = await tab.textContent("#shown");
  found.several = {};
  for (const words of ["BLOCK_2 conv", "gemm", "9/ LAT add", "latency absent"]) {
    await tab.fill("#filter", words);
    found.several[words] = [(await first()).length, await tab.textContent("#shown")];
  }
  await tab.fill("#filter", "");
  found.counted_all = await tab.textContent("#shown");
  found.sorted = [];
  for (const column of [0, 0, 1, 8]) {
    await tab.locator("#layers thead button").nth(column).click();
    found.sorted.push([await first(), await tab.$$eval("#layers thead th", (heads) =>
      heads.map((head) => head.getAttribute("aria-sort")))]);
  }
  await tab.getByRole("button", { name: "cycles" }).click();
  await tab.getByRole("button", { name: "cycles" }).click();
  found.detailed = (await first())[0];
  await tab.locator("#layers tbody tr button").first().press("Enter");
  found.detail = await tab.textContent("#detail");
  found.link = await tab.evaluate(() => location.hash);
  found.painted = {};
  for (const id of ["roofline", "timeline", "memory"]) found.painted[id] = (await pixels(id))[0];
  found.whole = await shown("timeline");
  await tab.focus("#timeline");
  found.steps = [];
  for (const key of ["+", "=", "ArrowRight", "ArrowLeft", "ArrowLeft", "-", "+"]) {
    await tab.keyboard.press(key);
    await tab.waitForTimeout(50);
    found.steps.push(await shown("timeline"));
  }
  found.zoomed = [await shown("timeline"), await shown("memory")];
  for (const name of ["Zoom out", "Earlier", "Zoom in", "Later"]) {
    await tab.locator("#memory").getByRole("button", { name, exact: true }).click();
    await tab.waitForTimeout(50);
    found.steps.push(await shown("timeline"));
  }
  await tab.focus("#timeline");
  await tab.keyboard.press("0");
  await tab.waitForTimeout(100);
  found.again = await shown("timeline");
  found.told = {};
  for (const [id, columns, rows] of [["timeline", 40, 4], ["memory", 20, 12], ["roofline", 40, 16]]) {
    found.told[id] = await pointed(tab, `#${id}`, columns, rows);
  }
  const before = await pixels("memory");
  await tab.selectOption("#which", { label: "DDR" });
  await tab.waitForTimeout(100);
  found.otherMemory = (await pixels("memory"))[1] !== before[1];
  found.keys = {};
  for (const id of ["roofline", "timeline", "memory"]) found.keys[id] = await keyed(tab, `#${id}`);
  await tab.close();
  return found;
}

async function traded(browser) { // the plots of an exploration
  const [tab] = await opened(browser, 1280, "light");
  const count = await tab.$$eval(".trade", (places) => places.length);
  const found = [];
  for (let at = 0; at < count; at++) {
    const place = `[data-plot="${at}"]`;
    found.push({ told: await pointed(tab, place, 30, 16), keys: await keyed(tab, place) });
  }
  await tab.close();
  return found;
}

async function main() {
  const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
  const looks = [];
  for (const [width, scheme] of LOOKS) looks.push(await looked(browser, width, scheme));
  const [tab] = await opened(browser, 1280, "light");
  const isReport = await tab.$("#layers") !== null;
  await tab.close();
  const use = isReport ? await used(browser) : null;
  const trades = await traded(browser);
  await browser.close();
  console.log(JSON.stringify({ looks, use, trades }));
}

main().catch((error) => { console.error(error); process.exit(1); });
