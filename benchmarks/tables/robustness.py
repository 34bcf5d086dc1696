"""Tables of killed runs and damaged files."""

from benchmarks.tables.markdown import columns, results


def archive() -> str:
    return columns(
        [row for name in ("archive", "archive_2") if (row := results(name))],
        ("processes", "processes"),
        ("photographs", "photos"),
        ("done", "done"),
        ("broken, reported", "named"),
        ("status", "status"),
        ("SIGKILLs", "kills"),
        ("processed twice", lambda row: len(row["again"])),
        ("torn or leftover files", lambda row: len(row["torn"])),
        ("seconds", "seconds"),
    )


def fuzz() -> str:
    def counts(key):
        return lambda row: ", ".join(f"{number} {name}" for name, number in row[key].items())

    return columns(
        [results("fuzz")],
        ("damaged files, reader", counts("reader")),
        ("slowest", lambda row: f"{row['slowest_s']} s"),
        ("damaged files, command", counts("command")),
        ("faults", lambda row: "; ".join(row["faults"]) or "none"),
    )
