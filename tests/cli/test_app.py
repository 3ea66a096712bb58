"""The program as a whole: start-up, exit codes, and the one error boundary."""

import re
import subprocess
from collections.abc import Callable

import pytest

from bamctl.cli import app, overview
from tests import readme
from tests.conftest import SCRIPT, assert_one_line_error


def test_help_has_every_command_in_whole_sentences(script: object) -> None:
    for arguments in ([], ["--help"]):
        result = script(*arguments)
        assert result.returncode == 0
        words = " ".join(result.stdout.split())
        for command in overview.COMMANDS:
            assert f"\n  {command.__name__} " in result.stdout
            assert f" {command.__name__} {overview.summary(command)} " in words
        assert re.findall(r"(?m)^(\S.*):$", result.stdout) == [*overview.GROUPS, "Try", "Options"]
        assert "..." not in result.stdout.partition("\n")[2]


def test_the_examples_of_the_help_are_run_by_the_readme() -> None:
    shown = [found["command"] for found in readme.sessions()]
    tour = readme.code("bash")[0].splitlines()
    for example in overview.EXAMPLES:
        assert any(line.startswith(example) for line in [*shown, *tour])
    assert len(overview.EXAMPLES) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["insert", "--help"],
        ["help", "latency"],
        ["config"],
        ["analyze", "resnet5"],
        ["analyze", "resnet50", "--reduction", "0"],
        ["insert", "resnet50", "--placement", "nothing"],
        ["insert", "resnet50", "--out", "none/x.yaml"],
    ],
)
def test_help_and_argument_errors_load_no_torch(arguments: list[str], python: object) -> None:
    program = (
        "import sys; from bamctl.cli.app import run\n"
        "run(sys.argv[1:])\n"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    assert python(program, *arguments).stdout.splitlines()[-1] == "[]"


def test_version(script: object) -> None:
    assert script("--version").stdout.startswith("bamctl 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["analyse"], ["No such command 'analyse'"]),
        (["analyze"], ["no model", "bamctl analyze resnet50", "--all", "[tool.bamctl]"]),
        (["analyze", "resnet5O"], ["unknown model 'resnet5O'", "did you mean 'resnet50'"]),
        (["analyze", "resnet50", "--reduction", "0"], ["--reduction"]),
        (["analyze", "resnet50", "--variant", "papre"], ["--variant", "'paper'"]),
        (["analyze", "resnet50", "--colour"], ["--colour"]),
        (["analyze", "resnet50", "--input", "224"], ["'224'", "like 3x224x224"]),
        (["analyze", "resnet50", "--stages", "some"], ["stages", "'all'"]),
        (["analyze", "resnet50", "--output", "none/a.json"], ["there is no folder"]),
        (
            ["analyze", "resnet50", "--module", "extra-block", "--reduction", "4"],
            ["drop reduction"],
        ),
        (["models", "resnet5O"], ["no model matches", "did you mean"]),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str], words: list[str], bamctl: object
) -> None:
    assert_one_line_error(bamctl(*arguments), *words)


def test_an_input_that_is_too_small(bamctl: object) -> None:
    result = bamctl("analyze", "inception_v3", "--input", "3x32x32")
    assert_one_line_error(result, "cannot run on a 3x32x32 input", "try another --input")


def test_a_stem_that_a_network_does_not_have(bamctl: object) -> None:
    assert_one_line_error(bamctl("analyze", "alexnet", "--stem", "small"), "has no small stem")


def ours(text: str) -> Callable[..., None]:
    """What raises an error as if it were written in the program, and not in somebody's network."""
    source = f"def broken(*arguments, **options): raise ZeroDivisionError({text!r})"
    names: dict[str, Callable[..., None]] = {}
    exec(compile(source, app.__file__, "exec"), names)
    return names["broken"]


def test_a_bug_leaves_a_log(monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    monkeypatch.setattr(app, "app", ours("of our own"))
    assert app.run([]) == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    path = message.split(" at ")[-1].strip()
    with open(path, encoding="utf-8") as log:
        assert "ZeroDivisionError: of our own" in log.read()


def test_a_log_and_an_error_are_without_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    url = "postgresql+psycopg://me:hunter2@host/db?password=hunter3"

    monkeypatch.setattr(app, "app", ours(f"of {url}, by hunter2 and hunter3"))
    for arguments in (["--storage", url], [f"--storage={url}"]):
        monkeypatch.setattr("sys.argv", ["bamctl", "search", *arguments])
        assert app.run([]) == 3
        path = capsys.readouterr().err.split(" at ")[-1].strip()
        with open(path, encoding="utf-8") as log:
            text = log.read()
        assert "ZeroDivisionError: of postgresql+psycopg://me:***@host/db" in text
        assert "hunter" not in text


@pytest.mark.parametrize("arguments", [["search"], ["analyze"], ["search", "--storag"]])
def test_a_url_in_the_wrong_place_is_shown_without_its_password(
    arguments: list[str], bamctl: object
) -> None:
    result = bamctl(*arguments, "postgresql://me:hunter2@host/db")
    assert_one_line_error(result)
    assert "hunter2" not in result.stderr


def test_an_error_cannot_move_the_cursor_or_command_github(bamctl: object) -> None:
    result = bamctl("check", "a\x1b[2Jb\r::error::c\n::error::d##[error]e.yaml")
    assert_one_line_error(result, r"a\x1b[2Jb")
    assert "\x1b" not in result.stderr
    assert "##[" not in result.stderr


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "app", interrupted)
    assert app.run([]) == 130


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{SCRIPT} models | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.stdout == "121 models\n"
    assert result.stderr == ""


def test_a_full_disk_is_no_bug() -> None:
    command = f"{SCRIPT} schema > /dev/full"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (3, "bamctl: error: No space left on device\n")


def test_no_standard_output_is_no_bug() -> None:
    result = subprocess.run(f"{SCRIPT} --version >&-", shell=True, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_completion_of_model_names(script: object) -> None:
    environment = {
        "_BAMCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "bamctl analyze resnet1",
        "COMP_CWORD": "2",
        "PATH": "/usr/bin:/bin",
    }
    result = script(env=environment)
    assert result.stdout.split() == ["resnet101", "resnet152", "resnet18"]
