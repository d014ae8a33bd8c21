"""The rules of direction: who imports whom, and that dvc.yaml names every module and key that can change a stage's
bytes.
"""

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from dvc.repo import Repo
from dvc_data.hashfile.meta import Meta
from ruamel.yaml import YAML

from wwm import params
from wwm.common import code
from wwm.params import fields
from wwm.params.distill import DistilledModel, IntermediateMatch
from wwm.params.explain import places
from wwm.params.fields import Changes
from wwm.params.text import Source
from wwm.params.training import Phase, Pretrain
from wwm.text import sources
from wwm.training import distillation, job

STAGES = YAML(typ="safe").load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
# Where each of these may be imported.
ONLY = {
    "mlflow": {
        "wwm.release.served",
        "wwm.track.database",
        "wwm.track.deliver",
        "wwm.track.registry",
        "wwm.track.trace",
    },
    "matplotlib": {"wwm.track.pictures"},
    "starlette": {"wwm.play.server"},
    "uvicorn": {"wwm.play.server", "flows.server"},
    "ltp": {"wwm.segment"},
    "ltp_extension": {"wwm.text.perceptron"},
    "torch_xla": {"wwm.training.device"},
    "dask": {"wwm.engine"},
    # The last ask it for hashes, where it is installed.
    "dvc": {
        *(f"flows.{name}" for name in ("stage", "checkout", "plan", "pipeline", "run")),
        *("wwm.track.lineage", "wwm.common.room", "wwm.track.made"),
    },
}
# Which rooms the modules of a room may import besides their own; stages, and what else stands at the top of wwm, may
# import any.
ROOMS = {
    "common": set(),
    "masks": set(),
    "text": {"common"},
    "track": {"common", "report"},  # who is champion is a matter of the tables
    "report": {"common"},
    "training": {"common", "masks"},
    "tasks": {"common", "training"},
    "params": {"common", "tasks"},
    "release": {"common", "masks", "text", "params", "training", "tasks"},
    "start": {"common", "text", "params", "training", "tasks"},
    "play": {"common", "masks", "training", "tasks", "release"},
}
HEAVY = {"wwm.track.registry"}  # in the process beside a stage, and late: MLflow takes a model from transformers
TORCHLESS_ROOMS = set(ROOMS) - {"training", "tasks", "release", "start"}
TORCHLESS = {
    "demo",
    "corpus",
    "segmenter",
    "vocab",
    "mask",
    "milestones",
    "truncate",
    "fetch",
    "characters",
    "overlap",
    "scores",
}
# What a rented GPU or TPU host has.
TRAINING_HOST = {
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "pyarrow",
    "numba",
    "tqdm",
    "safetensors",
    "tokenizers",
    "typing_extensions",  # torch's
}
TRAINING = {"pretrain", "distill", "finetune", "cloze"}


def imports(module: str, top_level_only: bool = False) -> set[str]:
    """Dotted names that a module of the project imports anywhere, or when it is imported itself."""
    tree = ast.parse(code.path_of(module).read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@cache
def reached_at_once(module: str) -> frozenset[str]:
    """Modules of wwm that are imported when `wwm.<module>` is, itself included."""
    found, new = set(), {f"wwm.{module}"}
    while new:
        found |= new
        named = {name for one in new for name in imports(one, top_level_only=True) if name.startswith("wwm.")}
        new = {name for name in named if code.path_of(name).is_file()} - found
    return frozenset(found)


def packages(names) -> set[str]:
    return {name.split(".")[0] for module in names for name in imports(module)}


def modules(package: str) -> list[str]:
    return [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sorted(Path(package).rglob("*.py"))
    ]


def body(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


@pytest.mark.parametrize("module", modules("wwm"))
def test_wwm_knows_no_prefect_and_its_command_line_alone_the_plan_of_flows(module):
    known = "flows.plan" if module == "wwm.cli" else "-"
    found = {name for name in imports(module) if name.split(".")[0] in ("prefect", "flows")}
    assert not {name for name in found if not name.startswith(known)}


@pytest.mark.parametrize("module", modules("flows"))
def test_flows_know_no_torch_and_no_stage(module):
    assert not packages([module]) & {"torch", "transformers"}
    assert not imports(module) & {f"wwm.{stage}" for stage in STAGES}


@pytest.mark.parametrize(
    "module", [module for module in modules("wwm") if module.split(".")[1:2] and module.split(".")[1] in ROOMS]
)
def test_room_is_imported_by_those_above_it_alone(module):
    room = module.split(".")[1]
    found = {name.split(".")[1] for name in imports(module) if name.startswith("wwm.")}
    assert found <= ROOMS[room] | {room}
    assert room not in TORCHLESS_ROOMS or module in HEAVY or not packages([module]) & {"torch", "transformers"}


def test_every_folder_of_wwm_is_a_room():
    assert {path.name for path in Path("wwm").iterdir() if [*path.glob("*.py")]} == set(ROOMS)


def test_rooms_import_each_other_in_no_circle():
    above = {room: ROOMS[room] for room in ROOMS}
    while free := {room for room in above if not above[room] & set(above)}:
        above = {room: others for room, others in above.items() if room not in free}
    assert not above


@pytest.mark.parametrize("module", modules("wwm") + modules("flows"))
def test_each_heavy_package_has_one_importer(module):
    for name in imports(module):
        package = name.split(".")[0]
        assert module in ONLY.get(package, {module}), f"{module} imports {package}, which only {ONLY[package]} may"


@pytest.mark.parametrize("module", modules("wwm") + modules("flows"))
def test_ltp_is_imported_inside_functions_only(module):
    """With it come torch and transformers: seconds, which only a neural model is worth."""
    assert "ltp" not in {name.split(".")[0] for name in imports(module, top_level_only=True)}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_imports_no_other_stage(stage):
    assert code.reached(f"wwm.{stage}") & {f"wwm.{other}" for other in STAGES} == {f"wwm.{stage}"}


@pytest.mark.parametrize("stage", sorted(TORCHLESS))
def test_stage_that_needs_no_torch_imports_none(stage):
    assert not packages(code.reached(f"wwm.{stage}")) & {"torch", "transformers", "ltp"}


@pytest.mark.parametrize("stage", sorted(TRAINING))
def test_training_code_imports_where_only_torch_and_its_like_are_installed(stage):
    import sys

    names = {name.split(".")[0] for module in reached_at_once(stage) for name in imports(module, top_level_only=True)}
    assert names - set(sys.stdlib_module_names) - {"wwm"} <= TRAINING_HOST


@pytest.mark.parametrize("module", modules("wwm") + modules("flows"))
def test_what_a_user_can_mend_is_raised_as_such(module):
    """A ValueError would be taken for a bug of ours, and its remedy be lost below a traceback."""
    tree = ast.parse(code.path_of(module).read_text(encoding="utf-8"))
    raised = {
        ast.unparse(node.exc.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    }
    assert "ValueError" not in raised


@pytest.mark.parametrize(
    "module",
    [
        *(module for module in modules("wwm") if module.startswith("wwm.masks.")),
        "wwm.tasks.table",
        "wwm.tasks.task",
        "wwm.tasks.metrics",
        "wwm.tasks.questions",
        "wwm.tasks.spans",
        "wwm.tasks.span_scores",
        "wwm.tasks.latin_words",
    ],
)
def test_pure_modules_know_no_torch_no_params_and_no_paths(module):
    assert not imports(module) & {"torch", "pathlib", "os", "wwm.params", "wwm.track", "wwm.common.files"}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_the_module_of_its_name_and_says_what_it_does(stage):
    # A name in it would come before a shell.
    assert body(stage)["cmd"] == f"python -m wwm.{stage}" and body(stage)["desc"]
    docstring = ast.get_docstring(ast.parse(Path(f"wwm/{stage}.py").read_text(encoding="utf-8")))
    assert all(word in docstring for word in ("Reads", "Writes", f"By hand python -m wwm.{stage}"))


@pytest.mark.parametrize("stage", STAGES)
def test_stage_reads_its_own_section_base_and_what_this_names_of_others(stage):
    tree = ast.parse(Path(f"wwm/{stage}.py").read_text(encoding="utf-8"))
    # `params.read().corpus`, or `values = params.read()` and `values.corpus`.
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)].count("params.read()") == 1
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {node.attr for node in named if ast.unparse(node.value) in ("params.read()", "values")}
    shared = {key.split(".")[0] for key in params.Params.model_fields[stage].annotation.reads}
    assert read & set(params.Params.model_fields) - {"base"} == {stage} | shared
    assert {key.split(".")[0] for key in body(stage)["params"]} == {"base", stage} | shared


@pytest.mark.parametrize("stage", [stage for stage in STAGES if body(stage)["params"] != ["base", stage]])
def test_key_that_dvc_cannot_name_since_it_may_be_absent_changes_nothing(stage):
    """Of a stage of many items; a key of an item may be absent, since DVC sees the whole item."""
    section = params.Params.model_fields[stage].annotation
    assert not [key for key in section.own_keys(Changes.NOTHING) if not section.model_fields[key].is_required()]


def test_no_key_is_called_by_a_name_that_dvc_overlooks():
    """Its run cache would restore what was made with another value: seen with `vocab.size`."""
    assert fields.OVERLOOKED == {Meta.PARAM_SIZE, Meta.PARAM_NFILES}
    keys = [place for place, _ in places(params.Params)]
    assert len(keys) > 100 and not [key for key in keys if key.rpartition(".")[2] in fields.OVERLOOKED]


def test_params_have_a_section_for_every_stage_and_no_other():
    assert list(params.Params.model_fields) == ["base", "engine", *STAGES]


def test_how_tasks_are_scored_fetches_no_data_anew():
    assert "wwm.tasks.metrics" not in code.reached("wwm.fetch")


def test_what_training_asks_of_settings_runs_no_fine_tuning_again():
    assert "wwm.training.job" not in code.reached("wwm.finetune")


@pytest.mark.parametrize(
    ("asked", "section"),
    [
        (job.Settings, Pretrain),
        (job.Phase, Phase),
        (distillation.Distillation, DistilledModel),
        (distillation.Match, IntermediateMatch),
        (sources.Source, Source),
    ],
    ids=["settings", "phase", "distillation", "match", "source"],
)
def test_what_a_room_asks_of_params_is_there(asked, section):
    keys = {key for one in asked.__mro__ for key in getattr(one, "__annotations__", {}) if not key.startswith("_")}
    assert keys and keys <= set(section.model_fields)


def test_a_raw_format_has_one_list_of_names():
    (given,) = [one for one in get_args(Source.model_fields["format"].annotation) if get_args(one)]
    assert set(get_args(given)) == set(get_args(sources.Format))


def test_dvc_reads_the_whole_graph():
    names = [stage.addressing for stage in Repo().index.stages]
    # Of a stage without items in params.yaml, as fetch in the demo's, there is nothing.
    demo = params.read()
    empty = {name for name in STAGES if getattr(demo, name) == params.Params.model_fields[name].default}
    assert {name.split("@")[0] for name in names} == set(STAGES) - empty


def test_modules_stay_small():
    assert not [
        module
        for module in modules("wwm") + modules("flows")
        if len(code.path_of(module).read_text(encoding="utf-8").splitlines()) > 300
    ]
