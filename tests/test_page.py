"""The report's page: what stands in its head, in which order it tells, and that it takes no text for mark-up."""

import hashlib
import re
import shutil
from html import unescape
from pathlib import Path

import clozed
import finetuned
import pretrained
import pytest
from ruamel.yaml import YAML

from wwm import scores
from wwm.report import page, words
from wwm.report.tables import Table

ROOT = Path(__file__).parent.parent
REPORT = Path("results/report")
PAGE = REPORT / "index.html"
NAME = "<script>alert(1)</script>"


def compared(language: str | None = None) -> None:
    """params.yaml of two models on tasks of the authors and one of its own; as a preset, toy, too."""
    values = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    own = {"define": {"kind": "single", "labels": ["a", "b"]}}
    del values["characters"], values["overlap"]
    values["finetune"]["tasks"] = {"cmrc2018": {}, "xnli": {}, "reviews": {}, "mine": own}
    values["finetune"]["models"] = {model: {} for model in ("random", "bert", "rbt3")}
    pairs = [{"name": NAME, "models": ["bert", "rbt3"], "against": ["random", "random"]}]
    values["scores"] = {
        "models": ["random", "bert", "rbt3"],
        "tasks": ["cmrc2018", "xnli", "reviews", "mine"],
        "baseline": "random",
        "pairs": pairs,
    } | ({"language": language} if language else {})
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results with everything that a report can tell of."""
    monkeypatch.chdir(tmp_path)
    compared()
    Path("presets").mkdir()
    shutil.copy("params.yaml", "presets/toy.yaml")
    for number, model in enumerate(("random", "bert", "rbt3")):
        training = {"steps": 1000 * number, "tokens": 9_000_000 * number}
        common = {"training": training, "remark": "Do these two questions mean the same?"}
        reading = {"dev": [(50 + number, 70), (51, 72 - number), (52, 71)]}
        reduced = ["500 of 10,142 examples of train", "train and dev are parts of the dev set, by hash"]
        dropped = {"train": {"moved": 3, "empty_lines": 1}}
        finetuned.save(
            finetuned.result(model, "cmrc2018", reading, **common, footnote="", dropped=dropped),
            finetuned.result(
                model, "xnli", {"dev": [60, 61, 62], "test": [62 + number, 63, 63]}, **common, reduced=reduced
            ),
            finetuned.result(
                model, "mine", {"dev": [60]}, training=training, missing={"test": "mine has no test file"}
            ),
        )
        clozed.save(model, training | {"own_steps": training["steps"]}, 6.0, 5.0)
        if number:
            pretrained.save(model, "random", training, 1000)
    told = {"task": "xnli", "n": 13, "hashes": {"dev": "1"}, "some": {"dev": 1.5}, "whole": {"dev": 0.5}}
    finetuned.write("results/overlap/xnli.json", told)
    return tmp_path


def body() -> str:
    """The page without plotly.js and what scripts and styles there are."""
    scores.main()
    return re.sub(r"<(script|style)\b.*?</\1>", "", PAGE.read_text(encoding="utf-8"), flags=re.S)


def test_the_head_names_preset_and_hash_of_the_params_as_wwm_doctor_does(folder):
    digest = hashlib.sha256(Path("params.yaml").read_bytes()).hexdigest()
    html = body()
    assert "<h1>Scores of the models – toy</h1>" in html and "<dt>preset</dt> <dd>toy</dd>" in html
    assert f"<dt>params.yaml</dt> <dd>sha256 {digest[:8]}</dd>" in html
    Path("presets/toy.yaml").unlink()
    html = body()
    assert "<h1>Scores of the models</h1>" in html and "<dt>preset</dt> <dd>none</dd>" in html


def test_the_page_has_no_date_and_a_copy_can_have_it(folder):
    scores.main()
    html = PAGE.read_text(encoding="utf-8")
    copy = page.stamped(html, {"date": "2026-11-27", "commit": "1a2b3c4 <dirty>"})
    assert "2026" not in re.sub(r"<script>.*?</script>", "", html, count=1, flags=re.S)
    assert "<dt>date</dt> <dd>2026-11-27</dd>" in copy and "<dd>1a2b3c4 &lt;dirty&gt;</dd>" in copy
    assert "<dt>project</dt> <dd>wwm</dd>" in page.stamped(copy, {"project": "wwm"})


def test_a_chart_comes_first_then_verdicts_commands_contents_tables_and_the_other_plots(folder):
    html = body()
    marks = ('id="plot-0"', 'class="mark"', "<code>wwm predict", 'href="#table-1"', 'id="table-1"', 'id="plot-1"')
    assert sorted(marks, key=html.index) == list(marks)
    assert set(re.findall(r'href="#([^"]+)"', html)) == set(re.findall(r'id="(table-\d+|plots)"', html))


def test_what_a_verdict_rests_on_is_folded(folder):
    assert re.search(r"<li><span[^>]*>[✔◐✘]</span>[^<]+<details><summary>[^<]+</summary>\s*<p>Not told apart", body())


def test_the_best_of_a_column_is_bold_on_the_page_and_in_markdown_and_the_authors_figures_never_are(folder):
    html, markdown = body(), (REPORT / "scores.md").read_text(encoding="utf-8")
    assert "<td><strong>64.0</strong> (<strong>63.3</strong>)</td>" in html
    assert "| **64.0** (**63.3**) |" in markdown
    shown = markdown.split("## ")
    assert not [part for part in shown if part.startswith("Reference") and "**" in part]


def test_commands_are_blocks_of_their_own(folder):
    scores.main()
    markdown = (REPORT / "scores.md").read_text(encoding="utf-8")
    assert "To use it:\n\n```sh\nwwm predict models/finetuned/xnli/" in markdown
    assert "To use it:\n  wwm predict models/" in (REPORT / "champions.txt").read_text(encoding="utf-8")


def test_a_name_of_params_yaml_is_text_and_no_markup(folder):
    scores.main()
    html = PAGE.read_text(encoding="utf-8")
    assert (
        NAME not in html and html.count("&lt;script&gt;alert(1)") == 3
    )  # as a claim, in the contents, above its table


def test_a_name_in_a_plot_ends_no_script():
    from wwm.report import plot

    assert NAME not in page.page("", page.Report([], "", [], [], []), [plot.overview({NAME: {"a": [1.0, 2.0]}})], {})


def test_the_report_is_in_the_language_of_scores_language(folder):
    assert '<html lang="en">' in body()
    compared("zh")
    assert '<html lang="zh">' in body()
    assert (REPORT / "scores.md").read_text(encoding="utf-8").startswith("# 结果")
    assert "使用方法：\n  wwm predict" in (REPORT / "champions.txt").read_text(encoding="utf-8")
    assert words.LANGUAGE.get() == "en"


# Names, and abbreviations that Chinese pages have too.
NAMES = {"random", "bert", "rbt", "reviews", "mine", "news", "cmrc", "xnli", "google", "roberta", "large", "rbtl"}
NAMES |= {"flops", "adamw", "lamb", "wordpiece", "wiki", "tpu", "pod"}
NAMES |= {"wwm", "ext", "base", "params", "yaml", "sha", "cloze", "holm", "em", "unk", "mlm", "max_seq_length", "fp"}
NAMES |= {"script", "alert", "lt", "drcd", "ernie", "electra", "macbert"}


def test_no_english_is_left_on_the_chinese_page_but_names(folder):
    compared("zh")
    html = re.sub(r"<(code|dd)>.*?</\1>|n/a", "", body())
    seen = unescape(re.sub(r"<[^>]+>", " ", html)) + " ".join(re.findall(r'title="([^"]+)"', html))
    assert {word.lower() for word in re.findall(r"[A-Za-z_]{2,}", seen)} <= NAMES


def test_no_english_is_left_in_the_chinese_plots_but_names(folder):
    from wwm.report import results

    read = results.read(Path("results"), ["random", "bert", "rbt3"], ["cmrc2018", "xnli", "mine"])
    with words.spoken("zh"):
        figures = [figure.to_plotly_json() for figure in scores.plots(read, [])]
    layouts = [figure["layout"] for figure in figures]
    said = [layout[part]["title"]["text"] for layout in layouts for part in ("xaxis", "yaxis")]
    said += [layout["title"]["text"] for layout in layouts] + [t["name"] for figure in figures for t in figure["data"]]
    assert len(layouts) == 3 + 4 and {w.lower() for w in re.findall(r"[A-Za-z_]{2,}", " ".join(said))} <= NAMES


def test_names_make_no_mark_up_in_markdown_either():
    evil = "<img src=x onerror=alert(1)>|[a](javascript:b)`c`&lt;\n# d"
    table = Table(evil, evil, [evil, "p"], [[evil, "< 0.001"]], [evil])
    text = page.markdown(page.Report([evil], evil, [], [], [table]))
    assert "<img" not in text and "\n# d" not in text and text.count("\\[a](") == 7
    assert "&lt;img src=x onerror=alert(1)>\\|\\[a](javascript:b)\\`c\\`&amp;lt; # d | < 0.001 |" in text
