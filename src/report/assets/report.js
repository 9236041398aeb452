"use strict";
// Reads values under the pointer, in all charts at once. Without it the page
// says the same: peaks stand in the legends, values in the tables.
(() => {
  const step = (v, units, base) => {
    let at = 0;
    while (Math.abs(v) >= base && at < units.length - 1) { v /= base; at += 1; }
    return `${Number(v.toPrecision(3))} ${units[at]}`;
  };
  const bytes = ["B", "KiB", "MiB", "GiB", "TiB"];
  const show = {
    ratio: v => `${Number((v * 100).toPrecision(3))} %`,
    bytes: v => step(v, bytes, 1024),
    bytes_per_second: v => `${step(v, bytes, 1024)}/s`,
    seconds: v => v < 1 ? step(v * 1e9, ["ns", "µs", "ms", "s"], 1000) : `${Number(v.toPrecision(3))} s`,
    count: v => `${Number(v.toPrecision(3))}`,
  };
  const charts = [...document.querySelectorAll(".chart")].map(figure => ({
    plot: figure.querySelector(".plot"),
    cursor: figure.querySelector(".cursor"),
    values: [...figure.querySelectorAll(".legend .value")].map(e => ({ e, text: e.textContent })),
    data: JSON.parse(figure.querySelector("script").textContent),
  }));
  const nearest = (points, t) => {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < t) low = middle + 1; else high = middle;
    }
    const before = points[Math.max(low - 1, 0)];
    return t - before[0] < points[low][0] - t ? before : points[low];
  };
  const at = share => {
    for (const { cursor, values, data } of charts) {
      cursor.hidden = share === null;
      if (share === null) {
        values.forEach(v => { v.e.textContent = v.text; });
        continue;
      }
      cursor.style.left = `${share * 100}%`;
      const t = share * data.seconds;
      data.lines.forEach((line, i) => {
        const point = nearest(line.points, t);
        values[i].e.textContent = `${(show[data.unit] || show.count)(point[1])} at T+${point[0].toFixed(1)} s`;
      });
    }
  };
  for (const { plot } of charts) {
    plot.addEventListener("pointermove", event => {
      const box = plot.getBoundingClientRect();
      at(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
    });
    plot.addEventListener("pointerleave", () => at(null));
  }
})();
