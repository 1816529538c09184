"use strict";
// Draws what `report/details.py` packed, with what is in plots.js.

const COLORS = ["#4f86b5", "#c9803b", "#5d9a5b", "#a86aa8", "#b5544d", "#8a8f2f", "#3f9c9c",
  "#9a7350", "#6a6fb5", "#b06a8b", "#7d6b53", "#c2a13a"];
const HEIGHTS = { roofline: 340, timeline: 230, memory: 340 };

// ---------------------------------------------------------------- the table of layers

function sortable(layers) {
  const body = layers.tBodies[0];
  [...layers.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" &&
        !(column === 0 && head.getAttribute("aria-sort") === "ascending");
      const numbers = body.rows[0] && body.rows[0].cells[column].dataset.value !== undefined;
      const value = (row) => column === 0 ? Number(row.dataset.layer)
        : numbers ? Number(row.cells[column].dataset.value) : row.cells[column].textContent;
      const first = column === 0 ? !down : down;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = x < y ? -1 : x > y ? 1 : 0;
        return first ? -order : order;
      });
      for (const other of layers.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", first ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}

function filtered(layers) {
  const rows = [...layers.tBodies[0].rows];
  const texts = rows.map((row) => [0, 1, 7].map((at) => row.cells[at].textContent)
    .join(" ").toLowerCase());
  const show = () => {
    const wanted = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, at) => {
      row.hidden = !wanted.every((word) => texts[at].includes(word));
      count += row.hidden ? 0 : 1;
    });
    byId("shown").textContent = wanted.length ? `${count} of ${rows.length}` : "";
  };
  byId("filter").addEventListener("input", show);
}

function detailed(layers, data) {
  layers.tBodies[0].addEventListener("click", (event) => {
    const button = event.target.closest("button.name");
    if (button) tell(Number(button.closest("tr").dataset.layer), data);
  });
  const linked = /^#layer-(\d+)$/.exec(location.hash);
  if (linked && Number(linked[1]) < data.layers.length) tell(Number(linked[1]), data);
}

function tell(layer, data) {
  const place = byId("detail");
  const name = data.layers[layer];
  place.replaceChildren();
  history.replaceState(null, "", `#layer-${layer}`);
  make("h3", name, place);
  make("p", `Node of the quantized model, ${data.ops[data.opOf[layer]]}; layer ${layer}.`, place);
  make("h3", "What the compiler did with it", place);
  const command = `knightlite explain ${quoted(name)}`;
  if (data.explained === null) {
    make("p", `The model is not at hand here: ${command}`, place);
  } else {
    const list = make("ul", undefined, place);
    for (const [node, pass, sentence] of data.explained) {
      if (node === name) make("li", `${pass}: ${sentence}`, list);
    }
    if (!list.children.length) make("li", "nothing was rewritten", list);
  }
  const [count, lines] = data.listing[layer];
  make("h3", `Instructions: ${count}`, place);
  const more = count > lines.length ? `\n... ${count - lines.length} more: knightlite inspect` : "";
  const listing = make("pre", lines.join("\n") + more, place);
  listing.tabIndex = 0;
  listing.setAttribute("role", "region");
  listing.setAttribute("aria-label", "Instructions");
  place.scrollIntoView({ block: "nearest" });
}

const quoted = (word) => /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

// ---------------------------------------------------------------- plots

const whole = (value) => Math.round(value).toLocaleString("en-US");

/** A plot without series: `paint` draws, `hit` says in words what is at a point. */
function plot(id, options) {
  const place = byId(id);
  const tools = make("div", undefined, place, "tools");
  const canvas = make("div", undefined, place);
  const told = make("div", options.hint, place, "told");
  const made = new uPlot({
    width: place.clientWidth - 14,
    height: HEIGHTS[id],
    scales: options.scales,
    axes: options.axes.map((one) => ({ ...AXIS, ...one })),
    series: [{}, { paths: () => null, points: { show: false } }],
    cursor: { drag: { x: options.zooms, y: false }, points: { show: false } },
    hooks: {
      draw: [(u) => clipped(u, options.paint)],
      setCursor: [(u) => {
        const { left, top } = u.cursor;
        const found = left < 0 ? "" : options.hit(u, u.posToVal(left, "x"), u.posToVal(top, "y"));
        told.textContent = found || options.hint;
      }],
      setScale: [(u, key) => {
        if (key !== "x") return;
        place.dataset.shown = `${u.scales.x.min} ${u.scales.x.max}`;
        if (options.moved) options.moved(u);
      }],
    },
  }, [options.ends, [null, null]], canvas);
  if (options.zooms) zoomable(made, place, tools, options.ends);
  kept(made, place, HEIGHTS[id]);
  return made;
}

function clipped(u, paint) {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  paint(u, u.ctx);
  u.ctx.restore();
}

function zoomable(made, place, tools, [first, last]) {
  const move = (scale, shift) => {
    const { min, max } = made.scales.x;
    const half = Math.min(last - first, (max - min) * scale) / 2;
    let middle = (min + max) / 2 + shift * (max - min);
    middle = Math.min(Math.max(middle, first + half), last - half);
    made.setScale("x", { min: middle - half, max: middle + half });
  };
  const actions = {
    "Zoom in": ["+", () => move(0.5, 0)],
    "Zoom out": ["-", () => move(2, 0)],
    "Earlier": ["ArrowLeft", () => move(1, -0.25)],
    "Later": ["ArrowRight", () => move(1, 0.25)],
    "All": ["0", () => made.setScale("x", { min: first, max: last })],
  };
  for (const [name, [key, act]] of Object.entries(actions)) {
    const button = make("button", name, tools);
    button.type = "button";
    button.addEventListener("click", act);
    button.title = `key ${key}`;
  }
  const keys = { "=": "+", ...Object.fromEntries(Object.values(actions).map(([k]) => [k, k])) };
  place.addEventListener("keydown", (event) => {
    const wanted = keys[event.key];
    if (!wanted || event.target !== place || event.ctrlKey || event.metaKey) return;
    Object.values(actions).find(([key]) => key === wanted)[1]();
    event.preventDefault();
  });
  made.over.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    move(event.deltaY + event.deltaX < 0 ? 0.8 : 1.25, 0);
  }, { passive: false });
}

const GRAY = "#7a8791"; // what belongs to no layer

function key(id, names, colors) {
  const keys = make("div", undefined, byId(id), "keys");
  names.forEach((name, at) => {
    const one = make("span", undefined, keys);
    make("i", undefined, one).style.background = colors[at];
    one.append(name);
  });
}

const color = (data, layer) => layer < 0 ? GRAY : COLORS[data.opOf[layer] % COLORS.length];
const micros = (data, cycles) => cycles * 1e6 / data.clockHz;
const time = (data) => ({ label: "\u00b5s", labelSize: 16, size: 34, space: 70,
  values: (_, marks) => marks.map((one) =>
    micros(data, one).toLocaleString("en-US", { maximumFractionDigits: 2 })) });

function timeline(data, moved) {
  const lanes = data.engines.length;
  const starts = data.timeline.map((flat) => flat.filter((_, at) => at % 3 === 0));
  const ends = data.timeline.map((flat) =>
    flat.filter((_, at) => at % 3 === 0).map((start, at) => start + flat[at * 3 + 1]));
  const before = (list, value) => { // how many are below
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  };
  const gap = data.merged ? ` Gaps up to ${whole(data.merged)} cycles are drawn as work.` : "";
  return plot("timeline", {
    hint: "Point at work, drag over a stretch or use the keys + - 0 and arrows to zoom." + gap,
    zooms: true,
    ends: [0, Math.max(1, data.cycles)],
    scales: { x: { time: false }, y: { range: [0, lanes] } },
    axes: [time(data), { size: 62, grid: { show: false }, splits: () =>
      data.engines.map((_, at) => at + 0.5),
      values: () => data.engines.map((_, at) => data.engines[lanes - 1 - at]) }],
    moved,
    paint(u, ctx) {
      const { min, max } = u.scales.x;
      data.timeline.forEach((flat, lane) => {
        const top = u.valToPos(lanes - lane - 0.1, "y", true);
        const height = u.valToPos(lanes - lane - 0.9, "y", true) - top;
        const to = before(starts[lane], max);
        let drawn = -1;
        for (let at = before(ends[lane], min); at < to; at++) {
          const x = u.valToPos(flat[at * 3], "x", true);
          const end = u.valToPos(flat[at * 3] + flat[at * 3 + 1], "x", true);
          if (end < drawn + 0.5) continue; // within a pixel that is drawn
          ctx.fillStyle = color(data, flat[at * 3 + 2]);
          ctx.fillRect(x, top, Math.max(0.7, end - x), height);
          drawn = Math.max(end, x + 0.7);
        }
      });
    },
    hit(u, x, y) {
      const lane = lanes - 1 - Math.floor(y);
      if (lane < 0 || lane >= lanes) return "";
      const at = before(ends[lane], x);
      const [start, length, layer] = data.timeline[lane].slice(at * 3, at * 3 + 3);
      if (start === undefined || start > x) return "";
      return `${data.engines[lane]}, ${data.layers[layer]}, ${data.ops[data.opOf[layer]]}: ` +
        `cycles ${whole(start)} to ${whole(start + length)} ` +
        `(${micros(data, length).toFixed(2)} \u00b5s)`;
    },
  });
}

/** The end of a memory, with its size in words. */
function capacity(u, ctx, shown) {
  const { left, width } = u.bbox;
  const y = u.valToPos(shown.capacity, "y", true);
  ctx.strokeStyle = ctx.fillStyle = ink("--ink");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.font = `${12 * devicePixelRatio}px sans-serif`;
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  const words = `${shown.name}: ${whole(shown.capacity)} bytes`;
  ctx.fillText(words, left + width - 4 * devicePixelRatio, y - 2 * devicePixelRatio);
}

function memory(data, moved) {
  let shown = data.memory[0];
  const made = plot("memory", {
    hint: "Point at a block to see what it is.",
    zooms: true,
    ends: [0, Math.max(1, data.cycles)],
    scales: { x: { time: false }, y: { range: () => [0, Math.max(1, shown.capacity) * 1.06] } },
    axes: [time(data), { label: "address, bytes", labelSize: 16, size: 88,
      values: (_, marks) => marks.map(whole) }],
    moved,
    paint(u, ctx) {
      const { min, max } = u.scales.x;
      const edge = ink("--paper");
      for (let at = 0; at < shown.spans.length; at += 6) {
        const [first, size, start, length, layer] = shown.spans.slice(at, at + 5);
        if (start > max || start + length < min) continue;
        const x = u.valToPos(start, "x", true);
        const wide = Math.max(0.7, u.valToPos(start + length, "x", true) - x);
        const y = u.valToPos(first + size, "y", true);
        const high = Math.max(0.7, u.valToPos(first, "y", true) - y);
        ctx.fillStyle = color(data, layer);
        ctx.fillRect(x, y, wide, high);
        if (wide > 4 && high > 4) {
          ctx.strokeStyle = edge;
          ctx.strokeRect(x, y, wide, high);
        }
      }
      capacity(u, ctx, shown);
    },
    hit(u, x, y) {
      for (let at = shown.spans.length - 6; at >= 0; at -= 6) {
        const [first, size, start, length, , name] = shown.spans.slice(at, at + 6);
        if (start <= x && x < start + length && first <= y && y < first + size) {
          return `${shown.names[name]}: bytes ${whole(first)} to ${whole(first + size)}, ` +
            `cycles ${whole(start)} to ${whole(start + length)}`;
        }
      }
      return "";
    },
  });
  byId("which").addEventListener("change", (event) => {
    shown = data.memory[Number(event.target.value)];
    made.setData(made.data, false);
    made.redraw(true, true);
  });
  return made;
}

function roofline(data) {
  const seconds = data.ownCycles.map((cycles) => cycles / data.clockHz);
  const points = data.layers.map((_, at) =>
    [data.macs[at] / Math.max(1, data.bytes[at]), data.macs[at] / (seconds[at] || 1), at])
    .filter(([x, y]) => x > 0 && y > 0);
  const [macs, bytes] = data.roofs;
  const ridge = macs / bytes;
  const xs = [...points.map(([x]) => x), ridge];
  const left = 10 ** Math.floor(Math.log10(Math.min(...xs) * 0.9));
  const right = 10 ** Math.ceil(Math.log10(Math.max(...xs) * 1.1));
  const low = 10 ** Math.floor(Math.log10(Math.min(macs, ...points.map(([, y]) => y)) * 0.9));
  const high = 10 ** Math.ceil(Math.log10(macs * 1.1));
  const power = (value) => Math.abs(Math.log10(value) % 1) < 1e-9
    ? Number(value.toPrecision(1)).toExponential(0).replace("e+", "e") : "";
  plot("roofline", {
    hint: "Point at a layer to see which one it is.",
    zooms: false,
    ends: [left, right],
    scales: { x: { time: false, distr: 3, range: [left, right] },
      y: { distr: 3, range: [low, high] } },
    axes: [{ label: "multiply-accumulates per byte of DDR", labelSize: 18, size: 34,
      values: (_, marks) => marks.map(power) },
    { label: "multiply-accumulates per second", labelSize: 18, size: 54,
      values: (_, marks) => marks.map(power) }],
    paint(u, ctx) {
      const at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
      ctx.strokeStyle = ink("--ink");
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(...at(left, left * bytes));
      ctx.lineTo(...at(ridge, macs));
      ctx.lineTo(...at(right, macs));
      ctx.stroke();
      ctx.lineWidth = 1;
      ctx.strokeStyle = ink("--paper");
      for (const [x, y, layer] of points) {
        const size = (3 + 18 * Math.sqrt(data.layerCycles[layer] / total(data))) * devicePixelRatio;
        ctx.fillStyle = color(data, layer);
        ctx.beginPath();
        ctx.arc(...at(x, y), size, 0, 2 * Math.PI);
        ctx.fill();
        ctx.stroke();
      }
    },
    hit(u) {
      const { left: x, top: y } = u.cursor;
      let [best, near] = ["", 18];
      for (const [one, other, layer] of points) {
        const apart = Math.hypot(u.valToPos(one, "x") - x, u.valToPos(other, "y") - y);
        if (apart < near) {
          near = apart;
          best = `${data.layers[layer]}, ${data.ops[data.opOf[layer]]}: ` +
            `${one.toPrecision(3)} per byte, ${(other / macs * 100).toFixed(1)} % of the peak, ` +
            `${(data.layerCycles[layer] / total(data) * 100).toFixed(1)} % of the time`;
        }
      }
      return best;
    },
  });
}

const total = (data) => Math.max(1, data.cycles);

// ---------------------------------------------------------------- all of it

async function start() {
  const layers = byId("layers");
  sortable(layers);
  filtered(layers);
  const data = await unpacked();
  detailed(layers, data);
  roofline(data);
  const both = [];
  const together = (u) => { // the two plots over time show the same stretch
    const { min, max } = u.scales.x;
    for (const other of both) {
      if (other === u || other.scales.x.min === min && other.scales.x.max === max) continue;
      other.setScale("x", { min, max });
    }
  };
  both.push(timeline(data, together), memory(data, together));
  const colors = data.ops.map((_, at) => COLORS[at % COLORS.length]);
  for (const id of ["roofline", "timeline"]) key(id, data.ops, colors);
  key("memory", [...data.ops, "constants in DDR"], [...colors, GRAY]);
  document.body.dataset.ready = "yes";
}

start();
