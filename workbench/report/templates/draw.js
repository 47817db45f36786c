"use strict";
{
  const settings = {
    responsive: true,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    displaylogo: false,
    typesetMath: false,
    toImageButtonOptions: { format: "svg" },
  };
  for (const place of document.querySelectorAll("[data-figure]")) {
    const source = document.getElementById(`figure-${place.dataset.figure}`);
    const { data, layout } = JSON.parse(source.textContent);
    place.textContent = "";
    Plotly.newPlot(place, data, layout, settings);
  }
}
