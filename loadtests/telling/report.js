// Draws the charts: one per kind and variant, on a common scale per kind, with phases shaded and faults marked.
"use strict";
(() => {
  const { variants, slo, curves } = JSON.parse(document.getElementById("data").textContent);
  const { seconds, plain, highest, color, lonely, shade, annotate } = charts;
  const HEIGHT = 210;
  const all = Object.values(variants);
  const KINDS = {
    load: [["offered", "offered", "grey"], ["attempts", "attempts", "orange"], ["goodput", "goodput", "green"]],
    levels: [["inflight", "in flight", "blue"], ["queued", "queued", "orange"], ["running", "running", "green"], ["slots", "slots", "grey", [5, 4], uPlot.paths.stepped({ align: 1 })]],
    latency: [["e2e_p50", "E2E p50", "blue", [2, 3]], ["e2e_p95", "E2E p95", "blue"], ["ttft_p50", "TTFT p50", "purple", [2, 3]], ["ttft_p95", "TTFT p95", "purple"]],
  };
  const end = highest(all.flatMap((s) => [...s.t.map((t) => t + 1), ...s.phases.map((p) => p.end)]));
  const limits = Object.entries(slo).filter(([name, v]) => /^(e2e|ttft)/.test(name) && Number.isFinite(v));
  const seen = (key) => all.some((s) => s[key].some((v) => v !== null));
  let plots = [];

  function top(kind, lines) {
    const values = all.flatMap((s) => lines.flatMap(([key]) => s[key]));
    return highest(kind === "latency" ? values.concat(limits.map(([, v]) => v)) : values) * 1.18 || 1;
  }

  function options(kind, source, lines, width) {
    const timed = kind === "latency" || kind === "distribution", format = timed ? seconds : plain;
    const axis = { stroke: () => color("muted"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: () => color("grid"), width: 1 } };
    return {
      width, height: HEIGHT, padding: [22, 16, 0, 0],
      scales: { x: { time: false, range: (u, a, b) => (b - a >= end - 3 ? [0, end] : [a, b]) }, y: { range: [0, top(kind, lines)] } },
      axes: [
        { ...axis, size: 26, gap: 4, space: 46, values: (u, ticks) => ticks.map((t) => `${t} s`) },
        { ...axis, size: 38, gap: 4, values: (u, ticks) => ticks.map((v) => (timed ? `${v} s` : `${v}`)) },
      ],
      series: [
        { label: "at", value: (u, v) => (v === null ? "–" : `${v} s`) },
        ...lines.map(([, label, name, dash, paths]) => ({
          label, dash, paths, stroke: color(name), width: name === "grey" ? 1.5 : 2,
          value: (u, v) => (v === null ? "–" : format(v)),
          points: { size: 5, width: 1.5, fill: color(dash ? "paper" : name), filter: lonely, show: true },
        })),
      ],
      cursor: { sync: { key: "report" }, y: false, points: { size: 7, fill: (u, i) => color(lines[i - 1][2]) } },
      legend: { markers: { fill: () => "transparent", dash: (u, i) => (lines[i - 1] && lines[i - 1][3] ? "dashed" : "solid"), width: 2 } },
      hooks: { drawClear: [(u) => shade(u, source)], draw: [(u) => annotate(u, source, kind === "latency" ? limits : [])] },
    };
  }

  // The n-th nine stands as far from the one before as that from its own: what a mean hides has half of the width.
  const percentile = (nines) => `${+(100 * (1 - 10 ** -nines)).toFixed(Math.max(0, Math.ceil(nines) - 1))} %`;

  function spread(box, width) {
    const { variant, clock } = box.dataset, { nines, lines } = curves[variant];
    const sent = clock === "e2e" ? "service_time" : "ttft_sent";
    const drawn = [[`${clock}_adjusted`, "with failures", "orange"], [clock, "from the intended start", "blue"], [sent, "from the send", "blue", [2, 3]]];
    const { series, axes, legend, ...rest } = options("distribution", { phases: [], faults: [], marks: [] }, drawn, width);
    const every = drawn.flatMap(([key]) => Object.values(curves).flatMap((each) => each.lines[key] ?? []));
    return new uPlot({
      ...rest, legend, series: [{ ...series[0], label: "percentile", value: (u, v) => (v === null ? "–" : percentile(v)) }, ...series.slice(1)],
      scales: { x: { time: false, range: (u, a, b) => (b - a >= nines.at(-1) - 0.01 ? [0, nines.at(-1) || 1] : [a, b]) }, y: { range: [0, highest(every) * 1.1 || 1] } },
      axes: [{ ...axes[0], splits: (u, i, a, b) => [0.30103, 1, 1.30103, 2, 3, 4, 5].filter((at) => at >= a && at <= b), values: (u, at) => at.map(percentile) }, axes[1]],
      cursor: { ...rest.cursor, sync: { key: "distribution" } },
    }, [nines, ...drawn.map(([key]) => lines[key])], box);
  }

  function draw() {
    plots.forEach((plot) => plot.destroy());
    plots = [];
    for (const box of document.querySelectorAll(".plot")) {
      const { kind, variant } = box.dataset, source = variants[variant];
      if (kind === "distribution") {
        box.replaceChildren();
        const plot = spread(box, box.clientWidth);
        box.onkeydown = (event) => step(event, plot);
        plots.push(plot);
        continue;
      }
      const lines = KINDS[kind].filter(([key]) => seen(key));
      box.replaceChildren();
      if (!source.t.length || !lines.length) {
        box.append(Object.assign(document.createElement("p"), { className: "empty", textContent: "Nothing was measured here." }));
        continue;
      }
      const plot = new uPlot(options(kind, source, lines, box.clientWidth), [source.t, ...lines.map(([key]) => source[key])], box);
      box.onkeydown = (event) => step(event, plot);
      plots.push(plot);
    }
  }

  function step(event, plot) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const t = plot.data[0], at = Math.min(Math.max((plot.cursor.idx ?? -by) + by, 0), t.length - 1);
    for (const each of plots.filter((other) => other.cursor.sync.key === plot.cursor.sync.key)) {
      each.setCursor({ left: each.valToPos(t[at], "x"), top: 0 });
    }
  }

  function fit() {
    for (const plot of plots) {
      const width = plot.root.parentElement.clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  }

  // A table that goes on to the right fades there: a figure that is cut off must not pass for a whole one.
  function fade() {
    for (const box of document.querySelectorAll(".scroll")) {
      box.classList.toggle("more", box.scrollWidth - box.scrollLeft > box.clientWidth + 2);
    }
  }

  // Paper is white and narrow, and what is folded cannot be unfolded on it.
  function paper(on) {
    document.documentElement.classList.toggle("paper", on);
    document.querySelectorAll(on ? "details:not([open])" : "details.printed").forEach((each) => {
      each.open = on;
      each.classList.toggle("printed", on);
    });
    const width = { 1: "660px", 2: "325px" }[all.length] ?? "212px";
    document.querySelectorAll(".plot").forEach((box) => { box.style.width = on ? width : ""; });
    draw();
  }

  draw();
  fade();
  new ResizeObserver(() => { fit(); fade(); }).observe(document.querySelector("main"));
  document.addEventListener("scroll", fade, { capture: true, passive: true });
  document.addEventListener("toggle", fade, true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
})();
