"use strict";
// Draws what `report/exploration.py` packed; every name becomes text, never markup.

const COLORS = ["#c9803b", "#4f86b5", "#5d9a5b"]; // by schedule level
const HEIGHT = 300;
const NEAR = 18; // pixels
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function make(tag, text, parent, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

async function unpacked() {
  const text = document.getElementById("data").textContent;
  const packed = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const padded = (values, log) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) return [low / 1.3, high * 1.3];
  const room = 0.06 * (high - low || 1);
  return [low - room, high + room];
};

function trade(place, { label, dots }) {
  const log = label !== "dB kept" && Math.min(...dots.map(([x]) => x)) > 0;
  const shown = make("div", undefined, place);
  const hint = "Point at a dot to see which chip it is.";
  const told = make("div", hint, place, "told");
  const keys = make("div", undefined, place, "keys");
  for (const level of [...new Set(dots.map(([, , one]) => one))].sort()) {
    const one = make("span", undefined, keys);
    make("i", undefined, one).style.background = COLORS[level];
    one.append(`level ${level}`);
  }
  const axis = { stroke: () => ink("--dim"), grid: { stroke: () => ink("--line"), width: 1 },
    ticks: { stroke: () => ink("--line"), width: 1 } };
  const few = (_, marks) => marks.map((one) => one === null ? "" : String(Number(one.toPrecision(3))));
  const ranges = [padded(dots.map(([x]) => x), log), padded(dots.map(([, y]) => y), true)];
  const made = new uPlot({
    width: place.clientWidth - 14,
    height: HEIGHT,
    scales: { x: { time: false, distr: log ? 3 : 1, log: 2, range: ranges[0] },
      y: { distr: 3, log: 2, range: ranges[1] } },
    axes: [{ ...axis, label, labelSize: 18, size: 34, values: few },
      { ...axis, label: "ms", labelSize: 18, size: 54, values: few }],
    series: [{}, { paths: () => null, points: { show: false } }],
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    hooks: {
      draw: [(u) => {
        const { ctx } = u;
        for (const [x, y, level, best] of dots) {
          const at = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
          ctx.fillStyle = COLORS[level];
          ctx.beginPath();
          ctx.arc(...at, 4 * devicePixelRatio, 0, 2 * Math.PI);
          ctx.fill();
          if (!best) continue;
          ctx.strokeStyle = ink("--ink");
          ctx.lineWidth = 1.5 * devicePixelRatio;
          ctx.beginPath();
          ctx.arc(...at, 7 * devicePixelRatio, 0, 2 * Math.PI);
          ctx.stroke();
        }
      }],
      setCursor: [(u) => {
        const { left, top } = u.cursor;
        let [found, near] = [hint, NEAR];
        for (const [x, y, , best, name] of dots) {
          const apart = Math.hypot(u.valToPos(x, "x") - left, u.valToPos(y, "y") - top);
          if (apart < near) {
            near = apart;
            found = `${name}: ${y.toPrecision(3)} ms, ${x} ${label}${best ? ", best" : ""}`;
          }
        }
        told.textContent = found;
      }],
    },
  }, [ranges[0], [null, null]], shown);
  new ResizeObserver(() => {
    const width = place.clientWidth - 14;
    if (width !== made.width) made.setSize({ width, height: HEIGHT });
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => made.redraw());
}

async function start() {
  const plots = await unpacked();
  for (const place of document.querySelectorAll(".trade")) trade(place, plots[place.dataset.plot]);
  document.body.dataset.ready = "yes";
}

start();
