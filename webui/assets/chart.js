// Draws the charts of a page with uPlot, from the figures that console.js gets, in
// place of the pictures that the server made. Colours are those of the pictures.
"use strict";

(() => {
  // The round number that a scale ends at, as in chart.go.
  const roundTop = (v) => {
    let e = 1;
    while (e * 10 < v) e *= 10;
    for (const m of [1, 2, 4, 6, 8]) if (m * e >= v) return m * e;
    return 10 * e;
  };

  const clock = (seconds, from, to) => new Date(seconds * 1000).toISOString().slice(from, to).replace("T", " ");

  // How wide the words beside the scale are.
  const width = (u, values) => {
    if (!values) return 30;
    u.ctx.font = u.axes[1].font[0];
    const widest = Math.max(...values.map((v) => u.ctx.measureText(v).width)) / devicePixelRatio;
    return Math.max(30, Math.ceil(widest) + 8); // the first time of day is written half below it
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.kind = figure.dataset.k;
      this.room = Number(figure.dataset.points);
      this.lines = [...figure.querySelectorAll("[data-spark]")];
      this.cells = [...figure.querySelectorAll("[data-v]")];
      this.when = figure.querySelector("[data-at]");
      this.picture = figure.querySelector(".plot");
      this.box = figure.querySelector(".drawing");
    }

    show(v) { return v == null ? "" : treadmq.show[this.kind](this.kind === "num" ? Math.floor(v) : v); }

    // A value of the picture's style: it is hidden, but has one.
    style(selector, property) { return getComputedStyle(this.picture.querySelector(selector))[property]; }

    draw(value) {
      const of = this.lines.map((line) => treadmq.pick(value, line.dataset.spark) || []);
      this.step = treadmq.pick(value, this.lines[0].dataset.spark.replace(/[^.]*$/, "intervalSeconds"));
      if (!this.step) return;
      // Points of a minute and more begin when the clock says so.
      const now = Date.now() / 1000;
      const newest = this.step < 60 ? now : Math.floor(now / this.step) * this.step;
      const data = [Array.from({ length: this.room }, (_, i) => newest - (this.room - 1 - i) * this.step)];
      for (const list of of) data.push([...Array(Math.max(0, this.room - list.length)).fill(null), ...list.slice(-this.room)]);
      if (!this.u) this.begin(data);
      else this.update(data);
      this.tell();
    }

    begin(data) {
      const { height } = this.picture.getBoundingClientRect(); // so that nothing below moves
      this.box.style.height = height + "px";
      this.picture.hidden = true;
      this.box.hidden = false;
      const size = () => ({ width: this.box.clientWidth, height: Math.floor(height) });
      this.u = new uPlot({ ...size(), ...this.options() }, data, this.box);
      new ResizeObserver(() => this.u.setSize(size())).observe(this.box);
      this.box.addEventListener("keydown", (event) => this.key(event));
      this.box.addEventListener("focus", () => this.when.setAttribute("aria-live", "polite"));
      this.box.addEventListener("blur", () => { this.when.removeAttribute("aria-live"); this.rest(); });
      // uPlot knows the mouse; a finger that moves along the chart shows values too.
      this.u.over.addEventListener("pointermove", (event) => {
        if (event.pointerType !== "mouse") this.u.setCursor({ left: event.clientX - this.u.rect.left, top: 0 });
      });
    }

    options() {
      const scale = getComputedStyle(this.picture.querySelector(".scale"));
      const axis = {
        stroke: () => this.style(".scale", "color"), font: scale.fontSize + " " + scale.fontFamily,
        grid: { stroke: () => this.style(".grid", "stroke"), width: 1 }, ticks: { show: false },
      };
      return {
        padding: [8, null, 0, 0],
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, dist: 4 } },
        scales: { y: { range: (u, min, max) => [0, roundTop(Math.max(this.kind === "num" ? 2 : 1, max ?? 0))] } },
        axes: [
          { ...axis, size: 22, gap: 5, space: 70, values: (u, at, i, space, step) => at.map((t) => clock(t, 11, step < 60 ? 19 : 16)) },
          { ...axis, gap: 6, size: width, splits: (u) => [0, u.scales.y.max / 2, u.scales.y.max], values: (u, list) => list.map((v) => (v ? this.show(v) : "0")) },
        ],
        series: [{}, ...this.lines.map((line, i) => ({
          stroke: () => getComputedStyle(line).stroke, width: 2, points: { show: false },
          ...(this.lines.length === 1 ? { fill: () => this.style("polygon", "fill") } : {}),
        }))],
        hooks: { setCursor: [() => this.tell()], setScale: [() => this.tell()] },
      };
    }

    // What is shown closer stays as it is while time goes on, until it is over.
    update(data) {
      const u = this.u;
      const { min, max } = u.scales.x;
      const closer = this.closer() && max > data[0][0];
      u.setData(data, !closer);
      if (closer) u.setScale("x", { min, max });
    }

    closer() {
      const [times] = this.u.data;
      const { min, max } = this.u.scales.x;
      return min > times[0] || max < times[times.length - 1];
    }

    looking() { return this.u.cursor.left >= 0 && this.u.cursor.idx != null; }

    rest() { this.u.setCursor({ left: -10, top: -10 }); }

    key(event) {
      const u = this.u;
      const times = u.data[0];
      const { min, max } = u.scales.x;
      const [first, last] = [u.valToIdx(min), u.valToIdx(max)];
      const at = this.looking() ? u.cursor.idx : last;
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -this.room, End: this.room }[event.key];
      const part = { "+": 0.25, "=": 0.25, "-": 1 }[event.key]; // of what is shown, on either side
      if (step) this.point(Math.max(first, Math.min(at + step, last)));
      else if (part) {
        const half = Math.max((max - min) * part, 2 * this.step);
        u.setScale("x", { min: Math.max(times[0], times[at] - half), max: Math.min(times[this.room - 1], times[at] + half) });
        this.point(at);
      } else if (event.key === "Escape") {
        this.rest();
        u.setScale("x", { min: times[0], max: times[this.room - 1] });
      } else return;
      event.preventDefault();
    }

    point(i) { this.u.setCursor({ left: this.u.valToPos(this.u.data[0][i], "x"), top: 0 }); }

    // The values at the cursor with their time, or the newest, and what time is shown closer.
    tell() {
      const u = this.u;
      if (!u) return; // it is being made
      const looking = this.looking();
      this.cells.forEach((cell, i) => {
        cell.textContent = this.show(u.data[i + 1][looking ? u.cursor.idx : this.room - 1]);
      });
      const time = (t) => clock(t, this.step >= 900 ? 5 : 11, this.step >= 60 ? 16 : 19);
      let text = "";
      if (looking) text = time(u.data[0][u.cursor.idx]) + " UTC";
      else if (this.closer()) text = time(u.scales.x.min) + " – " + time(u.scales.x.max) + " UTC";
      if (this.when.textContent !== text) this.when.textContent = text;
    }
  }

  const charts = new Map(); // figure -> its chart

  document.addEventListener("figures", (event) => {
    for (const [figure, chart] of charts) {
      if (figure.isConnected) continue;
      chart.u?.destroy();
      charts.delete(figure);
    }
    for (const figure of event.target.querySelectorAll("figure[data-chart]")) {
      if (!charts.has(figure)) charts.set(figure, new Chart(figure));
      charts.get(figure).draw(event.detail);
    }
  });

  // Another theme has other colours.
  const repaint = () => { for (const chart of charts.values()) chart.u?.redraw(false); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
