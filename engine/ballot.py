"""Blind votes on models: `vote` makes a page of ballot.html, `tally` counts the votes.

    BALLOT/index.html   the page, with all pictures in it: send this file, or put the folder on a web server
    BALLOT.key.json     which model made which picture; next to the folder, and stays with you
    votes.json          what the page saves for each voter

For each photograph a voter chooses the best picture, or "no difference", which splits the vote evenly. A
model's win rate is the mean over photographs of its mean over voters. The interval is Wilson's (1927), with
the number of photographs as the number of trials: votes on one photograph are not independent, so more
photographs narrow it more than more voters do.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import report
from data.errors import PhotoError
from data.files import refuse_existing, sha256, write_together
from data.photo import Photo, read_bytes, read_photo
from engine import options, pairing
from engine.inputs import Source, list_photos
from engine.messages import report_failure, say
from engine.page import data_url, inline_json, template
from engine.streams import print_json

VERSION = 1  # of the key and vote files
MOST = 9  # pictures per photograph, one for each digit on the keyboard

Candidate = Callable[[Photo, Source], np.ndarray]  # returns the pixels of one picture of a photograph


def vote_command(
    subparsers, run: Callable[[argparse.Namespace], int], include: str
) -> argparse.ArgumentParser:
    """Adds `vote`, whose candidates are checked before `run` is called. include: the candidate without
    weights.

    Returns its parser, for the stage's own options.
    """

    def checked(args: argparse.Namespace) -> int:
        named = names(args.weights, args.include)
        if len(set(named)) < len(named):
            parser.error("the same weights are given twice")
        if not 2 <= len(named) <= MOST:
            parser.error(
                f"there must be 2 to {MOST} candidates, not {len(named)}: give more --weights, or "
                f"--include {include}"
            )
        return run(args)

    text = "make a page for blind votes on models"
    parser = subparsers.add_parser("vote", help=text, allow_abbrev=False)
    _vote_options(parser, include)
    parser.set_defaults(run=checked)
    return parser


def _vote_options(parser: argparse.ArgumentParser, include: str) -> None:
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO", help="a file or a folder")
    text = "output folder; the key is written next to it, as BALLOT.key.json"
    add("ballot", type=Path, metavar="BALLOT", help=text)
    text = "weights of the candidates"
    add("--weights", type=Path, nargs="+", required=True, metavar="FILE", help=text)
    text = f"{include}: a candidate without weights (default: none)"
    add("--include", choices=[include], action="append", help=text)
    text = "seed of the order of pictures (default: random, stored in the key)"
    add("--seed", type=options.count(0), help=text)
    text = "longer side of the pictures on the page (default: 1024 px)"
    add("--page-side", type=options.count(64), default=1024, metavar="PX", help=text)
    options.device_option(parser)
    options.precision_option(parser)
    add("--recursive", action="store_true", help="include subfolders (default: no)")
    options.overwrite_option(parser, "the ballot")
    add("--quiet", action="store_true", help="print failures only, no progress (default: no)")


def tally_command(subparsers) -> None:
    """Adds `tally`."""
    parser = subparsers.add_parser("tally", help="count the votes of a ballot", allow_abbrev=False)
    parser.add_argument(
        "ballot", type=Path, metavar="BALLOT", help="the ballot's folder, with its key next to it"
    )
    parser.add_argument(
        "votes",
        nargs="+",
        type=Path,
        metavar="VOTES.json",
        help="the files that the voters saved on the page",
    )
    parser.set_defaults(run=tally)


def names(weights: list[Path], include: list[str] | None) -> list[str]:
    """Names of the candidates: the files' stems, or their paths if stems are equal."""
    others = sorted(set(include or ()))
    stems = [path.stem for path in weights] + others
    return [path.stem if stems.count(path.stem) == 1 else str(path) for path in weights] + others


def key_path(ballot: Path) -> Path:
    ballot = ballot.resolve()
    return ballot.with_name(f"{ballot.name}.key.json")


# ------------------------------------------------------------------------------------------ a ballot


def vote(
    args: argparse.Namespace,
    candidates: list[Candidate],
    shown: Callable[[Photo], np.ndarray],
    question: str,
    companions: dict[str, Path | None] | None = None,
) -> int:
    """Writes the ballot of all photographs; returns 1 if some failed.

    candidates: in the order of `names`. shown: the picture shown next to them, which is not a candidate.
    companions: role -> file, folder or None, as in `engine.photos.Job`. Raises PhotoError if the ballot
    exists, or if no photograph is left.
    """
    page, key = args.ballot / "index.html", key_path(args.ballot)
    for path in (page, key):
        refuse_existing(path, args.overwrite)
    named = names(args.weights, args.include)
    seed = secrets.randbits(32) if args.seed is None else args.seed
    sources = list_photos(args.photos, args.ballot, args.recursive, None if args.quiet else say)
    pairing.check(sources, companions or {})
    paired = pairing.pairer(companions or {})
    photos, pages, failed = [], [], False
    for source in tqdm(sources, unit="photo", disable=True if args.quiet else None):
        try:
            if source.error:
                raise PhotoError(source.error)
            photo, source = read_photo(source.path), paired(source)
            order = np.random.default_rng([seed, len(photos)]).permutation(len(named)).tolist()
            pictures = [candidates[number](photo, source) for number in order]
            pages.append(_page(shown(photo), pictures, args.page_side))
        except Exception as error:  # as in `engine.photos.run`, the other photographs go on
            failed = True
            report_failure(str(source), error)
            continue
        order = [named[number] for number in order]
        photos.append({"name": str(source), "sha256": photo.sha256, "order": order})
    if not photos:
        raise PhotoError("no photograph is left to vote on")
    weights = {name: sha256(read_bytes(path)) for name, path in zip(named, args.weights)}
    facts = {"version": VERSION, "seed": seed, "question": question, "weights": weights}
    _write(page, key, {**facts, "candidates": named, "photos": photos}, pages, args.overwrite)
    return int(failed)


def _page(shown: np.ndarray, pictures: list[np.ndarray], side: int) -> dict:
    """One page of the ballot, with pictures of at most `side` px."""
    return {"shown": _picture(shown, side), "pictures": [_picture(pixels, side) for pixels in pictures]}


def _write(page: Path, key: Path, facts: dict, pages: list[dict], overwrite: bool) -> None:
    """Writes the page and the key. Both are on the disk before either takes its place, since votes on a page
    cannot be counted with another key.
    """
    number = sha256(json.dumps(facts, sort_keys=True).encode())[:16]
    content = inline_json({"id": number, "question": facts["question"], "photos": pages})
    text = template("ballot.html", ["page.js"]).replace(">BALLOT<", f">{content}<")
    solution = report.dumps({"ballot": number, **facts}, indent=2)
    write_together({page: text.encode(), key: solution.encode()}, overwrite)


def _picture(pixels: np.ndarray, side: int) -> str:
    """A data URL of the picture, at most `side` px long. All are JPEGs alike, so that none stands out."""
    return data_url(pixels, side, "JPEG", quality=92, subsampling=0)


# ------------------------------------------------------------------------------------------ the count


def tally(args: argparse.Namespace) -> int:
    """Prints the result, as JSON on standard output and as a table on standard error; returns 1 if a file
    failed.
    """
    number, named, orders = _read_key(key_path(args.ballot))
    voters, failed = {}, False
    for path in args.votes:
        try:
            voter, saved, votes = _read_votes(read_bytes(path), number, orders)
        except PhotoError as error:
            failed = True
            print(f"{path}: {error}", file=sys.stderr)
            continue
        if voter in voters:
            print(f"{path}: another file of the same voter; the one saved last counts", file=sys.stderr)
        voters[voter] = max(voters.get(voter, ("", {})), (saved, votes), key=lambda entry: entry[0])
    result = {"ballot": number, **count([votes for _, votes in voters.values()], orders, named)}
    print_json(result)
    print(_table(result), file=sys.stderr)
    return int(failed)


def _read_key(path: Path) -> tuple[str, list[str], list[list[str]]]:
    """Number of the ballot, candidates, and for each photograph the candidates in the order of its pictures.

    Raises PhotoError.
    """
    try:
        key = json.loads(read_bytes(path))
        number, named, orders = key["ballot"], key["candidates"], [photo["order"] for photo in key["photos"]]
        candidates = sorted(set(named))
        if not candidates or any(sorted(order) != candidates for order in [named, *orders]):
            raise ValueError
    except PhotoError as error:
        raise PhotoError(f"key {path}: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PhotoError(f"key {path}: damaged") from None
    return number, named, orders


def _table(result: dict) -> str:
    width = max(map(len, result["models"]))
    lines = [f"{'':{width}}  wins  win rate  95 %"]
    for name, row in result["models"].items():
        rate, (low, high) = row["win_rate"], row["win_rate_95"]
        lines.append(f"{name:{width}}  {row['wins']:4}  {rate:8.1%}  {low:.1%} to {high:.1%}")
    total = "{votes} votes of {voters} voters on {photos} photographs, {ties} without difference"
    return "\n".join([*lines, total.format_map(result)])


def _read_votes(data: bytes, number: str, orders: list[list[str]]) -> tuple[str, str, dict[int, int]]:
    """Voter, time of saving, and votes: photograph from 0 -> picture from 1, 0 for no difference.

    Raises PhotoError if they are not for this ballot.
    """
    try:
        content = json.loads(data)
        version, ballot, voter, saved = (content[name] for name in ("version", "ballot", "voter", "saved"))
        votes = {int(photo) - 1: choice for photo, choice in content["votes"].items()}
        if version != VERSION or not isinstance(voter, str) or not isinstance(saved, str):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PhotoError("no votes of a ballot, or damaged") from None
    if ballot != number:
        raise PhotoError(f"votes of another ballot ({ballot})")
    for photo, choice in votes.items():
        if not 0 <= photo < len(orders) or type(choice) is not int or not 0 <= choice <= len(orders[photo]):
            raise PhotoError(f"damaged: no picture {choice} of photograph {photo + 1}")
    return voter, saved, votes


def count(ballots: list[dict[int, int]], orders: list[list[str]], named: list[str]) -> dict:
    """Wins and win rates of the candidates, best first.

    ballots: for each voter, photograph -> choice, as returned by `_read_votes`. wins: number of times chosen.
    win_rate and its 95 % interval: see the module.
    """
    wins, ties, rates = dict.fromkeys(named, 0), 0, []
    for photo, order in enumerate(orders):
        choices = [votes[photo] for votes in ballots if photo in votes]
        ties += choices.count(0)
        for choice in choices:
            if choice:
                wins[order[choice - 1]] += 1
        if choices:
            equal = choices.count(0) / len(order)
            rates.append([(choices.count(order.index(name) + 1) + equal) / len(choices) for name in named])
    means = np.mean(rates, 0).tolist() if rates else [0.0] * len(named)
    models = {
        name: {"wins": wins[name], "win_rate": round(rate, 4), "win_rate_95": wilson(rate, len(rates))}
        for rate, name in sorted(zip(means, named), reverse=True)
    }
    return {
        "voters": len(ballots),
        "photos": len(rates),
        "votes": sum(map(len, ballots)),
        "ties": ties,
        "models": models,
    }


def wilson(rate: float, trials: int, z: float = 1.96) -> list[float]:
    """The score interval of a proportion (E. B. Wilson 1927); [0, 1] without trials."""
    if not trials:
        return [0.0, 1.0]
    middle = rate + z * z / (2 * trials)
    reach = z * (rate * (1 - rate) / trials + z * z / (4 * trials * trials)) ** 0.5
    scale = 1 + z * z / trials
    return [round(max(0.0, (middle - reach) / scale), 4), round(min(1.0, (middle + reach) / scale), 4)]
