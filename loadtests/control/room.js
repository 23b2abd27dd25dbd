// The control room: asks every second what was seen, draws it, and sends what a person does.
"use strict";
(() => {
  const fixed = JSON.parse(document.getElementById("data").textContent);
  const { seconds, plain, highest, color, lonely, shade, annotate } = charts;
  const HEIGHT = 190, SETTLED = 20, WINDOW = 5;
  const KINDS = {
    load: [["offered", "offered", "grey"], ["attempts", "attempts", "orange"], ["goodput", "goodput", "green"]],
    levels: [["inflight", "in flight", "blue"], ["queued", "queued", "orange"], ["running", "running", "green"], ["slots", "slots", "grey", "steps"]],
    latency: [["e2e_p50", "E2E p50", "blue", "dots"], ["e2e_p95", "E2E p95", "blue"], ["ttft_p50", "TTFT p50", "purple", "dots"], ["ttft_p95", "TTFT p95", "purple"]],
    itl: [["itl_p50", "p50", "purple", "dots"], ["itl_p99", "p99", "purple"]],
    outcomes: null, // whatever occurred
    attempts: [["attempts_open", "open", "blue"], ["waiting", "waiting", "orange"], ["limit", "limit", "grey", "steps"]],
    guards: [["budget", "budget", "purple"], ["breaker", "breaker", "orange", "steps"]],
  };
  const IN_SECONDS = new Set(["latency", "itl"]);
  const APART = new Set(["slots", "limit", "breaker"]);
  const BREAKER = ["closed", "half open", "open"];
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties, ...inside) => { const node = Object.assign(document.createElement(tag), properties); node.append(...inside); return node; };
  const limits = Object.entries(fixed.slo);
  const show = (key, v) => (v === null || v === undefined ? "–" : key === "breaker" ? BREAKER[v] : /_p\d/.test(key) ? seconds(v) : plain(v));
  let seen = { start: 0, state: "ready", t: 0, windows: [], marks: [], done: [], faults: {}, laid: [], saved: [] };
  let lines = { t: [], outcomes: {} };
  let plots = {};

  // What came is laid over what is known: the last seconds come again, since late answers still belong to them.
  function merge(next) {
    const fresh = next.start !== seen.start;
    if (fresh) { lines = { t: [], outcomes: {} }; plots = {}; document.querySelectorAll(".plot").forEach((box) => { box.replaceChildren(); box.ariaLabel = "nothing yet"; }); }
    const from = next.lines.t[0], oldest = (next.lines.t.at(-1) ?? 0) - 3600;
    const keep = lines.t.filter((t) => t < (from ?? Infinity));
    const cut = keep.filter((t) => t < oldest).length;
    const join = (old, more, missing) => [...(old ?? keep.map(() => missing)).slice(cut, keep.length), ...more];
    const outcomes = Object.fromEntries(Object.entries(next.lines.outcomes).map(([name, more]) => [name, join(lines.outcomes[name], more, 0)]));
    lines = Object.fromEntries(Object.entries(next.lines).map(([key, more]) => [key, key === "outcomes" ? outcomes : join(lines[key], more, null)]));
    seen = next;
  }

  async function look() {
    const since = Math.max(0, (lines.t.at(-1) ?? 0) - SETTLED);
    try {
      const answer = await fetch(`seen?since=${since}`);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const next = await answer.json();
      // Another start of the load begins at 0; what was asked for may be too late a part of it.
      merge(next.start !== seen.start && since > 0 ? await (await fetch("seen?since=0")).json() : next);
      complain(seen.trouble);
    } catch (error) {
      complain(`The web UI does not answer (${error.message}): is the run still there?`);
    }
    tell();
    draw();
    setTimeout(look, 1000);
  }

  function complain(text) {
    if (($("trouble").textContent || null) === text) return;
    $("trouble").textContent = text ?? "";
    $("trouble").hidden = !text;
  }

  function tell() {
    const phase = fixed.phases.find((p) => seen.t >= p.start && seen.t < p.end);
    const where = { running: `${phase ? phase.name : "ending"}, `, ended: "", stopped: "" }[seen.state];
    const word = make("b", { className: seen.state, textContent: seen.state });
    const at = `${seen.t.toFixed(0)} of ${plain(fixed.seconds)} s`;
    // Announced when the state or the phase changes, not with each second.
    const said = `${seen.state} ${where}`;
    if ($("state").dataset.said !== said) {
      $("state").dataset.said = said;
      $("state").replaceChildren(word, where === undefined ? "" : ` · ${where}`, make("span", { id: "clock", ariaHidden: "true" }));
    }
    if (where !== undefined) $("clock").textContent = at;
    $("progress").style.width = `${Math.min(100, (100 * seen.t) / fixed.seconds)}%`;
    const runs = seen.state === "running" || seen.state === "starting";
    able("start", !runs); able("stop", runs); able("save", seen.state !== "ready" && seen.state !== "starting");
    tiles();
    const names = Object.entries(seen.faults).map(([name, share]) => `${name}, ${plain(100 * share)} %`);
    list($("force"), names, (text) => make("li", {}, text, undoing("clear", { name: text.split(",")[0] }, "Clear", text)));
    list($("laid"), seen.laid.map((l) => `${l.window}|${l.told}`), (text) => make("li", {}, text.split("|")[1], undoing("heal", { window: text.split("|")[0] }, "Remove", text.split("|")[1])));
    list($("deeds"), seen.done.map((d) => `${d.at.toFixed(1)} s|${d.told}`).reverse(), (text) => make("li", {}, make("span", { textContent: text.split("|")[0] }), text.slice(text.indexOf("|") + 1)));
    list($("saved"), seen.saved.map((s) => `${s.path}|report at ${s.at.toFixed(1)} s: ${s.verdict}`), (text) => make("li", {}, make("a", { href: text.split("|")[0], textContent: text.split("|")[1], target: "_blank" })));
  }

  // A list is made anew only when it changed: a button in it may have the focus.
  function list(box, texts, item) {
    if (box.dataset.shown === JSON.stringify(texts)) return;
    box.dataset.shown = JSON.stringify(texts);
    box.replaceChildren(...texts.map(item));
  }

  function undoing(deed, body, word, what) {
    const button = make("button", { type: "button", textContent: word, ariaLabel: `${word} ${what}` });
    button.dataset.do = deed;
    button.dataset.body = JSON.stringify(body);
    return button;
  }

  function able(name, on) {
    for (const button of document.querySelectorAll(`.buttons [data-do="${name}"]`)) button.ariaDisabled = on ? null : "true";
  }

  function tiles() {
    const last = (key) => lines[key]?.slice(-WINDOW) ?? [];
    const sum = (values) => values.reduce((all, v) => all + (v ?? 0), 0);
    const mean = (key) => (last(key).length ? sum(last(key)) / last(key).length : null);
    const ends = Object.entries(lines.outcomes).map(([name, values]) => [name, sum(values.slice(-WINDOW))]);
    const ended = sum(ends.map(([, n]) => n)), bad = sum(ends.filter(([name]) => name !== "complete" && name !== "left").map(([, n]) => n));
    const tile = (key, text) => { $(`tile-${key}`).textContent = text; };
    tile("offered", show("", mean("offered")));
    tile("goodput", show("", mean("goodput")));
    tile("inflight", show("", lines.inflight?.at(-1)));
    tile("amplification", sum(last("offered")) ? (sum(last("attempts")) / sum(last("offered"))).toFixed(2) : "–");
    tile("errors", ended ? `${((100 * bad) / ended).toFixed(bad && bad < ended / 10 ? 1 : 0)} %` : "–");
    tile("e2e_p95", show("e2e_p95", lines.e2e_p95?.findLast((v) => v !== null)));
  }

  // ---- charts

  // A fault that goes on is at least a line wide; a name is short, since the list of what was done has all of it.
  const brief = (text) => { const first = text.split(", ")[0]; return first.length > 30 ? `${first.slice(0, 29)}…` : first; };
  const source = () => ({
    phases: fixed.phases,
    faults: [...fixed.faults, ...seen.windows].map((f) => ({ ...f, end: Math.max(f.end, f.start + 0.2), label: brief(f.label) })),
    marks: seen.marks.map((m) => ({ ...m, label: brief(m.label) })),
  });
  const end = () => Math.max(fixed.seconds, seen.t), begin = () => Math.max(0, end() - 3600);

  // Outcomes are stacked: the whole at the back, each in front of it shorter by one, `complete` last of all.
  function stacked() {
    const names = Object.keys(lines.outcomes), rows = [];
    let below = lines.t.map(() => 0);
    for (const name of names) rows.unshift([name, (below = below.map((sum, k) => sum + lines.outcomes[name][k]))]);
    return rows;
  }

  const kindsLines = (kind) => (kind === "outcomes" ? stacked().map(([name]) => [name, name.replace("_", " "), `o-${name}`]) : KINDS[kind].filter(([key]) => lines[key]?.some((v) => v !== null)));
  const columns = (kind, chosen) => (kind === "outcomes" ? stacked().map(([, values]) => values) : chosen.map(([key]) => lines[key]));

  function options(kind, chosen, width) {
    const stack = kind === "outcomes", steps = uPlot.paths.stepped({ align: 1 });
    const axis = { stroke: () => color("muted"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: () => color("grid"), width: 1 } };
    const top = (u) => {
      const of = (apart) => highest(u.data.slice(1).flatMap((d, i) => (chosen[i] && apart.has(chosen[i][0]) ? [] : d)));
      const most = of(APART), all = Math.max(of(new Set(["breaker"])), kind === "latency" ? highest(limits.map(([, v]) => v)) : 0);
      return (all > 8 * most && most ? most : all) * 1.18 || 1; // a roof far above must not flatten the house
    };
    return {
      width, height: HEIGHT, padding: [22, 16, 0, 0],
      scales: { x: { time: false, range: () => [begin(), end()] }, y: { range: (u) => [0, top(u)] }, state: { range: [0, 2.3] } },
      axes: [
        { ...axis, size: 26, gap: 4, space: 46, values: (u, ticks) => ticks.map((t) => `${t} s`) },
        { ...axis, size: 42, gap: 4, values: (u, ticks) => ticks.map((v) => (IN_SECONDS.has(kind) ? seconds(v).replace(".00 s", " s") : `${v}`)) },
        ...(chosen.some(([key]) => key === "breaker") ? [{ ...axis, scale: "state", side: 1, size: 58, gap: 4, grid: { show: false }, splits: [0, 1, 2], values: () => BREAKER }] : []),
      ],
      series: [
        { label: "at", value: (u, v) => (v === null ? "–" : `${v} s`) },
        ...chosen.map(([key, name, shade, style], i) => ({
          label: name, scale: key === "breaker" ? "state" : "y", stroke: () => color(shade), width: stack ? 1 : style === "steps" ? 1.5 : 2,
          fill: stack ? () => color(shade) : undefined,
          dash: { dots: [2, 3], steps: key === "breaker" ? undefined : [5, 4] }[style], paths: style === "steps" ? steps : undefined,
          value: (u, v, s, k) => (v === null || k === null ? "–" : show(key, stack ? v - (u.data[i + 2]?.[k] ?? 0) : v)),
          points: stack ? { show: false } : { size: 5, width: 1.5, fill: () => color(shade), filter: lonely, show: true },
        })),
      ],
      cursor: { sync: { key: "room" }, y: false, drag: { x: false, y: false }, points: { size: 7, fill: (u, i) => color(chosen[i - 1][2]) } },
      legend: { markers: { fill: () => "transparent", dash: (u, i) => (chosen[i - 1] && chosen[i - 1][3] ? "dashed" : "solid"), width: 2 } },
      hooks: { drawClear: [(u) => shade(u, source())], draw: [(u) => annotate(u, source(), kind === "latency" ? limits : [], kind === "load" ? 4 : 2)] },
    };
  }

  function draw() {
    $("waiting").hidden = lines.t.length > 0;
    for (const figure of document.querySelectorAll(".chart")) {
      const { kind } = figure.dataset, box = figure.querySelector(".plot"), chosen = kindsLines(kind);
      figure.hidden = !lines.t.length || !chosen.length;
      if (figure.hidden) continue;
      const data = [lines.t, ...columns(kind, chosen)], names = chosen.map(([key]) => key).join();
      if (plots[kind]?.names !== names) {
        box.replaceChildren();
        plots[kind] = { names, plot: new uPlot(options(kind, chosen, box.clientWidth), data, box) };
        box.onkeydown = (event) => step(event, plots[kind].plot);
      } else plots[kind].plot.setData(data);
      const { plot } = plots[kind];
      if (plot.cursor.idx == null || plot.cursor.left < 0) plot.setLegend({ idx: lines.t.length - 1 });
      describe(box, figure.querySelector("b").textContent, chosen);
    }
    if ($("figures").open) table();
  }

  // What a chart shows at its right end, for those who cannot see it.
  function describe(box, title, chosen) {
    const of = (key) => show(key, (lines[key] ?? lines.outcomes[key]).at(-1));
    box.ariaLabel = `${title} at ${lines.t.at(-1)} s: ${chosen.map(([key, name]) => `${name} ${of(key)}`).join(", ")}`;
  }

  function table() {
    const chosen = Object.keys(KINDS).flatMap(kindsLines), from = Math.max(0, lines.t.length - 10);
    const cell = (tag, text, scope) => make(tag, { textContent: text, className: "n", ...(scope ? { scope } : {}) });
    $("figures").querySelector("thead").replaceChildren(make("tr", {}, cell("th", "at", "col"), ...chosen.map(([, name]) => cell("th", name, "col"))));
    const row = (t, k) => make("tr", {}, cell("th", `${t} s`, "row"), ...chosen.map(([key]) => cell("td", show(key, (lines[key] ?? lines.outcomes[key])[from + k]))));
    $("figures").querySelector("tbody").replaceChildren(...lines.t.slice(from).map(row));
  }

  function step(event, plot) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const t = plot.data[0], at = Math.min(Math.max((plot.cursor.idx ?? t.length) + by, 0), t.length - 1);
    for (const { plot: each } of Object.values(plots)) each.setCursor({ left: each.valToPos(t[at], "x"), top: 0 });
  }

  function fit() {
    for (const { plot } of Object.values(plots)) {
      const width = plot.root.parentElement.clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  }

  // ---- by hand

  async function act(name, body) {
    say("…", false);
    try {
      const answer = await fetch(`do/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      const { told, error } = await answer.json();
      say(told ?? error, !answer.ok);
    } catch (error) {
      say(`That did not get through: ${error.message}`, true);
    }
  }

  function say(text, failed) {
    $("said").textContent = text;
    $("said").classList.toggle("error", failed);
  }

  // Fields without a name or a value say nothing; what is a number is sent as one.
  function fields(form) {
    const given = [...form.elements].filter((field) => field.name && field.value !== "" && !field.closest("[hidden]"));
    return Object.fromEntries(given.map((field) => [field.name, field.type === "number" ? field.valueAsNumber : field.value]));
  }

  function knob(select) {
    const own = fixed.knobs[select.value], box = select.form.querySelector(".knob");
    box.hidden = !own;
    if (own) { box.querySelector("span").textContent = own[1]; box.querySelector("input").value = own[2]; }
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.target.dataset.do, fields(event.target));
    if (event.target.dataset.do === "mark") event.target.reset();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (button && button.ariaDisabled !== "true") act(button.dataset.do, JSON.parse(button.dataset.body ?? "{}"));
  });
  $("figures").addEventListener("toggle", () => { if (lines.t.length) draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plots = {}; draw(); });
  new ResizeObserver(fit).observe(document.querySelector("main"));
  for (const select of document.querySelectorAll("[name=choice]")) {
    select.addEventListener("change", () => knob(select));
    knob(select);
  }
  tell();
  look();
})();
