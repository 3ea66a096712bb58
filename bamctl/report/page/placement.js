"use strict";
// What a placement means on a network: the settings of its sites, their costs, and its YAML.
const placements = (data) => {
  const { limitOf, plain, mapping, same } = figures;
  const places = Object.fromEntries(data.places.map((place) => [place.module, place]));
  const names = data.places.map((place) => place.module);

  const usual = (module, init) => ({
    module, ...data.kinds[module].usual, ...(init === undefined ? {} : { init }),
  });
  const differing = (settings, other) => Object.fromEntries(Object.entries(settings)
    .filter(([name, value]) => name !== "module" && !same(value, other[name]) && !same(value, {})));
  // Of a site, what differs from the settings of all, or all of another kind; null for nothing.
  const ownOf = (settings, all) => {
    if (settings.module !== all.module) return settings;
    const own = differing(settings, all);
    return Object.keys(own).length ? own : null;
  };
  const settingsOf = ({ sites, settings }, name) => {
    const own = sites[name] ?? {};
    const module = own.module ?? settings.module;
    const all = module === settings.module ? settings : usual(module);
    const known = Object.entries(own).filter(([key]) => key in all || key === "args");
    return { ...all, ...Object.fromEntries(known) };
  };
  // A placement to begin with names settings by their number.
  const opened = (sites) => Object.fromEntries(Object.entries(sites).map(
    ([name, number]) => [name, ownOf(data.chosen[number], data.settings)],
  ));
  const placed = ({ sites }) => names.filter((name) => name in sites);

  // The cost of settings at a place: their position in the product of the priced choices.
  const costOf = (place, settings) => {
    const costs = data.groups[place.group][settings.module];
    if (!costs) return null;
    let index = 0;
    for (const [name, choices, isPriced] of data.kinds[settings.module].options) {
      if (!isPriced) continue;
      const chosen = choices.findIndex((choice) => same(choice, settings[name]));
      if (chosen < 0) return null;
      index = index * choices.length + chosen;
    }
    return costs[index];
  };

  const override = (settings, all) => (settings.module === all.module
    ? { ...(data.kinds[settings.module].is_named ? {} : { module: settings.module }), ...differing(settings, all) }
    : { module: settings.module, init: settings.init, ...differing(settings, usual(settings.module)) });
  const limits = ({ budget }) => Object.fromEntries(data.metrics
    .filter(({ name }) => budget[name])
    .filter((metric) => limitOf(metric, budget[metric.name]))
    .map(({ name }) => [name, budget[name]]));
  const yaml = (state) => {
    const { settings, sites } = state;
    const budget = limits(state);
    const own = placed(state).filter((name) => sites[name]);
    const attention = { module: settings.module, ...differing(settings, usual(settings.module)) };
    return [
      "schema: 1",
      ...Object.entries(data.network).map(([key, value]) => `${key}: ${plain(value)}`),
      "where:", ...placed(state).map((name) => `  - ${plain(places[name].pattern)}`),
      `attention: ${mapping(attention)}`,
      ...(own.length ? ["insertions:"] : []),
      ...own.map((name) => `  ${plain(name)}: ${mapping(override(settingsOf(state, name), settings))}`),
      ...(Object.keys(budget).length ? [`budget: ${mapping(budget)}`] : []),
    ].join("\n") + "\n";
  };

  return { places, usual, ownOf, settingsOf, opened, placed, costOf, limits, yaml };
};
