"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  document.body.classList.add("js");

  // Everything that comes from a record is set as text, never as markup.
  const el = (tag, props, ...kids) => {
    const e = Object.assign(document.createElement(tag), props);
    e.append(...kids);
    return e;
  };
  const count = n => n.toLocaleString("en");
  const mib = n => (n / 1048576).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }) + " MiB (" + count(n) + " B)";

  // Sort: a button in each head; numbers by their value, words by letters; rows without a value stay last.
  const value = (row, i) => {
    const c = row.cells[i];
    return c.dataset.v !== undefined ? Number(c.dataset.v) : c.classList.contains("missing") || c.classList.contains("n") ? null : c.textContent;
  };
  const sort = (table, i) => {
    const head = table.tHead.rows[0].cells[i];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const h of table.tHead.rows[0].cells) h.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, at) => ({ row, at, v: value(row, i) }));
    rows.sort((a, b) => {
      if (a.v === null || b.v === null) return (a.v === null) - (b.v === null) || a.at - b.at;
      const d = typeof a.v === "number" && typeof b.v === "number" ? a.v - b.v : String(a.v).localeCompare(String(b.v), "en", { numeric: true });
      return (up ? d : -d) || a.at - b.at;
    });
    body.append(...rows.map(r => r.row));
  };
  for (const table of document.querySelectorAll(".sheet table[id^='t-']")) {
    [...table.tHead.rows[0].cells].forEach((h, i) => {
      const b = el("button", { type: "button" });
      b.append(...h.childNodes);
      b.addEventListener("click", () => sort(table, i));
      h.append(b);
    });
  }

  // Filter: every word must occur in the row.
  const match = (text, query) => query.toLowerCase().split(/\s+/).every(w => text.toLowerCase().includes(w));
  for (const input of document.querySelectorAll("[data-filter]")) {
    const table = document.getElementById(input.dataset.filter);
    if (table.tBodies[0].rows.length < 6) input.closest(".tools").hidden = true;
    const out = document.querySelector('[data-count="' + input.dataset.filter + '"]');
    input.addEventListener("input", () => {
      let n = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = !match(row.textContent, input.value);
        if (!row.hidden) n++;
      }
      out.textContent = input.value ? n + " of " + table.tBodies[0].rows.length + " rows" : "";
    });
  }

  // Cells open their runs. One listener and one tab stop a cell; buttons are made when a row is first reached.
  const dialog = document.getElementById("runs"), body = document.getElementById("runs-body");
  const quote = s => /^[\w.\/@:=,+-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'";
  const entry = (list, name, text) => { if (text !== "" && text !== undefined) list.append(el("dt", {}, name), el("dd", {}, text)); };
  const show = run => {
    const spec = data.specs[run.spec], t = data.trainings[run.training], env = data.envs[run.env];
    const dl = el("dl", {});
    entry(dl, "state", { done: "done", failed: "failed", out_of_memory: "does not fit" }[run.state] + (run.error ? ": " + run.error : ""));
    entry(dl, "spec", spec.name + (spec.sha256 ? ", sha256 " + spec.sha256.slice(0, 16) : ""));
    if (run.vocabulary[0]) entry(dl, "rows", count(run.vocabulary[0]) + ", used " + count(run.vocabulary[1]) + ", kept " + count(run.vocabulary[2]));
    if (run.parameters.total) entry(dl, "parameters", count(run.parameters.total) + " of " + count(run.parameters.full_total));
    if (run.memory) {
      entry(dl, "peak", mib(run.memory[0]));
      if (run.memory[1]) entry(dl, "reserved", mib(run.memory[1]));
      if (run.memory[2]) entry(dl, "forecast", mib(run.memory[2]));
    }
    for (const [k, v] of Object.entries(run.metrics || {})) entry(dl, k, String(v));
    if (run.losses) entry(dl, "training loss", run.losses.join(" → ") + " over " + count(run.steps) + " steps");
    if (run.weights) entry(dl, "final weights", run.weights);
    if (run.seconds) entry(dl, "time", run.seconds + " s, " + run.step + " s a step");
    if (t.batch_size) entry(dl, "training", Object.entries(t).map(([k, v]) => k + " " + v).join(", "));
    entry(dl, "made on", Object.entries(env).filter(([, v]) => v !== "").map(([k, v]) => k + " " + v).join(", "));
    for (const f of data.inputs[run.inputs] || []) entry(dl, f.role, f.name + ", " + count(f.size) + " B, sha256 " + f.sha256);
    for (const n of run.notes || []) entry(dl, "note", n);
    entry(dl, "finished", run.finished);
    const link = el("a", { href: "runs/" + encodeURIComponent(run.id) + ".json" }, "runs/" + run.id + ".json");
    dl.append(el("dt", {}, "record"), el("dd", {}, link));
    const only = ["model", "dataset", "variant", "seed"].map(k => k + "=" + run[k]).join(",");
    dl.append(el("dt", {}, "to repeat"), el("dd", {}, el("code", {}, "pema run " + quote(spec.name) + " --only " + quote(only))));
    return el("article", { className: "run" }, el("h3", {}, run.model + " · " + run.dataset + " · " + run.variant + " · seed " + run.seed), dl);
  };
  const open = runs => {
    body.replaceChildren(...runs.slice(0, 40).map(i => show(data.runs[i])));
    if (runs.length > 40) body.append(el("p", {}, "and " + (runs.length - 40) + " more"));
    document.getElementById("runs-title").textContent = runs.length === 1 ? "The run behind this figure" : "The " + runs.length + " runs behind this figure";
    dialog.showModal();
    dialog.scrollTop = 0;
  };
  const arm = row => {
    if (row.dataset.armed) return;
    row.dataset.armed = "1";
    for (const c of row.cells) {
      if (!c.dataset.runs) continue;
      const b = el("button", { type: "button", className: "cell" });
      b.append(...c.childNodes);
      c.append(b);
    }
  };
  const rows = document.querySelectorAll(".sheet tbody tr");
  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver(es => { for (const e of es) if (e.isIntersecting) { seen.unobserve(e.target); arm(e.target); } }, { rootMargin: "400px" });
    rows.forEach(r => seen.observe(r));
  } else rows.forEach(arm);
  document.getElementById("main").addEventListener("click", e => {
    const c = e.target.closest("[data-runs]");
    if (c) open(c.dataset.runs.split(" ").map(Number));
  });
  for (const d of document.querySelectorAll("dialog")) d.addEventListener("click", e => { if (e.target === d) d.close(); });

  // Pictures enlarge.
  const zoomed = document.getElementById("zoomed");
  for (const b of document.querySelectorAll(".zoom")) b.addEventListener("click", () => {
    zoomed.lastElementChild.replaceChildren(b.closest("figure").querySelector("svg").cloneNode(true));
    zoomed.showModal();
  });

  // All runs, a hundred at a time.
  const list = document.querySelector("#all-runs tbody"), more = document.getElementById("more-runs"), filter = document.getElementById("run-filter");
  let shown = [], at = 0;
  const next = () => {
    for (const i of shown.slice(at, at + 100)) {
      const r = data.runs[i];
      const b = el("button", { type: "button", className: "cell" }, r.id.slice(0, 12));
      const id = el("td", {}, b);
      id.dataset.runs = String(i);
      list.append(el("tr", {}, id, ...[data.specs[r.spec].name, r.model, r.dataset, r.variant, String(r.seed), r.state.replaceAll("_", " "), r.finished]
        .map((s, k) => el("td", { className: k === 4 ? "n" : "" }, s))));
    }
    at += 100;
    more.hidden = at >= shown.length;
  };
  const refill = () => {
    const text = r => [r.id, data.specs[r.spec].name, r.model, r.dataset, r.variant, r.seed, r.state, r.error || ""].join(" ");
    shown = data.runs.map((_, i) => i).filter(i => !filter.value || match(text(data.runs[i]), filter.value));
    at = 0;
    list.replaceChildren();
    document.getElementById("run-count").textContent = shown.length + " runs";
    next();
  };
  filter.addEventListener("input", refill);
  more.addEventListener("click", next);
  refill();
})();
