"""Tables of what training costs: memory, arithmetic, samples per second, in-place norms."""

from benchmarks.tables.markdown import MISSING, by_device, columns, fixed, percent, results

CORES = 16  # of the machine for which the making of samples is extrapolated


def cost() -> str:
    return columns(
        [{"stage": stage, **row} for stage, row in results("training_cost").items()],
        ("stage", "stage"),
        ("parameters", lambda row: f"{row['parameters'] / 1e6:.1f} M"),
        ("crop", lambda row: f"{row['crop_px']} px"),
        ("samples per GPU", "samples_per_gpu"),
        ("memory per GPU", lambda row: f"{row['memory_gb']} GB"),
        ("forward pass of a crop", lambda row: f"{row['forward_gmac']:.0f} GMAC"),
    )


def training() -> str:
    return f"{speed()}\n\n{samples()}"


def speed() -> str:
    rows = [
        {"stage": stage, "device": device, **run}
        for device, stages in by_device("training_speed").items()
        for stage, runs in stages.items()
        for run in runs
    ]
    return columns(
        rows,
        ("training, width 16, crops of 256 px", "stage"),
        ("device", "device"),
        ("processes", "processes"),
        ("samples/s", "samples_per_s"),
        (
            "waiting for data in 50 steps",
            lambda row: f"{row['waiting_s']} s ({percent(row['waiting_share'])})",
        ),
    )


def samples() -> str:
    return columns(
        [{"stage": stage, **row} for stage, row in results("training_samples").items()],
        ("making 512 px samples", "stage"),
        ("per s and core", "per_s"),
        (
            "ms (quartiles)",
            lambda row: f"{row['median_ms']} ({row['quartiles_ms'][0]} to {row['quartiles_ms'][1]})",
        ),
        ("n", "n"),
        (f"per s on {CORES} cores (computed)", lambda row: f"{CORES * row['per_s']:.0f}"),
    )


def activations() -> str:
    measured = by_device("activations")
    rows = [{"device": device, **row} for device, result in measured.items() for row in result["steps"]]

    def step_time(row):
        low, high = row["step_ratio_quartiles"]
        return f"{row['step_ratio']:.2f} ({low:.2f} to {high:.2f})"

    steps = columns(
        rows,
        ("device", "device"),
        ("width", "width"),
        ("px", "side_px"),
        ("batch", "batch"),
        ("precision", "precision"),
        ("bytes kept for backward, in place / ordinary", fixed("bytes_ratio", 3)),
        ("step time (quartiles)", step_time),
        ("n", "n"),
    )
    largest = measured.get("GPU", {}).get("largest_batch", {})
    return (
        f"{steps}\n\nLargest batch of 1024 px at width 64 on a GPU: {largest.get('in place', MISSING)} in "
        f"place, {largest.get('ordinary', MISSING)} with ordinary norms."
    )
