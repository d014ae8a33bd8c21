"""What stands in the JSON files that one stage writes and another reads."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

# What stands among the models as naive Bayes over n-grams of characters.
CHARACTERS = "characters"
# How the names of sources begin whose text is of no one domain: what a model forgets is measured on it.
GENERAL = "general"


class Training(TypedDict, total=False):
    """What a model has seen since random weights; None where it is from elsewhere and does not say."""

    steps: int | None
    tokens: int | None
    examples: int | None
    flops: int | None  # floating point operations
    own_steps: int  # in its own training, without its starting points'
    own_tokens: int
    own_examples: int
    own_flops: int
    cut_from: str  # of a truncated model: the bigger one
    untrained: list[str]  # of wwm/common/model_folder.py's HEADS, those whose weights are as they were drawn


class Architecture(TypedDict):
    """Of config.json; what else a recipe has of it is compared as a whole, as in Masked and Phase."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int


class Masked(TypedDict):
    """How examples were made."""

    set: NotRequired[str]
    unit: Literal["wordpiece", "whole_word", "ngram"]
    masking: str
    next_sentence_prediction: bool


class Phase(TypedDict):
    max_seq_length: int
    steps: int
    batch_size: int
    optimizer: Literal["adamw", "lamb", "lamb-ymcui", "muon"]
    train: Literal["all", "mlm_head"] | None


class Recipe(TypedDict):
    """What a comparison of pre-trained models needs of how they were made."""

    architecture: Architecture
    vocab_size: int
    examples: Masked
    phases: list[Phase]


class Pretrained(TypedDict):
    """results/pretrain/MODEL.json: the last values of the curve, what the model has seen (as in Training), and what it
    was made with.
    """

    init: str  # the model that it began as
    init_weights: str  # hash
    weights: str
    all_else: str  # hash of all that makes a model but its unit of masking
    recipe: Recipe
    mlm_loss: float
    steps: int | None
    flops: int | None
    own_steps: int
    own_flops: int
    milestones: NotRequired[dict[str, str]]  # step -> hash of the weights after it


class Guessed(TypedDict):
    """What came of one way of asking: counts, means in nats, percent; None of nothing."""

    questions: int
    pieces: int
    characters: int
    nats_per_piece: float | None
    nats_per_character: float | None
    piece_accuracy: float | None
    piece_top5: float | None
    word_accuracy: float | None


class Ways(TypedDict):
    """Words masked whole, and each of their characters alone."""

    words: Guessed
    characters: Guessed


class Cloze(Ways):
    """results/cloze/MODEL.json"""

    questions: int
    by_length: dict[str, Ways]
    by_source: dict[str, Ways]
    unigram_nats_per_character: float
    head_trained: bool
    rows: str  # hash of the questions: figures on the same ones can be compared
    weights: str
    training: Training


class Seed(TypedDict):
    """One fine-tuning, or what was counted, which draws nothing and trains in no epochs."""

    seed: int | None
    scores: dict[str, dict[str, float]]  # percent by split, then by measure
    loss: NotRequired[float]  # mean over the training examples of the epoch that is scored
    epoch: NotRequired[int]  # that is scored, from 1


class Overlap(TypedDict):
    """results/overlap/TASK.json: how many scored examples stand in the pre-training text, in percent by split."""

    task: str
    n: int  # of the n-grams
    hashes: dict[str, str]  # of each split's examples, as in Finetuned
    some: dict[str, float]  # of which an n-gram of a text is found
    whole: dict[str, float]  # of which a whole text is found


class Finetuned(TypedDict):
    """results/finetune/TASK/MODEL.json: one model on one task, all seeds, and what was measured how. CHARACTERS, which
    is no model, lacks what is NotRequired; what tells of training is empty.
    """

    model: str
    task: str
    title: str
    kind: str  # single, pair, reading or tagging
    remark: str
    footnote: str  # of the authors' figures
    measures: dict[str, str]  # name -> label in tables, in order; the first one compares models
    recipe: dict[str, Any]  # length, batch and epochs of the table of tasks; {} of a task without any there
    scored: list[str]  # splits that the task reports
    missing: dict[str, str]  # split of these -> why it has no scores
    reduced: list[str]  # in what the data are not the official ones
    examples: dict[str, int]  # by split
    hashes: dict[str, str]  # sha256 of each split's examples: scores on the same ones can be compared
    dropped: dict[str, dict[str, int]]  # split -> what was left out or put right, and how often
    duplicates: dict[str, int]  # texts of one split that stand in another, as `dev in train`
    unreachable: dict[str, int]  # of a reading task, by split: questions that cannot be answered to the letter
    parameters: NotRequired[int]
    unknown_share: NotRequired[float]  # of [UNK] among the pieces of the scored texts, 0 to 1
    how: dict[str, Any]  # learning rate and the like, as they were; of CHARACTERS what was chosen on dev
    files: dict[str, str]  # of each split, the first one
    kept: str  # whose models stay: of the best seed, of all, of none
    swept: dict[str, float]  # what was tried, the learning rate -> dev score of the first seed
    seeds: list[Seed]
    weights: NotRequired[str]  # hash of those that were fine-tuned
    training: Training
