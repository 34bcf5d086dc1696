"""Tables of time and memory of inference, and of partial convolutions."""

from benchmarks.tables.markdown import GPU, by_device, columns, percent, pixels, results, timing

PUBLISHED_MS = {"segment": 290, "inpaint": 50, "colorize": 30}  # the 2019 system on a GeForce 1080 Ti
WHY = {  # optimization -> why it was kept or dropped
    "norms folded into convolutions (segment, 512 px)": "one pass less over the activations",
    "channels last (segment, 512 px)": "oneDNN's direct convolutions, no reordering between layers",
    "channels last (inpaint, 512 px)": "the same",
    "channels last (colorize, 256 px)": "the same",
    "inference mode, against no_grad (segment, 512 px)": "costs nothing; helps with small operators",
    "windows around holes (damage of the example, 2048 px)": (
        "most of the area has no holes; within 0.5 of 255 of what the whole picture gives"
    ),
    "depth of holes by growing distances, against max pooling (2048 px)": "few passes over bytes",
    "tiles of 512 px, against 1024 (cracks in parts of 4096 px)": ("less memory at the same speed"),
    "color at 256 px, against 1024 px": "the network's training scale; edges come from luma",
    "torch alone, against torch and torchvision (start)": "torchvision is needed for downloads only",
    "freed memory kept, against returned to the system (inpaint, 1024 px)": (
        "the system clears each page that it hands out again"
    ),
    "PNG of level 4, against 6 (color, 512 px)": "files are 5 to 9 % larger",
    "bf16 autocast on the CPU (segment, 512 px)": (
        "changes results slightly; `--precision auto` takes it where it is faster"
    ),
    "torch.compile (segment, 512 px)": "compiling takes too long for one photograph",
}


def stages() -> str:
    return columns(
        results("speed_stages")["stages"],
        ("stage", "stage"),
        ("px", lambda row: pixels(row["size"])),
        ("width", "width"),
        ("CPU seconds (range)", lambda row: timing(row, 3)),
        ("n", "n"),
        ("GFLOP", "gflop"),
        ("of matrix product", lambda row: percent(row["share"], 0)),
        ("time by operator", slowest_operators),
        ("GPU", gpu_timings),
        ("2019 system, GPU", published_timing),
    )


def slowest_operators(row: dict) -> str:
    return ", ".join(f"{name} {percent(share, 0)}" for name, share in list(row["operators"].items())[:3])


def gpu_timings(row: dict) -> str | None:
    """The same case on a GPU, in each number format; None if it was not measured."""
    key = ("stage", "size", "width")
    measured = (results("speed_stages" + GPU) or {"stages": []})["stages"]
    same = [other for other in measured if all(other[name] == row[name] for name in key)]
    return "; ".join(f"{other['precision']} {timing(other, 1, 1e3)} ms" for other in same) or None


def published_timing(row: dict) -> str:
    milliseconds = PUBLISHED_MS.get(row["stage"]) if row["width"] == 64 else None
    return f"{milliseconds} ms" if milliseconds else ""


def throughput() -> str:
    return columns(
        results("speed_stages" + GPU)["throughput"],
        ("stage, width 64, bf16", "stage"),
        ("px", "side_px"),
        ("batch", "batch"),
        ("ms (range)", lambda row: timing(row, 1, 1e3)),
        ("GFLOP/s", "gflop_per_s"),
        ("of matrix product", lambda row: percent(row["share"], 0)),
    )


def peers() -> str:
    return columns(
        results("speed_stages")["peers"],
        ("peer", "peer"),
        ("px", lambda row: row.get("size") and pixels(row["size"])),
        ("seconds (range)", lambda row: row["seconds"] and timing(row, 3)),
        ("n", lambda row: row.get("n", "")),
        ("GFLOP", lambda row: row.get("gflop", "")),
        ("", lambda row: row.get("reason", "")),
    )


def chain() -> str:
    result = results("speed_chain")
    commands = {name: row for name, row in result.items() if name != "stages"}
    stages = {f"stage {name}": row for name, row in result["stages"].items()}
    return columns(
        list({**commands, **stages}.items()),
        ("one photograph of 1024 x 1024 px", lambda item: item[0]),
        ("seconds (range)", lambda item: timing(item[1])),
        ("n", lambda item: item[1]["n"]),
    )


def folder() -> str:
    return columns(
        [results("speed_folder")],
        ("photographs", "photos"),
        ("wall", lambda row: f"{row['wall_s']} s"),
        ("wall of as many processes as cores", lambda row: f"{row['processes_wall_s']} s"),
        ("import", lambda row: f"{row['import_s']} s"),
        ("stages summed", lambda row: f"{row['stages_s']} s"),
        ("(wall - import) / stages", "ratio"),
    )


def optimizations() -> str:
    def ratio(row):
        return row["reason"] if row["ratio"] is None else ratio_with_quartiles(row)

    return columns(
        results("optimizations"),
        ("what", "what"),
        ("", lambda row: "kept" if row["kept"] else "dropped"),
        ("before, ms", lambda row: row.get("ms_without")),
        ("after, ms", lambda row: row.get("ms_with")),
        ("after / before (quartiles)", ratio),
        ("why", lambda row: WHY.get(row["what"], "")),
    )


def ratio_with_quartiles(row: dict) -> str:
    low, high = row["quartiles"]
    return f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"


def memory() -> str:
    return columns(
        results("memory"),
        ("megapixels, grey", lambda row: row["megapixels"] or "below 0.01"),
        ("peak memory, MB", "peak_mb"),
        ("seconds", "seconds"),
        ("inpainted", lambda row: percent(row["invented"])),
    )


def page_faults() -> str:
    names = {"glibc": "returned to the system", "kept": "kept"}
    return columns(
        results("page_faults"),
        ("megapixels, grey", "megapixels"),
        ("freed memory is", lambda row: names[row["allocator"]]),
        ("page faults", lambda row: f"{row['page_faults']:,}"),
        ("peak memory, MB", "peak_mb"),
        ("processor seconds", "processor_s"),
    )


def partial_convolution() -> str:
    measured = by_device("partial")
    return columns(
        [{"device": device, **row} for device, rows in measured.items() for row in rows],
        ("layer", layer),
        ("device", "device"),
        ("px", "side_px"),
        ("batch", "batch"),
        ("partial / ordinary, forward", lambda row: ratio_with_quartiles(row["forward"])),
        ("training", lambda row: ratio_with_quartiles(row["training"])),
    )


def layer(row: dict) -> str:
    """A network by its name and width, a layer by its channels."""
    if "network" in row:
        return f"{row['network']}, width {row['width']}"
    channels = "+".join(map(str, row["channels"]))
    return f"{channels} to {row['outputs']}, {row['kernel']} px, stride {row['stride']}"
