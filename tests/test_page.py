"""The report's page: what stands in its head, in which order it tells, and that it takes no text for mark-up."""

import base64
import hashlib
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import browser
import clozed
import finetuned
import pretrained
import pytest
from ruamel.yaml import YAML

from wwm import scores
from wwm.report import page, plot, words
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
    assert re.search(r"To use [\w-]+:\n\n```sh\nwwm predict models/finetuned/xnli/", markdown)
    assert re.search(r"To use [\w-]+:\n  wwm predict models/", (REPORT / "champions.txt").read_text(encoding="utf-8"))


def test_a_name_of_params_yaml_is_text_and_no_markup(folder):
    scores.main()
    html = PAGE.read_text(encoding="utf-8")
    assert (
        NAME not in html and html.count("&lt;script&gt;alert(1)") == 3
    )  # as a claim, in the contents, above its table


def test_a_name_in_a_plot_ends_no_script():
    assert NAME not in named(NAME)


def named(name: str) -> str:
    """A page that has it wherever a name can stand."""
    report = page.Report([name], name, [], [], [Table(name, name, [name], [[name]], [name])])
    return page.page(name, report, [plot.overview({name: {name: [1.0, 2.0]}})], {name: name})


class Tags(HTMLParser):
    """policy: what the browser may load and run, by directive; scripts: hashes of those that would run; tags."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.feed(html)
        [rules] = [given["content"] for tag, given in self.tags if given.get("http-equiv") == "Content-Security-Policy"]
        self.policy = {rule.split()[0]: rule.split()[1:] for rule in rules.split(";")}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1] == ("script", {}) and data.strip():
            digest = base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()
            self.scripts.append(f"'sha256-{digest}'")


def test_nothing_from_outside_can_be_loaded_and_no_script_runs_but_plotly_and_the_pages_own(folder):
    scores.main()
    html = PAGE.read_text(encoding="utf-8")
    seen = Tags(html)
    assert html.index("<meta http-equiv") < html.index("<script") and seen.policy.pop("script-src") == seen.scripts
    assert seen.policy == {
        "default-src": ["'none'"],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["blob:", "data:"],
        "form-action": ["'none'"],
        "base-uri": ["'none'"],
    }
    assert not [tag for tag, given in seen.tags if given.keys() & {"src", "srcset", "style", "onclick", "onload"}]
    config = json.loads(html.split('id="figures">')[1].split("</script>")[0])["config"]
    assert config["showSendToCloud"] is False and config["plotlyServerURL"] == ""
    assert {given["href"][0] for _, given in seen.tags if "href" in given} == {"#"}


def test_the_scripts_that_may_run_are_the_same_whatever_names_there_are():
    plain, evil = (Tags(named(name)) for name in ("bert", f"</script>{NAME}' 'unsafe-inline'\"><!--"))
    assert evil.policy == plain.policy and evil.scripts == plain.scripts == plain.policy["script-src"]


@pytest.mark.slow
@pytest.mark.skipif(not browser.PROGRAM, reason="no chromium is installed (Debian: chromium)")
def test_chromium_draws_and_sorts_and_runs_and_loads_nothing_else(folder, tmp_path):
    scores.main()
    with browser.opened(tmp_path / "profile") as chromium:
        chromium.open(PAGE.resolve().as_uri())
        chromium.until("document.querySelectorAll('.js-plotly-plot').length == 7")
        assert not chromium.value("[...document.querySelectorAll('[data-title^=Share]')].length")
        first = "document.querySelector('tbody td').innerText"
        before = chromium.value(first)
        chromium.click("th")
        chromium.until(f"{first} != {before!r}")
        asked = [event["request"]["url"] for name, event in chromium.events if name == "Network.requestWillBeSent"]
        assert asked == [PAGE.resolve().as_uri()]
        assert not [event for name, event in chromium.events if name == "Log.entryAdded"]
        # What a name would do if it ever became mark-up.
        chromium.value(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">'),"
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        chromium.until("document.images.length == 1 && document.images[0].complete")
        assert chromium.value("window.ran") is None


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
