"use strict";
{
  const settings = {
    responsive: true,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    displaylogo: false,
    typesetMath: false,
    toImageButtonOptions: { format: "svg" },
  };
  const paper = 800; // pixels: A4 between the margins, at the zoom that page.css gives figures
  const places = [...document.querySelectorAll("[data-figure]")];

  // Plotly breaks no lines: words in lines of at most so many characters.
  const lines = (text, most) => {
    const found = [];
    for (const word of text.split(" ")) {
      const longer = `${found.at(-1)} ${word}`;
      if (found.length && longer.length <= most) found[found.length - 1] = longer;
      else found.push(word);
    }
    return found;
  };

  // More pixels between title and plot; the legend keeps its distance from what is above it.
  const grown = ({ height, margin, legend }, pixels, above) => ({
    height: height + pixels,
    "margin.t": margin.t + pixels,
    "legend.y": 1 - ((1 - legend.y) * height + above) / (height + pixels),
  });

  const broken = (layout, width) => {
    const title = lines(layout.title.text, width / 8.5);
    const subtitle = lines(layout.title.subtitle?.text ?? "", width / 6.3);
    const more = 20 * (title.length - 1) + 15 * (subtitle.length - 1);
    return {
      "title.text": title.join("<br>"),
      "title.subtitle.text": subtitle.join("<br>"),
      ...grown(layout, more, more),
    };
  };

  // A legend of many lines would reach into the plot.
  const below = (place, layout) => {
    const legend = place.querySelector("g.legend .bg")?.getBoundingClientRect();
    const titled = layout.annotations?.some((one) => one.y === 1 && one.yref === "paper");
    const room = layout.margin.t - (1 - layout.legend.y) * layout.height - (titled ? 22 : 4);
    return legend ? Math.max(0, legend.height - room) : 0;
  };

  const draw = async (place) => {
    const source = document.getElementById(`figure-${place.dataset.figure}`);
    const { data, layout } = JSON.parse(source.textContent);
    place.textContent = "";
    await Plotly.newPlot(place, data, layout, settings);
    if (layout.legend?.y === undefined || !layout.title?.text) return; // not of our own making
    await Plotly.relayout(place, broken(place.layout, place.clientWidth));
    const more = below(place, place.layout);
    if (more) await Plotly.relayout(place, grown(place.layout, more, 0));
  };

  places.forEach(draw);
  // A figure has the width of the window it was drawn in; a browser prints it as it stands.
  addEventListener("beforeprint", () => {
    for (const place of places) Plotly.relayout(place, { width: paper });
  });
  addEventListener("afterprint", () => {
    for (const place of places) Plotly.relayout(place, { width: null, autosize: true });
  });
}
