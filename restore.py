"""Restores scanned photographs: detects damage, inpaints it and adds color.

    python restore.py photo.jpg out/                         one photograph
    python restore.py scans/ out/ --recursive                a folder and its subfolders
    python restore.py photo.jpg new.tif --only restored      no color; a single result may go to a file
    python restore.py photo.jpg out/ --mask edited_mask.png  repair what this mask marks
    python restore.py photo.jpg out/ --tone                  also bring back the contrast of a faded print
    python restore.py photo.jpg out/ --psd                   also a Photoshop file with all steps as layers
    python restore.py scans/ out/ --page                     also a page to check and correct in a browser
    python restore.py - - --only restored < in.png > out.png
    torchrun --nproc_per_node=4 restore.py scans/ out/       photographs shared by four processes

Writes for each photograph: STEM_mask.png (the repaired area), STEM_restored, STEM_restored_color, STEM_color
(color only, in case the detected damage is wrong) and STEM.json (a report; data/report.py explains its keys);
with --tone also STEM_toned and STEM_toned_color. STEM is its name without suffix, unless --name is given.

The same in a Python program:

    from restore import Restorer

    restorer = Restorer()                # keywords are named like the options
    result = restorer("scan.jpg")        # or bytes, a Pillow picture, an array
    result.restored                      # array (H, W) or (H, W, 3); also mask, color, restored_color, report
"""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import colorize
import inpaint
import segment
from data import tone, xmp
from data.errors import UserError
from data.images import ImageLike, read_image
from data.photo import MAX_PIXELS, Photo, encode
from data.psd import photoshop, restoration_layers
from data.sheet import compare
from engine import PROGRAM, commands, inferring, marking, options, review
from engine.inputs import infrared_beside
from engine.launch import leave
from engine.lazy import once
from engine.pairing import BESIDE
from engine.photos import FORMATS, Job, Picture, run, tool
from engine.restored import COLORED, PICTURES, TONED, Restored, checked_pictures

if TYPE_CHECKING:
    from nets.finder import Finder


def requested(only: list[str] | None, tone: str | None) -> list[str]:
    """The pictures that these options ask for, in the order of PICTURES."""
    default = PICTURES if tone else PICTURES.keys() - TONED
    return [name for name in PICTURES if name in (only or default)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Restorer:
    """Restores photographs like the command; its keywords are named like the options.

    >>> from PIL import Image
    >>> from restore import Restorer
    >>> restorer = Restorer(device="cpu", only=["mask", "restored"])
    >>> picture = Image.open("examples/astronaut_old.jpg").resize((128, 128))
    >>> result = restorer(picture)
    >>> result.restored.shape, result.restored.dtype
    ((128, 128, 3), dtype('uint8'))
    >>> result.mask.shape, result.report["regions"]["count"] > 0
    ((128, 128), True)

    A network is loaded when a picture first needs it, and kept for all photographs. One Restorer may serve
    several threads; its networks compute one photograph at a time. Prints nothing. Raises UserError: at once
    for values that the command would refuse, later for weights or a device that cannot be used.
    """

    segment_weights: Path = segment.WEIGHTS
    inpaint_weights: Path = inpaint.WEIGHTS
    colorize_weights: Path = colorize.WEIGHTS
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    precision: str = "fp32"  # fp32, bf16, fp16 or auto
    tile: int = options.TILE  # px, largest side that a network processes at once
    overlap: int = options.OVERLAP  # px, of tiles, at most half of `tile`
    threshold: float | None = None  # of the probability of damage, above 0 to 1; None: that of the weights
    dilate: int = segment.DILATE  # px of the working size
    infrared: str = "auto"  # use of the infrared channel: auto, off or only
    smallest: float | None = None  # px of the working size, the area below which marks are dropped
    largest: float | None = None  # share of the photograph, the area above which marks are dropped
    tta: bool = True
    max_side: int = segment.MAX_SIDE  # px, working size of detection
    grain: bool = True
    format: str = "auto"  # of the files: with tif, or auto for a TIFF or an array, 16-bit color is kept
    tone: str | None = None  # auto or neutral (data.tone.MODES): makes the toned pictures
    only: list[str] | None = None  # the pictures that `report` describes, of PICTURES; None: all
    max_pixels: int = MAX_PIXELS
    remarks: ClassVar = {inpaint.STAGE: inpaint.REMARK, colorize.STAGE: colorize.REMARK}
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _cache: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        unset = {name for name in ("threshold", "smallest", "largest") if getattr(self, name) is None}
        for name in options.TYPES.keys() - unset:
            object.__setattr__(self, name, options.converted(name, getattr(self, name)))
        if wrong := options.overlap_error(self.tile, self.overlap):
            raise UserError(wrong)
        valid = {
            "precision": self.precision in options.PRECISIONS,
            "infrared": self.infrared in options.INFRARED,
            "format": self.format in ("auto", *FORMATS),
            "tone": self.tone in (None, *tone.MODES),
            "tta": isinstance(self.tta, bool),
            "grain": isinstance(self.grain, bool),
        }
        for name in (name for name, is_valid in valid.items() if not is_valid):
            raise UserError(f"{name}: {getattr(self, name)!r} is not a value of restore.py --{name}")
        object.__setattr__(self, "only", checked_pictures(self.only, self.tone))

    def __call__(
        self,
        photo: ImageLike,
        *,
        mask: ImageLike | None = None,
        protect: ImageLike | None = None,
        hints: ImageLike | None = None,
    ) -> Restored:
        """The photograph, with its pictures computed when asked for.

        photo: path or bytes of a file, Pillow picture, or array (H, W), (H, W, 3) or (H, W, 4) of uint8 or
        uint16. Pictures and arrays are copied and taken as upright. mask: 255 marks what to repair, and
        detection is skipped. protect: 255 marks what must not be repaired. hints: known colors on a
        transparent background. These take the same forms, and are read when needed. Raises PhotoError.
        """
        name = str(photo) if isinstance(photo, (str, Path)) else ""
        image = read_image(photo, self.max_pixels)
        beside = infrared_beside(Path(name)) if name and mask is None and self.infrared != "off" else None
        given = {"mask": mask, "protect": protect, "hints": hints, "infrared": beside}
        given = {role: image for role, image in given.items() if image is not None}
        return Restored(self, image, given, name)

    @property
    def wanted(self) -> list[str]:
        """The pictures of `only`, in the order of PICTURES."""
        return requested(self.only, self.tone)

    def stages(self, masked: bool) -> list[str]:
        """The stages needed for the pictures in `only`. masked: whether masks are given."""
        wanted = set(self.wanted)
        needs = {
            segment.STAGE: not masked and wanted != {"color"} and self.infrared != "only",
            inpaint.STAGE: {"restored", "restored_color", *TONED} & wanted,
            colorize.STAGE: COLORED & wanted,
        }
        return [stage for stage, needed in needs.items() if needed]

    def load(self, masked: bool) -> dict[str, str]:
        """Loads the networks of these stages, so that mistakes show at once: stage -> SHA-256 of its weights.

        Raises UserError.
        """
        networks = {segment.STAGE: self.finder, inpaint.STAGE: self.painter, colorize.STAGE: self.colorizer}
        stages = self.stages(masked)
        sums = {stage: self.weights_sha256(stage) for stage in stages}
        for stage in stages:
            networks[stage]()
        return sums

    def weights_sha256(self, stage: str) -> str:
        """The SHA-256 of a stage's weights file, which is read once for all photographs. Raises UserError."""
        from data.checkpoint import fingerprint

        name = f"{stage} SHA-256"
        with self._lock:
            if name not in self._cache:
                self._cache[name] = fingerprint(getattr(self, f"{stage}_weights"))
            return self._cache[name]

    def report_options(self, masked: bool) -> dict:
        """The options that change pixels, except the format, for the report."""
        stages = self.stages(masked)
        finder, threshold = self.finder() if segment.STAGE in stages else (None, None)
        names = ["dilate", "max_side", "infrared"] if not masked and self.wanted != ["color"] else []
        names += [name for name in ("smallest", "largest") if names and getattr(self, name)]
        names += ["tta"] if finder else []
        names += ["grain"] if inpaint.STAGE in stages else []
        names += ["precision"] if stages else []
        names += ["tile", "overlap"] if set(stages) - {colorize.STAGE} else []
        names += ["tone"] if set(TONED) & set(self.wanted) else []
        return segment.report_options(finder, threshold, **options.chosen(self, *names))

    @once
    def torch_device(self):
        """The device that the option names. Raises UserError."""
        from engine.processes import pick_device

        return pick_device(self.device)

    def number_format(self) -> str:
        """The number format of the networks: fp32, bf16 or fp16."""
        from nets.ops.precision import number_format

        return number_format(self.precision, self.torch_device())

    @once
    def finder(self) -> tuple[Finder, float]:
        """The network that detects damage, and its threshold. Raises UserError."""
        settings = options.chosen(self, "tta", "max_side", "precision", "tile", "overlap")
        return segment.load(self.segment_weights, self.torch_device(), self.threshold, **settings)

    @once
    def painter(self) -> inpaint.Painter:
        """The network that inpaints. Raises UserError."""
        settings = options.chosen(self, "grain", "precision", "tile", "overlap")
        return inpaint.load(self.inpaint_weights, self.torch_device(), **settings)

    @once
    def colorizer(self) -> colorize.Colorizer:
        """The network that adds color. Raises UserError."""
        return colorize.load(self.colorize_weights, self.torch_device(), precision=self.precision)

    def detect(self, photo: Photo, infrared: ImageLike | None = None):
        """What `segment.find` gives for a photograph."""
        finder, threshold = (None, None) if self.infrared == "only" else self.finder()
        given, sizes = (self.infrared, infrared), (self.smallest, self.largest)
        return segment.find(finder, photo, threshold, self.dilate, given, self.max_side, sizes)


# ------------------------------------------------------------------------------------------ the command


def layered(restored: Restored) -> bytes:
    """A Photoshop file with every step towards the pictures in `Restorer.only` as a layer."""
    wanted, repairs = restored.restorer.wanted, inpaint.STAGE in restored.stages
    names = ["original", *(name for name in ("toned", "color", "restored_color") if name in wanted)]
    layers = restoration_layers(
        {name: getattr(restored, name) for name in names},
        (restored.restored, restored.mask) if repairs else None,
        restored.probability if segment.STAGE in restored.stages else None,
    )
    visible = {*wanted, "restored"} if repairs else wanted
    shown = [name for name in ("restored_color", "restored", "color") if name in visible]
    merged = restored.file(shown[0]) if shown else Picture(restored.original)
    packet = restored.photo.xmp
    if merged.remark:
        made_by = tool(restored.restorer.load(restored.masked), merged.stages)
        packet = xmp.stamp(packet, merged.remark, made_by)
    return photoshop(restored.photo, layers, merged.pixels, packet)


def output_keys(args: argparse.Namespace) -> list[str]:
    """The suffixes of the files requested by the options."""
    keys = [PICTURES[name] for name in requested(args.only, args.tone)]
    keys += ["_compare.png"] * args.compare + ["_probability.png"] * args.probability
    return keys + [".{psd}"] * args.psd + [review.SUFFIX] * args.page


def output_files(restored: Restored, name: str, args: argparse.Namespace) -> dict[str, bytes | Picture]:
    """The files requested by the options: suffix -> content. name: of the results."""
    wanted = restored.restorer.wanted
    files = {PICTURES[name]: restored.file(name) for name in wanted}
    if args.compare:
        names = ["original", *(name for name in wanted if name != "mask")]
        panels = {name.replace("_", " + "): getattr(restored, name) for name in names}
        files["_compare.png"] = encode(compare(panels), None, "PNG")
    if args.probability:
        files["_probability.png"] = segment.probability_file(restored.probability)
    if args.psd:
        files[".{psd}"] = layered(restored)
    if args.page:
        files[review.SUFFIX] = review_record(restored, args.out / f"{name}{review.SUFFIX}", name)
    return files


def review_record(restored: Restored, path: Path, name: str) -> bytes:
    """What the review page shows of a photograph. path: of the former record, whose probability is kept when
    a mask is given now. name: of the results.
    """
    restorer = restored.restorer
    pictures = {key: getattr(restored, key) for key in restorer.wanted if key != "mask"}
    return review.record(
        restored.photo,
        name,
        restored.name,
        restored.mask,
        pictures,
        restored.facts(),
        None if restored.masked else detection(restored),
        protected=restored.protected()[0] if "protect" in restored.given else None,
        former=review.read_record(path) if restored.masked else None,
    )


def detection(restored: Restored) -> review.Detection:
    """How the mask of a photograph was detected, for the review page."""
    restorer, infrared = restored.restorer, restored.infrared_mask
    if segment.STAGE not in restored.stages:
        return review.Detection(reason="The marks come from infrared, which has no threshold.")
    sizes = restorer.smallest, restorer.largest
    return review.Detection(restored.dilated_probability, restorer.finder()[1], infrared, *sizes)


def restore(args: argparse.Namespace) -> int:
    """Restores all photographs of the arguments; returns the exit status."""
    restorer = Restorer(**{part.name: getattr(args, part.name) for part in fields(Restorer) if part.init})
    corrections = review.requested_corrections(args)
    if args.page:
        review.check_pages(args)
    masked = args.mask is not None or corrections is not None
    weights = restorer.load(masked)

    def work(photo, source):
        if masked and restorer.wanted != ["color"]:
            source.require("mask", args.mask)
        restored = Restored(restorer, photo, source.companions, str(source))
        if colorize.STAGE in restored.stages:
            restored.hints()  # before anything is computed
        return output_files(restored, source.name, args), restored.facts()

    job = Job(
        work,
        output_keys(args),
        options=restorer.report_options(masked),
        weights=weights,
        companions={"mask": args.mask, "protect": args.protect, "hints": args.hints}
        | ({} if masked or args.infrared == "off" else {"infrared": BESIDE}),
        commit=True,
        max_pixels=args.max_pixels,
        corrections=corrections,
    )
    status = run(args, job)
    if args.page and status in (0, 1):
        review.write_pages(args)
    return status


def restoring_options(parser: argparse.ArgumentParser) -> None:
    """All options of restore.py."""
    add = parser.add_argument
    for stage in (segment, inpaint, colorize):
        text = f"weights file of the {stage.STAGE} stage (default: the bundled one)"
        add(f"--{stage.STAGE}-weights", type=Path, default=stage.WEIGHTS, metavar="FILE", help=text)
    inferring.infer_options(parser)
    marking.finding_options(parser)
    inpaint.painting_options(parser)
    text = "repair what is white or has a pure color in these masks, and skip detection; "
    text += "a folder is paired by stem (default: detect damage)"
    add("--mask", type=Path, metavar="FILE_OR_FOLDER", help=text)
    colorize.hints_option(parser)
    text = "also write the restored picture with contrast and color cast of a faded print corrected; neutral "
    text += "also makes sepia prints grey; without a value: auto (default: no)"
    add("--tone", nargs="?", const="auto", choices=tone.MODES, help=text)
    text = "write only this picture; repeatable (default: all, the toned ones with --tone)"
    add("--only", action="append", choices=PICTURES, help=text)
    text = "also write OUT/STEM_compare.png, original and results side by side (default: no)"
    add("--compare", action="store_true", help=text)
    text = "also write OUT/STEM.psd (.psb if very large) with every step as a layer (default: no)"
    add("--psd", action="store_true", help=text)
    review.review_options(parser)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=PROGRAM)
    restoring_options(parser)

    def checked(args) -> int:
        args.words, only = sys.argv[1:] if argv is None else argv, set(args.only or ())
        no_repairs = only == {"color"}
        contradictions = {
            "--probability: with these options, no network detects damage": args.probability
            and (args.mask or args.corrections or args.infrared == "only" or no_repairs),
            "--page needs repairs, and --only color makes none": args.page and no_repairs,
            "--mask, --protect: --only color repairs nothing": no_repairs and (args.mask or args.protect),
            "--hints: --only leaves out the color pictures": args.hints and only and not only & COLORED,
            "--tone: --only leaves out the toned pictures": args.tone and only and not only & set(TONED),
            "--only: the toned pictures need --tone": not args.tone and only & set(TONED),
            "--psd needs psd-tools: pip install psd-tools": args.psd and not find_spec("psd_tools"),
        }
        if found := [message for message, holds in contradictions.items() if holds]:
            parser.error(found[0])
        inferring.check(parser, args, output_keys(args), reports=True)  # creates OUT
        return restore(args)

    parser.set_defaults(run=checked)
    return commands.run_command(parser, argv)


if __name__ == "__main__":
    leave(main())
