"""Which models may be used for what they are: those that pass the gate, and the champions."""

from typing import Literal, NamedTuple, TypedDict

import numpy as np

from wwm.report import margins, nats
from wwm.report.comparison import Claim
from wwm.report.results import Results
from wwm.report.words import listed, say

FEWEST_SEEDS = 3  # of two equal models, with two the second wins in one of ten contests


class Verdict(NamedTuple):
    """passed: in cloze it has fewer nats than its start, by more than chance. none: it has nothing to pass, for no
    training here made it. unmeasured: no cloze to judge by.
    """

    model: str
    outcome: Literal["passed", "failed", "none", "unmeasured"]
    reason: str


class Contest(TypedDict):
    """What a champion is held to: the same measure on the same rows."""

    measure: str
    rows: str  # their hash
    values: list[float]  # percent, one for each seed; or nats, of each group of documents
    characters: list[float] | None  # that the nats are of; None of seeds


def verdicts(results: Results) -> list[Verdict]:
    return [Verdict(model, *judged(results, model)) for model in results.networks]


def judged(results: Results, model: str) -> tuple[Literal["passed", "failed", "none", "unmeasured"], str]:
    trained = results.pretrain.get(model)
    if trained is None:
        if model in results.cloze and model not in results.guessed:
            return "none", say("not trained here, and its MLM head was never trained")
        return "none", say("not trained here")
    row = results.cloze.get(model)
    if row is None:
        return "unmeasured", say("no cloze: `dvc repro cloze@{model}`, with {model} in cloze.models", model=model)
    start = trained["init"]
    own = row["training"].get("own_steps")
    before = None if None in (own, trained["steps"]) else trained["steps"] - own
    start_row = results.starts.get(start)
    ours = nats.together(results.answers[model])
    if before == 0 or start_row and not start_row["head_trained"]:
        against, theirs = say("by frequency of characters"), ours.unigram_nats
    elif start_row and start_row["rows"] == row["rows"]:
        against, theirs = start, nats.together(results.answers[start]).nats
    else:
        text = "no cloze of its start: `dvc repro cloze@{start}`, with {start} in cloze.models"
        return "unmeasured", say(text, start=start)
    gain = nats.gain(ours.nats, theirs, ours.characters)
    said = say(
        "{ours:.2f} nats per character, {against} {theirs:.2f}: {mean:.2f} fewer (95 %: {low:.2f} to {high:.2f})",
        ours=ours.mean,
        against=against,
        theirs=ours.mean + gain.mean,
        **gain._asdict(),
    )
    if before != 0 and start_row and not start_row["head_trained"]:
        said = say("{said}; the MLM head of {start} was never trained", said=said, start=start)
    return ("passed" if gain.low > 0 else "failed"), said


def claim(results: Results) -> Claim:
    """What the gate says of each model."""
    found = verdicts(results)
    told = {
        outcome: listed([f"{one.model} ({one.reason})" for one in found if one.outcome == outcome])
        for outcome in ("passed", "failed", "unmeasured")
    }
    details = [
        *([say("Passed: {which}.", which=told["passed"])] if told["passed"] else []),
        *([say("NOT passed: {which}.", which=told["failed"])] if told["failed"] else []),
        *([say("Not measured, so not passed: {which}.", which=told["unmeasured"])] if told["unmeasured"] else []),
    ]
    made = [one for one in found if one.outcome != "none"]
    passed = [one for one in made if one.outcome == "passed"]
    text = say(
        "The gate, in cloze fewer nats than its start by more than chance: {passed} of {made} trained models pass.",
        passed=len(passed),
        made=len(made),
    )
    return Claim("–" if not made else "✔" if len(passed) == len(made) else "◐" if passed else "✘", text, details)


def lost(ours: Contest, theirs: Contest) -> str | None:
    """Why a model does not take over from the champion; None where it does, being better by the rule of the tables."""
    if (ours["rows"], ours["measure"]) != (theirs["rows"], theirs["measure"]):
        return "which was measured on other rows or by another measure; remove its alias to begin anew"
    if ours["characters"] is not None:
        gain = nats.gain(*map(np.array, (ours["values"], theirs["values"], ours["characters"])))
        return None if gain.low > 0 else f"for the other is not better by more than chance ({gain.mean:+.3f} nats)"
    if min(len(ours["values"]), len(theirs["values"])) < FEWEST_SEEDS:
        return (
            f"for it takes {FEWEST_SEEDS} seeds at least to tell, and it has {len(theirs['values'])} and the other"
            f" {len(ours['values'])}: set finetune.seeds, or remove its alias to begin anew"
        )
    margin = margins.of_seeds(ours["values"], theirs["values"])
    return None if margin.holds else f"for the other is not better by more than the spread ({margin})"
