"use strict";
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const figures = [...document.querySelectorAll(".plot")].map((at) => ({ at, ...JSON.parse(at.nextElementSibling.textContent) }));

  const template = () => {
    const style = getComputedStyle(root), colour = (name) => style.getPropertyValue("--" + name).trim();
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ticklabelstandoff: 4, title: { standoff: 8 } };
    const scale = [[0, colour("cold")], [1, colour("warm")]];
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: colour("series").split(",").map((c) => c.trim()),
        font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("text") },
        margin: { l: 48, r: 14, t: 18, b: 40 }, height: 340, hovermode: "closest", dragmode: hovers ? "zoom" : false, bargap: 0.25,
        legend: { orientation: "h", y: -0.18, yanchor: "top", x: 0, bgcolor: "rgba(0,0,0,0)" },
        hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("text") }, align: "left" },
        xaxis: axis, yaxis: axis, modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("text") },
      },
      data: { heatmap: [{ colorscale: scale, colorbar: { thickness: 12, outlinewidth: 0 } }] },
    };
  };
  const hovers = matchMedia("(hover: hover)").matches;
  const config = { displaylogo: false, displayModeBar: hovers ? "hover" : false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] };
  const draw = () => {
    const shared = figures.length ? template() : null;
    for (const { at, data, layout } of figures) {
      Plotly.react(at, structuredClone(data), { ...structuredClone(layout), width: at.clientWidth, template: shared }, config);
    }
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to " + (isDark() ? "light" : "dark") + " colours");
  };
  const remember = (theme) => { try { localStorage.setItem("fermion-theme", theme); } catch { /* a page in a sandbox has no storage */ } };
  const recalled = () => { try { return localStorage.getItem("fermion-theme"); } catch { return null; } };

  if (["dark", "light"].includes(recalled())) root.dataset.theme = recalled();
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; remember(root.dataset.theme); draw(); });
  prefersDark.addEventListener("change", draw);

  // Plotly's own resizing comes a moment late, when paper has already been laid out; so widths are set here.
  let later, wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === wide || "paper" in root.dataset) return;
    wide = innerWidth;
    clearTimeout(later);
    later = setTimeout(draw, 100);
  });
  let before;
  addEventListener("beforeprint", () => { before = root.dataset.theme; root.dataset.theme = "light"; root.dataset.paper = ""; draw(); });
  addEventListener("afterprint", () => { delete root.dataset.paper; if (before) root.dataset.theme = before; else delete root.dataset.theme; draw(); });

  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  for (const head of document.querySelectorAll("th[aria-sort]")) {
    head.firstElementChild.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", body = head.closest("table").tBodies[0];
      for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const cell = (row) => row.cells[head.cellIndex].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const x = cell(a), y = cell(b);
        if (x === "" || y === "") return (x === "") - (y === "");  // what is missing stays last either way
        const by = isNaN(x) || isNaN(y) ? order(x, y) : x - y;
        return up ? by : -by;
      });
      body.append(...rows);
    });
  }
  draw();
})();
