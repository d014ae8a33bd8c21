"""What a bug report needs of a machine, an environment and a project folder, as lines to paste; for `wwm doctor`.

By hand python -m wwm.doctor, which needs no other package than Python's own

Nothing personal: no value of an environment variable, no host name; paths and user names as `private` leaves them.
"""

import getpass
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wwm.common import preset as presets
from wwm.common.errors import printable

PACKAGES = (
    *("torch", "transformers", "accelerate", "tokenizers", "numpy", "numba", "pyarrow", "ltp", "ltp-extension"),
    *("dvc", "mlflow", "prefect", "torch-xla", "flash-attn"),
)
PACKAGE = Path(__file__).parent
WIDTH = 16
PATIENCE = 60  # seconds for git, and for torch to be imported and to find GPUs
# In a process of its own: a broken driver can hang or kill the one that asks.
ASK_TORCH = """
import json, torch
cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
print(json.dumps([torch.version.cuda, [[card.name, card.total_memory] for card in cards]]))
"""


def report() -> str:
    """Blocks of `name  value`, values in one column; a value that cannot be had says why."""
    blocks = [
        {"wwm": lambda: installed("wwm"), "commit": commit, "Python": python, "platform": platform.platform},
        {"CPU": cpu, "cores": cores, "memory": memory, "disk": disk, "GPU": gpus},
        {package: lambda package=package: installed(package) for package in PACKAGES},
        {"folder": folder, "params.yaml": parameters, "preset": preset, "dvc.lock": lock},
    ]
    return "\n\n".join("\n".join(row(name, ask) for name, ask in block.items()) for block in blocks)


def row(name: str, ask: Callable[[], str]) -> str:
    try:
        value = private(str(ask()))
    # Whoever runs this has a broken machine or a bug already, and the other lines are still wanted.
    except Exception as error:
        value = private(f"not known ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})")
    return f"{name:<{WIDTH}}" + textwrap.indent(value, " " * WIDTH).lstrip()


def private(text: str) -> str:
    """`text` with the folder here as `.`, the home folder as `~` and the user's name within a path as USER.

    URLs lose user, password and query.
    """
    text = printable(text)
    with suppress(OSError):
        text = inside(text, Path.cwd(), ".")
    with suppress(RuntimeError):
        text = inside(text, Path.home(), "~")
    with suppress(OSError, KeyError):
        text = re.sub(rf"(?<=/){re.escape(getpass.getuser())}(?![\w.-])", "USER", text)
    return text


def inside(text: str, path: Path, name: str) -> str:
    """`text` with `name` for `path` where that is a whole path or begins one; the root folder stays as it is."""
    pattern = rf"(?<![\w.~-]){re.escape(str(path))}(?![\w.-])"
    return text if path == Path("/") else re.sub(pattern, lambda _: name, text)


def python() -> str:
    return f"{platform.python_version()} ({platform.python_implementation()})"


def commit() -> str:
    """That of the code which runs, wherever it is started; how many tracked files of its checkout are changed."""
    if not shutil.which("git"):
        return "not known: git is not installed"
    tracked = git("ls-files", "__init__.py")
    if tracked.returncode and "not a git repository" not in tracked.stderr:
        return f"not known: git says {(tracked.stderr.splitlines() or ['nothing'])[0]!r}"
    if not tracked.stdout:  # installed, perhaps into an environment that lies in some checkout
        return "none: the code is not in a git checkout"
    changed = len(git("status", "--porcelain", "--untracked-files=no").stdout.splitlines())
    state = f"with changes in {changed} tracked file{'s' if changed > 1 else ''}" if changed else "unchanged"
    return f"{git('rev-parse', 'HEAD').stdout.strip()}, {state}"


def git(*arguments: str) -> subprocess.CompletedProcess:
    # Messages are compared, and nobody's index is to be written.
    environment = os.environ | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    return run(["git", *arguments], cwd=PACKAGE, env=environment)


def run(command: list[str], **how) -> subprocess.CompletedProcess:
    """The ended process, whatever its exit status, with what it printed. Raises TimeoutExpired after PATIENCE s."""
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE, **how)


def cpu() -> str:
    """The processor's name: Linux has it in a file, other systems tell Python."""
    found = re.search(r"^model name\s*: (.+)$", read("/proc/cpuinfo"), re.M)
    return found[1] if found else platform.processor() or platform.machine()


def cores() -> str:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{allowed} available of {os.cpu_count()}"


def memory() -> str:
    kib = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", read("/proc/meminfo"), re.M)}
    if "MemTotal" not in kib:
        return f"not known on {platform.system()}"
    return f"{gib(kib['MemTotal'] * 1024)}, {gib(kib['MemAvailable'] * 1024)} of it available"


def disk() -> str:
    usage = shutil.disk_usage(".")
    return f"{gib(usage.free)} free here of {gib(usage.total)}"


def gib(size: int) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.1f} GiB"


def read(path: str) -> str:
    """A file of the system as text, "" where there is none."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def gpus() -> str:
    """A line for each GPU that torch sees, with the CUDA version that torch was built with."""
    torch = installed("torch")
    if torch == "not installed":
        return "not known: torch is not installed"
    if torch.endswith("+cpu"):  # to import it would take seconds
        return f"none: torch {torch} is built for the CPU"
    done = run([sys.executable, "-P", "-c", ASK_TORCH])
    if done.returncode:
        why = (done.stderr.splitlines() or ["nothing printed"])[-1]
        return f"not known: torch fails with exit status {done.returncode}: {why}"
    cuda, cards = json.loads(done.stdout.splitlines()[-1])
    built = f"CUDA {cuda}" if cuda else "no CUDA"
    lines = [f"{name}, {gib(size)}, {built}" for name, size in cards]
    return "\n".join(lines) or f"none that torch sees, which is built with {built}"


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def folder() -> str:
    if not Path("dvc.yaml").is_file():
        return "no project: dvc.yaml is not here; run this in the project's folder"
    return "a project, " + ("the code is from it" if PACKAGE.parent == Path.cwd() else "the code is from elsewhere")


def parameters() -> str:
    """sha256 of params.yaml and whether it is valid; the message where it is not."""
    if not Path("params.yaml").is_file():
        return "is not here"
    with open("params.yaml", "rb") as stream:
        return f"sha256 {hashlib.file_digest(stream, 'sha256').hexdigest()}\n{validity()}"


def validity() -> str:
    try:
        from wwm import params
        from wwm.common.errors import UserError
    except ImportError as error:
        return f"not checked: {error}"
    try:
        params.read()
    except UserError as error:
        return f"not valid:\n{error}"
    return "valid"


def preset() -> str:
    """Names of the presets that params.yaml equals byte for byte."""
    if not Path("params.yaml").is_file():
        return "none"
    return ", ".join(presets.names()) or "none: params.yaml equals no file of presets/"


def lock() -> str:
    return "is here" if Path("dvc.lock").is_file() else "is not here"


def main() -> None:
    # An output of another encoding than UTF-8 is no reason to fail.
    sys.stdout.reconfigure(errors="backslashreplace")
    print(report())


if __name__ == "__main__":
    main()
