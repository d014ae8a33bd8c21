"""Which of models that were only compared is better on each task, in a sentence, or that the data cannot tell."""

from wwm.common.result_files import CHARACTERS
from wwm.report import margins
from wwm.report.claims import Claim, asked, difference, unsteady
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results, Task
from wwm.report.words import say, sentences

ALIKE = 1.01  # in parameters


def verdicts(results: Results, baseline: str) -> list[Claim]:
    """Each model against the baseline on each task, where nothing was pre-trained here; p is corrected for all of them
    (Holm).
    """
    if results.pretrain:
        return []
    made = [
        (task, model, difference(task, model, baseline, task.last, task.main))
        for task in results.tasks
        for model in results.models
        if model != baseline and model in task.rows and baseline in task.rows
    ]
    corrected = margins.holm([margin for _, _, margin in made])
    tests = [p for (_, _, margin), p in zip(made, corrected) if isinstance(margin, Margin)]
    told = [verdict(task, model, baseline, margin, p, tests) for (task, model, margin), p in zip(made, corrected)]
    spread = [unsteady(task, *task.fine_tuned) for task in results.tasks]
    return [*told, *(Claim("–", text, []) for text in spread if text)]


def verdict(task: Task, model: str, baseline: str, margin: Margin | Unknown, p: float, tests: list[float]) -> Claim:
    """tests: p of all that are made."""
    on = f"{task.title}{task.suffix(task.main)}"

    def called(name: str) -> str:
        return say("counting characters (naive Bayes)") if name == CHARACTERS else name

    if isinstance(margin, Unknown):
        text = "On {task} the data cannot tell {model} from {other}: {why}."
        return Claim("–", say(text, task=on, model=called(model), other=called(baseline), why=margin.why), [])
    runs = asked(task, model, baseline)
    if margin.none:
        text = "On {task} {model} and {other} score the same on every example ({runs})."
        return Claim("–", say(text, task=on, model=called(model), other=called(baseline), runs=runs), [])
    apart, better = p < 1 - margins.LEVEL, margin.mean >= 0
    names = (model, baseline) if better else (baseline, model)
    ahead = margin if better else margin.reversed
    text = (
        "On {task} {model} is better than {other} by {points:.1f} points ({low:+z.1f} to {high:+z.1f}; {runs})."
        if apart
        else "On {task} the data cannot tell whether {model} is better than {other}: {points:+.1f} points"
        " ({low:+z.1f} to {high:+z.1f}; {runs})."
    )
    told = say(
        text,
        task=on,
        model=called(names[0]),
        other=called(names[1]),
        points=ahead.mean,
        low=ahead.low,
        high=ahead.high,
        runs=runs,
    )
    if apart:
        return Claim("✔", told, [])
    ours, theirs = (task.figures[name][task.last, task.main] for name in names)
    why = margins.correction(margin, p, len(tests))
    enough = margins.enough(ours, theirs, margins.open_level(tests))
    return Claim("–", sentences(told, why, enough, "" if why else at_most(task, *names, ahead)), [])


def at_most(task: Task, better: str, other: str, ahead: Margin) -> str:
    """What the smaller of two models loses, where it is smaller by more than a few entries of its vocabulary and may
    lose anything. ahead: by how much one is better.
    """
    ours, theirs = (task.rows[name].get("parameters") for name in (better, other))
    if ours is None or theirs is None or max(ours, theirs) < ALIKE * min(ours, theirs):
        return ""
    smaller, most = (better, -ahead.low) if ours < theirs else (other, ahead.high)
    text = "If {model}, the smaller one, loses anything, it is {points:.1f} points at most (95 %)."
    return say(text, model=smaller, points=most) if round(most, 1) > 0 else ""
