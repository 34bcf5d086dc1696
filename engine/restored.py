"""One restored photograph: its pictures, computed when first asked for, and the facts for its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from data import findings, marks, report, tone
from data.errors import UserError
from data.hints import Hints
from data.images import ImageLike, digest, read_protection, read_role_hints, read_role_mask
from data.photo import Photo, encode, read_photo
from engine import PROGRAM
from engine.lazy import once
from engine.photos import Picture, color_depth

PICTURES = {
    "mask": "_mask.png",
    "restored": "_restored.{ext}",
    "restored_color": "_restored_color.{ext}",
    "color": "_color.{ext}",
    "toned": "_toned.{ext}",
    "toned_color": "_toned_color.{ext}",
}
TONED = "toned", "toned_color"  # made only if a tone is given
COLORED = {"restored_color", "color", "toned_color"}  # what colorize is needed for
SEGMENT, INPAINT, COLORIZE = "segment", "inpaint", "colorize"  # names of the stages, as in weights files


def checked_pictures(only: Iterable[str] | None, tone: str | None) -> list[str] | None:
    """The pictures of `Restorer.only` as a list, None for all. Raises UserError if they are none of PICTURES,
    or cannot be made without a tone.
    """
    if only is None:
        return None
    names = list(only) if isinstance(only, Iterable) and not isinstance(only, str) else []
    if not names or not all(isinstance(name, str) and name in PICTURES for name in names):
        raise UserError(f"only: {only!r}: give a list of {', '.join(PICTURES)}, or None for all")
    if tone is None and set(names) & set(TONED):
        raise UserError("only: toned pictures need a tone (--tone)")
    return names


class Restored:
    """One photograph and the pictures made from it, each computed when first asked for and then kept.

    Several threads may read from it. Arrays are not writable. Each picture raises UserError for weights that
    cannot be used, and PhotoError for a mask or hints that cannot be read.
    """

    def __init__(self, restorer, photo: Photo, given: dict[str, ImageLike], name: str = ""):
        """restorer: restore.Restorer. given: role (mask, protect, hints, infrared) -> what `read_image`
        takes. name: of the photograph.
        """
        self.restorer, self.photo, self.given, self.name = restorer, photo, given, name
        self.masked = "mask" in given
        self.stages = restorer.stages(self.masked)  # that `report` tells of
        self._lock, self._cache, self._seconds = restorer._lock, {}, {}

    # ------------------------------------------------------------------------------------ pictures

    @property
    def original(self) -> np.ndarray:
        """The photograph: (H, W) or (H, W, 3), uint8 or uint16."""
        return self.photo.pixels

    @property
    def mask(self) -> np.ndarray:
        """The area to repair: (H, W) uint8, 255 damaged, 0 intact."""
        return self._detect().mask

    @property
    @once
    def probability(self) -> np.ndarray:
        """The probability of damage, (H, W) float32 in [0, 1]. Raises UserError if a mask is given."""
        if self.masked or self.restorer.infrared == "only":
            reason = "a mask is given" if self.masked else "infrared is 'only'"
            raise UserError(f"no probability: {reason}, so the network detects nothing")
        finder, _ = self.restorer.finder()
        return _read_only(finder.enlarge(self._detect().probability, self.photo.size).numpy())

    @property
    def dilated_probability(self) -> np.ndarray:
        """The probability (h, w) at the working size, dilated as the mask is; not if a mask is given."""
        finder, _ = self.restorer.finder()
        return finder.dilated(self._detect().probability, self.restorer.dilate).numpy()

    @property
    def infrared_mask(self) -> np.ndarray | None:
        """What of the mask infrared shows, (H, W) bool; None if it was not used."""
        return self._detect().infrared

    @property
    def restored(self) -> np.ndarray:
        """The photograph with its damage inpainted, of the same shape and dtype."""
        return self._inpaint()[0]

    @property
    @once
    def restored_color(self) -> np.ndarray:
        """The restored photograph in color: (H, W, 3), uint8 or uint16."""
        untouched = self.restored is self.original
        return self.color if untouched else self._colorize(self.restored)

    @property
    @once
    def color(self) -> np.ndarray:
        """The photograph in color, without repairs: (H, W, 3), uint8 or uint16."""
        return self._colorize(self.original)

    @property
    @once
    def toned(self) -> np.ndarray:
        """The restored photograph with the contrast and cast of a faded print corrected; `restored` itself if
        it is not faded. Raises UserError without `Restorer.tone`.
        """
        correction = self.correction()
        return self.restored if correction is None else _read_only(correction(self.restored))

    @property
    @once
    def toned_color(self) -> np.ndarray:
        """The toned photograph in color: (H, W, 3), uint8 or uint16. It is colorized itself: the colors are
        about those of `restored_color`, and its luma is that of `toned`, whatever the color profile.
        """
        return self.restored_color if self.toned is self.restored else self._colorize(self.toned)

    @property
    @once
    def report(self) -> dict:
        """The report, with the keys of STEM.json. Computes the pictures in `Restorer.only`."""
        restorer = self.restorer
        outputs = [PICTURES[name] for name in restorer.wanted]
        settings = {
            "options": {
                **restorer.report_options(self.masked),
                "format": restorer.format,
                "outputs": outputs,
            },
            "weights": restorer.load(self.masked),
            "companions": {role: digest(image, role) for role, image in self.given.items()},
        }
        return report.build(self.photo, self.name, settings, {}, PROGRAM, **self.facts())

    # --------------------------------------------------------------------------------------- steps

    @once
    def hints(self) -> tuple[Hints | None, list[str]]:
        """The known colors, and notes for the report. Raises PhotoError."""
        return read_role_hints(self.given.get("hints"), self.photo.size)

    @once
    def protected(self) -> tuple[np.ndarray, list[str]]:
        """What is never repaired, (H, W) bool, and notes for the report. Raises PhotoError."""
        return read_protection(self.given.get("protect"), self.photo.size)

    @once
    def _detect(self) -> marks.Found:
        """The marks that the network and infrared find, or those of a given mask, without protected areas."""
        protected, said = self.protected()
        if self.masked:
            mask, notes = read_role_mask(self.given["mask"], "mask", self.photo.size)
            mask[mask != 255] = 0  # only training ignores what is exactly middle grey
            found = marks.Found(mask, None, None, notes, {})
        else:
            if self.restorer.infrared != "only":
                self.restorer.finder()  # loaded before the time is taken
            found = self._timed(SEGMENT, self.restorer.detect, self.photo, self.given.get("infrared"))
        found.mask[protected] = 0
        return found._replace(mask=_read_only(found.mask), notes=found.notes + said)

    @once
    def _inpaint(self):
        """The restored pixels, and notes. Raises PhotoError if a given mask leaves nothing."""
        painter = self.restorer.painter()
        notes = painter.check(self.mask, given=self.masked)
        pixels = self._timed(INPAINT, painter, self.original, self.mask)
        return _read_only(pixels), notes + painter.tiling.warned()

    @once
    def correction(self) -> tone.Tone | None:
        """The correction of the toned pictures, measured outside damage; None if tones stay as they are."""
        if self.restorer.tone is None:
            raise UserError("no toned pictures: give the Restorer a tone")
        excluded = self.mask == 255
        if self.photo.alpha is not None:
            excluded |= self.photo.alpha == 0
        return tone.measure_tone(self.restored, excluded, neutral=self.restorer.tone == "neutral")

    def _colorize(self, pixels: np.ndarray) -> np.ndarray:
        colorizer, (hints, _) = self.restorer.colorizer(), self.hints()
        dtype, _ = color_depth(self.photo, self.restorer.format)
        picture = self._timed(COLORIZE, colorizer.in_profile, pixels, self.photo.icc, hints, dtype)
        return _read_only(picture)

    def _timed(self, stage: str, function: Callable, *arguments):
        began = time.perf_counter()
        result = function(*arguments)
        self._seconds[stage] = self._seconds.get(stage, 0) + time.perf_counter() - began
        return result

    # --------------------------------------------------------------------------------------- facts

    @once
    def facts(self) -> dict:
        """Facts about the pictures in `Restorer.only`: keyword arguments of `data.report.build`."""
        coloring, wanted = COLORIZE in self.stages, self.restorer.wanted
        warnings = findings.cautions(self.photo, coloring, detecting=SEGMENT in self.stages)
        measured, facts = {}, {}
        if coloring:
            warnings += color_depth(self.photo, self.restorer.format)[1] + self.hints()[1]
        if wanted != ["color"]:
            warnings += self._detect().notes
            facts = {"invented": (self.mask == 255).mean(), "regions": marks.regions(self.mask)}
            facts |= self._detect().facts
        if INPAINT in self.stages:
            warnings += self._inpaint()[1]
            restored = self._as_written(self.restored)
            measured["outside_mask"] = findings.difference(self.original, restored, self.mask != 255)
        if set(TONED) & set(wanted):
            facts["tone"] = tone.report(self.correction())
        bases = {"restored_color": "restored", "color": "original", "toned_color": "toned"}
        for name, base in bases.items():
            if name in wanted:
                picture = self._as_written(getattr(self, name))
                base = getattr(self, base)
                measured[f"luma_{name}"] = findings.luma_difference(base, picture, self.photo.icc)
        facts |= {"measured": measured, "warnings": warnings, "seconds": dict(self._seconds)}
        return {**facts, "number_format": self.restorer.number_format() if self.stages else None}

    def _as_written(self, pixels: np.ndarray) -> np.ndarray:
        """The pixels as stored in the file, which JPEG changes."""
        lossy = self.restorer.format == "jpg"
        return read_photo(encode(pixels, None, "JPEG")).pixels if lossy else pixels

    def file(self, name: str) -> bytes | Picture:
        """The picture of this name in PICTURES, as the command writes it."""
        if name == "mask":
            return encode(self.mask, None, "PNG")
        stages, remarks = [], []
        if name != "color" and (self.mask == 255).any():
            stages = [stage for stage in self.stages if stage != COLORIZE]
            remarks = [self.restorer.remarks[INPAINT]]
        if name in TONED and self.correction():
            remarks.append(tone.REMARK)
        if name.endswith("color"):
            stages, remarks = [*stages, COLORIZE], [*remarks, self.restorer.remarks[COLORIZE]]
        return Picture(getattr(self, name), "; ".join(remarks), tuple(stages))


def _read_only(array: np.ndarray) -> np.ndarray:
    """For arrays that several threads share."""
    array.flags.writeable = False
    return array
