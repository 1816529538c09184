"use strict";
// What the pages' scripts share. Every name becomes text, never markup.

const byId = (id) => document.getElementById(id);
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function make(tag, text, parent, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

/** What Python packed into the page. */
async function unpacked() {
  const packed = Uint8Array.from(atob(byId("data").textContent), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** How every axis looks. */
const AXIS = { stroke: () => ink("--dim"), grid: { stroke: () => ink("--line"), width: 1 },
  ticks: { stroke: () => ink("--line"), width: 1 } };

/** Keeps a plot as wide as its place, in the colours that are asked for. */
function kept(made, place, height) {
  new ResizeObserver(() => {
    const width = place.clientWidth - 14;
    if (width !== made.width) made.setSize({ width, height });
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => made.redraw());
}
