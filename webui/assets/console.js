// Keeps the figures of a page fresh: only the text of marked cells changes. Lists that
// are sorted, filtered or turned over are htmx's. Neither touches a form or a dialogue,
// and pages work without scripts.
"use strict";

(() => {
  const every = 2000; // ms
  let box = null; // what is kept fresh
  const pulse = document.getElementById("pulse");

  // The same as format.go.
  const group = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const show = {
    num: (v) => (v < 0 ? "-" : "") + group(Math.abs(v)),
    bytes: (v) => {
      if (v < 0) return "?";
      const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
      let i = 0;
      while (v >= 1024 && i < units.length - 1) { v /= 1024; i++; }
      if (i === 0 || v >= 100) return Math.floor(v) + " " + units[i];
      return (Math.floor(v * 10) / 10).toFixed(1) + " " + units[i];
    },
    rate: (v) => {
      if (v < 0.05) return "0/s";
      if (v < 100) return (Math.floor(v * 10 + 0.5) / 10).toFixed(1) + "/s";
      return group(Math.floor(v + 0.5)) + "/s";
    },
    span: (s) => {
      const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
      for (let i = 0; i < parts.length; i++) {
        const [unit, size] = parts[i];
        if (s < size && size > 1) continue;
        let text = Math.floor(s / size) + " " + unit;
        if (i + 1 < parts.length) {
          const rest = Math.floor((s % size) / parts[i + 1][1]);
          if (rest > 0) text += " " + rest + " " + parts[i + 1][0];
        }
        return text;
      }
      return "0 s";
    },
  };

  const pick = (value, path) => path.split(".").reduce((v, key) => (v == null ? undefined : v[key]), value);

  window.treadmq = { show, pick };

  // The small pictures of rows, drawn as chart.go draws them.
  const rowPoints = (heights) => (heights.length < 2 ? "" : heights.map((h, i) => 2 * (30 - heights.length + i) + "," + (21 - h)).join(" "));

  const fill = (root, value) => {
    for (const cell of root.querySelectorAll("[data-f]")) {
      const v = pick(value, cell.dataset.f);
      if (typeof v !== "number") continue;
      const text = show[cell.dataset.k](v);
      if (cell.textContent === text) continue;
      cell.textContent = text;
      if (cell.dataset.k === "span") continue;
      cell.classList.remove("changed");
      void cell.offsetWidth; // begins the animation anew
      cell.classList.add("changed");
    }
    for (const tag of root.querySelectorAll("[data-if]")) tag.hidden = !pick(value, tag.dataset.if);
    for (const meter of root.querySelectorAll("meter[data-m]")) meter.value = pick(value, meter.dataset.m) || 0;
    for (const line of root.querySelectorAll("[data-heights]")) line.setAttribute("points", rowPoints(value.spark || []));
    root.dispatchEvent(new CustomEvent("figures", { detail: value, bubbles: true })); // for chart.js
  };

  // say shows a note, with a link that asks for what is shown again: for the list only, if that is all there is.
  const say = (text, reload) => {
    const note = document.getElementById("live-note");
    if (note.dataset.said === text) return;
    note.dataset.said = text;
    note.textContent = text;
    note.hidden = text === "";
    if (text === "" || !reload) return;
    const a = document.createElement("a");
    a.href = location.pathname + location.search;
    a.textContent = note.dataset.reload;
    note.append(" ", a);
    if (reload !== "list" || !box.closest("#list")) return;
    a.setAttribute("hx-boost", "true");
    a.setAttribute("hx-push-url", "false");
    htmx.process(a);
  };
  const words = (name) => document.getElementById("live-note").dataset[name];

  const keyOf = (item) => (item.kind ? item.kind + ":" + item.name : String(item.serial ?? item.id));

  // A mark at the top says that the figures are fresh, and since when they are not.
  const fresh = () => {
    const text = pulse.dataset.text + new Date().toISOString().slice(11, 19) + " UTC";
    pulse.hidden = false;
    pulse.title = text;
    pulse.setAttribute("aria-label", text);
    pulse.classList.remove("lost");
  };

  const update = (data) => {
    fresh();
    if (!data.items) { fill(box, data); return !box.dataset.state || box.dataset.state === data.state; }
    const items = new Map(data.items.map((item) => [keyOf(item), item]));
    if (box.dataset.item) {
      const item = items.get(box.dataset.item);
      if (item) fill(box, item);
      return Boolean(item);
    }
    let same = true;
    for (const row of box.querySelectorAll("[data-row]")) {
      const item = items.get(row.dataset.row);
      if (item) fill(row, item);
      if (!item || (row.dataset.state && row.dataset.state !== item.state)) same = false;
    }
    return same && Number(box.dataset.total) === (data.total ?? data.items.length);
  };

  const lost = () => {
    pulse.classList.add("lost");
    say(words("lost"));
  };

  const take = (data) => say(update(data) ? "" : words("changed"), "list");

  // Asks for the figures once; false if it is of no use to ask again.
  const refresh = async (from) => {
    if (document.hidden) return true;
    try {
      const answer = await fetch(from.dataset.live, { headers: { Accept: "application/json" } });
      if (from !== box) return false;
      if (answer.status === 401) { say(words("ended"), "page"); return false; }
      if (answer.ok) take(await answer.json());
      else lost();
    } catch {
      lost();
    }
    return from === box;
  };

  // Figures come as events while the page is seen; a browser has few connections to
  // one server, so hidden pages give theirs up. Without events the script asks.
  let source = null;
  let broken = 0; // in a row

  const close = () => { source?.close(); source = null; };

  const ask = async (from) => {
    if (await refresh(from)) setTimeout(ask, every, from);
  };

  const open = () => {
    close();
    const from = box;
    const at = new URL(from.dataset.live, location);
    const query = new URLSearchParams(at.search);
    query.set("of", at.pathname.split("/").pop());
    source = new EventSource(at.pathname.replace(/[^/]+$/, "events") + "?" + query);
    source.onmessage = (event) => {
      broken = 0;
      take(JSON.parse(event.data));
    };
    source.onerror = async () => {
      close();
      broken++;
      if (!(await refresh(from))) return; // the login has ended
      if (broken < 5) setTimeout(() => { if (from === box && !source && !document.hidden) open(); }, every);
      else setTimeout(ask, every, from);
    };
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (box && !source && broken < 5) open();
  });

  // What is new on the page: at the start, and when htmx has put something in place of a list.
  const begin = () => {
    for (const all of document.querySelectorAll("[data-all]")) { all.hidden = false; count(all.form); }
    const now = document.querySelector("[data-live]");
    if (now === box) return;
    close();
    box = now;
    broken = 0;
    say("");
    if (box && !document.hidden) open();
  };

  // Ticks: one for the whole page, and how many there are.
  const ticks = "input[name=at][type=checkbox]";
  const count = (form) => {
    const list = [...form.querySelectorAll(ticks)];
    const n = list.filter((t) => t.checked).length;
    const all = form.querySelector("[data-all]");
    form.querySelector("[data-ticked]").textContent = n ? String(n) : "";
    all.checked = n === list.length;
    all.indeterminate = n > 0 && n < list.length;
  };
  document.addEventListener("change", ({ target }) => {
    if (!target.matches(ticks + ", [data-all]")) return;
    if (target.matches("[data-all]")) for (const t of target.form.querySelectorAll(ticks)) t.checked = target.checked;
    count(target.form);
  });

  // htmx puts a list in place of the one before. Whatever else the server answers, a login page or
  // what is wrong, is shown as the browser would without it.
  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    for (const [name, value] of [...ctx.request.body]) if (value === "") ctx.request.body.delete(name);
    // Typing on changes the address of the list it began, so that one step back leaves the filter.
    if (ctx.sourceEvent.type === "input" && new URLSearchParams(location.search).get("filter")) [ctx.push, ctx.replace] = ["false", "true"];
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx, tasks } = event.detail;
    const { ok, redirected } = ctx.response.raw;
    if (ok && !redirected && tasks.some((task) => task.type === "main" && task.fragment.childElementCount)) {
      const same = tasks.find((task) => task.target?.id === "same");
      if (same) same.fragment.firstElementChild.open = same.target.open;
      return;
    }
    event.preventDefault();
    if (ctx.sourceElement === document.body) location.reload(); // a step back or forward
    else location.assign(ctx.request.action);
  });
  document.addEventListener("htmx:after:swap", begin);
  document.addEventListener("htmx:error", lost);
  begin();

  // On a narrow screen the parts of the console are a row that scrolls.
  const here = document.querySelector(".top nav a[aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;

  // Messages that were filled in once, kept in this browser only.
  for (const box of document.querySelectorAll("[data-templates]")) {
    const key = "treadmq.templates";
    const most = 50;
    const form = box.closest("form");
    const pick = box.querySelector("[data-pick]");
    const name = box.querySelector("[data-name]");
    const read = () => {
      try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
    };
    const write = (all) => {
      try { localStorage.setItem(key, JSON.stringify(all)); } catch { /* no room, or not allowed */ }
    };
    const list = (chosen) => {
      while (pick.options.length > 1) pick.remove(1);
      for (const n of Object.keys(read()).sort()) pick.add(new Option(n, n, false, n === chosen));
    };
    pick.addEventListener("change", () => {
      const fields = read()[pick.value];
      name.value = pick.value;
      if (!fields) return;
      for (const input of form.elements) {
        if (!input.name) continue;
        if (input.type === "radio" || input.type === "checkbox") input.checked = fields[input.name] === input.value;
        else input.value = fields[input.name] ?? "";
      }
    });
    box.querySelector("[data-save]").addEventListener("click", () => {
      const title = name.value.trim();
      if (!title) { name.focus(); return; }
      const all = read();
      if (!(title in all) && Object.keys(all).length >= most) return;
      all[title] = Object.fromEntries(new FormData(form));
      write(all);
      list(title);
    });
    box.querySelector("[data-forget]").addEventListener("click", () => {
      const all = read();
      delete all[pick.value];
      write(all);
      name.value = "";
      list("");
    });
    list("");
    box.hidden = false;
  }

  // A line of code is selected by a click, and copied where the browser allows it.
  document.addEventListener("click", ({ target }) => {
    const code = target.closest("[data-copy]");
    if (!code) return;
    getSelection().selectAllChildren(code);
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).catch(() => {});
  });

  // A theme is taken at once, without losing what is being typed.
  for (const form of document.querySelectorAll("form.theme")) {
    form.addEventListener("submit", (event) => {
      if (!event.submitter) return;
      event.preventDefault();
      const choice = event.submitter.value;
      if (choice === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = choice;
      for (const other of document.querySelectorAll("form.theme button")) {
        other.setAttribute("aria-pressed", String(other.value === choice));
      }
      const body = new URLSearchParams(new FormData(form));
      body.set("theme", choice);
      fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => {});
    });
  }
})();
