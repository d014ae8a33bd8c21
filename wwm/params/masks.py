"""The section `mask` of params.yaml, which makes examples."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wwm.common.errors import UserError
from wwm.params.fields import Changes, Name, Pieces, Positive, Repeats, Section, Share, distinct, sum_to_one

MaskedShare = Annotated[float, Field(gt=0, lt=1)]


class Length(Section):
    max_seq_length: Pieces = Field(description="Pieces of one example, [CLS] and [SEP] counted.")
    max_predictions_per_seq: Positive = Field(
        description=(
            "Most masked positions of one example; 20 at 128 and 77 at 512 in the reference. Not less than"
            " masked_lm_prob asks for."
        )
    )
    dupe_factor: Repeats = Field(
        description="Times the corpus is passed over, each with masks of its own; 5 in the reference."
    )

    @model_validator(mode="after")
    def no_more_than_there_are(self) -> Self:
        if self.max_predictions_per_seq > self.max_seq_length:
            raise UserError(
                f"max_predictions_per_seq {self.max_predictions_per_seq} is more than max_seq_length"
                f" {self.max_seq_length}; 15 % would be {round(0.15 * self.max_seq_length)}"
            )
        return self

    def allow(self, masked_lm_prob: float) -> None:
        """Raises UserError where fewer pieces may be masked than this share comes to."""
        most, asked = self.max_predictions_per_seq, round(masked_lm_prob * self.max_seq_length)
        if asked > most:
            lower = int(1000 * most / self.max_seq_length) / 1000
            raise UserError(
                f"max_predictions_per_seq {most} is less than the {asked} of {self.max_seq_length} pieces that"
                f" masked_lm_prob {masked_lm_prob:g} asks for; raise it to {asked}, or lower masked_lm_prob to"
                f" {lower:g}"
            )


class Replacements(Section):
    """What becomes of the chosen pieces, each on its own; the shares sum to 1."""

    mask: Share = Field(description="`[MASK]`; 0.8 in the reference.")
    same: Share = Field(description="They stay, and are to be predicted all the same; 0.1 in the reference.")
    random: Share = Field(description="A random token; 0.1 in the reference.")

    @model_validator(mode="after")
    def all_of_them(self) -> Self:
        sum_to_one([self.mask, self.same, self.random])
        return self


class ExampleSet(Section):
    unit: Literal["wordpiece", "whole_word", "ngram"] = Field(
        description="What is masked together; `ngram` is a few whole words that follow each other."
    )
    masking: Literal["static", "dynamic"] = Field(
        description=(
            "`static` masks are written with the examples, as the authors' were; `dynamic` ones are drawn anew each"
            " epoch, from seed, epoch and example."
        )
    )
    next_sentence_prediction: bool = Field(
        description="BERT's second loss, whether the second segment of a pair follows the first."
    )
    input: Literal["pairs", "segments"] | None = Field(
        default=None,
        description=(
            "`pairs`: two segments with token types, BERT's input, which the authors kept where they dropped the second"
            " loss (their issues 70, 124); `segments`: full sentences of one document, all of token type 0. null for"
            " what the loss needs: pairs with next_sentence_prediction, segments without."
        ),
    )
    masked_lm_prob: MaskedShare | None = Field(
        default=None, description="Of this set, in place of `mask.masked_lm_prob`. Default null."
    )
    replacements: Replacements | None = Field(
        default=None, description="What chosen pieces become. null for the reference's 80, 10 and 10 %."
    )
    lengths: list[Length] = Field(min_length=1, description="One entry per length that a phase trains at.")

    @model_validator(mode="after")
    def lengths_differ(self) -> Self:
        distinct([length.max_seq_length for length in self.lengths])
        return self

    @model_validator(mode="after")
    def loss_has_its_pairs(self) -> Self:
        if self.next_sentence_prediction and self.input == "segments":
            raise UserError(
                "input segments has no next sentence to predict; set next_sentence_prediction to false, or input to"
                " pairs"
            )
        return self


class Mask(Section):
    """Words -> masked examples."""

    masked_lm_prob: MaskedShare = Field(description="Share of pieces to mask; 0.15 in the reference.")
    short_seq_prob: Share = Field(description="Share of examples cut to a random shorter length; 0.1 in the reference.")
    random_token: Literal["vocabulary", "words"] = Field(
        description=(
            "Random replacements: uniform over the `vocabulary` (reference), or `words`: no special and no `##`+Han"
            " entries."
        )
    )
    ngram_probs: Annotated[list[Share], Field(min_length=1), AfterValidator(sum_to_one)] = Field(
        description=(
            "Chances of 1, 2, ... whole words for the unit `ngram`; 0.4, 0.3, 0.2, 0.1 in MacBERT (arXiv 2004.13922)."
        )
    )
    joined_share_limit: Annotated[Share, Changes.MEASURES] = Field(
        description="The stage fails above this share of characters in words that pieces join to their neighbours."
    )
    random_next_share_limit: Annotated[Share | None, Changes.NOTHING] = Field(
        default=None,
        description=(
            "The stage fails above this share of random next sentences, about half in the reference: with all of them"
            " random there is nothing to predict. null for 0.95."
        ),
    )
    unused_share_limit: Annotated[Share | None, Changes.NOTHING] = Field(
        default=None,
        description=(
            "The stage fails above this share of pieces that are in no example: sentence pairs are cut to"
            " max_seq_length, and what is cut off is lost, a tenth at 128 of news and reviews, three in ten at 64. null"
            " for 0.7."
        ),
    )
    sets: dict[Name, ExampleSet] = Field(description="Named example sets; a model trains on one.")

    @model_validator(mode="after")
    def as_many_as_asked_for(self) -> Self:
        for name, examples in self.sets.items():
            for length in examples.lengths:
                try:
                    length.allow(examples.masked_lm_prob or self.masked_lm_prob)
                except UserError as error:
                    raise UserError(f"sets.{name}: {error}") from None
        return self
