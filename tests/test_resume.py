"""A run that was stopped or killed goes on bit for bit; one with other options does not."""

import os
import shutil
import signal

import pytest
from runs import STATE, STEPS, changed, contents, equal, log, stopped_at, train

import colorize
import inpaint
import segment
from data import checkpoint
from data.files import lock_folder, unlock
from engine import training

needs_signals = pytest.mark.skipif(os.name == "nt", reason="no such signals")


def states(*runs):
    return [checkpoint.read(run / "last.pt") for run in runs]


@needs_signals
@pytest.mark.parametrize("stage, workers", [(segment, 0), (inpaint, 1), (colorize, 0), (colorize, 1)])
def test_a_stopped_run_goes_on_bit_for_bit(
    trained, data_folder, tmp_path, monkeypatch, capsys, stage, workers
):
    signum = signal.SIGINT if workers else signal.SIGTERM
    with monkeypatch.context() as patch:
        stopped_at(stage, patch, 7, signals=1 + workers, signum=signum)
        assert train(stage, data_folder, tmp_path, "--workers", workers) == 130
    assert "stopped at step 7; the same command goes on from there" in capsys.readouterr().err
    assert set(contents(tmp_path)) == {"args.json", "log.jsonl", "last.pt"}
    assert checkpoint.read(tmp_path / "last.pt")["done"] == 7

    assert train(stage, data_folder, tmp_path, "--workers", workers) == 0
    resumed, whole = states(tmp_path, trained(stage))
    assert resumed["done"] == whole["done"] == STEPS
    for name in STATE:
        assert equal(resumed[name], whole[name]), name
    (best,) = trained(stage).glob("best-*.pt")
    ours, theirs = (checkpoint.read(run / best.name) for run in (tmp_path, trained(stage)))
    assert equal(ours["state"], theirs["state"])
    assert ours["infer"] == theirs["infer"]


@needs_signals
@pytest.mark.parametrize("stage", [segment, colorize])
def test_a_run_goes_on_without_the_weights_that_it_started_from(
    trained, data_folder, tmp_path, monkeypatch, stage
):
    (best,) = trained(stage).glob("best-*.pt")
    start, run = shutil.copy(best, tmp_path / "start.pt"), tmp_path / "run"
    with monkeypatch.context() as patch:
        stopped_at(stage, patch, 3, signals=1)
        assert train(stage, data_folder, run, "--weights", start) == 130
    start.unlink()
    assert train(stage, data_folder, run, "--weights", start) == 0
    assert checkpoint.read(run / "last.pt")["done"] == STEPS


def test_a_killed_run_goes_on_from_the_last_save(trained, data_folder, tmp_path, monkeypatch):
    """Nothing was said to the process: it goes on from the last regular save, to the same weights."""

    def killed(call, losses):
        if call == 9:
            raise SystemExit(9)
        return losses

    monkeypatch.setattr(training, "SAVE_EVERY", 5)
    with monkeypatch.context() as patch:
        changed(colorize, patch, killed)
        with pytest.raises(SystemExit):
            train(colorize, data_folder, tmp_path)
    assert checkpoint.read(tmp_path / "last.pt")["done"] == 5
    with open(tmp_path / "log.jsonl", "a") as file:  # what it did after the save, and half a line
        file.write('{"step": 8, "loss": 1.0}\n{"step": 9, "lo')
    (tmp_path / ".last.pt.77.tmp").write_bytes(b"half")

    assert train(colorize, data_folder, tmp_path) == 0
    assert [row["step"] for row in log(tmp_path)] == [row["step"] for row in log(trained(colorize))]
    assert not list(tmp_path.glob(".*"))
    resumed, whole = states(tmp_path, trained(colorize))
    for name in STATE:
        assert equal(resumed[name], whole[name]), name


@needs_signals
@pytest.mark.parametrize("stage", [inpaint, colorize])
def test_an_adversarial_run_goes_on_bit_for_bit(trained, data_folder, tmp_path, monkeypatch, stage):
    """Both networks and both optimizers, without the discriminator that the run began from."""
    (start,), begun = trained(stage).glob("best-*.pt"), tmp_path / "begun"
    begun.mkdir()
    (begun / "start.pt").write_bytes(start.read_bytes())
    words = ["--adversarial-weight", 0.01, "--discriminator-width", 4, "--weights", begun / "start.pt"]
    assert train(stage, data_folder, begun / "discriminator", *words, steps=2) == 0
    words += ["--discriminator-weights", begun / "discriminator/last.pt"]
    assert train(stage, data_folder, tmp_path / "whole", *words, steps=8) == 0
    with monkeypatch.context() as patch:
        stopped_at(stage, patch, 5, signals=1)
        assert train(stage, data_folder, tmp_path / "halves", *words, steps=8) == 130
    shutil.rmtree(begun / "discriminator")
    assert train(stage, data_folder, tmp_path / "halves", *words, steps=8) == 0
    whole, halves = states(tmp_path / "whole", tmp_path / "halves")
    assert whole["discriminator"]["optimizer"]["state"]
    assert whole["done"] == halves["done"] == 8
    for name in (*STATE, "discriminator"):
        assert equal(halves[name], whole[name]), name


@pytest.mark.parametrize(
    "stage, words, names",
    [
        (segment, ["--lr", "1e-4"], "--lr"),
        (segment, ["--batch-size", "8", "--seed", "3"], "--batch-size, --seed"),
        (segment, ["--dice-weight", "2"], "--dice-weight"),
        (inpaint, ["--hole-share", "0.1", "0.2"], "--hole-share"),
        (inpaint, ["--steps", "50"], "--steps"),
    ],
)
def test_a_changed_option_is_refused_by_name(trained, data_folder, capsys, stage, words, names):
    before = contents(trained(stage))
    capsys.readouterr()
    assert train(stage, data_folder, trained(stage), *words) == 2
    error = capsys.readouterr().err
    assert f"started with another {names}; give another --run-dir" in error
    assert error.count("\n") == 1
    assert before == contents(trained(stage))


def test_what_does_not_change_the_result_may_change(trained, data_folder):
    """And a default may be spelt out."""
    assert train(segment, data_folder, trained(segment), "--workers", 1, "--keep", 5, "--seed", 0) == 0
    assert train(inpaint, data_folder, trained(inpaint), "--hole-share", 0.002, 0.25) == 0


def test_an_option_newer_than_the_run_has_its_default(trained, data_folder, tmp_path, capsys):
    run = shutil.copytree(trained(segment), tmp_path / "run")
    state = checkpoint.read(run / "last.pt")
    del state["args"]["dice_weight"]
    checkpoint.save(run / "last.pt", state)
    assert train(segment, data_folder, run) == 0
    assert train(segment, data_folder, run, "--dice-weight", 2) == 2
    assert "started with another --dice-weight" in capsys.readouterr().err


def test_a_run_of_another_version_is_refused(trained, data_folder, tmp_path, capsys):
    state = checkpoint.read(trained(segment) / "last.pt")
    checkpoint.save(tmp_path / "last.pt", {**state, "state_version": training.STATE_VERSION + 1})
    assert train(segment, data_folder, tmp_path) == 2
    error = capsys.readouterr().err
    assert "of another version" in error
    assert error.count("\n") == 1


def test_a_folder_in_which_another_process_trains_is_refused(trained, data_folder, capsys):
    before, run = contents(trained(segment)), trained(segment)
    other = lock_folder(run)
    assert train(segment, data_folder, run) == 2
    unlock(other)
    error = capsys.readouterr().err
    assert f"{run}: another process is training in it" in error
    assert error.count("\n") == 1
    assert before == contents(run)
    assert train(segment, data_folder, run) == 0


@pytest.mark.parametrize("names_stage", [True, False])
def test_a_run_of_another_stage_is_named(trained, data_folder, tmp_path, capsys, names_stage):
    run, (best,) = shutil.copytree(trained(colorize), tmp_path / "run"), trained(segment).glob("best-*.pt")
    state = checkpoint.read(run / "last.pt")
    checkpoint.save(run / "last.pt", {name: state[name] for name in state if names_stage or name != "stage"})
    before = contents(run)
    for words in ([], ["--weights", best]):
        capsys.readouterr()
        assert train(segment, data_folder, run, *words) == 2
        error = capsys.readouterr().err
        assert f"{run} is a run of colorize: give another --run-dir" in error
        assert error.count("\n") == 1
    assert before == contents(run)


def test_a_damaged_checkpoint_or_options_file_is_one_line(trained, data_folder, tmp_path, capsys):
    run, (best,) = shutil.copytree(trained(segment), tmp_path / "run"), trained(segment).glob("best-*.pt")
    (run / "args.json").write_text('{"stage": ')
    assert train(segment, data_folder, run, "--weights", best) == 2
    error = capsys.readouterr().err
    assert f"{run}/args.json: damaged: give another --run-dir" in error
    assert error.count("\n") == 1
    state = checkpoint.read(run / "last.pt")
    del state["args"]
    checkpoint.save(run / "last.pt", state)
    assert train(segment, data_folder, run) == 2
    error = capsys.readouterr().err
    assert f"{run}/last.pt: of another version of photo-restore; give another --run-dir" in error
    assert error.count("\n") == 1


@needs_signals
def test_the_best_so_far_are_remembered_over_a_stop(data_folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_at(colorize, patch, 3, signals=1)
        assert train(colorize, data_folder, tmp_path, "--keep", 4, steps=5, evaluations=5) == 130
    assert train(colorize, data_folder, tmp_path, "--keep", 4, steps=5, evaluations=5) == 0
    scores = {f"best-{row['step']}.pt": row["score"] for row in log(tmp_path) if "score" in row}
    assert len(scores) == 5
    kept = {path.name for path in tmp_path.glob("best-*.pt")}
    assert len(kept) == 4
    assert sorted(scores[name] for name in kept) == sorted(scores.values())[-4:]
    best = [name for _, name in checkpoint.read(tmp_path / "last.pt")["best"]]
    assert best == sorted(kept, key=scores.get, reverse=True)
