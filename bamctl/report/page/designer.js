"use strict";
(() => {
  const { make, thousands, percent, limitOf, same, FORMATS } = figures;

  const design = (root, data) => {
    const { places, usual, ownOf, opened, costOf, limits, yaml, ...of } = placements(data);
    let state = { settings: data.settings, sites: opened(data.start), budget: {} };
    const settingsOf = (name) => of.settingsOf(state, name);
    const placed = () => of.placed(state);
    const past = [];
    let scope = "";

    const change = (update) => {
      const next = structuredClone(state);
      update(next);
      if (same(next, state)) return;
      past.push(state);
      state = next;
      if (scope && !(scope in state.sites)) scope = "";
      show();
    };
    const undo = () => {
      if (!past.length) return;
      state = past.pop();
      if (scope && !(scope in state.sites)) scope = "";
      show();
    };

    // The network.
    const toggle = (name) => change((next) => {
      if (name in next.sites) delete next.sites[name];
      else next.sites[name] = null;
    });
    const kindOf = (place) => {
      if (place.strategies.includes("bottleneck")) return "bottleneck";
      if (place.is_block) return "block";
      return place.strategies.length ? place.strategies.join(", ") : "other output";
    };
    const tallest = Math.max(...data.stages.map((stage) => stage.height));
    const cells = {};
    const cell = (place) => {
      const stage = data.stages[place.stage];
      const kind = kindOf(place);
      const element = make("button", {
        type: "button", class: `cell-button ${place.is_block ? "block" : "side"}`,
        "data-module": place.module, "aria-label": `${place.module}, ${kind}, ${place.map}`,
        style: `height:${Math.round(24 + (72 * Math.log2(stage.height + 1)) / Math.log2(tallest + 1))}px`,
        click: () => toggle(place.module),
        keydown: (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (!step) return;
          const all = [...network.querySelectorAll(".cell-button:not([hidden])")];
          all[all.indexOf(event.currentTarget) + step]?.focus();
        },
      });
      cells[place.module] = element;
      return element;
    };
    const isMain = (place) => place.is_block || place.strategies.includes("bottleneck");
    const isBranch = (place) => !isMain(place) && place.strategies.length > 0;
    const network = make("div", { class: "stages" }, ...data.stages.map((stage, number) => make(
      "div", { role: "group", "aria-label": `stage ${number + 1}, ${stage.side}, ${stage.channels} channels` },
      make("div", { class: "cells" }, ...data.places.filter((p) => p.stage === number).map(cell)),
      make("p", { "aria-hidden": "true" }, make("strong", {}, `stage ${number + 1}`), make("br"),
        `${stage.side}, ${thousands(stage.channels)} ch.`),
    )));
    const shownKinds = { branches: false, others: false };
    const checkbox = (name, text) => make("label", {}, make("input", {
      type: "checkbox", change: (event) => { shownKinds[name] = event.target.checked; show(); },
    }), ` ${text}`);

    // Presets and undo.
    const undoButton = make("button", { type: "button", click: undo }, "Undo");
    const preset = (name) => make("button", {
      type: "button", click: () => change((next) => {
        const chosen = data.places.filter((place) => place.strategies.includes(name));
        next.sites = Object.fromEntries(chosen.map((place) => [place.module, null]));
      }),
    }, name);
    const trials = Object.keys(data.trials);
    const openTrial = (name) => change((next) => {
      next.settings = data.settings;
      next.sites = opened(data.trials[name]);
    });
    const opener = make("select", {
      change: (event) => {
        if (event.target.value) openTrial(event.target.value);
      },
    }, make("option", { value: "" }, "…"), ...trials.map((name) => make("option", {}, name)));
    const tools = make("div", { class: "tools" }, make("span", {}, "Place at"),
      preset("none"), ...data.presets.map(preset), undoButton,
      ...(trials.length ? [make("label", {}, "Open ", opener)] : []),
      ...(data.places.some(isBranch) ? [checkbox("branches", "branch ends and levels")] : []),
      ...(data.places.some((p) => !isMain(p) && !isBranch(p)) ? [checkbox("others", "other outputs")] : []));

    // Settings, of all sites or of one.
    const settingsBox = make("div", { class: "tools" });
    const select = (text, choices, chosen, changed) => make("label", {}, `${text} `, make(
      "select", { change: (event) => changed(choices[event.target.selectedIndex]) },
      ...choices.map((choice) => make("option", { selected: same(choice, chosen) && "" }, String(choice ?? "by variant"))),
    ));
    const set = (update) => change((next) => {
      if (!scope) next.settings = update(next.settings);
      else next.sites[scope] = ownOf(update(of.settingsOf(next, scope)), next.settings);
    });
    const showSettings = () => {
      const focused = document.activeElement?.closest("label")?.firstChild.textContent;
      const settings = scope ? settingsOf(scope) : state.settings;
      settingsBox.replaceChildren(
        select("Settings of", ["all sites", ...placed()], scope || "all sites", (name) => {
          scope = name === "all sites" ? "" : name;
          show();
        }),
        select("module", Object.keys(data.kinds), settings.module,
          (module) => set((own) => usual(module, own.init))),
        ...data.kinds[settings.module].options.map(([name, choices]) => select(
          name, choices, settings[name], (value) => set((own) => ({ ...own, [name]: value })),
        )),
      );
      // The boxes are new; a keyboard stays where it was.
      if (focused) {
        [...settingsBox.children].find((each) => each.firstChild.textContent === focused)
          ?.querySelector("select").focus();
      }
    };

    // Totals and budgets.
    const totals = make("tbody");
    const rows = data.metrics.map((metric) => {
      const row = make("tr", {}, make("th", { scope: "row" }, metric.title),
        make("td", { class: "right" }), make("td", { class: "right" }), make("td", { class: "right", "data-metric": metric.name }),
        make("td", {}, make("input", {
          "aria-label": `Budget of ${metric.title}`, placeholder: "+1 %", size: 12, spellcheck: "false",
          change: (event) => change((next) => {
            if (event.target.value.trim()) next.budget[metric.name] = event.target.value.trim();
            else delete next.budget[metric.name];
          }),
        }), make("span", { class: "over" })));
      totals.append(row);
      return row;
    });
    const latencyRow = make("tr", {}, make("th", { scope: "row" }, "latency"),
      ...Array.from({ length: 3 }, () => make("td", { class: "right" })), make("td"));
    if (data.latency) totals.append(latencyRow);
    const summary = make("p", { class: "summary", role: "status" });

    const showTotals = () => {
      const costs = placed().map((name) => [name, costOf(places[name], settingsOf(name))]);
      const impossible = costs.filter(([, cost]) => !cost).map(([name]) => name);
      const over = [];
      data.metrics.forEach((metric, number) => {
        const added = costs.reduce((sum, [, cost]) => sum + (cost ? cost[number] : 0), 0);
        const [, plus, share, value] = rows[number].children;
        plus.textContent = `+${FORMATS[metric.name](added)}`;
        share.textContent = percent(added, metric.base);
        value.textContent = FORMATS[metric.name](metric.base + added);
        value.dataset.value = metric.base + added;
        const input = rows[number].querySelector("input");
        const text = state.budget[metric.name] ?? "";
        if (input !== document.activeElement || !text) input.value = text;
        const limit = text ? limitOf(metric, text) : null;
        const isOver = limit !== null && BigInt(metric.base + added) * limit[1] > limit[0];
        input.toggleAttribute("aria-invalid", Boolean(text) && !limit);
        rows[number].querySelector(".over").textContent = text && !limit
          ? ` write it like ${metric.example} or +2 %` : isOver ? " over" : "";
        rows[number].classList.toggle("bad", isOver || Boolean(text && !limit));
        if (isOver) over.push(metric.title);
      });
      showLatency();
      const sites = placed().length === 1 ? "1 site" : `${placed().length} sites`;
      summary.textContent = `${sites}: ${rows.map((row) => (
        `${row.children[0].textContent} ${row.children[1].textContent} (${row.children[2].textContent})`
      )).join(", ")}.${over.length ? ` Over the budget: ${over.join(", ")}.` : ""}${
        impossible.length ? ` Not possible or not priced at ${impossible.join(", ")}.` : ""}`;
      summary.classList.toggle("warning", over.length + impossible.length > 0);
      return impossible;
    };
    const showLatency = () => {
      if (!data.latency) return;
      const known = placed().map((name) => (
        settingsOf(name).module === data.settings.module ? data.latency.added_ms[name] : undefined
      ));
      const [, plus, share, value, note] = latencyRow.children;
      const isKnown = known.every((each) => each !== undefined);
      const added = known.reduce((sum, each) => sum + (each ?? 0), 0);
      plus.textContent = isKnown ? `about +${added.toFixed(3)} ms` : "not known";
      share.textContent = isKnown ? percent(added, data.latency.base_ms) : "";
      value.textContent = isKnown ? `${(data.latency.base_ms + added).toFixed(3)} ms` : "";
      note.textContent = `${data.latency.device}, batch ${data.latency.batch_size}; each module alone`;
    };

    // The placed sites, and the file.
    const siteRows = make("tbody");
    const written = (settings) => data.kinds[settings.module].options
      .filter(([name]) => !same(settings[name], data.kinds[settings.module].usual[name]))
      .map(([name]) => `${name} ${settings[name]}`).join(", ");
    const showSites = () => siteRows.replaceChildren(...placed().map((name) => {
      const settings = settingsOf(name);
      const cost = costOf(places[name], settings);
      return make("tr", {}, make("th", { scope: "row" }, name),
        make("td", {}, `${settings.module} ${written(settings)}`), make("td", {}, places[name].map),
        ...data.metrics.map((metric, number) => make("td", { class: "right" },
          cost ? `+${FORMATS[metric.name](cost[number])}` : "-")));
    }));
    const fileName = make("input", { "aria-label": "Name of the file", size: 24,
      value: `${String(data.network.model ?? "placement").replace(/[^\w.-]/g, ".")}.yaml`, input: () => showFile() });
    const pre = make("pre", { tabindex: "0", "aria-label": "The placement as YAML" });
    const commands = make("pre", { tabindex: "0", "aria-label": "Commands" });
    const told = make("span", { role: "status" });
    const save = make("button", { type: "button", click: () => {
      const link = make("a", { download: fileName.value, href: URL.createObjectURL(new Blob([pre.textContent])) });
      link.click();
      URL.revokeObjectURL(link.href);
    } }, "Save");
    const copy = make("button", { type: "button", click: async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
      } catch {
        getSelection().selectAllChildren(pre);
        document.execCommand("copy");
      }
      told.textContent = "copied";
    } }, "Copy");
    const showFile = () => {
      const quoted = /^[\w./-]+$/.test(fileName.value) ? fileName.value : `'${fileName.value.replaceAll("'", "'\\''")}'`;
      pre.textContent = yaml(state);
      commands.textContent = [`bamctl insert --placement ${quoted}`,
        Object.keys(limits(state)).length ? `bamctl check ${quoted}` : "# bamctl check, when there is a budget",
        `bamctl train --placement ${quoted}`].join("\n");
    };

    const show = () => {
      undoButton.disabled = !past.length;
      showSettings();
      const impossible = showTotals();
      for (const place of data.places) {
        const element = cells[place.module];
        const isPlaced = place.module in state.sites;
        const cost = costOf(place, settingsOf(place.module));
        element.setAttribute("aria-pressed", String(isPlaced));
        element.classList.toggle("own", Boolean(state.sites[place.module]));
        element.classList.toggle("impossible", impossible.includes(place.module));
        element.hidden = !(isPlaced || isMain(place)
          || (isBranch(place) ? shownKinds.branches : shownKinds.others));
        element.title = `${place.module}\n${kindOf(place)}, ${place.map}${cost
          ? `\n+${FORMATS.params(cost[0])} parameters, +${FORMATS.macs(cost[1])}` : ""}`;
      }
      showSites();
      showFile();
      save.disabled = copy.disabled = !placed().length || impossible.length > 0;
      told.textContent = "";
    };

    const head = (...titles) => make("thead", {}, make("tr", {}, ...titles.map(
      (title, number) => (title ? make("th", { scope: "col", class: number && !["budget", "module", "map"].includes(title) ? "right" : false }, title) : make("td")),
    )));
    const scroll = (label, element) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, element);
    root.replaceChildren(tools, network, settingsBox, summary,
      scroll("Totals", make("table", { class: "totals" }, head("figure", "added", "", "in all", "budget"), totals)),
      scroll("Sites", make("table", {}, head("site", "module", "map", "parameters", "MACs", "memory"), siteRows)),
      make("div", { class: "tools" }, make("label", {}, "File ", fileName), save, copy, told), pre, commands);
    root.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.tagName !== "INPUT") {
        event.preventDefault();
        undo();
      }
    });
    root.addEventListener("open-trial", (event) => {
      if (!(event.detail in data.trials)) return;
      event.preventDefault();
      openTrial(event.detail);
      root.scrollIntoView({ block: "start" });
    });
    show();
  };

  const pages = JSON.parse(document.getElementById("bamctl-pages").textContent);
  document.querySelectorAll(".designer").forEach((root) => {
    design(root, pages[root.dataset.page].report.charts[root.dataset.chart].data);
  });
})();
