"""Whether it helped to train a released model on: before and after on the tasks, on held-out text of the domain, on
general text.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from wwm.common.result_files import CHARACTERS, GENERAL
from wwm.report import claims, margins, nats
from wwm.report.claims import Comparison
from wwm.report.margins import Margin, Unknown
from wwm.report.results import Results, Task, of, training
from wwm.report.words import say, sentences

TEXTS = "held-out text of the domain", "general text"
HEAD_ONLY = "mlm_head"  # what a phase trains that leaves the encoder as it is


class Continued(NamedTuple):
    """A model that was trained on from a released one."""

    model: str
    start: str  # what was released, as its encoder was before
    head: str  # that model, or what was made of it by training its MLM head alone


class Nats(NamedTuple):
    """Nats per character: before, after, and of who knows no more than how often each character stands."""

    before: float
    after: float
    counted: float


def continued(results: Results) -> Iterator[Continued]:
    """Of the models that were trained here, those whose start is from elsewhere, and whole."""
    for model, row in results.pretrain.items():
        if head_only(row):
            continue
        chain = starts(results, row)
        # Where it breaks off before its end, another model has the name of what was begun with.
        if not chain or head_only(results.pretrain.get(chain[-1])):
            continue
        history = training(results, chain[-1])
        if of(results, chain[-1]) and history.get("steps") is None and "cut_from" not in history:
            yield Continued(model, chain[-1], chain[0])


def is_start(results: Results, start: str, row: dict) -> bool:
    """Another model may have the start's name now."""
    known = (results.starts | results.pretrain).get(start, {}).get("weights")
    return results.weights.get(start, known) == row["init_weights"]


def starts(results: Results, row: dict) -> list[str]:
    """The model that a training began with, and those before it whose encoder is the same."""
    found: list[str] = []
    while is_start(results, row["init"], row):
        found.append(row["init"])
        before = results.pretrain.get(row["init"])
        if before is None or not head_only(before):
            break
        row = before
    return found


def head_only(row: dict | None) -> bool:
    phases = row["recipe"].get("phases", []) if row else []
    return bool(phases) and all(phase["train"] == HEAD_ONLY for phase in phases)


def comparisons(results: Results) -> list[Comparison]:
    """Each continued model against what it was: on the tasks against what was released, in cloze against a model whose
    head is trained, apart on text of the domain and on general text.
    """
    statement = say("A model that is trained on beats the one that it began as")
    made = []
    for one in continued(results):
        for task in results.tasks:
            if one.model in task.rows and one.start in task.rows:
                margin = claims.difference(task, one.model, one.start, task.last, task.main)
                made.append(Comparison(statement, one.model, one.start, task.title, False, margin))
        for on, margin in cloze(results, one):
            made.append(Comparison(statement, one.model, one.head, on, True, margin))
    return made


def cloze(results: Results, one: Continued) -> Iterator[tuple[str, Margin | Unknown]]:
    """In nats per character fewer, over both ways of asking; nothing where the two cannot be compared."""
    if lacking(results, one):
        return
    after, before = (nats.together(results.answers[name]) for name in (one.model, one.head))
    for on, part in apart(results, one.model):
        yield on, margins.of_documents((before.nats - after.nats)[part], after.characters[part])


def lacking(results: Results, one: Continued) -> str:
    """Why cloze of a model and of what it was cannot be compared; nothing where they can."""
    every = results.starts | results.cloze
    for model in (one.head, one.model):
        if model not in every:
            return say("no cloze: `dvc repro cloze@{model}`, with {model} in cloze.models", model=model)
        if not every[model]["head_trained"]:
            return say("the MLM head of {model} was never trained", model=model)
    if every[one.head]["rows"] != every[one.model]["rows"]:
        return say("{model} and {start} were asked different questions", model=one.model, start=one.head)
    return ""


def apart(results: Results, model: str) -> Iterator[tuple[str, np.ndarray]]:
    """What of cloze is told apart, and which of the documents that the model was asked of it is: (documents,) of
    bool.
    """
    general = np.array([source.startswith(GENERAL) for source in results.sources[model]])
    for on, part in zip(TEXTS, (~general, general)):
        if part.any():
            yield say(on), part


def answers(results: Results, compared: list[Comparison]) -> dict[str, list[str]]:
    """Of each continued model, by its name, what is told of it, a line for each thing, the tasks first. compared: all
    that is claimed, `comparisons` too.
    """
    told = {}
    corrected = [one.p for one in compared if one.outcome != "unknown"]
    for one in continued(results):
        own = {(each.against, each.on): each for each in compared if each.model == one.model}
        tasks = [task for task in results.tasks if (one.start, task.title) in own]
        parts = [on_task(one, task, own[one.start, task.title], corrected) for task in tasks]
        parts += [claims.unsteady(task, one.model, one.start) for task in tasks]
        parts += [beaten(own[CHARACTERS, task.title]) for task in tasks if (CHARACTERS, task.title) in own]
        texts = [own[one.head, on] for on in map(say, TEXTS) if (one.head, on) in own]
        if texts:
            known = in_nats(results, one)
            parts += [on_text(found, len(corrected), known[found.on]) for found in texts]
            if any(hollow(found, known[found.on]) for found in texts):
                parts.append(weak_head(results, one, known))
        if why := lacking(results, one):
            parts.append(say("What it gained or lost on held-out text is not known ({why}).", why=why))
        elif (one.head, say(TEXTS[1])) not in own:
            parts.append(say("No general text is held out, so what it forgot was not measured."))
        elif (one.head, say(TEXTS[0])) not in own:
            parts.append(say("No text of the domain is held out, so what it gained there was not measured."))
        told[one.model] = [text for text in (*parts, unknown(results, one)) if text]
    return told


def in_nats(results: Results, one: Continued) -> dict[str, Nats]:
    """What of cloze is told apart -> its figures."""
    before, after = (nats.together(results.answers[name]) for name in (one.head, one.model))
    return {
        on: Nats(*(float(sums[part].sum() / after.characters[part].sum()) for sums in (before.nats, *after[:2])))
        for on, part in apart(results, one.model)
    }


def on_task(one: Continued, task: Task, found: Comparison, corrected: list[float]) -> str:
    """corrected: p of all tests."""
    names: dict[str, object] = {
        "model": one.model,
        "start": one.start,
        "task": f"{task.title}{task.suffix(task.main)}",
    }
    if isinstance(found.margin, Unknown):
        return say("Training {start} on as {model}: no answer on {task} ({why}).", **names, why=found.margin.why)
    names["runs"] = claims.asked(task, one.model, one.start)
    if found.margin.none:
        return say(
            "Training {start} on as {model} changed nothing on {task}: both score the same on every example ({runs}).",
            **names,
        )
    names |= {"difference": found.margin.difference(), "interval": found.margin.interval()}
    match found.outcome:
        case "holds":
            return say(
                "Training {start} on as {model} helped on {task}: {difference} points ({interval}; {runs}).",
                **names,
            )
        case "reverse":
            return say(
                "Training {start} on as {model} did not help on {task} but harmed: {difference} points ({interval};"
                " {runs}).",
                **names,
            )
    ours, theirs = (task.figures[name][task.last, task.main] for name in (one.model, one.start))
    return sentences(
        say(
            "On {task} these data cannot tell whether training {start} on as {model} helped: {difference} points"
            " ({interval}; {runs}).",
            **names,
        ),
        margins.correction(found.margin, found.p, len(corrected)),
        margins.enough(ours, theirs, margins.open_level(corrected)),
    )


def beaten(found: Comparison) -> str:
    """That counting characters does better than the model, where it does."""
    if found.outcome != "reverse" or isinstance(found.margin, Unknown):
        return ""
    margin = found.margin.reversed
    return say(
        "But counting characters (naive Bayes) does better on {task} than {model}, by {points:.1f} points"
        " ({low:+z.1f} to {high:+z.1f}).",
        task=found.on,
        model=found.model,
        points=margin.mean,
        low=margin.low,
        high=margin.high,
    )


def on_text(found: Comparison, count: int, known: Nats) -> str:
    """count: of all tests."""
    counting = "By the frequency of characters alone it is {counted:.3f}, so this gain says nothing of its encoder."
    return sentences(changed(found, count, known), say(counting, counted=known.counted) if hollow(found, known) else "")


def hollow(found: Comparison, known: Nats) -> bool:
    """Whether the model gained, and still guesses worse than who counts characters, so that to count them may be all
    that it learned.
    """
    gained = found.outcome == "holds" or found.outcome == "unknown" and known.after < known.before
    return gained and known.after > known.counted


def changed(found: Comparison, count: int, known: Nats) -> str:
    names: dict[str, object] = {"where": found.on, "before": known.before, "after": known.after}
    if isinstance(found.margin, Unknown):
        return say(
            "On {where} it went from {before:.3f} to {after:.3f} nats per character (fewer is better), without an"
            " interval: {why}.",
            **names,
            why=found.margin.why,
        )
    texts = {
        "holds": (
            "On {where} it gained {nats:.3f} nats per character (95 %: {low:.3f} to {high:.3f}), from {before:.3f} to"
            " {after:.3f}; fewer is better."
        ),
        "reverse": (
            "On {where} it lost {nats:.3f} nats per character (95 %: {low:.3f} to {high:.3f}), from {before:.3f} to"
            " {after:.3f}; fewer is better."
        ),
        "open": (
            "On {where} gain and loss cannot be told apart: a gain of {nats:+z.3f} nats per character (95 %:"
            " {low:+z.3f} to {high:+z.3f}), from {before:.3f} to {after:.3f}; fewer is better."
        ),
    }
    margin = found.margin.reversed if found.outcome == "reverse" else found.margin
    told = say(texts[found.outcome], **names, nats=margin.mean, low=margin.low, high=margin.high)
    if found.outcome != "open":
        return told
    return sentences(told, margins.correction(found.margin, found.p, count))


def weak_head(results: Results, one: Continued, known: dict[str, Nats]) -> str:
    """Where a model guesses worse than who counts characters on text of the domain, too, its head is to blame."""
    head = one.head if one.head in results.pretrain else one.model
    phase = results.pretrain[head]["recipe"]["phases"][0]
    domain = known.get(say(TEXTS[0]))
    if domain is None or domain.after <= domain.counted or phase["train"] != HEAD_ONLY:
        return ""
    return say(
        "The MLM head has hardly learned, in {steps:,} steps, and what is trained after it learns by that head: try"
        " three times as many (pretrain.models.{head}.phases.0.steps, {more} then).",
        head=head,
        steps=phase["steps"],
        more=3 * phase["steps"],
    )


def unknown(results: Results, one: Continued) -> str:
    """What of the pieces asked for the vocabularies lack, where that is anything and both were asked the same."""
    every = results.starts | results.cloze
    rows = [every[name] for name in (one.head, one.model) if "unknown_share" in every.get(name, {})]
    if len(rows) < 2 or rows[0]["rows"] != rows[1]["rows"]:
        return ""
    before, after = (row["unknown_share"] for row in rows)
    if not before and not after:
        return ""
    return say(
        "Unknown to the vocabulary ([UNK]) among the pieces of the words asked for: {before:.2%} before, {after:.2%}"
        " now.",
        before=before,
        after=after,
    )
