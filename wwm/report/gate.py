"""Which models may be used for what they are: those that pass the gate, and the champions."""

from typing import Literal, NamedTuple, TypedDict

import numpy as np

from wwm.report import margins, nats
from wwm.report.answer import head_only
from wwm.report.claims import Claim
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results
from wwm.report.words import listed, say

Outcome = Literal["passed", "failed", "none", "unmeasured"]


class Verdict(NamedTuple):
    """passed: in cloze it has fewer nats than its start, by more than chance. none: it has nothing to pass, for no
    training here made its encoder. unmeasured: no cloze to judge by, or too little of it.
    """

    model: str
    outcome: Outcome
    reason: str
    gain: Margin | Unknown = Unknown("")


class Contest(TypedDict):
    """What a champion is held to: the same measure on the same rows."""

    measure: str
    rows: str  # their hash
    figures: list[list[float]]  # of each run the means of groups of examples in percent; or nats of groups of documents
    characters: list[float] | None  # that the nats are of


def verdicts(results: Results) -> list[Verdict]:
    """A model passes by p corrected for all that are judged (Holm)."""
    found = [judged(results, model) for model in results.networks]
    corrected = margins.holm([one.gain for one in found])
    return [
        one._replace(outcome="passed")
        if isinstance(one.gain, Margin) and one.gain.mean > 0 and p < 1 - margins.LEVEL
        else one
        for one, p in zip(found, corrected)
    ]


def judged(results: Results, model: str) -> Verdict:
    """Where there is a gain, whether it passes is still open."""
    trained = results.pretrain.get(model)
    if trained is None:
        if model in results.cloze and model not in results.guessed:
            return Verdict(model, "none", say("not trained here, and its MLM head was never trained"))
        return Verdict(model, "none", say("not trained here"))
    if head_only(trained):
        return Verdict(model, "none", say("its MLM head alone was trained"))
    row = results.cloze.get(model)
    if row is None:
        reason = say("no cloze: `dvc repro cloze@{model}`, with {model} in cloze.models", model=model)
        return Verdict(model, "unmeasured", reason)
    start = trained["init"]
    own = row["training"].get("own_steps")
    before = None if None in (own, trained["steps"]) else trained["steps"] - own
    start_row = results.starts.get(start)
    ours = nats.together(results.answers[model])
    against, theirs = say("by frequency of characters"), ours.unigram_nats
    if before != 0 and (not start_row or start_row["head_trained"]):  # else such a start knows nothing
        if not start_row or start_row["rows"] != row["rows"]:
            text = "no cloze of its start: `dvc repro cloze@{start}`, with {start} in cloze.models"
            return Verdict(model, "unmeasured", say(text, start=start))
        knows = nats.together(results.answers[start]).nats
        if knows.sum() < theirs.sum():
            against, theirs = start, knows
    gain = margins.of_documents(theirs - ours.nats, ours.characters)
    if isinstance(gain, Unknown):
        return Verdict(model, "unmeasured", say("cloze of {why}", why=gain.why))
    more = gain.mean < 0
    told = gain.reversed if more else gain
    said = say(
        "{ours:.2f} nats per character, {against} {theirs:.2f}: {mean:.2f} more (95 %: {low:z.2f} to {high:z.2f})"
        if more
        else "{ours:.2f} nats per character, {against} {theirs:.2f}: {mean:.2f} fewer (95 %: {low:z.2f} to"
        " {high:z.2f})",
        ours=ours.mean,
        against=against,
        theirs=ours.mean + gain.mean,
        mean=told.mean,
        low=told.low,
        high=told.high,
    )
    if before != 0 and start_row and not start_row["head_trained"]:
        said = say("{said}; the MLM head of {start} was never trained", said=said, start=start)
    return Verdict(model, "failed", said, gain)


def claims(results: Results) -> list[Claim]:
    """What the gate says of the models that were trained here, if any."""
    found = verdicts(results)
    texts = {
        "passed": "Passed: {which}.",
        "failed": "NOT passed: {which}. MLflow's registry does not mark them as passed.",
        "unmeasured": "Not measured, so not passed: {which}.",
    }
    told = {
        outcome: listed([f"{one.model} ({one.reason})" for one in found if one.outcome == outcome]) for outcome in texts
    }
    details = [say(text, which=told[outcome]) for outcome, text in texts.items() if told[outcome]]
    made = [one for one in found if one.outcome != "none"]
    if not made:
        return []
    passed = [one for one in made if one.outcome == "passed"]
    text = say(
        "The gate, which stops no stage: {passed} of {made} trained models are shown to fill in words better than what"
        " they began as and than by frequency of characters, by more than chance.",
        passed=len(passed),
        made=len(made),
    )
    return [Claim("✔" if len(passed) == len(made) else "◐" if passed else "✘", text, details)]


def lost(ours: Contest, theirs: Contest) -> str | None:
    """What is to be told where a model does not take over from the champion, as what it "is" or "was": "" where it
    simply is not better by the rule of the tables; None where it is, and takes over.
    """
    same = ours.keys() == theirs.keys() and [ours[key] == theirs[key] for key in ("rows", "measure")]
    if same != [True, True]:
        return "was measured on other rows or by another measure; to begin anew, remove the champion's alias"
    one, other = (np.array(contest["figures"]) for contest in (ours, theirs))
    if ours["characters"] is None:
        margin = margins.of_runs(one, other)
    else:
        margin = margins.of_documents((other - one)[0], np.array(ours["characters"]))
    if isinstance(margin, Unknown):
        return f"cannot be told to be better ({margin.why}); to begin anew, remove the champion's alias"
    return None if margin.low > 0 else ""
