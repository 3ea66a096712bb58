"""Code generation: a network with its attention modules as one readable Python module.

The module builds the same network without bamctl. Its classes are copied from this package's
source, so that there is no second implementation.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from keyword import iskeyword
from types import ModuleType

from torch import nn

from bamctl import __version__
from bamctl.attention.kind import AttentionKind
from bamctl.attention.kinds import kind_of
from bamctl.attention.python_source import Code, call
from bamctl.errors import InputError
from bamctl.files import yaml_files
from bamctl.networks import inserted, observed, structures, timm_models, torchvision_models
from bamctl.networks.inserted import HOLDER
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site
from bamctl.trunk import layouts

# The modules that definitions are copied from, before those of the inserted kinds.
_SOURCES: tuple[ModuleType, ...] = (structures, layouts, inserted, observed)

_BUILD = '''
def insert(model: nn.Module, host: str, name: str, attention: nn.Module, item: Any = None) -> None:
    """Refine what one module of the network returns, or one item of that."""
    {holder} = model.get_submodule("{holder}")
    {holder}[name] = attention.train(model.training)
    attach(model.get_submodule(host), attention, item)


def build(weights: str | None = None) -> nn.Module:
    """The network, ready to train.

    Args:
        weights: a file of its state dict, as `torch.save(model.state_dict(), file)` writes it;
            the weights are random where left out.
    """
{network}
    model.add_module("{holder}", Inserted())
{insertions}
    if weights is not None:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model
'''


def source(model: nn.Module, placement: Placement, sites: Sequence[Site]) -> str:
    """Return the source of the module, whose function `build` makes the network.

    Args:
        model: the network, with its attention modules.
        placement: the network's builder and options, for the text.
        sites: the cut points with attention, and the hyperparameters there.

    Raises:
        InputError: the name of a builder argument is not a Python identifier.
    """
    layout_names = {type(site.point.map.layout).__name__ for site in sites} | {"Nchw"}
    build = _BUILD.format(
        holder=HOLDER,
        network=_indented(_network(model, placement)),
        insertions=_indented(_insertions(model, sites)),
    )
    sources = (*_SOURCES, *_modules_of_kinds(sites))
    # Leave out the layouts that the network does not use.
    alias = f"Layout = {' | '.join(sorted(layout_names))}"
    body = "\n\n\n".join([*_definitions(alias, build, sources), build.strip()])
    libraries = list(dict.fromkeys(filter(None, (kind.library for kind in _kinds(sites)))))
    imports = _imports(body, {_builder_package(placement), *libraries}, sources)
    return f"{_docstring(placement, libraries)}\n\n{imports}\n\n\n{body}\n"


def _docstring(placement: Placement, libraries: Sequence[str]) -> str:
    needed = dict.fromkeys([_builder_package(placement), *libraries])
    written = yaml_files.text(placement.as_dict()).replace("\\", "\\\\").replace('"""', "'''")
    return (
        f'"""{placement.model} with attention modules: `build()` makes it.\n\n'
        f"Written by bamctl {__version__}, of which it needs nothing, from this placement.\n"
        f"It needs {' and '.join(['torch', *needed])}.\n\n"
        f'{textwrap.indent(written, "    ")}"""'
    )


def _indented(lines: Iterator[str]) -> str:
    return textwrap.indent("\n".join(lines), "    ")


def _network(model: nn.Module, placement: Placement) -> Iterator[str]:
    """Yield the lines that build the network without its attention modules."""
    name, classes = str(placement.model), placement.num_classes
    for argument in placement.args:
        # A factory may accept any keyword, but a text that is no identifier would inject code.
        if not argument.isidentifier() or iskeyword(argument):
            raise InputError(f"args: {argument!r} is not a valid Python argument name")
    options = {**({} if classes is None else {"num_classes": classes}), **placement.args}
    if name in torchvision_models.families():
        inputs, args = placement.input, placement.args
        options = torchvision_models.options(name, inputs=inputs, num_classes=classes, args=args)
        yield f"model = {call('torchvision.models.get_model', name, weights=None, **options)}"
        if placement.stem:
            yield from _small_stem(name, model)
    elif timm_models.is_timm(name):
        options |= timm_models.size_options(name, placement.input)
        bare = name.removeprefix("timm:")
        yield f"model = {call('timm.create_model', bare, **options)}"
    else:
        yield f"model = {call(name.replace(':', '.'), **options)}"


def _small_stem(name: str, model: nn.Module) -> Iterator[str]:
    conv_name, pool_name = torchvision_models.stem_modules(name, model)
    conv = model.get_submodule(conv_name)
    assert isinstance(conv, nn.Conv2d)
    made = f"nn.Conv2d({conv.in_channels}, {conv.out_channels}, 3, padding=1, bias=False)"
    yield f'model.set_submodule("{conv_name}", {made})'
    yield f'model.set_submodule("{pool_name}", nn.Identity())'


def _insertions(model: nn.Module, sites: Sequence[Site]) -> Iterator[str]:
    """Yield the lines that insert the attention modules; of one host, the last one first.

    Each is attached in front of the others.
    """
    held = {id(module): name for name, module in model.get_submodule(HOLDER).named_children()}
    for site in sorted(sites, key=lambda site: (site.point.position, -site.rank)):
        host = model.get_submodule(site.point.module)
        own = [held[id(module)] for module in inserted.attached(host) if id(module) in held]
        name = own[site.rank]
        given = (site.point.module, name)
        item = {} if site.point.item is None else {"item": site.point.item}
        made = Code(kind_of(site.attention).source(site))
        yield call("insert", Code("model"), *given, made, **item)


def _modules_of_kinds(sites: Sequence[Site]) -> list[ModuleType]:
    """Return the modules that define the inserted kinds, in order."""
    names = dict.fromkeys(name for kind in _kinds(sites) for name in kind.source_modules())
    return [import_module(name) for name in names]


def _kinds(sites: Sequence[Site]) -> list[AttentionKind]:
    return list(dict.fromkeys(kind_of(site.attention) for site in sites))


def _definitions(alias: str, build: str, sources: Sequence[ModuleType]) -> Iterator[str]:
    """Yield the source of the definitions that `build` needs, directly or indirectly."""
    found: dict[str, str] = {}
    for module in sources:
        text = inspect.getsource(module)
        for node in ast.parse(text).body:
            if name := _defined(node):
                found[name] = _segment(text, node)
    found["Layout"] = alias
    needed, new = set[str](), {build}
    while new:
        names = {name for text in new for name in _names_in(text)} & found.keys() - needed
        needed |= names
        new = {found[name] for name in names}
    yield from (text for name, text in found.items() if name in needed)


def _defined(node: ast.stmt) -> str | None:
    """Return the name that a top-level statement defines, if any."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if isinstance(node, ast.AnnAssign):
        target = node.target
    return target.id if isinstance(target, ast.Name) else None


def _segment(text: str, node: ast.stmt) -> str:
    """Return the lines of a statement, with its decorators and the comment above it."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    lines = text.splitlines()
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])


def _names_in(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _builder_package(placement: Placement) -> str:
    name = str(placement.model)
    if timm_models.is_timm(name):
        return "timm"
    return "torchvision" if name in torchvision_models.families() else name.partition(":")[0]


def _imports(body: str, packages: Collection[str], sources: Sequence[ModuleType]) -> str:
    """Return the import statements that the text needs: the standard library's, then the others."""
    used = _names_in(body)
    whole, parts = {"torch", *packages}, {("torch", "nn")}
    for module in sources:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.Import):
                whole |= {f"{a.name}{_as(a)}" for a in node.names if _bound(a) in used}
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("bamctl"):
                wanted = (f"{a.name}{_as(a)}" for a in node.names if _bound(a) in used)
                parts |= {(str(node.module), each) for each in wanted}
    lines = [f"import {each}" for each in sorted(whole)]
    for origin in sorted({origin for origin, _ in parts}):
        names = sorted(name for each, name in parts if each == origin)
        lines.append(f"from {origin} import {', '.join(names)}")
    groups = [[line for line in lines if _is_python_s(line) is own] for own in (True, False)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _is_python_s(line: str) -> bool:
    return line.split()[1].partition(".")[0] in sys.stdlib_module_names


def _as(alias: ast.alias) -> str:
    return f" as {alias.asname}" if alias.asname else ""


def _bound(alias: ast.alias) -> str:
    """Return the name that an import binds; for `import torch.fx`, the first part."""
    return alias.asname or alias.name.partition(".")[0]
