"use strict";
{
  const settings = {
    responsive: true,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    displaylogo: false,
    typesetMath: false,
    toImageButtonOptions: { format: "svg" },
  };
  const paper = 680; // pixels: a page of A4 between the margins that page.css gives it
  const places = [...document.querySelectorAll("[data-figure]")];
  for (const place of places) {
    const source = document.getElementById(`figure-${place.dataset.figure}`);
    const { data, layout } = JSON.parse(source.textContent);
    place.textContent = "";
    Plotly.newPlot(place, data, layout, settings);
  }
  // A figure has the width of the window it was drawn in; a browser prints it as it stands.
  addEventListener("beforeprint", () => {
    for (const place of places) Plotly.relayout(place, { width: paper });
  });
  addEventListener("afterprint", () => {
    for (const place of places) Plotly.relayout(place, { width: null, autosize: true });
  });
}
