// The chart of accepted orders. It is drawn anew with the numbers beside it, and when the theme changes.
"use strict";

(() => {
  let plot = null;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw() {
    const box = document.getElementById("accepted-chart");
    const numbers = document.getElementById("numbers");
    if (!box || !numbers || !numbers.dataset.since) return;
    const counts = JSON.parse(numbers.dataset.points);
    const data = [counts.map((_, at) => Number(numbers.dataset.since) + 60 * at), counts];
    if (plot) { plot.setData(data); return; }
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    plot = new uPlot({
      width: box.clientWidth,
      height: 180,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false } },
      scales: { y: { range: (_, low, high) => [0, Math.max(5, high * 1.15)] } },
      axes: [{ ...axis, grid: { show: false }, space: 80, size: 30, values: "{HH}:{mm}" }, { ...axis, size: 52, space: 40 }],
      series: [{}, {
        stroke: colour("--accent"), width: 0, points: { show: false }, fill: colour("--accent"), paths: uPlot.paths.bars({ size: [0.7, 24], align: 1 }),
      }],
    }, data, box);
  }
  function again() {
    if (plot) plot.destroy();
    plot = null;
    draw();
  }
  addEventListener("resize", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  document.addEventListener("htmx:afterSwap", draw);
  draw();
})();
