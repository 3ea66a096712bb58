"use strict";
// What the page of a network to place modules in counts and writes with.
const figures = (() => {
  // An element with attributes and children; a function is a listener of the event of its name.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== false && value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  const scaled = (value, scales) => {
    const found = scales.find(([scale]) => Math.abs(value) / scale >= 0.9995);
    return found ? `${(value / found[0]).toFixed(2)} ${found[1]}` : null;
  };
  const thousands = (value) => value.toLocaleString("en-US");
  const count = (value) => scaled(value, [[1e12, "T"], [1e9, "G"], [1e6, "M"]]) ?? thousands(value);
  const FORMATS = {
    params: count,
    macs: (value) => (/[TGM]$/.test(count(value)) ? `${count(value)}MACs` : `${count(value)} MACs`),
    memory: (value) => scaled(value, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) ?? `${value} B`,
  };
  const percent = (part, whole) => `+${(whole ? (100 * part) / whole : 0).toFixed(2)} %`;

  // A decimal number as a fraction of whole numbers, so that a limit is exact.
  const fraction = (text) => {
    const found = /^([0-9][0-9,]*)(?:\.([0-9]+))?(?:e(-?[0-9]+))?$/.exec(text);
    if (!found) return null;
    const digits = found[2] ?? "";
    const power = Number(found[3] ?? 0) - digits.length;
    const value = BigInt(found[1].replaceAll(",", "") + digits);
    return power < 0 ? [value, 10n ** BigInt(-power)] : [value * 10n ** BigInt(power), 1n];
  };

  // What a limit allows, as a fraction; null for what is no limit.
  const limitOf = (metric, text) => {
    const found = /^(\+)?\s*([0-9][0-9.,]*)\s*(.*)$/.exec(text.trim());
    const number = found && fraction(found[2]);
    if (!number) return null;
    const [value, scale] = number;
    if (found[1]) {
      return found[3] === "%" ? [BigInt(metric.base) * (100n * scale + value), 100n * scale] : null;
    }
    const unit = metric.units[found[3]];
    if (unit === undefined) return null;
    return [value * BigInt(unit), scale];
  };

  // YAML: plain words as they are, and everything else as JSON, which is YAML too.
  const RESERVED = /^(true|false|null|yes|no|on|off|y|n)$/i;
  const plain = (value) => (
    typeof value === "string" && /^[A-Za-z_][\w./-]*$/.test(value) && !RESERVED.test(value)
      ? value : JSON.stringify(value)
  );
  const mapping = (values) => (
    `{${Object.entries(values).map(([key, value]) => `${plain(key)}: ${plain(value)}`).join(", ")}}`
  );

  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  return { make, thousands, percent, limitOf, plain, mapping, same, FORMATS };
})();
