"""An insertion as a report: before and after, site by site, and the proof."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.attention.kinds import kind_of
from bamctl.attention.settings import Settings
from bamctl.export.write import Exported
from bamctl.networks import inputs
from bamctl.placement.cost import Cost
from bamctl.placement.sites import Site
from bamctl.report._wording import (
    CONVENTION,
    CONVENTION_LINE,
    SCHEMA,
    attention_data,
    cost_data,
    extents_data,
    fraction,
    layout_remarks,
    left_out,
    nothing_to_place,
    overhead_data,
    settings,
)
from bamctl.report.charts.network import network_sketch
from bamctl.report.document import Column, Report, Table
from bamctl.surgery.insertion import Insertion
from bamctl.surgery.proof import Proof
from bamctl.text.lists import few
from bamctl.trunk.layouts import Layout


def insertion_report(insertion: Insertion, exported: Sequence[Exported] = ()) -> Report:
    """Show an insertion: sites, costs, proof, and the files that were written."""
    records = [_site_data(s, c) for s, c in zip(*_sites_and_costs(insertion), strict=True)]
    heading = f"{insertion.model}   {inputs.text(insertion.trace.given)}"
    if insertion.proof is None:
        nothing = _sentences(insertion) or nothing_to_place(insertion.model, insertion.trunk)
        return Report(heading, [f"Nothing inserted. {nothing}"], _data(insertion, records), records)
    blocks: list[Table | str] = [
        _site_table(insertion),
        _total_table(insertion),
        _proof_text(insertion.proof),
        *map(_file_text, exported),
        *filter(None, [_sentences(insertion)]),
        _footnote(insertion),
    ]
    data = _data(insertion, records)
    if exported:
        data["files"] = list(map(_file_data, exported))
    charts = [network_sketch(insertion.trunk, insertion.placed)]
    return Report(heading, blocks, data, records, charts=charts, answer=blocks[1:3])


def _sites_and_costs(insertion: Insertion) -> tuple[tuple[Site, ...], tuple[Cost, ...]]:
    return insertion.placed.sites, insertion.placed.costs


def _site_table(insertion: Insertion) -> Table:
    is_mixed = len({site.attention for site in insertion.placed.sites}) > 1
    columns = [
        Column("inserted after"),
        *([Column("module")] if is_mixed else []),
        Column("map", "right"),
        Column("layout"),
        Column("parameters", "right"),
        Column("MACs", "right"),
        Column("elementwise", "right"),
        Column("memory", "right"),
    ]
    rows = []
    for site, cost in zip(*_sites_and_costs(insertion), strict=True):
        at = site.point.map
        cells = [
            site.name,
            *([kind_of(site.attention).short(site.attention)] if is_mixed else []),
            units.shape((at.num_channels, *at.extents)),
            at.layout.name.upper() if at.layout.name != "tokens" else "tokens",
            f"+{units.count(cost.params)}",
            f"+{units.count(cost.macs)}",
            f"+{units.count(cost.elementwise_ops)}",
            f"+{units.size(cost.memory_bytes)}",
        ]
        rows.append(cells)
    return Table(columns, rows)


def _total_table(insertion: Insertion) -> Table:
    columns = [
        Column(""),
        Column("before", "right"),
        Column("after", "right"),
        Column("added", "right"),
        Column("", "right"),
    ]
    trace, added = insertion.trace, insertion.placed.total
    figures = [
        ("parameters", trace.params, added.params),
        ("MACs", trace.macs[""], added.macs),
        ("elementwise operations", trace.elementwise_ops[""], added.elementwise_ops),
    ]
    rows = [
        [
            name,
            units.count(before),
            units.count(before + more),
            f"+{units.count(more)}",
            units.percent(fraction(more, before)),
        ]
        for name, before, more in figures
    ]
    return Table(columns, rows)


def _proof_text(proof: Proof) -> str:
    if proof.output_change is None:
        change = "the outputs are zero, before and after, which proves nothing"
    elif proof.output_change == 0:
        change = "the outputs are unchanged, bit for bit"
    else:
        change = f"the outputs changed by {100 * proof.output_change:.3g} % (relative norm)"
    return (
        f"Proof: forward gives {_returned(proof)}; {change}; backward reaches all "
        f"{proof.num_params_with_gradient:,} inserted parameters."
    )


def _file_text(exported: Exported) -> str:
    if exported.output_change is None:
        same = "outputs that are zero, as the network's are, which proves little"
    elif exported.output_change == 0:
        same = "the same outputs, bit for bit"
    else:
        same = f"the same outputs within {exported.output_change:.1g} (relative norm)"
    batch = "any batch size" if exported.any_batch else "only a batch of one"
    where = f"{exported.path}: run without bamctl in a fresh process"
    return f"{where}, it gives {same}; it takes {batch}."


def _file_data(exported: Exported) -> dict[str, Any]:
    return {
        "path": str(exported.path),
        "output_change": exported.output_change,
        "any_batch": exported.any_batch,
    }


def _returned(proof: Proof) -> str:
    """Format the shapes of the first few outputs of the network."""
    if len(proof.output_shapes) == 1:
        return units.shape(*proof.output_shapes.values())
    named = [f"{name} {units.shape(shape)}" for name, shape in proof.output_shapes.items()]
    return few(named, 3) or "nothing"


def _footnote(insertion: Insertion) -> str:
    kinds = dict.fromkeys(settings(site.attention) for site in insertion.placed.sites)
    return f"{'; '.join(kinds)}.\n{CONVENTION_LINE} {left_out(_uncounted(insertion))}"


def _sentences(insertion: Insertion) -> str:
    layouts: dict[Settings, list[Layout]] = {}
    for site in insertion.placed.sites:
        layouts.setdefault(site.attention, []).append(site.point.map.layout)
    treated = [text for own, each in layouts.items() for text in layout_remarks(own, each)]
    return " ".join(dict.fromkeys([*(f"{text}." for text in insertion.left_out), *treated]))


def _uncounted(insertion: Insertion) -> Counter[str]:
    return Counter(insertion.trace.uncounted) + insertion.placed.total.uncounted


def _data(insertion: Insertion, sites: list[dict[str, Any]]) -> dict[str, Any]:
    trace, added, proof = insertion.trace, insertion.placed.total, insertion.proof
    return {
        "schema": SCHEMA,
        "model": insertion.model,
        "input_shape": list(trace.input_shape),
        "modules": insertion.placed.modules,
        "params": trace.params,
        "macs": trace.macs[""],
        "elementwise_ops": trace.elementwise_ops[""],
        **cost_data(added),
        **overhead_data(insertion.placed, trace),
        "uncounted_operators": dict(_uncounted(insertion)),
        "left_out": list(insertion.left_out),
        "output_change": proof.output_change if proof else None,
        "num_params_with_gradient": proof.num_params_with_gradient if proof else None,
        "sites": sites,
        "convention": CONVENTION,
    }


def _site_data(site: Site, cost: Cost) -> dict[str, Any]:
    at = site.point.map
    return {
        "module": site.name,
        "num_channels": at.num_channels,
        **extents_data(at),
        "layout": at.layout.name,
        "attention": attention_data(site.attention),
        **cost_data(cost),
    }
