"""params.yaml with values that no run can have, or that would cost hours before somebody sees it."""

from bad_inputs import Bad
from damage import params_of, put

READS = "truncate rbt3-init"  # a stage that is soon done
HUGE = 10**18
PHASE = "pretrain.models.bert.phases.0"
ARCHITECTURE = "init.models.random.architecture"
LENGTH = "mask.sets.wordpiece-nsp.lengths.0"
OWN = {"kind": "single", "labels": ["好", "坏"]}

# Key -> values that are refused, with the key in the line.
VALUES: dict[str, list[object]] = {
    "base.seed": [-1, 2**40, 1.5, "one", None, [1]],
    "base.threads": [0, -4, 1_000_000, HUGE, "all"],
    "engine.processes": [0, -1, 1_000_000],
    "engine.scheduler": ["tcp://host", "tcp://host:99999", "tcp://host:0", "http://host:8786", 8786],
    "demo.articles": [0, -5],
    "corpus.folder": ["", None, 7],
    "corpus.sources": [{}, [], "news.txt", None],
    "corpus.sources.news": ["", {"files": ""}, {"files": "a.txt", "weight": 0}, {"files": "a.txt", "weight": 1e9}],
    "corpus.sources.reviews": [
        {"files": "a.txt", "weight": -1},
        {"files": "a.txt", "format": "docx"},
        {"files": "a.jsonl", "format": "jsonl"},
        {"files": "a.jsonl", "format": "jsonl", "fields": []},
        {"files": "a.jsonl", "format": "jsonl", "fields": [""]},
        {"files": "a.txt", "sha1": "abc"},
        {"files": "http://x.org/a.txt", "sha1": "G" * 40},
        {"files": "http://[::1/x"},
        {"files": "a.txt", "dataset": ""},
        {"file": "a.txt"},
    ],
    "corpus.min_characters": [0, -1, 2_000_000, "few"],
    "corpus.max_characters": [0, 7, HUGE],
    "corpus.min_letter_share": [-0.1, 1.1, "half"],
    "corpus.near_duplicate_similarity": [0, 1.5, "high"],
    "corpus.heldout_share": [-0.1, 2],
    "corpus.characters_per_shard": [0, HUGE],
    "segmenter.source": ["", None],
    "segmenter.gold": ["", None],
    "segmenter.heldout_share": [0, 1, -1],
    "segmenter.epochs": [0, -3, 10**9],
    "segment.backend": ["jieba", None],
    "segment.dictionary": ["", 5],
    "segment.batch_size": [0, HUGE],
    "vocab.source": ["", None],
    "vocab.vocab_size": [0, 3, HUGE],
    "vocab.train_characters": [0, -1],
    "vocab.min_frequency": [0, HUGE],
    "vocab.map_characters": [{"ab": "a"}, {"“": ""}, {"“": "x" * 20}],
    "vocab.add": [[], "", 7, [2024]],
    "vocab.unknown_share_limit": [-1, 7],
    "mask.masked_lm_prob": [0, 1, -0.15, 15, "15%"],
    "mask.short_seq_prob": [-0.1, 1.5],
    "mask.random_token": ["anything"],
    "mask.ngram_probs": [[], [0.5, 0.4], [2, -1], "0.4"],
    "mask.sets": [None, {"a/b": {}}, {"../../x": {}}, {"a; touch x": {}}],
    f"{LENGTH}.max_seq_length": [0, 4, 1024, -32],
    f"{LENGTH}.max_predictions_per_seq": [0, -1, 33, HUGE],
    f"{LENGTH}.dupe_factor": [0, HUGE, 1_000_000],
    "init.models": [{"x" * 300: {"source": "random"}}, {"": {"source": "random"}}],
    "init.models.random.source": ["", None, "models/bert"],
    "init.models.random.seed": [-1, 2**33],
    f"{ARCHITECTURE}.num_hidden_layers": [0, -1, 10**6, HUGE],
    f"{ARCHITECTURE}.hidden_size": [0, 1000000007, HUGE, 33],
    f"{ARCHITECTURE}.num_attention_heads": [0, 3, HUGE],
    f"{ARCHITECTURE}.intermediate_size": [0, HUGE],
    f"{ARCHITECTURE}.max_position_embeddings": [0, HUGE],
    f"{ARCHITECTURE}.hidden_dropout_prob": [-0.1, 1.5],
    f"{ARCHITECTURE}.initializer_range": [0, -1, 1e9],
    "pretrain.weight_decay": [-0.01, 1e9],
    "pretrain.adam_betas": [[0.9], [0.9, 1], [0.9, 0.99, 0.999], 0.9],
    "pretrain.adam_epsilon": [0, -1e-6],
    "pretrain.max_grad_norm": [0, -1],
    "pretrain.precision": ["fp16", 16],
    "pretrain.loss_spike": [0, 1, -2],
    "pretrain.accelerate": ["", 4],
    "pretrain.log_every": [0, HUGE],
    "pretrain.evaluate_every": [0, 7, HUGE],
    "pretrain.heldout_examples": [0, -1],
    "pretrain.checkpoint_every": [0, -1],
    f"{PHASE}.steps": [0, -1, HUGE, "many"],
    f"{PHASE}.batch_size": [0, -8, HUGE],
    f"{PHASE}.micro_batch": [0, HUGE],
    f"{PHASE}.optimizer": ["sgd"],
    f"{PHASE}.learning_rate": [0, -1e-3, 1e9],
    f"{PHASE}.warmup_steps": [-1, 21],
    "pretrain.models.bert.phases": [[], None, {}],
    "pretrain.models.bert.init": ["nobody", "bert", ""],
    "pretrain.models.bert.examples": ["nothing"],
    "truncate.models.rbt3-init.layers": [[], [-1], [99], "0"],
    "truncate.models.rbt3-init.source": ["rbt3-init", "nobody"],
    "cloze.models": [["nobody"], ["random", "random"], "random"],
    "cloze.sentences": [0, HUGE],
    "cloze.max_seq_length": [4, 513],
    "fetch.tasks": [{"nothing": "hub"}, {"cmrc2018": ""}],
    "finetune.models": [{}, {"nobody": {}}],
    "finetune.tasks": [{}, {"nothing": {}}],
    "finetune.tasks.reviews.learning_rate": [0, -1, 1e9],
    "finetune.tasks.reviews.epochs": [0, HUGE, 10**6],
    "finetune.tasks.reviews.batch_size": [0, HUGE],
    "finetune.tasks.reviews.max_seq_length": [7, 513],
    "finetune.tasks.reviews.split_file": ["", "../x.tsv"],
    "finetune.tasks.reviews.train_examples": [0, -1],
    "finetune.tasks.own": [
        {"define": {"kind": "single", "labels": ["a"]}},
        {"define": {"kind": "single", "labels": [0, 1]}},
        {"define": {"kind": "many", "labels": ["a", "b"]}},
        {"define": {**OWN, "labels": ["a", "a"]}},
        {"define": {**OWN, "labels": ["", "a"]}},
        {"define": {**OWN, "metric": "bleu"}},
        {"define": {**OWN, "columns": {"text": ""}}},
        {"define": {"kind": "pair", "labels": ["a", "b"], "columns": {"question": "q"}}},
        {"define": OWN, "epochs": None},
    ],
    "finetune.seeds": [0, -1, HUGE, 1_000_000],
    "finetune.select": ["first"],
    "scores.models": [[], ["nobody"], ["random", "random"]],
    "scores.tasks": [[], ["nothing"]],
    "scores.baseline": ["nobody", "", "characters"],
    "scores.pairs": [[{"name": "", "models": ["random", "rbt3"], "against": ["rbt3", "random"]}]],
    "scores.language": ["fr"],
}
FILES: dict[str, bytes] = {
    "empty": b"",
    "blank lines": b"\n\n\n",
    "a comment": b"# nothing\n",
    "a list": b"- a\n- b\n",
    "a word": b"base\n",
    "a number": b"7\n",
    "null": b"null\n",
    "two documents": b"base: {seed: 1}\n---\nbase: {seed: 2}\n",
    "zeros": bytes(4096),
    "random bytes": bytes(range(256)) * 8,
    "UTF-16": "base: {seed: 1}\n".encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03abc",
    "deep lists": b"base: " + b"[" * 200_000,
    "deep maps": b"base: " + b"{a: " * 20_000,
    "an alias bomb": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % ((c, c) + (c - 1,) * 7) for c in range(98, 110)),
    "an alias to nothing": b"base: *nothing\n",
    "an alias to itself": b"base: &a [*a]\n",
    "a foreign tag": b"base: !!python/object/apply:os.system ['touch /tmp/evil']\n",
    "a key twice": b"base: {seed: 1, seed: 2, threads: 1}\n",
    "a number of 5,000 digits": b"base: {seed: " + b"9" * 5000 + b", threads: 1}\n",
    "a key of 5,000 characters": b"k" * 5000 + b": 1\n",
    "a tab": b"base:\n\tseed: 1\n",
    "a list as key": b"? [a, b]\n: 1\n",
    "a number as key": b"1: 2\n",
    "a date": b"base: 2026-11-28\n",
    "no truth value": b"base: !!bool x\n",
    "dashes 50,000 deep": b"base:\n  " + b"- " * 50_000 + b"x\n",
    "half an end": b"base: {seed: 1",
}


def cases() -> list[Bad]:
    values = [
        Bad(f"{key} {str(value)[:60]}", READS, params_of({key: value}), part(key))
        for key, found in VALUES.items()
        for value in found
    ]
    whole = [
        Bad(f"the file is {name}", READS, put("params.yaml", content), "params.yaml") for name, content in FILES.items()
    ]
    return values + whole


def part(key: str) -> str:
    """What a line has of a key at least: its last names, of which some are indexes or names of items."""
    return key.rpartition(".")[2] if not key.rpartition(".")[2].isdigit() else key
