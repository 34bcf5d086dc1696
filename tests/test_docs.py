"""What the README and the scripts' docstrings say can be typed as it stands."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import colorize
import engine
import inpaint
import restore
import segment

ROOT = Path(__file__).parents[1]
SCRIPTS = {"restore.py": restore, "segment.py": segment, "inpaint.py": inpaint, "colorize.py": colorize}


def commands():
    texts = [(ROOT / "README.md").read_text()]
    texts += [ast.get_docstring(ast.parse((ROOT / name).read_text())) for name in SCRIPTS]
    found = re.findall(
        r"(?:python|torchrun[^\n]*?) ((?:restore|segment|inpaint|colorize)\.py [^\n`|&]*)",
        "\n".join(texts).replace("\\\n", " "),
    )
    return sorted({re.split(r"\s{2,}|#", command)[0].strip() for command in found})


def test_commands_are_found():
    assert len(commands()) > 20


@pytest.mark.parametrize("command", commands())
def test_command_parses(command, monkeypatch):
    monkeypatch.setattr(engine, "run_command", lambda parser, argv: parser.parse_args(argv))
    script, *arguments = shlex.split(re.sub(r"[<>] *\S+", "", command))
    SCRIPTS[script].main(arguments)


def test_files_that_the_readme_names_exist():
    named = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_continuous_integration_runs_the_readmes_blocks():
    readme, run = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"<!-- run: (\w+) -->", readme) == re.findall(r"^run (\w+)$", run, re.M)
