(() => {
  "use strict";
  const one = (query, root = document) => root.querySelector(query);
  const all = (query, root = document) => [...root.querySelectorAll(query)];

  // Light and dark: the system decides until the reader does.
  one("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Words beside a mark, on hover and on focus alike.
  const tip = one("#tip");
  const showTip = (mark) => {
    const box = mark.getBoundingClientRect();
    tip.textContent = mark.dataset.tip || mark.getAttribute("aria-label");
    tip.hidden = false;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const mark = event.target.closest && event.target.closest("[data-tip]");
      if (mark) showTip(mark); else hideTip();
    });
  }
  document.addEventListener("focusout", hideTip);
  addEventListener("scroll", hideTip, { passive: true });

  // Leaderboard: sorting, words to filter by, and the selection made in a plot.
  const board = one("#board");
  const body = one("tbody", board);
  const rows = all("tr", body);
  const chosen = new Set();
  const status = one("#selected");
  const clear = one("#clear");
  const filter = one("#filter");

  // The first dozen rows say most; filtering and selecting see them all.
  const FIRST = 12;
  const more = one("#more");
  let whole = rows.length <= FIRST;
  more.hidden = whole;
  more.addEventListener("click", () => { whole = true; more.hidden = true; refresh(); });

  const refresh = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const narrowed = chosen.size > 0 || words.length > 0;
    let shown = 0;
    for (const row of body.rows) {
      const named = words.every((word) => row.cells[1].textContent.toLowerCase().includes(word));
      const wanted = named && (!chosen.size || chosen.has(row.dataset.s)) && (narrowed || whole || shown < FIRST);
      row.hidden = !wanted;
      if (wanted) shown += 1;
    }
    clear.hidden = !narrowed;
    const picked = chosen.size ? `${chosen.size} selected in the plots; ` : "";
    status.textContent = clear.hidden ? "" : `${picked}${shown} of ${rows.length} rows shown`;
    document.dispatchEvent(new CustomEvent("selection"));
  };
  filter.addEventListener("input", refresh);
  clear.addEventListener("click", () => { chosen.clear(); filter.value = ""; refresh(); });

  all("thead th[data-sort]", board).forEach((head) => {
    one("button", head).addEventListener("click", () => {
      const column = head.cellIndex;
      const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      all("th[aria-sort]", board).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
      const key = head.dataset.sort === "text"
        ? (row) => row.cells[column].textContent.trim()
        : (row) => Number(row.cells[column].dataset.v);
      const order = rows.slice().sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        return turn * (typeof x === "string" ? x.localeCompare(y) : (Number.isNaN(x) - Number.isNaN(y)) || x - y);
      });
      body.append(...order);
      refresh();
    });
  });
  refresh();

  // On paper: no words beside a mark, every row that is not filtered out, the numbers of every figure.
  let folded = [];
  addEventListener("beforeprint", () => {
    hideTip();
    folded = all("details").filter((fold) => !fold.open);
    folded.forEach((fold) => { fold.open = true; });
    document.activeElement.blur();
  });
  addEventListener("afterprint", () => { folded.forEach((fold) => { fold.open = false; }); });

  // The scatter: drag to select, arrows to walk, Enter to pick, Escape to clear, other axes on request.
  const facts = JSON.parse(one("#scatter").textContent);
  const plot = one("#pareto-plot");
  if (facts && plot) {
    const marks = all(".mark", plot);
    const brush = one(".brush", plot);
    const [x0, x1, y0, y1] = plot.dataset.area.split(" ").map(Number);
    let axes = [Number(plot.dataset.x), Number(plot.dataset.y)];
    const places = [];

    const place = () => {
      const scales = axes.map((metric) => {
        const values = facts.points.map((point) => point.v[metric]).filter((value) => value !== null);
        const [low, high] = [Math.min(...values), Math.max(...values)];
        const air = (high - low) * 0.06 || 0.5;
        return [low - air, high + air];
      });
      const [sx, sy] = scales;
      marks.forEach((mark, index) => {
        const [vx, vy] = axes.map((metric) => facts.points[index].v[metric]);
        mark.style.display = vx === null || vy === null ? "none" : "";
        const x = x0 + ((vx - sx[0]) / (sx[1] - sx[0])) * (x1 - x0);
        const y = y0 + ((vy - sy[0]) / (sy[1] - sy[0])) * (y1 - y0);
        places[index] = [x, y];
        mark.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      });
      return scales;
    };

    const text = (parent, words, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", "text");
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      node.textContent = words;
      parent.append(node);
    };
    const redrawAxes = (scales) => {
      const group = one(".axes", plot);
      group.replaceChildren();
      one(".front-line", plot).setAttribute("d", "");
      const digits = (low, high) => Math.max(0, Math.ceil(-Math.log10((high - low) / 5)) + 1);
      for (let step = 0; step <= 5; step += 1) {
        const [vx, vy] = scales.map(([low, high]) => (low + ((high - low) * step) / 5).toFixed(digits(low, high)));
        const [x, y] = [x0 + ((x1 - x0) * step) / 5, y0 + ((y1 - y0) * step) / 5];
        text(group, vx, { x, y: y0 + 16, "text-anchor": "middle", class: "tick" });
        text(group, vy, { x: x0 - 7, y, dy: "0.35em", "text-anchor": "end", class: "tick" });
        const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        for (const [name, value] of Object.entries({ x1: x0, x2: x1, y1: y, y2: y, class: "grid" })) line.setAttribute(name, value);
        group.prepend(line);
      }
      text(group, facts.metrics[axes[0]].title, { x: (x0 + x1) / 2, y: y0 + 40, "text-anchor": "middle", class: "axis-title" });
      text(group, facts.metrics[axes[1]].title, { x: -(y0 + y1) / 2, y: 12, transform: "rotate(-90)", "text-anchor": "middle", class: "axis-title" });
    };

    place();
    one(".axes-choice").hidden = false;
    ["#axis-x", "#axis-y"].forEach((id, which) => {
      const choice = one(id);
      facts.metrics.forEach((metric, index) => choice.append(new Option(metric.title, index, false, index === axes[which])));
      choice.addEventListener("change", () => { axes[which] = Number(choice.value); redrawAxes(place()); });
    });

    document.addEventListener("selection", () => {
      plot.classList.toggle("brushed", chosen.size > 0);
      marks.forEach((mark, index) => {
        const on = chosen.has(facts.points[index].s);
        mark.classList.toggle("chosen", on);
        mark.setAttribute("aria-pressed", String(on));
      });
    });

    const at = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      return [point.x, point.y];
    };
    let start = null;
    const hideBrush = () => { brush.setAttribute("width", 0); brush.setAttribute("height", 0); };
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = at(event);
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = at(event);
      const box = { x: Math.min(x, start[0]), y: Math.min(y, start[1]), width: Math.abs(x - start[0]), height: Math.abs(y - start[1]) };
      for (const [name, value] of Object.entries(box)) brush.setAttribute(name, value);
    });
    plot.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [x, y] = at(event);
      const [left, right] = [Math.min(x, start[0]), Math.max(x, start[0])];
      const [top, bottom] = [Math.min(y, start[1]), Math.max(y, start[1])];
      start = null;
      hideBrush();
      const click = right - left < 4 && bottom - top < 4;
      if (click) {
        let near = -1, distance = 10;
        places.forEach(([px, py], index) => {
          const away = Math.hypot(px - x, py - y);
          if (away < distance) [near, distance] = [index, away];
        });
        if (near >= 0) toggle(near); else { chosen.clear(); refresh(); }
        return;
      }
      chosen.clear();
      places.forEach(([px, py], index) => {
        if (px >= left && px <= right && py >= top && py <= bottom) chosen.add(facts.points[index].s);
      });
      refresh();
    });
    plot.addEventListener("pointercancel", () => { start = null; hideBrush(); });

    const toggle = (index) => {
      const signature = facts.points[index].s;
      if (!chosen.delete(signature)) chosen.add(signature);
      refresh();
    };
    const walk = (from, dx, dy) => {
      // The nearest mark in the direction of the key; sideways distance counts double.
      let best = -1, cost = Infinity;
      places.forEach(([x, y], index) => {
        const [ax, ay] = [x - places[from][0], y - places[from][1]];
        const along = ax * dx + ay * dy;
        const price = along + 2 * Math.abs(ax * dy + ay * dx);
        if (index !== from && along > 0.01 && price < cost) [best, cost] = [index, price];
      });
      if (best < 0) return;
      marks[from].tabIndex = -1;
      marks[best].tabIndex = 0;
      marks[best].focus();
    };
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    plot.addEventListener("keydown", (event) => {
      const index = marks.indexOf(event.target);
      if (index < 0) return;
      if (steps[event.key]) walk(index, ...steps[event.key]);
      else if (event.key === "Enter" || event.key === " ") toggle(index);
      else return;
      event.preventDefault();
    });
  }

  // Parallel axes: a range dragged on an axis keeps the lines through it; a click on the axis takes it away.
  const lines = one("#parallel-plot");
  if (lines) {
    const threads = all(".thread", lines);
    const heights = threads.map((thread) => thread.dataset.h.split(" ").map((part) => (part === "-" ? NaN : Number(part))));
    const grips = all(".grip", lines);
    const ranges = new Map();
    const keep = () => {
      chosen.clear();
      if (ranges.size) {
        threads.forEach((thread, index) => {
          if ([...ranges].every(([axis, [low, high]]) => heights[index][axis] >= low && heights[index][axis] <= high)) chosen.add(thread.dataset.s);
        });
      }
      refresh();
    };
    grips.forEach((grip, axis) => {
      const shade = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      shade.setAttribute("class", "range");
      grip.after(shade);
      const top = Number(grip.getAttribute("y")), tall = Number(grip.getAttribute("height"));
      const height = (event) => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(lines.getScreenCTM().inverse());
        return Math.min(1, Math.max(0, 1 - (point.y - top) / tall));
      };
      let from = null;
      const draw = (low, high) => {
        const box = { x: Number(grip.getAttribute("x")) + 6, width: 12, y: top + (1 - high) * tall, height: (high - low) * tall };
        for (const [name, value] of Object.entries(box)) shade.setAttribute(name, value);
      };
      grip.addEventListener("pointerdown", (event) => { from = height(event); grip.setPointerCapture(event.pointerId); });
      grip.addEventListener("pointermove", (event) => { if (from !== null) draw(Math.min(from, height(event)), Math.max(from, height(event))); });
      grip.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const [low, high] = [Math.min(from, height(event)), Math.max(from, height(event))];
        from = null;
        if (high - low < 0.01) { ranges.delete(axis); draw(0, 0); } else { ranges.set(axis, [low, high]); draw(low, high); }
        keep();
      });
    });
    document.addEventListener("selection", () => {
      if (!chosen.size && ranges.size) { ranges.clear(); all(".range", lines).forEach((shade) => shade.setAttribute("height", 0)); }
      lines.classList.toggle("brushed", chosen.size > 0);
      threads.forEach((thread) => thread.classList.toggle("chosen", chosen.has(thread.dataset.s)));
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    hideTip();
    if (chosen.size) { chosen.clear(); refresh(); }
  });
})();
