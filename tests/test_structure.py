"""The house rules, from the syntax tree and from the commands' own help."""

import argparse
import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import noise, save
from restoring import options

import colorize
import inpaint
import restore
import segment
from engine import commands

ROOT = Path(__file__).parent.parent
PACKAGES = {"data", "nets", "losses", "engine"}
COMMANDS = {"restore", "segment", "inpaint", "colorize"}
OURS = PACKAGES | COMMANDS
STAGES = COMMANDS - {"restore"}
MAY_IMPORT = {  # disk -> data, device -> nets, number -> losses, order of events -> scripts and engine
    "data": {"data"},
    "nets": {"nets"},
    "losses": {"losses", "nets"},
    "engine": {"data", "engine"},
    **dict.fromkeys(STAGES, PACKAGES),
    "restore": PACKAGES | STAGES,
}
FILES = sorted(
    [
        *(ROOT / f"{name}.py" for name in COMMANDS),
        *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")),
    ]
)


def imported(path):
    """(module, line) of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield path.relative_to(ROOT).parts[0] if node.level else node.module.split(".")[0], node.lineno


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_files_and_functions_are_short(path):
    """Docstrings of functions do not count."""
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno < 40, node.name


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_imports_run_one_way(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    wrong = [
        (module, line) for module, line in imported(path) if module in OURS and module not in MAY_IMPORT[part]
    ]
    assert not wrong


def test_the_rule_covers_every_module():
    assert {path.stem for path in ROOT.glob("*.py")} == COMMANDS
    assert {path.parent.name for path in ROOT.glob("[!.]*/__init__.py")} - {"tests"} == PACKAGES


def test_every_module_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = {name: set(text.replace(",", " ").split()) for name, text in setup["options"].items()}
    assert listed["py_modules"] == COMMANDS
    folders = {path.parent.relative_to(ROOT) for path in FILES} - {Path()}
    assert listed["packages"] == {".".join(folder.parts) for folder in folders}


def test_the_stages_have_the_same_functions():
    common = {"build", "compute_losses", "train", "evaluate", "load", "infer", "main"}
    for stage in STAGES:
        tree = ast.parse((ROOT / f"{stage}.py").read_text("utf-8"))
        assert common <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_no_code_is_run_from_strings_shells_or_pickles(path):
    """Weights come from strangers: nothing evaluates, and torch.load takes tensors only."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        assert name not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads")
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert options.get("shell", "False") == "False"
        if name == "torch.load":
            assert options["weights_only"] == "True"


WITHOUT_TORCH = [
    "data.photo",
    "data.folder",
    "data.findings",
    "data.images",
    "engine.inputs",
    "engine.photos",
    "engine.delivery",
    "engine.ballot",
    "engine.options",
    "engine.commands",
]
WITHOUT_TORCH += sorted(COMMANDS)


def test_importing_does_not_load_torch():
    code = f"""import importlib, sys
for module in {WITHOUT_TORCH}:
    importlib.import_module(module)
    for library in ("torch", "scipy"):
        assert library not in sys.modules, f"{{module}} imports {{library}}"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


SLOW_TO_IMPORT = (
    "torchvision",
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "scipy",
    "numpy.testing",
    "h5py",
)


def test_restoring_imports_nothing_that_takes_long_and_is_not_needed(tmp_path, tiny_weights):
    """torch itself imports torch.optim, torch.distributed and torch.testing, whatever it is used for."""
    save(tmp_path / "a.png", noise(40, 50))
    words = ["restore.py", *options(tiny_weights), str(tmp_path / "a.png"), str(tmp_path / "out"), "--quiet"]
    code = f"""import runpy, sys
sys.argv = {words!r}
try:
    runpy.run_path("restore.py", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
print(*(name for name in {SLOW_TO_IMPORT!r} if name in sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def processor_seconds(words):
    """Of one run of a command, which must succeed; and what it printed."""
    before = os.times()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 0, done.stderr
    return sum(after[2:4]) - sum(before[2:4]), done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no times of child processes")
@pytest.mark.parametrize("words", [["restore.py"], *([f"{stage}.py", "train"] for stage in sorted(STAGES))])
def test_help_answers_at_once(words):
    """In processor time, so that a busy machine does not fail it; every command makes all its parsers."""
    seconds, text = processor_seconds([*words, "--help"])
    if seconds >= 0.5:  # once more: the first time also reads files into the disk cache
        seconds, text = processor_seconds([*words, "--help"])
    assert seconds < 0.5
    assert text.startswith(f"usage: {' '.join(words)}")


def parser_of(module, monkeypatch):
    monkeypatch.setattr(commands, "run_command", lambda parser, argv: parser)
    return module.main([])


def leaves(parser):
    """The parser itself or, if it has sub-commands, theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [leaf for child in action.choices.values() for leaf in leaves(child)]
    return [parser]


@pytest.mark.parametrize("module", [restore, segment, inpaint, colorize], ids=lambda module: module.__name__)
def test_torchrun_leaves_every_option_to_us(module, monkeypatch):
    """It parses the whole line itself, and on older Pythons stops at an option of ours that begins two of its
    own.
    """
    run = pytest.importorskip("torch.distributed.run")
    for leaf in leaves(parser_of(module, monkeypatch)):
        for option in (name for action in leaf._actions for name in action.option_strings):
            words = ["script.py", "train", option, "1"]
            args = run.get_args_parser().parse_args(words)
            assert [args.training_script, *args.training_script_args] == words


SUBCOMMANDS = {
    restore: set(),
    segment: {"train", "eval", "infer", "preview", "sheet"},
    inpaint: {"train", "eval", "infer", "sheet", "vote", "tally"},
    colorize: {"train", "eval", "infer", "sheet", "vote", "tally"},
}


@pytest.mark.parametrize("module", [restore, segment, inpaint, colorize], ids=lambda module: module.__name__)
def test_every_subcommand_has_a_help(module, monkeypatch):
    parser = parser_of(module, monkeypatch)
    found = {leaf.prog.split()[-1] for leaf in leaves(parser)} if leaves(parser) != [parser] else set()
    assert found == SUBCOMMANDS[module]
    for leaf in leaves(parser):
        assert leaf.format_help().startswith(f"usage: {leaf.prog}")  # a bare % in a help text would raise


@pytest.mark.parametrize("module", [restore, segment, inpaint, colorize])
def test_every_option_has_a_help_with_its_default(module, monkeypatch):
    parsers = leaves(parser_of(module, monkeypatch))
    assert len(parsers) >= (1 if module is restore else 3)
    for parser in parsers:
        for action in parser._actions:
            name = f"{parser.prog} {action.dest}"
            assert action.help, name
            if not action.option_strings or action.required or action.dest in ("help", "version"):
                continue
            is_flag = action.nargs == 0 and not isinstance(action, argparse.BooleanOptionalAction)
            assert is_flag or "(default: " in action.help, name
            default = action.default
            if (
                isinstance(default, (int, float, str))
                and not isinstance(default, bool)
                and "(default: " in action.help
            ):
                shown = action.help.split("(default: ")[1]
                assert shown.startswith(
                    (str(default), f"{default:g}" if not isinstance(default, str) else str(default))
                ), name


@pytest.mark.parametrize("module", [restore, segment, inpaint, colorize])
def test_options_cannot_be_abbreviated(module, monkeypatch):
    parser = parser_of(module, monkeypatch)
    assert not parser.allow_abbrev
    assert not any(leaf.allow_abbrev for leaf in leaves(parser))


def test_shared_options_are_the_same_everywhere(monkeypatch):
    """Name, default, type and help: what was learnt at one command holds for the others."""
    seen = {}
    for module in (restore, segment, inpaint, colorize):
        for parser in leaves(parser_of(module, monkeypatch)):
            kind = parser.prog.split()[-1]
            kind = "infer" if module is restore else kind
            for action in parser._actions:
                if kind in ("train", "infer") and action.dest not in (
                    "help",
                    "version",
                    "data",
                    "run_dir",
                    "weights",
                    "encoder",
                ):
                    entry = (
                        action.option_strings,
                        action.nargs,
                        action.metavar,
                        action.choices and list(action.choices),
                    )
                    if kind == "infer" and action.dest != "mask":
                        entry += (action.default, action.help)
                    first = seen.setdefault((kind, action.dest), (parser.prog, entry))
                    assert entry == first[1], (parser.prog, first[0], action.dest)
