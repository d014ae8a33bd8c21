"""The servers of docker/compose.yaml as processes on free ports of 127.0.0.1, with its own commands and variables.

PostgreSQL comes from the system's packages: Debian's `postgresql`.
"""

import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PORTS = {"postgres": 5432, "s3": 8333, "mlflow": 5000, "prefect": 4200}
PATIENCE = 400  # seconds: under load MLflow takes minutes to start
BIN = Path(sys.executable).parent
GIVEN: set[int] = set()


def free_port() -> int:
    """One that is free along with the port 10,000 above, which SeaweedFS opens too; none that was given before."""
    while True:
        with socket.socket() as probe, socket.socket() as above, suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            above.bind(("127.0.0.1", port + 10_000))
            if not GIVEN & {port, port + 10_000}:
                GIVEN.update({port, port + 10_000})
                return port


def status(request: urllib.request.Request, credentials: str | None = None, seconds: float = 30) -> int:
    """HTTP's; 0 where nobody answers."""
    if credentials:
        request.add_header("Authorization", f"Basic {b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Servers:
    def __init__(self, folder: Path):
        self.folder, self.ports = folder, {name: free_port() for name in PORTS}
        self.processes: dict[str, subprocess.Popen] = {}
        example = (ROOT / "docker/.env.example").read_text(encoding="utf-8")
        self.env = dict(line.split("=", 1) for line in example.splitlines() if line and line[0] != "#")
        self.env |= {key: secrets.token_hex(12) for key, value in self.env.items() if not value}
        self.env["PREFECT_AUTH"] = f"wwm:{self.env['PREFECT_AUTH']}"
        self.described = yaml.safe_load(self.here((ROOT / "docker/compose.yaml").read_text(encoding="utf-8")))

    def here(self, text: str) -> str:
        """With variables of .env filled in as Compose does, and with addresses of this machine."""
        text = re.sub(
            r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: self.env.get(m[1]) or (m[3] if m[2] == "-" else ""), text
        )
        for name, port in PORTS.items():
            text = re.sub(rf"\b{name}:{port}\b", f"127.0.0.1:{self.ports[name]}", text)
            text = re.sub(rf'(?<=[ =":]){port}(?=["\s/])', str(self.ports[name]), text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("HOST: postgres", "HOST: 127.0.0.1")

    def environment(self, name: str) -> dict[str, str]:
        outside = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "PIP_FIND_LINKS")}
        own = {key: str(value) for key, value in self.described["services"][name].get("environment", {}).items()}
        return {
            **outside,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **{key: value.replace("/data/", f"{self.folder}/data/") for key, value in own.items()},
        }

    def start(self, name: str) -> None:
        command = shlex.split(self.described["services"][name]["command"].replace("/data/", f"{self.folder}/data/"))
        if command[0] == "weed":  # its other ports, which in a container are its own
            for option in ("-master.port", "-volume.port", "-filer.port"):
                command.append(f"{option}={free_port()}")
        (self.folder / "data" / name).mkdir(parents=True, exist_ok=True)
        self.run(name, command)

    def run(self, name: str, command: list[str], **options) -> None:
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(name),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        fast = signal.SIGINT if name == "postgres" else signal.SIGTERM
        with suppress(ProcessLookupError):  # it died by itself; the others are to be stopped all the same
            os.killpg(process.pid, fast)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start_all(self) -> None:
        self.start_postgres()
        self.start("s3")
        self.until("s3", lambda: self.status("s3", "/") in (200, 403))
        self.start("buckets")
        assert self.processes.pop("buckets").wait(PATIENCE) == 0, self.log("buckets")
        for name in ("mlflow", "prefect"):
            self.start(name)
        for name in ("mlflow", "prefect"):
            self.ready(name)

    def ready(self, name: str) -> None:
        path = {"mlflow": "/health", "prefect": "/api/health"}[name]
        self.until(name, lambda: self.status(name, path, self.credentials(name)) == 200)

    def stop_all(self) -> None:
        for name in [*self.processes][::-1]:
            self.stop(name)

    def start_postgres(self) -> None:
        """As Compose's image does: a database cluster with a password, and databases.sql."""
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        assert programs, "PostgreSQL is not installed here: apt-get install postgresql"
        folder, as_user = self.folder / "postgres", []
        folder.mkdir()
        (self.folder / "password").write_text(self.env["POSTGRES_PASSWORD"])
        if os.getuid() == 0:  # it refuses to run as root
            as_user = ["runuser", "-u", "postgres", "--"]
            for path in [folder, self.folder / "password"]:
                shutil.chown(path, "postgres")
            for path in [self.folder, *self.folder.parents]:
                if path.stat().st_uid == 0 and path != Path("/"):
                    path.chmod(path.stat().st_mode | 0o011)
        initdb = [
            "-D",
            folder,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
            self.folder / "password",
            "-E",
            "UTF8",
        ]
        subprocess.run([*as_user, programs[-1] / "initdb", *initdb], check=True, capture_output=True, cwd="/")
        listen = ["-h", "127.0.0.1", "-p", str(self.ports["postgres"]), "-k", str(folder)]
        self.run("postgres", [*as_user, str(programs[-1] / "postgres"), "-D", str(folder), *listen])
        sql = (ROOT / "docker/databases.sql").read_text(encoding="utf-8")
        self.until("postgres", lambda: self.psql("postgres", "SELECT 1") == 0)
        for statement in sql.strip().splitlines():
            assert self.psql("postgres", statement) == 0

    def psql(self, database: str, statement: str, password: str | None = None) -> int:
        address = {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["postgres"]), "PGUSER": "postgres"}
        secret = {"PGPASSWORD": self.env["POSTGRES_PASSWORD"] if password is None else password}
        return subprocess.run(
            ["psql", "-w", "-d", database, "-c", statement], env=os.environ | address | secret, capture_output=True
        ).returncode

    def until(self, name: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < deadline, f"{name} does not answer: {self.log(name)}"
            time.sleep(0.5)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def credentials(self, name: str) -> str | None:
        return {"mlflow": f"admin:{self.env['MLFLOW_PASSWORD']}", "prefect": self.env["PREFECT_AUTH"]}.get(name)

    def status(self, name: str, path: str, credentials: str | None = None) -> int:
        """HTTP's; 0 where nobody answers."""
        return status(urllib.request.Request(self.url(name) + path), credentials)

    def store(self):
        """The S3 store as a file system of fsspec."""
        import s3fs  # an extra

        keys = {"key": self.env["S3_ACCESS_KEY"], "secret": self.env["S3_SECRET_KEY"]}
        return s3fs.S3FileSystem(endpoint_url=self.url("s3"), **keys)

    def machine(self, folder: Path) -> dict[str, str]:
        """Environment of another machine, by docker/machine.env.example: HOME and all that it keeps lie in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        secret = {
            "PREFECT_API_AUTH_STRING": self.env["PREFECT_AUTH"],
            "MLFLOW_TRACKING_PASSWORD": self.env["MLFLOW_PASSWORD"],
            "AWS_ACCESS_KEY_ID": self.env["S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": self.env["S3_SECRET_KEY"],
        }
        text = (ROOT / "docker/machine.env.example").read_text(encoding="utf-8")
        for name, port in PORTS.items():
            text = text.replace(f"$SERVER:{port}", f"127.0.0.1:{self.ports[name]}")
        text = re.sub(r"^(export (\w+)=)$", lambda m: m[1] + secret[m[2]], text, flags=re.M)
        path = folder / "machine.env"
        path.write_text(text, encoding="utf-8")
        base = {"HOME": str(folder), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "LANG": "C.UTF-8"}
        shown = subprocess.run(
            ["bash", "-c", f". {path} && env -0"], env=base, capture_output=True, check=True
        ).stdout.decode()
        found = dict(line.split("=", 1) for line in shown.split("\0") if line)
        for key in ("WWM_SCRATCH", "TMPDIR", "DVC_GLOBAL_CONFIG_DIR"):
            Path(found[key]).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "docker/dvc.config", Path(found["DVC_GLOBAL_CONFIG_DIR"], "config"))
        quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        return found | quiet | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
