"""Tables of killed runs, damaged files, and situations of bug reports."""

from collections import Counter

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


def situations() -> str:
    """How many situations are right, and each of them with the reason if it is not."""
    now = results("situations")
    before = {row["name"]: row for row in results("situations_before")}

    def counts(rows):
        counted = Counter(row["verdict"] for row in rows)
        return ", ".join(f"{counted[word]} {word}" for word in ("right", "poor", "wrong", "skipped"))

    def cell(row):
        if row is None:
            return None
        return f"{row['verdict']}: {row['reason']}".replace("|", "/") if row["reason"] else row["verdict"]

    summary = f"Before: {counts(before.values())}. Now: {counts(now)}."
    table = columns(
        now,
        ("kind", "kind"),
        ("situation", "name"),
        ("before", lambda row: cell(before.get(row["name"]))),
        ("now", cell),
    )
    return f"{summary}\n\n{table}"
