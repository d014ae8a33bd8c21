"""What a user sees when a command fails."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from project import environment
from pydantic import ValidationError, field_validator
from ruamel.yaml import YAML

from wwm import params
from wwm.common import command
from wwm.common.errors import UserError, reading, without_secrets
from wwm.masks import masking
from wwm.params.explain import explain
from wwm.params.fields import Section
from wwm.track import lineage, sender, untracked

EVIL = (
    "a; touch x",
    "$(touch x)",
    "`touch x`",
    "a\ntouch x\n",
    "'; touch x; '",
    '"; touch x; "',
    "a && touch x #",
    "| touch x",
)


def project(folder: Path, names: tuple[str, ...]) -> set[str]:
    """Our dvc.yaml in a folder where nothing that a stage needs is missing, and params.yaml whose items have these
    names; the stages that DVC repeats over them.
    """
    graph = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))
    values = YAML(typ="safe").load(Path("presets/tiny.yaml").read_text(encoding="utf-8"))
    repeated = set()
    for stage, body in graph["stages"].items():
        over = [body["foreach"]] if "foreach" in body else body.get("matrix", {}).values()
        repeated |= {stage for _ in over}
        for section, key in (place[2:-1].split(".") for place in over):
            items = values.get(section, {}).get(key, {})
            one = {} if isinstance(items, list) else next(iter(items.values()), {})
            values.setdefault(section, {})[key] = list(names) if isinstance(items, list) else dict.fromkeys(names, one)
    bare = {}
    for stage, body in graph["stages"].items():
        command = {"cmd": body.get("do", body)["cmd"]}
        repeat = {key: body[key] for key in ("foreach", "matrix") if key in body}
        bare[stage] = repeat | ({"do": command} if "do" in body else command)
    for name, content in (("dvc.yaml", {"vars": graph["vars"], "stages": bare}), ("params.yaml", values)):
        with open(folder / name, "w", encoding="utf-8") as file:
            YAML().dump(content, file)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    return repeated


def test_names_of_a_strange_params_yaml_are_run_by_no_shell(tmp_path):
    repeated = project(tmp_path, EVIL)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> ran\n', encoding="utf-8")
    (tmp_path / "bin/python").chmod(0o755)
    env = environment(tmp_path)
    env["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{env['PATH']}"
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--keep-going", *repeated], cwd=tmp_path, env=env, check=True)
    ran = (tmp_path / "ran").read_text(encoding="utf-8").splitlines()
    assert len(repeated) > 8 and set(ran) == {f"-m wwm.{stage}" for stage in repeated}
    assert len(ran) == len(EVIL) * (len(repeated) - 1) + len(EVIL) ** 2
    assert not (tmp_path / "x").exists()


def test_a_strange_name_is_refused_by_the_stage_that_dvc_runs_for_it(tmp_path):
    project(tmp_path, ("good", EVIL[0]))
    command = [sys.executable, "-m", "dvc", "repro", "-s", f"truncate@{EVIL[0]}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path) | {"PYTHONPATH": os.getcwd()}, capture_output=True, text=True
    )
    assert done.returncode and f"{EVIL[0]!r} is no name" in done.stderr and not (tmp_path / "x").exists()


@pytest.mark.parametrize("stage", ["mask@whole-word", "../a@b/dvc.yaml:mask@whole-word"])
def test_dvc_tells_a_stage_its_item_where_the_command_line_does_not(monkeypatch, stage):
    told = []
    monkeypatch.setenv("DVC_STAGE", stage)
    monkeypatch.setattr(sys, "argv", ["mask"])
    command.run(told.append)
    assert told == ["whole-word"]


@pytest.fixture
def failed(capsys):
    """A function that raises an error in a command; the line that it ends with, and what is printed before."""

    def said(function) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end, command.user_errors("mask"):
            function()
        assert "\n" not in end.value.code
        return end.value.code, capsys.readouterr().err

    return said


def test_mistake_of_the_user_is_one_line(failed):
    line, before = failed(lambda: params.one_of("models", "bret", ["bert"]))
    assert line == "error: models: 'bret' is none of bert" and not before


def test_error_that_c_code_raises_in_a_module_of_ours_keeps_its_traceback_and_ends_in_a_line(failed):
    # `list.index` has no frame of its own: nothing but the class of the error tells it from a message.
    line, before = failed(lambda: masking.of_set(["[PAD]"], {"unit": "whole_word"}))
    assert line == "error: mask: ValueError: '[CLS]' is not in list"
    assert before.startswith("Traceback (most recent call last)") and masking.__file__ in before


def test_file_that_was_being_read_when_a_bug_showed_is_named_the_innermost_one(failed):
    def read() -> None:
        with reading("models/bert"), reading("models/bert/config.json"):
            raise KeyError("no\nkey")

    line, before = failed(read)
    assert line == "error: mask, while reading models/bert/config.json: KeyError: 'no\\nkey'" and "Traceback" in before


def test_file_that_its_library_finds_broken_is_named_with_the_remedy_and_no_traceback(failed):
    def read() -> None:
        with reading("00000.arrow", pa.ArrowInvalid, remedy="run the stage mask again"):
            pa.ipc.open_file(pa.py_buffer(b"no Arrow file at all"))

    line, before = failed(read)
    assert line.startswith("error: 00000.arrow cannot be read (ArrowInvalid: ") and not before
    assert line.endswith("; run the stage mask again")


def test_what_says_itself_where_it_is_wrong_says_no_more_for_being_read(failed):
    def read() -> None:
        with reading("words.txt", ValueError):
            raise UserError("words.txt, line 3: empty entry; remove it")

    assert failed(read) == ("error: words.txt, line 3: empty entry; remove it", "")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG])
def test_file_that_the_system_refuses_is_a_line_of_its_own_wherever_it_was_opened(failed, code):
    def write() -> None:
        raise OSError(code, os.strerror(code), "data/mask")

    line, before = failed(write)
    assert line.startswith(f"error: mask: data/mask: {os.strerror(code)}; ") and not before


def test_bug_in_a_check_of_params_keeps_its_traceback(tmp_path, failed):
    class Broken(Section):
        seed: int

        @field_validator("seed")
        @classmethod
        def check(cls, value):
            return int("no number")

    with pytest.raises(ValidationError) as found:
        Broken.model_validate({"seed": 1})
    line, before = failed(lambda: explain(tmp_path, found.value, Broken))
    assert line.startswith("error: mask: ValueError: invalid literal for int") and "Traceback" in before


FILLS = """
import os, resource, signal, tempfile
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from safetensors.numpy import save_file
from wwm.common import command, files
from wwm.text import perceptron
from wwm.training import checkpoint

def tensors():
    with files.new_folder("out") as folder:
        save_file({"a": np.zeros(10_000)}, folder / "model.safetensors")

def words():
    with files.new_folder("out") as folder:
        gold = [[chr(code), chr(code + 4096)] for code in range(0x4E00, 0x5600)]
        perceptron.train(gold, gold[:9], 1, 1, folder / "model")

def saves():
    checkpoint.save(Path("scratch"), 1, {"a": torch.zeros(10_000)})

def shards():
    with files.new_file("out") as path, pa.OSFile(str(path), "wb") as stream:
        stream.write(bytes(20_000))

Path("scratch").mkdir()
tempfile.tempdir = os.getcwd()
# A file that may not grow fails as one does on a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
for write in (tensors, words, saves, shards):
    try:
        with command.user_errors("stage"):
            write()
    except SystemExit as end:
        print(end, flush=True)
print([str(path) for path in Path().rglob("*")])
"""


def test_full_disk_is_a_line_whatever_library_writes_and_nothing_half_written_stays(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", FILLS], cwd=tmp_path, env=environment, capture_output=True, text=True)
    *lines, left = done.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [f"error: no room on the disk of {tmp_path}"] * 4, done
    assert left == "['scratch']" and "Traceback" not in done.stderr


SECRET = "geheim"
URLS = (
    f"https://ann:{SECRET}@mlflow.example.org/a",
    f"https://ann:p@{SECRET}@host/a",
    f"https://host/a.gz?X-Signature={SECRET}&b=1",
    f"HTTPConnectionPool(host='a'): Max retries exceeded with url: /a.gz?token={SECRET} (Caused by x)",
)


@pytest.mark.parametrize("url", URLS)
def test_passwords_in_urls_are_in_no_error_and_no_traceback(url, capsys):
    for error in (UserError(f"{url} cannot be read"), ValueError(url), OSError(28, "full", url)):
        with pytest.raises(SystemExit) as ended, command.user_errors("corpus"):
            raise error
        said = f"{ended.value}{''.join(capsys.readouterr())}"
        assert SECRET not in said and ("host" in said or "example.org" in said or "a.gz" in said)


@pytest.mark.parametrize("url", URLS[:3])
def test_passwords_in_urls_are_in_no_param_and_no_file_of_a_run_in_mlflow(url, tmp_path, monkeypatch, capsys):
    assert SECRET not in str(sender.flatten({"corpus": {"sources": [{"files": url}]}}))
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"corpus: {{sources: {{a: '{url}'}}}}\n", encoding="utf-8")
    assert SECRET not in str(lineage.explaining(f"+ a: {url}"))
    monkeypatch.setattr(untracked, "FOLDER", tmp_path / "untracked")
    untracked.keep([url, "wwm"], {"time": 1, "tags": {}, "run_name": "a"}, [])
    (kept,) = Path("untracked").glob("*.jsonl")
    assert SECRET not in kept.read_text(encoding="utf-8")
    found = []
    untracked.send([url, "wwm"], lambda opening, messages, save: found.append(opening["run_name"]))
    assert found == ["a"] and SECRET not in capsys.readouterr().out


def test_in_a_folder_that_was_removed_a_command_says_so(tmp_path, failed, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    line, _ = failed(lambda: print("not reached"))
    assert line == "error: the folder that this runs in was removed; go to one that is there"


def test_a_command_ends_well_where_nobody_listens():
    command = f"{sys.executable} -m wwm.cli plan demo >&- 2>&-"
    assert subprocess.run(command, shell=True).returncode == 0


def test_a_message_of_any_length_is_short_enough_to_be_read():
    assert len(str(UserError("x" * 10**6))) < 3000
    lists = "\n".join(["- what is missing, and what can stand for it"] * 500)
    assert str(UserError(lists)) == lists


def test_name_that_would_change_the_terminal_is_spelled_out():
    assert str(UserError("a\x1b[2Jb\u202etxt.exe\udcff: 新闻\n\t")) == "a\\x1b[2Jb\\u202etxt.exe\\udcff: 新闻\n\t"


def test_text_that_is_no_url_stays():
    # A patch of a file with Windows' line ends and a form feed among them, or it would not apply.
    for text in (
        "-我们\r\n+他们\r\n \f\n",
        "org/name@v1",
        "a@b.cn",
        "is it cut off? Fetch it again",
        "https://host/a@b/c",
        "为什么?因为",
    ):
        assert without_secrets(text) == text


def test_a_patch_that_is_kept_still_applies():
    patch = "-我们\r\n+他们\r\n \f\n"
    assert without_secrets(patch) == patch
