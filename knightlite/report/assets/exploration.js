"use strict";
// Draws what `report/exploration.py` packed, with what is in plots.js.

const COLORS = ["#c9803b", "#4f86b5", "#5d9a5b"]; // by schedule level
const HEIGHT = 300;
const NEAR = 18; // pixels

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
  const few = (_, marks) => marks.map((one) => one === null ? "" : String(Number(one.toPrecision(3))));
  const ranges = [padded(dots.map(([x]) => x), log), padded(dots.map(([, y]) => y), true)];
  const made = new uPlot({
    width: place.clientWidth - 14,
    height: HEIGHT,
    scales: { x: { time: false, distr: log ? 3 : 1, log: 2, range: ranges[0] },
      y: { distr: 3, log: 2, range: ranges[1] } },
    axes: [{ ...AXIS, label, labelSize: 18, size: 34, values: few },
      { ...AXIS, label: "ms", labelSize: 18, size: 54, values: few }],
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
  kept(made, place, HEIGHT);
}

async function start() {
  const plots = await unpacked();
  for (const place of document.querySelectorAll(".trade")) trade(place, plots[place.dataset.plot]);
  document.body.dataset.ready = "yes";
}

start();
