// The page is whole without this; with it, one view shows at a time and a cell opens its curves.
(() => {
  const curves = JSON.parse(document.getElementById("curves").textContent);
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
  const show = () => {
    // Where there is nothing to choose, there is no control, and all that there is stays.
    if (chosen("condition") !== undefined) only("condition");
    if (chosen("view") === undefined) return;
    const inputs = [...document.querySelectorAll('input[name="view"]')];
    for (const input of inputs) input.parentElement.hidden = !has(input.value);
    if (!has(chosen("view"))) inputs.find((input) => has(input.value)).checked = true;
    only("view");
  };
  // Not every number of hostile clients has every split.
  const has = (view) => document.querySelector(`[data-view="${CSS.escape(view)}"]:not(.other-condition)`) !== null;
  const only = (name) => {
    for (const panel of document.querySelectorAll(`[data-${name}]`)) {
      panel.classList.toggle(`other-${name}`, panel.dataset[name] !== chosen(name));
    }
  };
  for (const input of document.querySelectorAll(".controls input")) input.addEventListener("change", show);
  document.querySelector(".controls")?.removeAttribute("hidden");
  show();

  const make = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const stroke = (number) => ({
    stroke: `var(--c${number % 7})`, "stroke-width": 2.5, "stroke-dasharray": ["", "7 4", "2 3", "9 3 2 3"][number % 4],
  });
  const draw = (lines) => {
    // As wide as the dialog, so that its letters are as large as the page's.
    const width = Math.min(640, Math.max(260, window.innerWidth - 70)), height = 320, left = 42, right = 12, top = 10, bottom = 40;
    const points = lines.flatMap((line) => line.seeds.flat());
    const last = Math.max(...points.map((point) => point[0]), 1);
    const x = (round) => left + (width - left - right) * round / last;
    const y = (share) => height - bottom - (height - top - bottom) * share;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "accuracy against the round" });
    for (const share of [0, .25, .5, .75, 1]) {
      svg.append(make("line", { class: "grid", x1: left, x2: width - right, y1: y(share), y2: y(share) }));
      svg.append(make("text", { class: "axis", x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share}`));
    }
    for (const share of [0, .5, 1]) {
      const round = Math.round(last * share);
      svg.append(make("text", { class: "axis", x: x(round), y: height - bottom + 18, "text-anchor": share === 1 ? "end" : "middle" }, `${round}`));
    }
    svg.append(make("text", { class: "axis", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "round; accuracy in %"));
    lines.forEach((line, number) => {
      const path = (values) => values.map(([round, share], i) => `${i ? "L" : "M"}${x(round).toFixed(1)} ${y(share).toFixed(1)}`).join("");
      for (const seed of line.seeds) svg.append(make("path", { d: path(seed), fill: "none", stroke: stroke(number).stroke, "stroke-width": 1, opacity: .4 }));
      const mean = line.seeds[0].map(([round], i) => {
        const at = line.seeds.map((seed) => seed[i]).filter(Boolean);
        return [round, at.reduce((sum, point) => sum + point[1], 0) / at.length];
      });
      svg.append(make("path", { d: path(mean), fill: "none", ...stroke(number) }));
    });
    return svg;
  };
  const dialog = document.getElementById("dialog");
  const open = (button) => {
    const lines = curves[button.dataset.cell];
    dialog.querySelector("h3").textContent = button.dataset.title;
    const legend = document.createElement("ul");
    legend.className = "legend";
    lines.forEach((line, number) => {
      const item = document.createElement("li");
      const mark = make("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
      mark.append(make("path", { d: "M0 5H30", ...stroke(number) }));
      item.append(mark, `${line.split}: ${line.final} % at the end, ${line.seeds.length} ${line.seeds.length === 1 ? "seed" : "seeds"}`);
      legend.append(item);
    });
    dialog.querySelector(".place").replaceChildren(draw(lines), legend);
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cell]");
    if (button) open(button);
    else if (event.target === dialog) dialog.close();
  });
})();
