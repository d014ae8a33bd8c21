const { config, figures } = JSON.parse(document.getElementById("figures").textContent);
figures.forEach(({ data, layout }, i) => Plotly.newPlot(`plot-${i}`, data, layout, config));

// A click sorts by that column, numbers by value and largest first; the next click turns it round.
const number = text => { const n = parseFloat(text.replace(/[,<]/g, "")); return /\dM\b/.test(text) ? n * 1e6 : n; };
const order = (a, b) => { const x = number(a), y = number(b); return isNaN(x) && isNaN(y) ? a.localeCompare(b) : isNaN(x) ? 1 : isNaN(y) ? -1 : y - x; };
document.querySelectorAll("th").forEach(th => th.addEventListener("click", () => {
  const body = th.closest("table").tBodies[0], cell = row => row.cells[th.cellIndex].textContent;
  th.turned = !th.turned;
  [...body.rows].sort((a, b) => (th.turned ? 1 : -1) * order(cell(a), cell(b))).forEach(row => body.append(row));
}));
