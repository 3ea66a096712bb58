"""Options for the settings of all kinds of attention modules, built on demand.

An entry in `KINDS` is enough for a new kind to have options.
"""

from collections.abc import Iterator, Mapping
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin

from bamctl.cli.options.declare import keywords, option

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# Name, type with help, and default of an option.
Option = tuple[str, Any, Any]


class SettingsOptions:
    """A group of options for the settings of attention modules, with the values passed."""

    panel: ClassVar = "Attention module"

    def __init__(self, **chosen: Any) -> None:
        from bamctl.networks.trust import trust

        self._chosen = chosen
        named = chosen.get("module") or []
        # What the command line names is trusted.
        trust(*([named] if isinstance(named, str) else named))

    @classmethod
    def options(cls) -> Iterator[Option]:
        """Yield the options of the group, in the order of its help."""
        raise NotImplementedError

    def given(self) -> dict[str, Any]:
        """Return the options that were passed."""
        return {name: value for name, value in self._chosen.items() if value not in (None, [])}


class ModuleOptions(SettingsOptions):
    """The attention module; settings that are left out stay as in the placement or the paper."""

    @classmethod
    def options(cls) -> Iterator[Option]:
        """Yield the module, and every setting but `init`."""
        from bamctl.attention.kinds import KINDS, fields

        text = f"What to insert: {module_help()}. [{next(iter(KINDS))}]"
        metavar = f"[{'|'.join([*KINDS, '...'])}]"
        yield "module", Annotated[str | None, option(text, cls.panel, metavar=metavar)], None
        for name, own in fields().items():
            if name not in ("module", "init", "args"):
                yield setting(name, own, cls.panel)
        yield arguments_option(cls.panel)

    def given(self) -> dict[str, Any]:
        """Return the options that were passed, by their names in a placement."""
        given = super().given()
        if texts := given.pop(ARGUMENTS, None):
            given["args"] = keywords(texts, "--module-arg", "rd_ratio=0.125")
        return given


class AttentionOptions(ModuleOptions):
    """The attention module, and its initialization."""

    @classmethod
    def options(cls) -> Iterator[Option]:
        """Yield the module, and every setting."""
        from bamctl.attention.kinds import fields

        yield from super().options()
        yield setting("init", fields()["init"], cls.panel)


def module_help() -> str:
    """Return the kinds of modules with a few words about each."""
    from bamctl.attention.kinds import KINDS, OPEN_KINDS, SHORT

    named = [f"{name}, {kind.summary}" for name, kind in KINDS.items()]
    short = [f"{name}, short for {full}" for name, full in SHORT.items()]
    return "; ".join([*named, *short, *(f"{name}, {own.help}" for name, own in OPEN_KINDS.items())])


ARGUMENTS = "module_arg"


def arguments_option(panel: str) -> Option:
    """Return the option for arguments of modules that are not bamctl's."""
    text = "A keyword argument of a timm module or of your own; repeat for several."
    annotation: Any = Annotated[list[str] | None, option(text, panel, metavar="KEY=VALUE")]
    return ARGUMENTS, annotation, None


def setting(name: str, own: "Mapping[str, FieldInfo]", panel: str) -> Option:
    """Return the option for a setting that one or several kinds have."""
    usual = {kind: field.default for kind, field in own.items() if field.default is not None}
    text = _sentence(_description(own), _by_kind(usual))
    annotation: Any = value_of(own) | None
    return name, Annotated[annotation, option(text, panel, **limits(own))], None


def choices_of(name: str, own: "Mapping[str, FieldInfo]", panel: str) -> Option:
    """Return the option for the choices of a setting, for a search."""
    from bamctl.attention.kinds import KINDS

    usual = {kind: KINDS[kind].searched.get(name, ()) for kind in own if kind in KINDS}
    listed = {kind: " ".join(map(str, choices)) for kind, choices in usual.items() if choices}
    values = value_of(own)
    # The schema of the search reports invalid text, with a suggestion.
    is_text = get_origin(values) is Literal
    named = f" ({', '.join(get_args(values))})" if is_text else ""
    what = _description(own).partition(";")[0]
    text = _sentence(f"{what}{named}; repeat for several", _by_kind(listed))
    annotation: Any = list[str] if is_text else GenericAlias(list, (values,))
    return name, Annotated[annotation | None, option(text, panel, **limits(own))], None


def _description(own: "Mapping[str, FieldInfo]") -> str:
    text = next(iter(own.values())).description or ""
    return text[:1].upper() + text[1:]


def _sentence(text: str, usual: str) -> str:
    return f"{text}. [{usual}]" if usual else f"{text}."


def _by_kind(values: Mapping[str, Any]) -> str:
    """Format the value that all kinds share, or the value of each kind."""
    different = dict.fromkeys(map(str, values.values()))
    if len(different) <= 1:
        return "".join(different)
    return ", ".join(f"{kind}: {value}" for kind, value in values.items())


def value_of(own: "Mapping[str, FieldInfo]") -> Any:
    """Return the type of an option for a setting that one or several kinds have."""
    from bamctl.attention.settings import value_type

    types = [_bare(value_type(field)) for field in own.values()]
    literals = [each for each in types if get_origin(each) is Literal]
    if literals:
        return Literal[tuple(dict.fromkeys(value for each in literals for value in get_args(each)))]
    return types[0]


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def limits(own: "Mapping[str, FieldInfo]") -> dict[str, Any]:
    """Return the widest bounds of a setting over the kinds, as `min` and `max`."""
    found: dict[str, Any] = {}
    for option_name, bound, widest in (("min", "ge", min), ("max", "le", max)):
        every = [getattr(each, bound, None) for f in own.values() for each in f.metadata]
        if numbers := [each for each in every if each is not None]:
            found[option_name] = widest(numbers)
    return found
