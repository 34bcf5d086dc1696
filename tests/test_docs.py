"""Commands in the documents and the scripts' docstrings run as printed, and links lead somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from conftest import save

import colorize
import inpaint
import restore
import segment

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(ROOT / name for name in ("weights/README.md", "examples/README.md", "benchmarks/RESULTS.md")),
]
PACKAGES = ("engine", "data", "nets", "losses")
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


def tree():
    """(paths, description) of each line of the README's tree; a path ends in / for a folder."""
    block = re.search(r"## Repository\n+```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    folders: list[str] = []
    for line in block.splitlines():
        names, description = re.fullmatch(r" *((?:\S+ )*\S+)  +(\S.*)", line).groups()
        del folders[(len(line) - len(line.lstrip())) // 2 :]
        yield ["".join([*folders, name]) for name in names.split(" ")], description
        folders += [names] if names.endswith("/") else []


def first_line(path):
    """Of the docstring of a module or package, without the full stop."""
    path = ROOT / path / "__init__.py" if path.endswith("/") else ROOT / path
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))).splitlines()[0].removesuffix(".")


def test_the_tree_shows_every_module():
    """By a line of its own, or in the line of its folder."""
    lines = list(tree())
    shown = {path for paths, _ in lines for path in paths}
    modules = [*ROOT.glob("*.py")]
    modules += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = {str(path.relative_to(ROOT)) for path in modules if path.name != "__init__.py"}
    folders = {paths[0]: description for paths, description in lines if paths[0].endswith("/")}
    hidden = {
        name for name in names - shown if Path(name).stem not in folders.get(f"{Path(name).parent}/", "")
    }
    assert not hidden, "add to the tree in README.md"
    assert not [path for path in shown if not (ROOT / path).exists()]


def test_the_tree_says_what_the_modules_say():
    """Lines of several files have words of their own."""
    lines = [(paths[0], words) for paths, words in tree() if len(paths) == 1 and paths[0] != "weights/"]
    assert dict(lines) == {path: first_line(path) for path, _ in lines}


def test_the_readmes_program_runs(tmp_path, monkeypatch, portrait, tiny_weights):
    program = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    save(tmp_path / "scan.jpg", portrait[:48, :64])
    monkeypatch.chdir(tmp_path)
    for stage, path in tiny_weights.items():
        monkeypatch.setattr(restore.Restorer, f"{stage}_weights", path)
    names = {}
    exec(program, names)
    assert names["result"].restored.shape == (48, 64, 3)
