"""The command as a whole: help, exit statuses, colours, and what it does not import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trtdsl import __version__
from trtdsl.cli.main import COMMANDS, main
from trtdsl.cli.options import Command, Group
from trtdsl.errors import BuildInterrupted, Diagnostic, NetworkError, TrtdslError
from trtdsl.source import SourceFile, Span

HEAVY = (
    *("numpy", "yaml", "jsonschema", "rich", "safetensors", "tensorrt", "tensorrt_bindings", "tensorrt_rtx"),
    *("onnx", "onnxruntime", "PIL", "cuda"),
)


def command_of(name: str) -> Command | Group:
    """The command of a name such as `export onnx`."""
    command: click.Command | None = main
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert isinstance(command, (Command, Group))
    return command


def described() -> dict[str, str]:
    """What --help says of all commands and subcommands."""
    found = dict(COMMANDS)
    for name in COMMANDS:
        if isinstance(group := command_of(name), Group):
            found |= {f"{name} {inner}": text for inner, text in group.subcommands.items()}
    return found


DESCRIBED = described()


def loaded_modules(code: str, *arguments: str) -> list[str]:
    """The heavy modules that a fresh interpreter holds after some code."""
    code += f"\nimport sys, json\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded: list[str] = json.loads(run.stdout.splitlines()[-1])
    return loaded


def run_process(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trtdsl", *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_import_is_cheap() -> None:
    assert loaded_modules("import trtdsl") == []


HELP = [["--version"], ["--help"], *([*name.split(), "--help"] for name in DESCRIBED)]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"from trtdsl.cli.main import main\nmain({arguments!r}, standalone_mode=False)"
    assert loaded_modules(code) == []


def test_validate_needs_no_tensorrt_and_no_onnx(digits: Path) -> None:
    code = "import sys; from trtdsl.cli.main import main; assert not main(sys.argv[1:], standalone_mode=False)"
    loaded = loaded_modules(code, "validate", str(digits))
    assert not {"tensorrt", "tensorrt_bindings", "tensorrt_rtx", "onnx", "rich"} & set(loaded)
    assert "numpy" in loaded  # the check can see imports


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    assert (command_of(name).help or "").partition("\n")[0] == DESCRIBED[name]


@pytest.mark.parametrize("name", DESCRIBED)
def test_help_teaches(name: str) -> None:
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert f"Usage: trtdsl {name}" in result.output.replace("Usage: main", "Usage: trtdsl")
    for option in command_of(name).params:
        assert isinstance(option, click.Argument) or getattr(option, "help", ""), option.name
    assert command_of(name).examples
    for example in command_of(name).examples:
        assert f"  {example}\n" in result.output


EXAMPLES = [example for name in DESCRIBED for example in command_of(name).examples]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_in_help_are_command_lines_that_parse(example: str) -> None:
    import shlex

    program, name, *arguments = shlex.split(example.partition(" | ")[0])
    assert program == "trtdsl"
    if isinstance(command_of(name), Group):
        name = f"{name} {arguments.pop(0)}"
    with command_of(name).make_context(name, arguments) as context:
        assert not context.args


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"trtdsl {__version__}\n"


def test_an_unknown_command_is_corrected() -> None:
    result = CliRunner().invoke(main, ["biuld", "net.yaml"])
    assert result.exit_code == 2
    assert "there is no command `biuld`; did you mean `build`?" in result.stderr


SPAN = Span(SourceFile("net.yaml", "trtdsl: 1\nlayers: [relv]\n"), 2, 10, 2, 14)
MISTAKE = Diagnostic("unknown-op", "there is no op `relv`", SPAN, hint="did you mean `relu`?")
RAISED = {
    "the user's mistake": (NetworkError([MISTAKE]), 1),
    "several": (NetworkError([MISTAKE, Diagnostic("file", "cannot read it")]), 1),
    "a stopped build": (BuildInterrupted.of("interrupted", "the build was stopped; no file was changed"), 130),
    "ctrl-c": (KeyboardInterrupt(), 130),
    "a bug of ours": (AssertionError("infer says fp32[N]"), 3),
    "a folder that may not be written": (PermissionError(13, "Permission denied", "/x/net.engine"), 1),
}


def run_failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> click.testing.Result:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("trtdsl.cli.validate.load_network", fail)
    return CliRunner().invoke(main, ["validate", "net.yaml", *arguments], color=True)


@pytest.mark.parametrize("case", RAISED)
def test_exit_status(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, status = RAISED[case]
    result = run_failing(monkeypatch, error)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr


def test_mistakes_are_shown_with_line_caret_hint_and_count(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_failing(monkeypatch, RAISED["several"][0], "--no-color")
    assert result.stderr.splitlines() == [
        "net.yaml:2:10: error[unknown-op]: there is no op `relv`",
        "  2 | layers: [relv]",
        "    |          ^^^^",
        "  hint: did you mean `relu`?",
        "error[file]: cannot read it",
        "2 errors",
    ]


def test_a_stopped_build_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_failing(monkeypatch, RAISED["a stopped build"][0])
    assert result.stderr == "interrupted: the build was stopped; no file was changed\n"


def test_a_bug_gives_a_report_to_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/trtdsl", "validate", "my net.yaml"])
    report = run_failing(monkeypatch, AssertionError("infer says fp32[N]")).stderr
    assert "This is a bug in trtdsl" in report
    assert f"trtdsl    {__version__}" in report
    assert "python    3." in report
    assert "numpy " in report
    assert "command   trtdsl validate 'my net.yaml'" in report
    assert "Traceback (most recent call last)" in report
    assert report.rstrip().endswith("AssertionError: infer says fp32[N]")


RED = "\x1b[31m"
COLORS = {
    "a terminal": ([], {}, True),
    "NO_COLOR": ([], {"NO_COLOR": "1"}, False),
    "empty NO_COLOR": ([], {"NO_COLOR": ""}, True),
    "--no-color": (["--no-color"], {}, False),
    "--color over NO_COLOR": (["--color"], {"NO_COLOR": "1"}, True),
}


@pytest.mark.parametrize("case", COLORS)
def test_colors(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, environment, expected = COLORS[case]
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (RED in run_failing(monkeypatch, NetworkError([MISTAKE]), *options).stderr) is expected


@pytest.mark.parametrize("case", COLORS)
def test_colors_before_the_command(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, environment, expected = COLORS[case]
    monkeypatch.delenv("NO_COLOR", raising=False)
    result = CliRunner().invoke(main, [*options, "ops", "no_such_op"], env=environment, color=True)
    assert (RED in result.stderr) is expected


def test_no_colors_where_there_is_no_terminal() -> None:
    run = run_process(["ops", "no_such_op"])
    assert run.returncode == 1
    assert run.stderr == "error[unknown-op]: there is no op `no_such_op`\n1 error\n"
    assert "\x1b[1" in run_process(["ops", "no_such_op", "--color"]).stderr


def test_statuses_of_the_process(tmp_path: Path, digits: Path) -> None:
    assert run_process(["validate", str(digits)]).returncode == 0
    missing = run_process(["validate", str(tmp_path / "none.yaml")])
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "error[file]" in missing.stderr
    assert run_process(["validate"]).returncode == 2


# A command whose work, as TensorRT's, goes on after Ctrl-C, in a process whose shutdown ends in an abort.
INTERRUPTED = """
import atexit, os, signal, sys, time
from pathlib import Path
from trtdsl.cli import validate
from trtdsl.cli.main import main
from trtdsl.engine.files import Staged
from trtdsl.engine.progress import Interruption, run_interruptible

signals, lasts, fails = map(float, sys.argv[1:])

def work():
    for _ in range(int(signals)):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
    time.sleep(lasts)

def build(*_, **__):
    print("so far", end="")
    with Staged() as staged:
        staged.write(Path("net.engine"), b"half of it")
        try:
            run_interruptible(work, Interruption(), stops=signals > 1)
        except KeyboardInterrupt:
            time.sleep(1)
            if fails:
                raise OSError(28, "No space left on device") from None
            raise

validate.load_network = build
atexit.register(os.abort)
main(["validate", "net.yaml"])
"""
ENDS = {
    "a build that nothing stops": ((1, 60, 0), 130, "interrupted\n"),
    "a second Ctrl-C": ((2, 60, 0), 130, "interrupted\n"),
    "what fails on the way out": ((1, 60, 1), 1, "error[file]: no space left on device\n"),
    "a build that has ended": ((1, 0, 0), -signal.SIGABRT, "interrupted\n"),
}


@pytest.mark.parametrize(("arguments", "status", "said"), ENDS.values(), ids=ENDS)
def test_a_build_that_goes_on_does_not_see_the_interpreter_shut_down(
    arguments: tuple[int, ...], status: int, said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "so far", said)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "trtdsl", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_console_script_is_this_command() -> None:
    from importlib.metadata import entry_points

    [script] = entry_points(group="console_scripts", name="trtdsl")
    assert script.load() is main


def test_errors_know_their_kind() -> None:
    # What `invoke` tells apart by class must stay a TrtdslError for those who call the library.
    assert issubclass(BuildInterrupted, TrtdslError)
