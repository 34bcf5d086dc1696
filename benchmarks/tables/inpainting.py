"""Tables of inpainting: holes like damage, and the published protocol."""

from benchmarks.tables.markdown import columns, interval_of, results


def inpainting() -> str:
    result = results("quality_inpaint")
    shares = {"0_2": "under 2 %", "2_10": "2 to 10 %", "10_25": "10 to 25 %"}
    rows = [
        {
            "share": name,
            **{method: result[f"{method}_{key}"] for method in ("ours", "telea", "navier_stokes")},
        }
        for key, name in shares.items()
    ]

    closeness = columns(
        rows,
        (f"hole share, n = {result['photos']}", "share"),
        ("PSNR, dB", lambda row: f"**{interval_of('hole_psnr', 2)(row['ours'])}**"),
        ("Telea", of("telea", "hole_psnr", 2)),
        ("Navier-Stokes", of("navier_stokes", "hole_psnr", 2)),
        ("SSIM", of("ours", "hole_ssim", 3)),
        ("Telea", of("telea", "hole_ssim", 3)),
        ("rim error", of("ours", "seam", 1)),
        ("Navier-Stokes", of("navier_stokes", "seam", 1)),
        ("whole picture, dB", of("ours", "psnr", 1)),
    )
    return "\n\n".join([closeness, *inpainted_texture(result, rows)])


def inpainted_texture(result: dict, rows: list[dict]) -> list[str]:
    """A table of the texture in holes and what its columns are; nothing if it was not measured."""
    if "high_frequency" not in rows[0]["ours"]:
        return []
    remark = "Ours with grain, as `infer` paints. Fine detail: its energy in the holes, relative to that of "
    remark += "their surroundings (median); 1 continues the texture, 0 is a blur."
    pairs = [
        (f"hole share, n = {result['photos']}", "share"),
        ("fine detail", of("ours", "high_frequency", 2)),
        ("Telea", of("telea", "high_frequency", 2)),
    ]
    if "feature_distance" in rows[0]["ours"]:
        pairs += [
            ("distance of features", lambda row: interval_of("feature_distance", 3)(row["ours"])),
            ("Telea", of("telea", "feature_distance", 3)),
        ]
        remark += f" Features of VGG-16 (`--vgg-weights {result['vgg_weights']}`): 0 is the truth."
    return [columns(rows, *pairs), remark]


def of(method: str, key: str, digits: int):
    """A cell; None if the method has no such result, as one of OpenCV where OpenCV is not installed."""

    def cell(row):
        found = row[method] and row[method].get(key)
        return None if found is None else f"{found:.{digits}f}"

    return cell


def published() -> str:
    """NVIDIA's irregular masks by share of holes, with Telea and what two papers report."""
    rows = [{"share": f"{name} %", **row} for name, row in results("published_painting").items()]
    return columns(
        rows,
        ("hole share", "share"),
        ("n", lambda row: row["ours"]["n"]),
        ("PSNR of the picture, dB", lambda row: interval_of("psnr", 2)(row["ours"])),
        ("Telea", of("telea", "psnr", 2)),
        ("Navier-Stokes", of("navier_stokes", "psnr", 2)),
        ("PConv, other pictures", paper("PConv")),
        ("AOT-GAN, other pictures", paper("AOT-GAN")),
        ("SSIM", of("ours", "ssim", 3)),
        ("PSNR in the hole, dB", of("ours", "hole_psnr", 2)),
        ("Telea", of("telea", "hole_psnr", 2)),
        ("fine detail", of("ours", "high_frequency", 2)),
        ("Telea", of("telea", "high_frequency", 2)),
        ("distance of features", of("ours", "feature_distance", 3)),
        ("Telea", of("telea", "feature_distance", 3)),
    )


def paper(name: str):
    """A cell: the PSNR that papers report, or its range."""
    return lambda row: " to ".join(f"{value:.2f}" for value in row["published"].get(name, ())) or "-"
