import pytest

from wwm.tasks import table


def test_an_unknown_task_lists_the_known_ones_and_says_how_to_describe_ones_own():
    with pytest.raises(
        ValueError,
        match=(
            "unknown task review; wwm/tasks/table.py has cmrc2018, .*reviews, continuation, and"
            " finetune.tasks.review.define can"
        ),
    ):
        table.named_task("review")


@pytest.mark.parametrize("task", table.TASKS.values(), ids=table.TASKS)
def test_every_task_says_where_it_comes_from_and_why_it_is_one(task):
    assert task.kind == "reading" or len(set(task.labels)) == len(task.labels) >= 2
    assert set(task.label_names.values()) <= set(task.labels)
    assert all((task.title, task.source, task.licence, task.version, task.remark))


# Metric, best learning rates of BERT and ERNIE (the page of Chinese-BERT-wwm), length and epochs (arXiv 1906.08101);
# the batch is 64 throughout.
RECIPES = {
    "cmrc2018": ("cmrc", 3e-5, 8e-5, 512, 2),
    "drcd": ("cmrc", 3e-5, 8e-5, 512, 2),
    "cjrc": ("cjrc", 4e-5, 8e-5, 512, 2),
    "xnli": ("accuracy", 3e-5, 5e-5, 128, 2),
    "chnsenticorp": ("accuracy", 2e-5, 5e-5, 256, 3),
    "lcqmc": ("accuracy", 2e-5, 3e-5, 128, 3),
    "bq": ("accuracy", 3e-5, 5e-5, 128, 3),
    "thucnews": ("accuracy", 2e-5, 5e-5, 512, 3),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_authors_recipes_are_in_the_table(name):
    task = table.TASKS[name]
    rates = task.recipe.learning_rates
    assert (task.metric, rates["bert"], rates["ernie"], task.recipe.max_seq_length, task.recipe.epochs) == RECIPES[name]
    assert task.recipe.batch_size == 64
    assert task.splits == (("dev", "test", "challenge") if name == "cmrc2018" else ("dev", "test"))
