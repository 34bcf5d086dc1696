"""Commands in the documents and the scripts' docstrings run as printed, and links lead somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import colorize
import inpaint
import restore
import segment

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(ROOT / name for name in ("weights/README.md", "examples/README.md", "benchmarks/RESULTS.md")),
]
SCRIPTS = {"restore.py": restore, "segment.py": segment, "inpaint.py": inpaint, "colorize.py": colorize}


def commands():
    texts = [path.read_text("utf-8") for path in DOCUMENTS]
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
    monkeypatch.setattr("engine.commands.run_command", lambda parser, argv: parser.parse_args(argv))
    script, *arguments = shlex.split(re.sub(r"[<>] *\S+", "", command))
    SCRIPTS[script].main(arguments)


def anchors(path):
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^):]+)\)", path.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_continuous_integration_runs_the_readmes_blocks():
    readme, run = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"<!-- run: (\w+) -->", readme) == re.findall(r"^run (\w+)$", run, re.M)
