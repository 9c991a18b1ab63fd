for (const figure of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(figure.dataset.chart);
  const svg = figure.querySelector("svg");
  const cursor = figure.querySelector(".cursor");
  const outputs = [...figure.querySelectorAll("output")];
  const at = figure.querySelector(".at");
  const written = (value) => chart.percent ? Math.round(100 * value) + " %" : String(value);
  const nearest = (points, seen) =>
    points.reduce((best, point) => Math.abs(point[0] - seen) < Math.abs(best[0] - seen) ? point : best);
  const tell = (seen) => outputs.forEach((output, number) => {
    output.textContent = written(nearest(chart.curves[number], seen)[1]);
  });
  const leave = () => {
    tell(chart.right);
    at.textContent = "";
    cursor.setAttribute("visibility", "hidden");
  };
  const pointed = (event) => {
    const box = svg.getBoundingClientRect();
    const place = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const wanted = Math.min(Math.max((place - chart.start) / chart.width, 0), 1);
    return nearest(chart.curves.flat(), chart.left + wanted * (chart.right - chart.left))[0];
  };
  svg.addEventListener("click", (event) => {
    figure.dispatchEvent(new CustomEvent("pick", { bubbles: true, detail: pointed(event) }));
  });
  svg.addEventListener("pointermove", (event) => {
    const seen = pointed(event);
    const x = chart.start + chart.width * (seen - chart.left) / (chart.right - chart.left);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    const digits = { minimumFractionDigits: chart.digits, maximumFractionDigits: chart.digits };
    at.textContent = chart.at.replace("{}", seen.toLocaleString("en", digits));
    tell(seen);
  });
  svg.addEventListener("pointerleave", leave);
  leave();
}
