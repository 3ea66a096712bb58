"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("bamctl-figures").textContent);
  const config = { responsive: true, displayModeBar: false };

  // Colours are written as names of custom properties, which differ by scheme.
  const coloured = (value, style) => {
    if (typeof value === "string" && value.startsWith("--")) {
      return style.getPropertyValue(value).trim() || value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [
          key, key === "color" || key.endsWith("color") || typeof each === "object"
            ? coloured(each, style) : each,
        ]),
      );
    }
    return value;
  };

  const opened = (page, name) => {
    const found = [...document.querySelectorAll(`details[id^="attachment-${page}-"]`)]
      .find((each) => each.dataset.name === name);
    if (!found) return;
    found.open = true;
    found.scrollIntoView({ block: "center" });
  };

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const drawn = figures.flatMap((page, number) => page.map((figure, index) => {
      if (!figure) return null;
      const element = document.getElementById(`plot-${number}-${index}`);
      const { data, layout } = coloured(figure, style);
      return Plotly.react(element, data, layout, config).then(() => {
        if (element.dataset.ready) return;
        element.dataset.ready = "true";
        element.on("plotly_click", (event) => {
          const name = event.points[0].customdata;
          if (name) opened(number, name);
        });
      });
    }));
    return Promise.all(drawn);
  };

  draw().then(() => { document.documentElement.dataset.ready = "true"; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
