"""Segmenter and segmentation: words as offsets into a text that stays as it is."""

import json
import tarfile
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ltp_core.models.utils import instantiate
from ruamel.yaml import YAML

from wwm import segment, segmenter
from wwm.common.errors import UserError
from wwm.text import boundaries, perceptron, sentences, simplify, vocabulary

ROOT = Path(__file__).parent.parent
GOLD = [
    sentence.split()
    for sentence in (
        "我们 喜欢 自然 语言 处理 。",
        "他们 研究 语言 模型 。",
        "北京 是 中国 的 首都 。",
        "今天 天气 很 好 ， 我们 去 公园 。",
        "这 本 书 很 有 意思 。",
        "模型 预测 下 一个 词 。",
        "中国 的 语言 很 多 。",
        "我们 研究 自然 语言 。",
        "公园 里 的 天气 很 好 。",
        "他们 喜欢 这 本 书 。",
    )
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter")
    segmenter.train_perceptron(GOLD * 5, GOLD, epochs=3, seed=1, folder=folder)
    return folder


def words_of(text: str, ends) -> list[str]:
    return [text[start:end] for start, end in zip([0, *ends], ends)]


def test_trained_segmenter_loads_in_ltp_and_cuts_words(trained):
    cut = segment.load_ltp(str(trained), [])
    assert cut(["我们研究语言模型。"]) == [["我们", "研究", "语言", "模型", "。"]]


def test_the_same_gold_words_give_the_same_bytes_whose_words_are_those_of_ltps_own_file(trained, tmp_path, monkeypatch):
    segmenter.train_perceptron(GOLD * 5, GOLD, epochs=3, seed=1, folder=tmp_path)
    files = [folder / "cws_model.bin" for folder in (trained, tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()
    monkeypatch.setattr(perceptron, "canonical", lambda model: model)
    segmenter.train_perceptron(GOLD * 5, GOLD, epochs=3, seed=1, folder=tmp_path)
    assert files[0].read_bytes() != files[1].read_bytes()
    text = [["今天他们去公园研究模型，中国的天气很有意思。"], ["下一个语言处理的书。"]]
    assert segmenter.cut(str(files[0]), text) == segmenter.cut(str(files[1]), text)


@given(
    st.lists(
        st.text()
        | st.text(st.sampled_from("我们研究語言模型。，！？”…\n \u3000\u200c\u0301Ｔ恤１９a😀[]"), max_size=40),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_at_all_is_partitioned_into_sentences_and_words(trained, texts):
    for cut in (
        None,
        segment.load_ltp(str(trained), []),
        boundaries.on_simplified(segment.load_ltp(str(trained), ["研究語言"])),
    ):
        for text, *both in zip(texts, *boundaries.segment_texts([text or "。" for text in texts], cut)):
            for ends in both:
                assert list(ends) == sorted(set(ends)) and ends[-1] == len(text or "。") and ends[0] > 0


def test_traditional_text_is_cut_as_its_simplified_form_and_stays_as_it_is(trained):
    cut = boundaries.on_simplified(segment.load_ltp(str(trained), []))
    assert cut(["我們研究語言模型。"]) == [["我們", "研究", "語言", "模型", "。"]]
    _, (word_ends,) = boundaries.segment_texts(["他們喜歡這本書。"], cut)
    assert words_of("他們喜歡這本書。", word_ends) == ["他們", "喜歡", "這", "本", "書", "。"]


def test_conversion_that_changes_the_length_is_done_by_characters():
    assert simplify.same_length("語言", lambda text: {"語言": "话", "語": "语", "言": "言"}[text]) == "语言"


def test_word_of_the_dictionary_stays_whole(trained, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("语言模型\n", encoding="utf-8")
    cut = segment.load_ltp(str(trained), segment.read_dictionary(str(path)))
    assert cut(["我们研究语言模型。"]) == [["我们", "研究", "语言模型", "。"]]


def test_traditional_word_of_the_dictionary_stays_whole_in_traditional_text(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/segmenter").symlink_to(trained)
    Path("words.txt").write_text("語言模型\n", encoding="utf-8")
    cut, _ = segment.cutter("of this test", "words.txt", True)
    assert cut(["我們研究語言模型。", "我们研究语言模型。"]) == [
        ["我們", "研究", "語言模型", "。"],
        ["我们", "研究", "语言模型", "。"],
    ]


def test_word_that_stands_twice_in_a_dictionary_is_one_word(trained, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("语言模型\n\n语言模型\n自然语言\n语言模型\n", encoding="utf-8")
    cut = segment.load_ltp(str(trained), segment.read_dictionary(str(path)))
    assert cut(["我们研究语言模型。"]) == [["我们", "研究", "语言模型", "。"]]


@pytest.mark.parametrize("blank", ["\u3000", "\u00a0", "\u2003", "\t", " ", "\n", ""])
def test_word_of_the_dictionary_before_any_blank_stays_whole(trained, blank):
    cut = segment.load_ltp(str(trained), ["语言模型", "很多"])
    text = f"我们研究语言模型{blank}很多{blank}公园"
    _, (word_ends,) = boundaries.segment_texts([text], cut)
    assert {"语言模型", "很多"} <= {word.strip() for word in words_of(text, word_ends)}


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("该网|站日|发货", "该|网站|日|发货"),
        ("现隶|属于", "现|隶属|于"),
        ("助申|奥登|长城", "助|申奥|登|长城"),
        ("拍抖|音视|频", "拍|抖音|视|频"),
        ("抖|音|网站", "抖音|网站"),
        ("大抖音站|好", "大抖音站|好"),
        ("中国人|民银|行", "中国|人民银行"),
        ("中国|人|民", "中国|人|民"),
        ("抖音抖|音抖音|站", "抖音|抖音|抖音|站"),
        ("拍抖\u3000|抖音", "拍抖\u3000|抖音"),
        ("拍抖|音\u3000|站", "拍|抖音\u3000|站"),
    ],
)
def test_no_boundary_falls_into_a_word_of_the_dictionary_by_the_longest_match_from_the_left(words, whole):
    keep = boundaries.whole_words(["抖音", "隶属", "申奥", "网站", "中国", "人民银行", "国人"])
    assert keep(words.replace("|", ""), words.split("|")) == whole.split("|")


def longest_from_the_left(text: str, dictionary: set[str]) -> list[tuple[int, int]]:
    found, start = [], 0
    while start < len(text):
        ends = [start + len(word) for word in dictionary if text.startswith(word, start)]
        found += [(start, end) for end in [max(ends, default=0)] if end]
        start = max(ends, default=start + 1)
    return found


@given(
    st.sets(st.text(st.sampled_from("甲乙丙😀"), min_size=1, max_size=4)),
    st.lists(st.text(st.sampled_from("甲乙丙😀"), min_size=1, max_size=5), min_size=1),
)
def test_every_longest_match_is_whole_and_other_boundaries_stay(dictionary, words):
    text = "".join(words)
    kept = boundaries.whole_words(sorted(dictionary))(text, words)
    before, after = (set(accumulate(map(len, some))) for some in (words, kept))
    for start, end in longest_from_the_left(text, dictionary):
        if not before.isdisjoint(range(start + 1, end)):
            before = (before - set(range(start + 1, end))) | ({start, end} - {0})
    assert "".join(kept) == text and after == before


SIGHAN = Path("/work/shared/data/tasks.tar.xz")


@pytest.mark.skipif(not SIGHAN.exists(), reason="data of this project's developers")
def test_all_words_of_a_dictionary_are_whole_in_sighans_text(trained):
    with tarfile.open(SIGHAN) as tar:
        folder = "segmentation/sighan"
        words, text = (
            tar.extractfile(f"{folder}/{name}").read().decode("utf-8-sig").split("\n")
            for name in ("pku_training_words.utf8", "pku_test.utf8")
        )
    words, text = (
        [word.strip() for word in words if len(word.strip()) > 1],
        [line.strip() for line in text if line][:150],
    )
    for count in (1_000, 41_000):
        dictionary = np.random.default_rng(1).choice(words, count, replace=False).tolist()
        cut = boundaries.on_simplified(segment.load_ltp(str(trained), dictionary), dictionary)
        first = {word[0] for word in dictionary}
        _, word_ends = boundaries.segment_texts(text, cut, sentences.pattern_of(dictionary))
        for line, ends in zip(text, word_ends):
            ends, known = set(ends.tolist()), set(dictionary)
            start = 0
            while start < len(line):
                sizes = range(min(20, len(line) - start), 1, -1) if line[start] in first else ()
                size = next((size for size in sizes if line[start : start + size] in known), 1)
                assert ends.isdisjoint(range(start + 1, start + size)), line[start : start + size]
                start += size


def test_line_of_a_dictionary_that_is_no_word_is_named(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("语言模型\n语言 模型\n", encoding="utf-8")
    with pytest.raises(UserError, match="words.txt, line 2: '语言 模型' is more than a word"):
        segment.read_dictionary(str(path))
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(UserError, match="words.txt: no word in it; write a word a line, or set segment.dictionary"):
        segment.read_dictionary(str(path))
    with pytest.raises(UserError, match="segment.dictionary: .*nowhere.txt does not exist"):
        segment.read_dictionary(str(tmp_path / "nowhere.txt"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("公安民警,武警官兵", "',' is in it"),
        ("公安民警，武警官兵，消防", "'，' is in it"),
        ("公安民警、武警官兵", "'、' is in it"),
        ("公安民警;武警官兵", "';' is in it"),
        ("公安民警|武警官兵", "'|' is in it"),
        ("我们研究语言模型。", "'。' is in it"),
        ("你是谁？", "'？' is in it"),
        ("公安民警/n", "'/n' is in it"),
        ("公安民警=100", "'=100' is in it"),
        ("#公安", "'#' is in it"),
        ('"公安民警"', "'\"' is in it"),
        ('["公安民警"]', "'\"' is in it"),
        ("公安民警 100 n", "is more than a word; .*cut -d' ' -f1"),
        ("公安民警\t100", "is more than a word"),
        ("我们研究语言模型" * 6, "has 48 characters, as a sentence has"),
    ],
)
def test_what_a_dictionary_could_not_find_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "words.txt"
    path.write_text(f"语言模型\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"words.txt, line 2: .*{message.replace('|', chr(92) + '|')}"):
        segment.read_dictionary(str(path))


def test_words_with_signs_and_letters_are_words_of_a_dictionary(tmp_path):
    words = "嗨！孤独 Node.js C++ C# A/B测试 《红楼梦》 阿凡达·水之道 3.5G Wi-Fi 卡拉OK T恤 5G+工业互联网 24/7".split()
    path = tmp_path / "words.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    assert segment.read_dictionary(str(path)) == words


@pytest.mark.parametrize(
    ("dictionary", "count"), [(["语言", "语言模型"], 2), (["模型"], 2), (["武警"], 0), (["們"], 1)]
)
def test_words_of_a_dictionary_are_counted_by_the_longest_match_from_the_left(dictionary, count):
    assert boundaries.matches(dictionary)("我們研究语言模型，语言模型。") == count


@pytest.mark.parametrize(
    ("spaced", "text", "words"),
    [
        ("我们 研究 语言 模型 。", "我们研究语言模型。", ["我们", "研究", "语言", "模型", "。"]),
        ("用 BERT base 的 模型 12 个", "用BERT base的模型12个", ["用", "BERT ", "base", "的", "模型", "12", "个"]),
        ("cafe\u0301 au lait 5 ± 3", "cafe\u0301 au lait 5 ± 3", ["cafe\u0301 ", "au ", "lait ", "5 ", "± ", "3"]),
        ("第一 段 。\n第二\u3000段", "第一段。\n第二段", ["第一", "段", "。\n", "第二", "段"]),
    ],
)
def test_text_that_is_segmented_already_keeps_its_words_and_loses_the_spaces_between_them(spaced, text, words):
    joined, ends = boundaries.without_spaces(spaced)
    assert joined == text and words_of(joined, ends) == words


def test_word_scores_are_those_of_the_bake_offs():
    # Three gold words, four cut words, two agree: P = 50, R = 66.7, F1 = 57.1.
    scores = segmenter.word_scores([["中国", "的", "首都"]], [["中国", "的", "首", "都"]])
    assert (round(scores["precision"], 1), round(scores["recall"], 1), round(scores["f1"], 1)) == (50.0, 66.7, 57.1)


@pytest.mark.parametrize(
    "text",
    [
        "我们研究语言模型。他们喜欢这本书！",
        "第一段。\n第二段没有句号\n\n第三段？还有。",
        "\u3000\u3000今天 天气 很好 。",
        "T恤１９９９年😀👨‍👩‍👧很好…",
        "繁體字與한국어，e\u0301té.",
        "　",
        "a" * 300,
        "好" * 5000,
        "我们研究语言模型" * 12_500,  # a line of 100,000 characters
        "“引用。”他说。",
        "零\u200c宽",
    ],
)
@pytest.mark.parametrize("backend", ["ltp", "none"])
def test_sentences_and_words_partition_any_text(trained, text, backend):
    cut = segment.load_ltp(str(trained), []) if backend == "ltp" else None
    (sentence_ends,), (word_ends,) = boundaries.segment_texts([text], cut)
    for ends in (sentence_ends, word_ends):
        assert list(ends) == sorted(set(ends)) and ends[-1] == len(text) and ends[0] > 0
    assert set(sentence_ends) <= set(word_ends.tolist())


def test_sentences_end_at_punctuation_and_at_lines(trained):
    text = "我们研究模型。他们喜欢书！\n今天天气很好"
    (ends,), _ = boundaries.segment_texts([text], None)
    assert words_of(text, ends) == ["我们研究模型。", "他们喜欢书！\n", "今天天气很好"]


def test_blank_between_words_stays_with_the_word_before_it():
    assert words_of(
        "我们 去\u3000公园。", boundaries.find_word_ends("我们 去\u3000公园。", ["我们", "去", "公园", "。"])
    ) == [
        "我们 ",
        "去\u3000",
        "公园",
        "。",
    ]


def test_text_that_the_segmenter_drops_or_changes_is_a_word_of_its_own():
    assert words_of("我们※去公园", boundaries.find_word_ends("我们※去公园", ["我们", "去", "公园"])) == [
        "我们",
        "※",
        "去",
        "公园",
    ]
    assert words_of("我们去公园", boundaries.find_word_ends("我们去公园", ["我们", "XX", "公园"])) == [
        "我们",
        "去",
        "公园",
    ]


def test_ltp_folder_without_its_model_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"nerual": False, "tasks": {"cws": "cws_model.bin"}}))
    with pytest.raises(UserError, match="lacks the word model cws_model.bin"):
        segmenter.perceptron_file(tmp_path, "my-ltp")


def test_folder_that_is_no_ltp_model_is_named(tmp_path):
    with pytest.raises(UserError, match="my-ltp is no LTP model"):
        segmenter.perceptron_file(tmp_path, "my-ltp")


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_an_ltp_model_is_taken_over_whole_and_of_a_snapshot_of_the_hub_only_its_own_files(
    trained, tmp_path, monkeypatch, where
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = "c" * 40
    source = tmp_path / "my-ltp" if where == "folder" else tmp_path / "cache/models--org--ltp/snapshots" / commit
    source.mkdir(parents=True)
    name = "words.model" if where == "folder" else "cws_model.bin"
    (source / name).write_bytes((trained / "cws_model.bin").read_bytes())
    (source / "config.json").write_text(json.dumps({"nerual": False, "tasks": {"cws": name}}))
    (source / "README.md").write_text("downloaded by somebody else")
    Path("gold.txt").write_text("".join(" ".join(words) + "\n" for words in GOLD), encoding="utf-8")
    values = YAML(typ="safe").load((ROOT / "presets/tiny.yaml").read_text(encoding="utf-8"))
    values["segmenter"] |= {
        "source": "my-ltp" if where == "folder" else f"org/ltp@{commit}",
        "gold": "gold.txt",
        "heldout_share": 0.3,
    }
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    segmenter.main()
    assert segmenter.perceptron_file(Path("data/segmenter"), "") == f"data/segmenter/{name}"
    assert Path("data/segmenter/README.md").exists() == (where == "folder")
    assert json.loads(Path("data/segmenter/origin.json").read_text()).get("commit") == (
        None if where == "folder" else commit
    )


@pytest.mark.parametrize("config", ["[1]", "{}", '{"nerual": "no"}', '{"nerual": false, "tasks": ["cws"]}', "{"])
def test_config_that_is_none_of_ltps_is_named(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match="segmenter.source: my-ltp (is no LTP model|lacks the word model)"):
        segmenter.perceptron_file(tmp_path, "my-ltp")


def test_masks_names_the_model_file_that_an_ltp_folder_lacks(tmp_path, monkeypatch, capsys):
    from typer.testing import CliRunner

    from wwm.cli import commands

    (tmp_path / "config.json").write_text(json.dumps({"nerual": False, "tasks": {"cws": "cws_model.bin"}}))
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary.SPECIAL, "我"]) + "\n")
    result = CliRunner().invoke(
        commands, ["masks", "我", "--segmenter", str(tmp_path), "--vocab", str(tmp_path / "vocab.txt")]
    )
    assert "lacks the word model cws_model.bin" in str(result.exception)


TEXTS = ["我们研究自然　语言👍。", "公園裡的天氣很好。", "长" * 1200]


@pytest.fixture
def neural(tmp_path):
    """A folder in the layout of LTP/small and its like, with random weights."""
    tokens = [*vocabulary.SPECIAL, *sorted(set("".join(TEXTS)) - {"　"})]
    vocabulary.save(vocabulary.build(tokens, True), tokens, True, tmp_path)
    backbone = {
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    model = {
        "_ltp_target_": "ltp_core.models.ltp_model.LTPModule",
        "backbone": {"_ltp_target_": "ltp_core.models.utils.transformer.load_transformers", "config": backbone},
        "processor": {"cws": {"_ltp_target_": "ltp_core.models.processor.TokenOnly"}},
        "heads": {
            "cws": {
                "_ltp_target_": "ltp_core.models.components.token.MLPTokenClassifier",
                "input_size": 32,
                "num_labels": 2,
            }
        },
    }
    (tmp_path / "config.json").write_text(
        json.dumps({"nerual": True, "model": model, "vocabs": {"cws": ["I-W", "B-W"]}})
    )
    torch.manual_seed(0)
    # Larger than BERT's initial weights, so that the characters' tags differ.
    torch.save(
        {name: 10 * weights for name, weights in instantiate(model).state_dict().items()},
        tmp_path / "pytorch_model.bin",
    )
    return tmp_path


def test_neural_ltp_folder_loads_and_its_words_partition_the_unchanged_text(neural):
    assert segmenter.perceptron_file(neural, "here") is None
    _, word_ends = boundaries.segment_texts(TEXTS, segment.load_ltp(str(neural), []))
    for text, ends in zip(TEXTS, word_ends, strict=True):
        assert ends[-1] == len(text) and (ends[1:] > ends[:-1]).all() and 1 < len(ends) <= len(text)


def test_neural_ltp_folder_that_lacks_weights_is_named(neural):
    weights = torch.load(neural / "pytorch_model.bin")
    torch.save(
        {name: tensor for name, tensor in weights.items() if "task_heads" not in name}, neural / "pytorch_model.bin"
    )
    with pytest.raises(UserError, match="pytorch_model.bin lacks 2 tensors of its config.json, first task_heads.cws"):
        segment.load_ltp(str(neural), [])


def test_ltp_config_that_names_other_code_than_ltps_is_refused(neural):
    config = json.loads((neural / "config.json").read_text())
    config["model"]["backbone"]["_ltp_target_"] = "ltp_core.models.utils.instantiate.importlib.import_module"
    (neural / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="config.json: _ltp_target_ .* is not a part of LTP's models"):
        segment.load_ltp(str(neural), [])


def test_gold_file_that_is_missing_empty_or_not_utf8_is_named(tmp_path):
    with pytest.raises(UserError, match="segmenter.gold.*does not exist"):
        segmenter.read_gold(tmp_path / "words.txt")
    Path(tmp_path / "words.txt").write_bytes(b"\n")
    with pytest.raises(UserError, match="no sentence in it"):
        segmenter.read_gold(tmp_path / "words.txt")
    Path(tmp_path / "words.txt").write_bytes("我们 去\n".encode() + "公园".encode("gb18030"))
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        segmenter.read_gold(tmp_path / "words.txt")


def test_a_long_document_is_cut_part_by_part_into_the_same_words(monkeypatch):
    text, given = "我们研究自然语言，今天天气很好。" * 50, []

    def cut(sentences: list[str]) -> list[list[str]]:
        given.append(sum(map(len, sentences)))
        return [[sentence[i : i + 2] for i in range(0, len(sentence), 2)] for sentence in sentences]

    sentence_ends, whole = boundaries.segment_texts([text, "好。"], cut)
    assert given == [len(text) + 2]
    monkeypatch.setattr(boundaries, "CHARACTERS", 100)
    again, words = boundaries.segment_texts([text, "好。"], cut)
    assert again == sentence_ends and [list(ends) for ends in words] == [list(ends) for ends in whole]
    assert len(given) > 5 and max(given[1:]) <= 100


@pytest.mark.parametrize("name", ["../weights.bin", "/etc/passwd", "a/../../weights.bin"])
def test_an_ltp_folder_that_names_a_file_outside_of_it_is_refused(tmp_path, name):
    (tmp_path / "weights.bin").touch()
    folder = tmp_path / "ltp"
    (folder / "a").mkdir(parents=True)
    for config in ({"nerual": False, "tasks": {"cws": name}}, {"nerual": True, "model": {"vocabs": [name]}}):
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        for load in (segment.load_model, lambda folder: segmenter.perceptron_file(Path(folder), folder)):
            with pytest.raises(UserError, match=r"ltp/config.json: '.*' is outside of the folder; take the folder"):
                load(str(folder))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        lambda content: b"",
        lambda content: bytes(range(256)) * 40,
        lambda content: b"Obj\x01" + b"\xfe\xff\xff\xff\xff\xff\x7f" * 20,
    ],
    ids=["half", "100 bytes", "empty", "random bytes", "Avro's mark alone"],
)
def test_perceptron_that_is_not_whole_is_named_and_ends_no_process(trained, tmp_path, damage):
    path = tmp_path / "cws_model.bin"
    path.write_bytes(damage((trained / "cws_model.bin").read_bytes()))
    with pytest.raises(UserError, match="cws_model.bin is no word model of LTP, or not a whole one .*; copy it anew"):
        perceptron.load(str(path))
