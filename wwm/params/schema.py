"""The sections of params.yaml and their types, one per stage, same name as the stage.

Every field's description is what the generated reference (docs/params.md) prints.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from wwm.common.errors import UserError
from wwm.params.schema_data import Corpus, Demo, Mask, Segment, Segmenter, Vocab
from wwm.params.schema_types import Beta, Changes, Count, Name, Names, Positive, Section, Seed, Share, distinct


class Base(Section):
    """What every stage reads."""

    seed: Seed = Field(description="Root of every random draw; the same seed and inputs give the same bytes.")
    threads: Positive = Field(description="CPU threads of one process; changing it changes floating-point results in the last bits.")


class Engine(Section):
    """Where `corpus`, `segment` and `mask` work on their shards. It changes no byte, so DVC runs nothing again for it."""

    processes: Positive | None = Field(description="Processes of this machine, each with `base.threads` threads; null for one per core.")
    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls|ws|wss)://[^/:]+:\d+$")] | None = Field(
        description="A running Dask scheduler, as `tcp://host:8786`, whose workers do the work instead; all of them see this folder under the same path."
    )


class Architecture(Section):
    """Keys of transformers' BertConfig, by its names."""

    num_hidden_layers: Positive = Field(description="12 in base, 24 in large.")
    hidden_size: Positive = Field(description="768 in base, 1024 in large.")
    num_attention_heads: Positive = Field(description="They divide `hidden_size`; 12 in base, 16 in large.")
    intermediate_size: Positive = Field(description="4 x `hidden_size` in the released models.")
    max_position_embeddings: Positive = Field(description="Longest input; 512 in the released models.")
    hidden_dropout_prob: Share = Field(description="0.1 in the reference.")
    attention_probs_dropout_prob: Share = Field(description="0.1 in the reference.")
    initializer_range: Annotated[float, Field(gt=0)] = Field(description="Standard deviation of the first weights; 0.02 in the reference.")

    @model_validator(mode="after")
    def heads_divide(self):
        if self.hidden_size % self.num_attention_heads:
            heads = min((n for n in range(1, self.hidden_size + 1) if self.hidden_size % n == 0), key=lambda n: abs(n - self.num_attention_heads))
            raise UserError(f"hidden_size {self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads}; nearest is {heads}")
        return self


class InitialModel(Section):
    source: str = Field(
        description="`random`, a model folder, or a hub name such as `google-bert/bert-base-chinese`, with `@` and a commit if it is to stay the same. A folder is copied when the stage runs."
    )
    architecture: Architecture | None = Field(description="Of a `random` model; null for a model that is loaded.")
    seed: Seed | None = Field(None, description="Of the weights that are drawn, in place of `base.seed`: for experiments that are repeated. Default null.")
    own_vocabulary: bool = Field(
        False,
        description="A loaded model keeps its own vocabulary and architecture, whatever it is (AutoModel), to be fine-tuned and compared only. Default false.",
    )

    @model_validator(mode="after")
    def architecture_goes_with_random(self):
        if (self.source == "random") != (self.architecture is not None):
            raise UserError("architecture is given for source `random` and null for any other; set one of the two")
        if self.source == "random" and self.own_vocabulary:
            raise UserError("own_vocabulary is for a model that is loaded; remove it")
        return self


class Init(Section):
    """Where models begin."""

    models: dict[Name, InitialModel] = Field(min_length=1, description="Starting points, by name.")


class Phase(Section):
    max_seq_length: Positive = Field(description="Length of the examples; one of the example set's lengths.")
    steps: Positive = Field(description="Optimizer steps.")
    batch_size: Positive = Field(description="Sequences of one optimizer step.")
    micro_batch: Positive | None = Field(
        description="Rows of max_seq_length in one forward pass of one process; short sequences share a row, and gradients are summed until the batch is complete. null for as many as fit into a GPU, or 16,384 positions on a CPU or TPU core."
    )
    optimizer: Literal["adamw", "lamb"] = Field(description="BERT's AdamW, or LAMB (arXiv 1904.00962).")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        description="The reference's schedule: warm-up from 0, then the line that falls from this rate at step 0 to 0 at the last (0.9 of it after a warm-up of 10 %)."
    )
    warmup_steps: Count = Field(description="Steps of linear warm-up, of this phase's own.")
    train: Literal["all", "mlm_head"] = Field(
        "all", description="`mlm_head`: the encoder stays as it is, to warm up a head that the released weights lack. Default `all`."
    )

    @model_validator(mode="after")
    def warmup_fits(self):
        if self.warmup_steps > self.steps:
            raise UserError(f"warmup_steps {self.warmup_steps} is more than steps {self.steps}; 10 % would be {self.steps // 10}")
        return self


class PretrainedModel(Section):
    init: Name = Field(description="The model it starts from: one of init, pretrain or truncate.")
    examples: Name = Field(description="The example set of `mask.sets` that it trains on.")
    phases: list[Phase] = Field(min_length=1, description="One after the other, each with an optimizer and warm-up of its own.")
    seed: Seed | None = Field(
        None, description="Of the order of examples, dynamic masks and dropout, in place of `base.seed`: for experiments that are repeated. Default null."
    )


class Pretrain(Section):
    """Masked examples -> models."""

    weight_decay: Annotated[float, Field(ge=0)] = Field(description="Decoupled; none on biases and LayerNorm. 0.01 in the reference.")
    adam_betas: Annotated[list[Beta], Field(min_length=2, max_length=2)] = Field(description="0.9, 0.999 in the reference.")
    adam_epsilon: Annotated[float, Field(gt=0)] = Field(description="1e-6 in the reference.")
    correct_bias: bool = Field(description="Adam's bias correction; the reference has none.")
    max_grad_norm: Annotated[float, Field(gt=0)] = Field(description="Gradients are clipped to this norm; 1.0 in the reference.")
    precision: Literal["fp32", "bf16"] = Field(description="`bf16`: matrix products in bfloat16, weights and sums in 32 bits.")
    gradient_checkpointing: bool = Field(description="Activations are computed again in the backward pass: less memory, a third more work.")
    compile: bool = Field(
        description="Each layer goes through torch.compile: on a GPU faster steps for half a minute at the start; on a CPU measure first. Needs a C++ compiler. A TPU compiles by itself."
    )
    loss_spike: Annotated[Annotated[float, Field(gt=1)] | None, Changes.NOTHING] = Field(
        description="A step whose loss is this many times the mean of the 100 before it stops the training and names the worst example; null for never."
    )
    accelerate: Annotated[str | None, Changes.NOTHING] = Field(
        description="An accelerate config file (`accelerate config --config_file FILE`) for several processes or machines; null for one process."
    )
    fsdp: Annotated[bool, Changes.NOTHING] = Field(
        description="Several processes each keep a part of the weights and of the optimizer (FSDP) instead of all (DDP); needs a number as `micro_batch`, and not with `compile`."
    )
    log_every: Annotated[Positive, Changes.MEASURES] = Field(description="Steps between two points of the loss curve.")
    evaluate_every: Annotated[Positive, Changes.MEASURES] = Field(description="Steps between two held-out measurements.")
    heldout_examples: Positive = Field(description="Held-out examples to measure on.")
    checkpoint_every: Annotated[Positive, Changes.NOTHING] = Field(description="Steps between two checkpoints: what a kill can cost at most.")
    models: dict[Name, PretrainedModel] = Field(description="Models to train, by name.")

    @model_validator(mode="after")
    def settings_go_together(self):
        if self.fsdp and self.compile:
            raise UserError("fsdp and compile do not go together here; set one of them to false")
        if self.evaluate_every % self.log_every:
            nearest = max(1, round(self.evaluate_every / self.log_every)) * self.log_every
            raise UserError(f"evaluate_every {self.evaluate_every} is not divisible by log_every {self.log_every}; nearest is {nearest}")
        return self


class TruncatedModel(Section):
    source: Name = Field(description="The model that is cut.")
    layers: list[Count] = Field(min_length=1, description="Which of its layers are kept, from 0; the authors' RBT3 keeps the first three.")


class Truncate(Section):
    """A few chosen layers of a bigger model."""

    models: dict[Name, TruncatedModel] = Field(description="Cut models, by name.")


class Cloze(Section):
    """Fill-mask accuracy on held-out text."""

    models: Annotated[list[Name], AfterValidator(distinct), Changes.NOTHING] = Field(description="Models to measure.")
    sentences: Positive = Field(description="Held-out sentences; one word of each is masked.")
    max_seq_length: Annotated[int, Field(ge=8, le=512)] = Field(description="Longer sentences are left out.")


class Fetch(Section):
    """Data of tasks from the hub; those that somebody has already are put into data/tasks/NAME by hand."""

    tasks: dict[Name, str] = Field(
        description="Tasks of the table that have a data set on the hub (cmrc2018, drcd, xnli, chnsenticorp) -> `hub` for that one, another data set on the hub (`org/name` or `org/name@commit`), or a folder in its layout. Other files in data/tasks/NAME stay."
    )


class OwnTask(Section):
    """What files of one's own hold: train, dev and, if there is one, test, in data/tasks/NAME."""

    kind: Literal["single", "pair", "reading"] = Field(description="One text with a label, two texts with a label, or questions on texts (SQuAD JSON).")
    labels: Annotated[list[str], AfterValidator(distinct)] = Field(
        [],
        description='The labels, as the files spell them. Of a reading task: answers that are no part of the text, such as YES and NO; `""` for none, with which EM and F1 are those of CJRC, else those of CMRC 2018.',
    )
    columns: dict[Literal["text", "text_a", "text_b", "label"], str] = Field(
        {}, description="What the files call `text`, or `text_a` and `text_b`, and `label`, where it is none of the usual names. Default none."
    )
    ignored_labels: list[str] = Field([], description="Rows with these labels are left out. Default none.")

    @model_validator(mode="after")
    def labels_fit_the_kind(self):
        if self.kind != "reading" and len(self.labels) < 2:
            raise UserError(f"labels {self.labels} are fewer than two; name what the files call them")
        return self


class TaskRun(Section):
    """How to train on one task. What is not given is the table's (wwm/tasks/table.py), with its rate for the kind of model."""

    define: OwnTask | None = Field(None, description="Of a task that is not in the table of tasks. Default null.")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="With 10 % warm-up, then linear decay; the parameter that matters most. Default the table's."
    )
    sweep: Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(distinct)] = Field(
        [], description="Learning rates to try with the first seed; the one with the best dev score is taken for all seeds. Default none."
    )
    epochs: Positive | None = Field(None, description="Passes over the training set. Default the table's.")
    batch_size: Positive | None = Field(None, description="Sequences of one step; windows in reading. Default the table's.")
    max_seq_length: Annotated[int, Field(ge=8, le=512)] | None = Field(
        None, description="Longer inputs are cut; in reading, the length of a window. Default the table's, or the model's positions where they are fewer."
    )
    stride: Positive | None = Field(
        None,
        description="Pieces from the beginning of one window of a reading task to the next. Default a quarter of max_seq_length: run_squad.py's 128 at 512.",
    )
    max_query_length: Positive = Field(64, description="Longer questions of a reading task are cut. Default 64.")
    max_answer_length: Positive = Field(
        128,
        description="Pieces of the longest answer that is given. Default 128; run_squad.py has 30, which is too short for 5 % of CMRC 2018's dev set and 19 % of its training set.",
    )
    split_dev: bool = Field(False, description="Without a train file, parts of dev stand in for it and for test, which the tables mark. Default false.")
    train_examples: Positive | None = Field(None, description="Train on so many examples, chosen by hash, which the tables mark. Default null for all.")
    scored_examples: Positive | None = Field(None, description="Score so many of dev and of test, which the tables mark. Default null for all.")

    @model_validator(mode="after")
    def one_way_to_the_rate(self):
        if self.learning_rate and self.sweep:
            raise UserError(f"learning_rate {self.learning_rate:g} and sweep exclude each other; remove one")
        return self


class ModelOptions(Section):
    learning_rates: Literal["bert", "ernie"] = Field("bert", description="Which of the table's rates are this model's. Default `bert`.")
    simplify: bool = Field(False, description="The texts are converted to simplified characters for this model, which the authors advise for ERNIE alone.")


class Finetune(Section):
    """One model on one task, all seeds."""

    models: dict[Name, ModelOptions] = Field(min_length=1, description="Models to fine-tune -> what is particular to them, {} for most.")
    tasks: dict[Name, TaskRun] = Field(min_length=1, description="Tasks of the table in wwm/tasks/table.py, or defined here -> how to train on them.")
    seeds: Positive = Field(description="Runs per model and task; the authors ran ten.")
    select: Literal["last", "best"] = Field(description="The epoch that is scored: the `last`, or the one with the `best` dev score.")
    precision: Literal["fp32", "bf16"] = Field(description="As in pretrain.")


class Pairs(Section):
    """Models that differ in one thing, and what else is the same within a pair (init, data, steps, seed)."""

    name: str = Field(description="What the difference is, for the table.")
    models: Annotated[list[Name], Field(min_length=2)] = Field(description="One model of each pair.")
    against: Annotated[list[Name], Field(min_length=2)] = Field(description="The other one of each, in the same order.")

    @model_validator(mode="after")
    def pairs_are_whole(self):
        if len(self.models) != len(self.against):
            raise UserError(f"{len(self.models)} models against {len(self.against)}; name one for each")
        return self


class Scores(Section):
    """The comparison."""

    models: Names = Field(description="Rows of the tables, in this order; each is in finetune.models.")
    tasks: Names = Field(description="Columns of the tables, in this order.")
    baseline: Name = Field(description="The model that is 100 % in the relative table, and that the others are tested against over seeds.")
    pairs: list[Pairs] = Field([], description="Experiments whose paired differences are tested; default none.")


class Params(Section):
    base: Base
    engine: Engine
    demo: Demo
    corpus: Corpus
    segmenter: Segmenter
    segment: Segment
    vocab: Vocab
    mask: Mask
    init: Init
    pretrain: Pretrain
    truncate: Truncate
    cloze: Cloze
    fetch: Fetch
    finetune: Finetune
    scores: Scores
