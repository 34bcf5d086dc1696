"""Markdown tables and the formats of their cells, for stored benchmark results."""

from benchmarks import record

MISSING = "not measured"
GPU = "_gpu"  # suffix that `record.emit` adds to the name of a result measured on a GPU


def table(head: list, rows: list) -> str:
    """A table of rows, each a list of cells; None is shown as MISSING."""
    lines = [head, *rows]
    cells = [" | ".join(str(MISSING if cell is None else cell) for cell in line) for line in lines]
    return "\n".join([f"| {cells[0]} |", "|" + "---|" * len(head), *(f"| {line} |" for line in cells[1:])])


def columns(rows: list, *pairs) -> str:
    """A table of rows, each a dict. pairs: (heading, the key of a cell or a function of the row)."""
    cells = [[cell(row) if callable(cell) else row[cell] for _, cell in pairs] for row in rows]
    return table([heading for heading, _ in pairs], cells)


def fixed(key: str, digits: int):
    """A cell: the number under `key` with `digits` decimals."""
    return lambda row: f"{row[key]:.{digits}f}"


def interval_of(key: str, digits: int):
    """A cell: the number under `key` with its 95 % interval."""
    return lambda row: interval(row[key], row[f"{key}_95"], digits)


def interval(value: float, low_high, digits: int) -> str:
    return f"{value:.{digits}f} ({low_high[0]:.{digits}f} to {low_high[1]:.{digits}f})"


def timing(row: dict, digits: int = 2, scale: float = 1.0) -> str:
    """Median and range of a timing."""
    value, least, most = (f"{row[key] * scale:.{digits}f}" for key in ("seconds", "least", "most"))
    return f"{value} ({least} to {most})" if row["n"] > 1 else value


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def pixels(size) -> str:
    return f"{size[0]} x {size[1]}"


def results(name: str):
    """The stored results of a benchmark; None if it was not run."""
    stored = record.read(name)
    return stored and stored["results"]


def by_device(name: str) -> dict:
    """The stored results of a benchmark by device, "CPU" and "GPU", as far as they exist."""
    measured = {"CPU": results(name), "GPU": results(name + GPU)}
    return {device: result for device, result in measured.items() if result}


def source(name: str) -> str:
    """Command, hardware and date of a measurement."""
    stored = record.read(name)
    hardware, versions = stored["hardware"], stored["versions"]
    machine = hardware.get("gpu") or f"{hardware['processor']}, {hardware['cores']} cores"
    count = stored.get("threads")
    threads = f", {count} thread{'s' * (count > 1)}" if count else ""
    return f"`{stored['command']}`: {machine}{threads}, torch {versions['torch']}, {stored['date']}."
