"use strict";
// Tables that sort and filter, and figures that tell what is pointed at. The page reads without it.

const data = JSON.parse(document.getElementById("data").textContent);
const tip = document.getElementById("tip");
const root = document.documentElement;

// ------------------------------------------------------------------------------------ theme, copy

function setUpTheme() {
  const button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.setAttribute("aria-label", "Change between light and dark");
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  prefersDark.addEventListener("change", name);
  button.hidden = false;
  name();
}

function setUpCopy() {
  const button = document.getElementById("copy");
  if (!button) return;
  const command = document.getElementById("command");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch { // a page from disk may not be allowed to: select it, for the reader to copy
      getSelection().selectAllChildren(command);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// ------------------------------------------------------------------------------------------ layers

const table = document.getElementById("layer-table");
const body = table.tBodies[0];
const rows = [...body.rows];

function valueOf(row, column, kind) {
  const cell = row.cells[column];
  if (kind === "text") return cell.textContent.trim();
  const text = cell.dataset.value ?? cell.textContent;
  return text === "" ? NaN : Number(text);
}

function compare(a, b, kind) {
  if (kind === "text") return a.localeCompare(b, undefined, { numeric: true });
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortBy(header) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const kind = header.dataset.sort;
  const keyed = rows.map((row, place) => ({ row, place, value: valueOf(row, header.cellIndex, kind) }));
  keyed.sort((a, b) => {
    const missing = Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value)); // always last
    if (missing) return missing;
    return (descending ? -1 : 1) * compare(a.value, b.value, kind) || a.place - b.place;
  });
  body.append(...keyed.map((each) => each.row));
}

function setUpSorting() {
  for (const header of table.tHead.rows[0].cells) {
    if (!header.dataset.sort) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(header));
  }
}

const filter = document.getElementById("filter");
const filterRun = document.getElementById("filter-run");
const filterFindings = document.getElementById("filter-findings");
const runColumn = filterRun ? 1 : -1;
const searched = new Map(rows.map((row) => [row, searchedText(row)]));

function searchedText(row) {
  return [...row.querySelectorAll(".name")].map((cell) => cell.textContent).join(" ").toLowerCase();
}

function applyFilters() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const run = filterRun ? filterRun.value : "";
  let shown = 0;
  for (const row of rows) {
    const hasFinding = Number(row.querySelector(".findings").dataset.value) > 0;
    const fits = words.every((word) => searched.get(row).includes(word))
      && (!run || row.cells[runColumn].textContent === run)
      && (!filterFindings.checked || hasFinding);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("shown").textContent = `${shown} of ${rows.length} layers`;
}

function setUpFilters() {
  document.getElementById("filters").hidden = false;
  for (const control of [filter, filterRun, filterFindings]) {
    control?.addEventListener("input", applyFilters);
  }
  applyFilters();
}

function goToRow(id) {
  const row = document.getElementById(id);
  if (!row) return;
  if (row.hidden) { // what a reader asks for comes before what was filtered earlier
    filter.value = "";
    if (filterRun) filterRun.value = "";
    filterFindings.checked = false;
    applyFilters();
  }
  for (const other of body.querySelectorAll(".found")) other.classList.remove("found");
  row.classList.add("found");
  row.scrollIntoView({ block: "center", behavior: "instant" });
  row.focus({ preventScroll: true });
}

function setUpLinks() {
  for (const link of document.querySelectorAll("a.to-layer")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      hideTip();
      goToRow(link.hash.slice(1));
    });
  }
}

// ----------------------------------------------------------------------------------------- figures

const REACH = 14; // units of the drawing
const SVG = "http://www.w3.org/2000/svg";

function inside([left, top, right, bottom], x, y, margin) {
  return x >= left - margin && x <= right + margin && y >= top - margin && y <= bottom + margin;
}

function pointAt(panels, x, y) {
  for (const panel of panels) {
    if (panel.curves && inside(panel.box, x, y, 6)) return nearestPoint(panel, x, y);
    if (panel.logarithms && inside(panel.box, x, y, 0)) {
      return cellOf(panel, placeIn(panel.down, y), placeIn(panel.across, x));
    }
  }
  return null;
}

function nearestPoint(panel, x, y) {
  let best = null;
  let least = REACH * REACH;
  panel.curves.forEach((curve, run) => curve.points.forEach((point, place) => {
    const distance = (point[0] - x) ** 2 + (point[1] - y) ** 2;
    if (distance < least) { least = distance; best = { run, place }; }
  }));
  return best && describedPoint(panel, best.run, best.place);
}

function describedPoint(panel, run, place) {
  const [x, y, layer, value, expected] = panel.curves[run].points[place];
  const lines = [layer || "(the network)", `${panel.title}: ${written(value)}`];
  if (expected !== null) lines.push(`expected: ${written(expected)}`);
  return { panel, run, place, x, y, layer, name: panel.curves[run].run, lines };
}

function placeIn(edges, value) {
  for (let k = 0; k + 1 < edges.length; k += 1) {
    if ((value - edges[k]) * (value - edges[k + 1]) <= 0) return k;
  }
  return -1;
}

function cellOf(panel, row, column) {
  if (row < 0 || column < 0) return null;
  const layer = panel.layers[row];
  panel.hundredths ??= unpacked(panel.logarithms);
  const hundredth = panel.hundredths.getInt16(2 * (row * panel.steps.length + column), true);
  const value = hundredth === NOT_FINITE ? null : hundredth === ZERO ? 0 : 10 ** (hundredth / 100);
  return {
    panel, run: row, place: column, layer: layer.replace(/#\d+$/, ""), name: panel.run,
    x: (panel.across[column] + panel.across[column + 1]) / 2,
    y: (panel.down[row] + panel.down[row + 1]) / 2,
    lines: [layer, `step ${panel.steps[column]}: ${value ? Number(value.toPrecision(2)) : written(value)}`],
  };
}

const NOT_FINITE = -32768;
const ZERO = -32767;

function unpacked(text) {
  return new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

function written(value) {
  if (value === null) return "not finite";
  return typeof value === "string" ? value : String(Number(value.toPrecision(4)));
}

function rowOf(point) {
  return (data.rows[point.name] || {})[point.layer];
}

class Pointer { // of one figure: what is pointed at, by mouse or by keys
  constructor(figure) {
    this.panels = data.figures[figure.dataset.figure] || [];
    this.drawing = figure.querySelector(".drawing");
    this.svg = this.drawing.querySelector("svg");
    this.point = null;
    this.mark = document.createElementNS(SVG, "circle");
    this.mark.setAttribute("class", "mark");
    this.mark.setAttribute("r", "4.5");
    if (!this.panels.length) return;
    this.drawing.tabIndex = 0;
    this.drawing.setAttribute("aria-roledescription", "figure; arrow keys move from point to point");
    this.svg.addEventListener("pointermove", (event) => this.follow(event));
    this.svg.addEventListener("pointerleave", () => this.show(null));
    this.svg.addEventListener("click", () => this.goToLayer());
    this.drawing.addEventListener("keydown", (event) => this.press(event));
    this.drawing.addEventListener("blur", () => this.show(null));
  }

  follow(event) {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    this.show(pointAt(this.panels, place.x, place.y));
  }

  show(point) {
    this.point = point;
    if (!point) { this.mark.remove(); hideTip(); return; }
    this.mark.setAttribute("cx", point.x);
    this.mark.setAttribute("cy", point.y);
    this.svg.append(this.mark);
    const several = new Set(this.panels.flatMap((p) => (p.curves ? p.curves.map((c) => c.run) : [p.run]))).size > 1;
    const lines = several ? [point.name, ...point.lines] : point.lines;
    this.svg.style.cursor = rowOf(point) ? "pointer" : "";
    const at = new DOMPoint(point.x, point.y).matrixTransform(this.svg.getScreenCTM());
    showTip(lines.join("\n"), at.x, at.y);
  }

  goToLayer() {
    const row = this.point && rowOf(this.point);
    if (row) { this.show(null); goToRow(row); }
  }

  press(event) {
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    if (event.key in moves) this.show(this.moved(...moves[event.key]));
    else if (event.key === "PageDown" || event.key === "PageUp") {
      const count = this.panels.length;
      const now = this.point ? this.panels.indexOf(this.point.panel) : event.key === "PageUp" ? 0 : -1;
      this.show(this.start(this.panels[(now + (event.key === "PageDown" ? 1 : count - 1)) % count]));
    } else if (event.key === "Enter") this.goToLayer();
    else if (event.key === "Escape") this.show(null);
    else return;
    event.preventDefault();
  }

  start(panel) {
    return panel.curves ? describedPoint(panel, 0, 0) : cellOf(panel, 0, 0);
  }

  moved(down, right) {
    if (!this.point) return this.start(this.panels[0]);
    const { panel, run, place } = this.point;
    const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
    if (panel.logarithms) {
      return cellOf(panel, within(run + down, panel.layers.length), within(place + right, panel.steps.length));
    }
    const next = (run + down + panel.curves.length) % panel.curves.length;
    return describedPoint(panel, next, within(place + right, panel.curves[next].points.length));
  }
}

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${y + height + 22 < innerHeight ? y + 14 : Math.max(4, y - height - 14)}px`;
}

function hideTip() {
  tip.hidden = true;
}

setUpTheme();
setUpCopy();
setUpSorting();
setUpFilters();
setUpLinks();
for (const figure of document.querySelectorAll("figure[data-figure]")) new Pointer(figure);
addEventListener("scroll", hideTip, { passive: true });
