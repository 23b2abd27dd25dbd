// What all our charts have: phases shaded, faults and marks with their names, SLO lines, and how values are written.
"use strict";
const charts = (() => {
  const FONT = "system-ui, sans-serif";
  const seconds = (v) => (v < 0.1 && v > 0 ? `${(v * 1000).toFixed(0)} ms` : `${v.toFixed(v < 10 ? 2 : 1)} s`);
  const plain = (v) => (Number.isInteger(v) ? `${v}` : v.toFixed(1));
  const highest = (values) => values.reduce((top, v) => (v > top ? v : top), 0);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // A line through nulls hides a lone value between them, and in a collapse lone values are all there is.
  function lonely(u, i) {
    const d = u.data[i];
    return d.map((v, k) => (v !== null && d[k - 1] == null && d[k + 1] == null ? k : null)).filter((k) => k !== null);
  }

  // With uPlot's canvas as we need it; it does not say what it leaves behind on it.
  function drawing(u, draw) {
    const { ctx, bbox } = u, px = devicePixelRatio;
    ctx.save();
    Object.assign(ctx, { font: `${11 * px}px ${FONT}`, textAlign: "left", textBaseline: "alphabetic", lineWidth: px });
    draw(ctx, { left: bbox.left, right: bbox.left + bbox.width, top: bbox.top, bottom: bbox.top + bbox.height }, px);
    ctx.restore();
  }

  function rule(ctx, from, to, stroke, dash) {
    ctx.strokeStyle = stroke;
    ctx.setLineDash(dash);
    ctx.beginPath(); ctx.moveTo(...from); ctx.lineTo(...to); ctx.stroke();
  }

  function shade(u, { phases, faults }) {
    drawing(u, (ctx, box, px) => {
      const x = (t) => Math.min(Math.max(u.valToPos(t, "x", true), box.left), box.right);
      const band = (a, b, fill, top, bottom) => { ctx.fillStyle = fill; ctx.fillRect(a, top, b - a, bottom - top); };
      for (const phase of phases) {
        const a = x(phase.start), b = x(phase.end);
        if (phase.judge) band(a, b, color("judged"), box.top, box.bottom);
        if (a > box.left) band(a, a + px, color("strong-line"), box.top - 5 * px, box.bottom);
        ctx.fillStyle = color(phase.judge ? "ink" : "muted");
        write(ctx, phase.name, a, b, box.top - 7 * px, px);
      }
      for (const fault of faults) {
        const a = x(fault.start), b = x(fault.end);
        if (b <= a) continue;
        band(a, b, color("fault"), box.top, box.bottom);
        band(a, b, color("fault-line"), box.top, box.top + 3 * px);
      }
    });
  }

  function shortened(ctx, text, room) {
    let shown = text;
    while (shown.length > 1 && ctx.measureText(shown).width > room) shown = shown.slice(0, -2) + "…";
    return shown;
  }

  // The name of a phase, as far as there is room above it; without room for two letters, none.
  function write(ctx, text, a, b, y, px) {
    const shown = shortened(ctx, text, b - a - 6 * px);
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
    ctx.lineWidth = px;
  }

  function annotate(u, { faults, marks }, limits, lanes = 4) {
    drawing(u, (ctx, box, px) => {
      for (const mark of marks) {
        const at = u.valToPos(mark.at, "x", true);
        if (at >= box.left && at <= box.right) rule(ctx, [at, box.top], [at, box.bottom], color("blue"), [4 * px, 3 * px]);
      }
      const named = [...faults.map((f) => [f.start, f.label, "fault-line"]), ...marks.map((m) => [m.at, m.label, "blue"])];
      nameAll(u, ctx, box, px, named.sort((a, b) => a[0] - b[0]), Array(lanes).fill(-Infinity));
      for (const [name, limit] of limits) {
        const y = u.valToPos(limit, "y", true), text = `SLO ${name.toUpperCase()} ${+limit.toFixed(2)} s`;
        rule(ctx, [box.left, y], [box.right, y], color("ink"), [6 * px, 4 * px]);
        ctx.fillStyle = color("ink");
        label(ctx, text, box.right - 4 * px - ctx.measureText(text).width, y - 7 * px, px);
      }
    });
  }

  // Names stand in lanes below each other, none upon another. One without room is left out: the text has it.
  function nameAll(u, ctx, box, px, named, lanes) {
    for (const [at, whole, name] of named) {
      const text = shortened(ctx, whole, box.right - box.left - 4 * px);
      const width = ctx.measureText(text).width;
      const x = Math.max(box.left, Math.min(u.valToPos(at, "x", true) + 4 * px, box.right - width - 2 * px));
      const lane = lanes.findIndex((end) => end < x);
      if (lane < 0) continue;
      lanes[lane] = x + width + 8 * px;
      ctx.fillStyle = color(name);
      label(ctx, text, x, box.top + (15 + 13 * lane) * px, px);
    }
  }

  return { seconds, plain, highest, color, lonely, shade, annotate };
})();
