"""`wwm play`: who is let in, what is refused, and that the page shows what the commands print."""

import base64
import html
import json
import re
import urllib.parse
from pathlib import Path

import browser
import playing
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from wwm import cli
from wwm.common.errors import UserError
from wwm.look import Look
from wwm.play import server, texts
from wwm.play.models import Models, found

TEXT = "春天天气很热。"
OWN = "http://127.0.0.1:7860"
BERT, SINGLE, PAIR, READING, TAGGING = "models/bert", *(f"models/finetuned/{kind}/bert" for kind in playing.LABELS)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        playing.project(folder)
    return folder


@pytest.fixture(autouse=True)
def place(project, monkeypatch):
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def app(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        look = Look(Path("data/vocab"), Path("data/segmenter"))
        return server.app(Models(found()), look, playing.PASSWORD)


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'anyone:{password}'.encode()).decode()}"}


@pytest.fixture
def client(app):
    return TestClient(app, base_url=OWN, headers=basic(playing.PASSWORD))


def sent(client, text: str = TEXT, *models: str, **fields: str):
    form = {"text": text, "model": models, "language": "en"} | fields
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": OWN}
    return client.post("/", content=urllib.parse.urlencode(form, doseq=True), headers=headers)


def cells(answer) -> list[list[str]]:
    """What stands in the tables of a page, row by row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", answer.text)
    return [[html.unescape(cell) for cell in re.findall(r"<(?:td|th)>([^<]*)</", row)] for row in rows]


def words(part: str) -> list[str]:
    return [html.unescape(piece) for piece in re.findall(r'<span class="piece[^>]*>([^<]*)<', part)]


def refusal(answer) -> str:
    assert answer.status_code == 400
    return html.unescape(re.search(r'role="alert">([^<]*)<', answer.text)[1])


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli.commands, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("春天-passwort"),
        basic(""),
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic é".encode()},
        {"Authorization": f"Bearer {playing.PASSWORD}".encode()},
    ],
)
def test_without_the_password_there_is_nothing_to_see(app, headers):
    stranger = TestClient(app, base_url=OWN, headers=headers)
    for answer in (stranger.get("/"), stranger.get("/style.css"), stranger.get("/no"), sent(stranger)):
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
        assert "<form" not in answer.text


def test_another_name_of_this_address_is_refused(client):
    assert client.get("/").status_code == client.get("/", headers={"Host": "localhost:7860"}).status_code == 200
    assert client.get("/", headers={"Host": "evil.example:7860"}).status_code == 400


def test_every_answer_and_every_refusal_has_the_same_headers(app, client):
    answers = {
        200: client.get("/"),
        400: client.get("/", headers={"Host": "evil.example:7860"}),
        401: TestClient(app, base_url=OWN).get("/"),
        403: client.post("/", content="text=a", headers={"Origin": "null"}),
        404: client.get("/no"),
        405: client.put("/"),
        413: client.post("/", content=b"a" * 100_000, headers={"Origin": OWN}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in server.HEADERS} == server.HEADERS
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert not {"server", "set-cookie", "access-control-allow-origin"} & {*answer.headers}


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8000", "null"])
def test_a_form_of_another_page_is_refused(client, origin):
    assert client.post("/", content="text=a", headers={"Origin": origin}).status_code == 403


def test_the_page_asks_for_nothing_from_elsewhere_and_has_no_script(client):
    for answer in (client.get("/"), sent(client, TEXT, *found_names()), client.get("/style.css")):
        assert answer.status_code == 200
        assert not re.search(r"//|<script|javascript:|\bon\w+=|url\(|@import", answer.text)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert answer.headers["cache-control"] == "no-store"


def found_names() -> list[str]:
    return [str(folder) for folder in found()]


def test_models_of_the_folder_are_offered_and_the_first_that_need_only_a_text_are_chosen(client):
    assert sorted(found_names()) == sorted([BERT, SINGLE, PAIR, READING, TAGGING])
    offered = re.findall(r'value="(models/[^"]*)"( checked)?', client.get("/").text)
    assert {name for name, _ in offered} == {*found_names()}
    assert {name for name, checked in offered if checked} == {BERT, SINGLE, TAGGING}


def test_words_units_and_draws_are_those_of_wwm_masks(client):
    answer = sent(client, draws="2", seed="5", masked_lm_prob="0.4")
    printed = run("masks", TEXT, "--draws", "2", "--seed", "5", "--masked-lm-prob", "0.4").splitlines()
    rows = {name: re.search(rf'<p id="{name}">(.*)</p>', answer.text)[1] for name in ("words", "pieces", "units")}
    assert words(rows["words"]) == printed[1].split()[1:]
    assert words(rows["pieces"]) == printed[2].split()[1:]
    units = [" ".join(words(unit)) for unit in rows["units"].split('class="unit"')[1:]]
    assert " | ".join(units) == printed[3].removeprefix("units").strip()
    draws = re.findall(r"<li>(.*)</li>", answer.text)
    assert len(draws) == 6
    for draw, line in zip(draws, printed[-6:]):
        marked = re.findall(r'class="piece (\w*)"[^>]*>([^<]*)<', draw)
        shown = [f"({piece})" if how in ("same", "random") else piece for how, piece in marked]
        assert " ".join(shown) == line[12:]


def test_labels_are_those_of_wwm_predict(client):
    Path("texts.txt").write_text(f"{TEXT}\n", encoding="utf-8")
    said = json.loads(run("predict", SINGLE, "texts.txt"))
    assert cells(sent(client, f" {TEXT}\r\n", SINGLE)) == [
        [label, f"{p:.1%}"] for label, p in said["probabilities"].items()
    ]
    Path("pairs.tsv").write_text(f"{TEXT}\t冬天\n", encoding="utf-8")
    said = json.loads(run("predict", PAIR, "pairs.tsv"))
    assert cells(sent(client, TEXT, PAIR, text_b="冬天")) == [
        [label, f"{p:.1%}"] for label, p in said["probabilities"].items()
    ]


def test_answers_are_those_of_wwm_predict(client):
    Path("asked.jsonl").write_text(json.dumps({"question": "什么时候？", "context": TEXT}), encoding="utf-8")
    said = json.loads(run("predict", READING, "asked.jsonl"))
    rows = cells(sent(client, TEXT, READING, question="什么时候？"))
    assert rows == [[one["answer"] or "no answer in the text", f"{one['probability']:.1%}"] for one in said["n_best"]]


def test_entities_are_those_of_wwm_predict(client):
    Path("texts.txt").write_text(f"{TEXT}\n", encoding="utf-8")
    said = json.loads(run("predict", TAGGING, "texts.txt"))
    shown = [[one["text"], one["type"], "", f"{one['probability']:.1%}"] for one in said["entities"]]
    assert cells(sent(client, TEXT, TAGGING)) == (shown or [["No entity in the text."]])


@pytest.mark.parametrize("text", ["春天很[MASK]。", "春天[WORD]，[MASK][MASK]很热"])
def test_fillings_are_those_of_wwm_fill(client, text):
    filled = json.loads(run("fill", BERT, text, "--json"))["fillings"]
    several = len(filled[0]["words"]) > 1
    rows = [[f"{f['probability']:.3%}", " ".join(f["words"]), *[f["text"]] * several] for f in filled]
    answer = sent(client, text, BERT)
    assert cells(answer)[1:] == rows and len(rows) == 5 and 'id="words"' not in answer.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": " \n"}, "Type a text first."),
        ({"text": "春" * 1001}, "Text: 1001 characters, and at most 1000 are taken. Shorten it."),
        ({"question": "春" * 201}, "Question: 201 characters, and at most 200 are taken. Shorten it."),
        ({"draws": "11"}, "Draws of masks: give a number from 1 to 10."),
        ({"seed": "x"}, "Seed: give a number from 0 to 4294967295."),
        ({"masked_lm_prob": "nan"}, "Share of pieces masked (masked_lm_prob): give a number from 0.01 to 0.99."),
        ({"text": "春[MASK]"}, "The text has a gap: choose a model that fills in words."),
        (
            {"model": "models/../models/bert"},
            "'models/../models/bert' is none of the models that were named at the start",
        ),
        ({"model": "/etc/passwd"}, "'/etc/passwd' is none of the models that were named at the start"),
    ],
)
def test_what_cannot_be_shown_is_said_on_the_page(client, fields, said):
    assert refusal(sent(client, **fields)).startswith(said)


def test_what_one_model_lacks_or_refuses_is_said_beside_it_and_the_others_answer(client):
    answer = sent(client, TEXT, SINGLE, PAIR, READING)
    problems = re.findall(r'<p class="problem">([^<]*)</p>', answer.text)
    assert answer.status_code == 200 and problems == ["Type a second text, too.", "Type a question, too."]
    assert len(cells(answer)) == 2
    long = sent(client, "春天很[MASK]" * 20, BERT, SINGLE)
    assert "and the model 40 positions; shorten it" in long.text and "the end was cut off" in long.text


def test_a_missing_segmenter_is_said_with_the_stage_that_makes_it(project):
    def look(*asked):
        return Look(Path("data/vocab"), Path("elsewhere"))(*asked)

    served = server.app(Models([Path(SINGLE)]), look, playing.PASSWORD)
    answer = sent(TestClient(served, base_url=OWN, headers=basic(playing.PASSWORD)), TEXT, SINGLE)
    assert "elsewhere/config.json does not exist; `dvc repro segmenter` makes it" in answer.text
    assert len(cells(answer)) == 2


def test_a_form_of_any_size_is_not_read(client):
    assert sent(client, "春" * server.BODY).status_code == 413


def test_what_is_typed_is_text_and_no_html(client):
    answer = sent(client, '</textarea><script>alert("春")</script>', SINGLE, text_b='"><script>', draws="1")
    assert answer.status_code == 200 and "<script" not in answer.text
    assert "&lt;script&gt;alert(&#34;春&#34;)" in answer.text
    assert "<script" not in sent(client, TEXT, "<script>").text


def test_a_bug_of_ours_is_told_on_the_console_alone():
    def look(*asked):
        raise RuntimeError("secret")

    served = server.app(Models([Path(SINGLE)]), look, playing.PASSWORD)
    with pytest.raises(RuntimeError):
        sent(TestClient(served, base_url=OWN, headers=basic(playing.PASSWORD)))
    stranger = TestClient(served, base_url=OWN, headers=basic(playing.PASSWORD), raise_server_exceptions=False)
    answer = sent(stranger)
    assert answer.status_code == 500 and "secret" not in answer.text


def test_both_languages_say_all_with_the_same_values(client):
    for key, (english, chinese) in texts.CATALOGUE.items():
        assert {*re.findall(r"\{(\w+)", english)} == {*re.findall(r"\{(\w+)", chinese)}, key
    assert '<html lang="zh-CN">' in client.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9,en"}).text
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": "de"}).text
    answer = sent(client, TEXT, SINGLE, language="zh")
    assert '<html lang="zh-CN">' in answer.text and f"\n{TEXT}</textarea>" in answer.text and "全词掩码" in answer.text


def test_a_folder_with_a_broken_config_is_not_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("half", '{"architectures": ['), ("list", "[]")):
        Path("models", name).mkdir(parents=True)
        Path("models", name, "config.json").write_text(content)
    with pytest.raises(UserError, match="has no models in models/"):
        found()
    with pytest.raises(UserError, match="models/half/config.json cannot be read as JSON"):
        Models([Path("models/half")])


def test_a_folder_that_is_no_model_or_has_none_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="models/none is not there or is no model"):
        Models([Path("models/none")])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has no models in models/; `make demo` makes some"):
        found()


def test_a_short_password_is_refused(monkeypatch):
    monkeypatch.setenv(server.VARIABLE, "1234567")
    with pytest.raises(UserError, match="WWM_PLAY_PASSWORD has 7 characters; give it 8 or more, or unset it"):
        server.main([Path(SINGLE)], 7860, lambda *asked: None)


def test_a_port_that_is_taken_is_told_and_ctrl_c_ends_quietly(project):
    with playing.served(project, SINGLE) as (address, process):
        port = int(address.split(":")[1])
        with pytest.raises(UserError, match=f"--port {port}: Address already in use; give another one, such as --port"):
            server.listening(port)
    assert (process.returncode, process.stdout.read(), process.stderr.read()) == (0, "Ctrl-C ends it.\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not browser.PROGRAM, reason="no chromium is installed (Debian: chromium, fonts-noto-cjk)")
def test_a_sentence_typed_into_chromium_is_masked_and_labelled(project, tmp_path):
    with playing.served(project) as (address, _), browser.opened(tmp_path / "profile") as chromium:
        chromium.open(f"http://anyone:{urllib.parse.quote(playing.PASSWORD)}@{address}/")
        chromium.type("#text", "河里鱼很多，鸟在飞。")
        chromium.click("button")
        chromium.until("document.readyState == 'complete' && document.querySelector('#words') != null")
        assert chromium.texts("#words .piece") == playing.GOLD[2].split()
        assert re.fullmatch(r"models/finetuned/single/bert\s+冷\s+\d+\.\d%\s+热\s+\d+\.\d%", chromium.texts(".card")[0])
        assert len(chromium.texts("#looked .masked")) > 3

        chromium.click(".language")
        chromium.until("document.readyState == 'complete' && document.documentElement.lang == 'zh-CN'")
        chromium.type("#text", "春天很[MASK]。")
        chromium.click("button")
        chromium.until("document.readyState == 'complete' && document.querySelector('#fillings') != null")
        assert "空位的填法\nmodels/bert" in chromium.texts("#fillings")[0]

        # Colours come from our own style sheet, which the policy lets through; nothing else was asked for.
        assert chromium.value("getComputedStyle(document.querySelector('.language')).position") == "absolute"
        asked = {event["request"]["url"] for name, event in chromium.events if name == "Network.requestWillBeSent"}
        parts = [urllib.parse.urlsplit(url) for url in asked]
        assert {part.path for part in parts} >= {"/", "/style.css"}
        assert {part.netloc.split("@")[-1] for part in parts} == {address}
        entries = [event["entry"] for name, event in chromium.events if name == "Log.entryAdded"]
        assert not [entry for entry in entries if "favicon" not in entry.get("url", "")]
