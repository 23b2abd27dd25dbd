// Draws the charts: one per kind and variant, on a common scale per kind, with phases shaded and faults marked.
"use strict";
(() => {
  const { variants, slo, curves } = JSON.parse(document.getElementById("data").textContent);
  const HEIGHT = 210;
  const all = Object.values(variants);
  const KINDS = {
    load: [["offered", "offered", "grey"], ["attempts", "attempts", "orange"], ["goodput", "goodput", "green"]],
    levels: [["inflight", "in flight", "blue"], ["queued", "queued", "orange"], ["running", "running", "green"], ["slots", "slots", "grey", [5, 4], uPlot.paths.stepped({ align: 1 })]],
    latency: [["e2e_p50", "E2E p50", "blue", [2, 3]], ["e2e_p95", "E2E p95", "blue"], ["ttft_p50", "TTFT p50", "purple", [2, 3]], ["ttft_p95", "TTFT p95", "purple"]],
  };
  const seconds = (v) => (v < 0.1 && v > 0 ? `${(v * 1000).toFixed(0)} ms` : `${v.toFixed(v < 10 ? 2 : 1)} s`);
  const plain = (v) => (Number.isInteger(v) ? `${v}` : v.toFixed(1));
  const highest = (values) => values.reduce((top, v) => (v > top ? v : top), 0);
  const end = highest(all.flatMap((s) => [...s.t.map((t) => t + 1), ...s.phases.map((p) => p.end)]));
  const limits = Object.entries(slo).filter(([name, v]) => /^(e2e|ttft)/.test(name) && Number.isFinite(v));
  const seen = (key) => all.some((s) => s[key].some((v) => v !== null));
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  let plots = [];

  function top(kind, lines) {
    const values = all.flatMap((s) => lines.flatMap(([key]) => s[key]));
    return highest(kind === "latency" ? values.concat(limits.map(([, v]) => v)) : values) * 1.18 || 1;
  }

  // A line through nulls hides a lone value between them, and in a collapse lone values are all there is.
  function lonely(u, i) {
    const d = u.data[i];
    return d.map((v, k) => (v !== null && d[k - 1] == null && d[k + 1] == null ? k : null)).filter((k) => k !== null);
  }

  function shade(u, source) {
    const { ctx, bbox } = u, px = devicePixelRatio, x = (t) => Math.min(Math.max(u.valToPos(t, "x", true), bbox.left), bbox.left + bbox.width);
    const band = (a, b, fill, y = bbox.top, h = bbox.height) => { ctx.fillStyle = fill; ctx.fillRect(a, y, b - a, h); };
    ctx.save();
    ctx.font = `${11 * px}px system-ui, sans-serif`;
    ctx.textBaseline = "alphabetic";
    for (const phase of source.phases) {
      const a = x(phase.start), b = x(phase.end);
      if (phase.judge) band(a, b, color("judged"));
      if (a > bbox.left) band(a, a + px, color("strong-line"), bbox.top - 5 * px, bbox.height + 5 * px);
      ctx.fillStyle = color(phase.judge ? "ink" : "muted");
      write(ctx, phase.name, a, b, bbox.top - 7 * px, px);
    }
    for (const fault of source.faults) {
      const a = x(fault.start), b = x(fault.end);
      if (b <= a) continue;
      band(a, b, color("fault"));
      band(a, b, color("fault-line"), bbox.top, 3 * px);
    }
    ctx.restore();
  }

  // The name of a phase, shortened to the room above it; without room for two letters, none.
  function write(ctx, text, a, b, y, px) {
    const room = b - a - 6 * px;
    let shown = text;
    while (shown.length > 1 && ctx.measureText(shown).width > room) shown = shown.slice(0, -2) + "…";
    if (shown.length > 2 || shown === text) ctx.fillText(shown, a + 4 * px, y);
  }

  // Text over lines stays readable with a rim of paper around it.
  function label(ctx, text, x, y, px) {
    ctx.setLineDash([]);
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * px;
    ctx.strokeStyle = color("paper");
    ctx.strokeText(text, x, y);
    ctx.fillText(text, x, y);
  }

  function annotate(u, kind, source) {
    const { ctx, bbox } = u, px = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * px}px system-ui, sans-serif`;
    if (kind === "latency") {
      for (const [name, limit] of limits) {
        const y = u.valToPos(limit, "y", true);
        ctx.strokeStyle = ctx.fillStyle = color("ink");
        ctx.lineWidth = px;
        ctx.setLineDash([6 * px, 4 * px]);
        ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
        ctx.textAlign = "right";
        label(ctx, `SLO ${name.toUpperCase()} ${+limit.toFixed(2)} s`, bbox.left + bbox.width - 4 * px, y - 7 * px, px);
      }
    }
    ctx.textAlign = "left";
    for (const mark of source.marks) {
      const at = u.valToPos(mark.at, "x", true), edge = bbox.left + bbox.width - ctx.measureText(mark.label).width;
      ctx.fillStyle = ctx.strokeStyle = color("blue");
      ctx.lineWidth = px;
      ctx.setLineDash([4 * px, 3 * px]);
      ctx.beginPath(); ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); ctx.stroke();
      label(ctx, mark.label, Math.max(bbox.left, Math.min(at + 4 * px, edge)), bbox.top + bbox.height - 6 * px, px);
    }
    ctx.fillStyle = color("fault-line");
    source.faults.forEach((fault, i) => {
      const room = bbox.left + bbox.width - ctx.measureText(fault.label).width - 2 * px;
      const a = Math.max(bbox.left, Math.min(u.valToPos(fault.start, "x", true) + 4 * px, room));
      label(ctx, fault.label, a, bbox.top + (15 + 13 * (i % 3)) * px, px);
    });
    ctx.restore();
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
      hooks: { drawClear: [(u) => shade(u, source)], draw: [(u) => annotate(u, kind, source)] },
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
