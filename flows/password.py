"""The password of the Prefect servers that are started here: whoever may write to one has its workers run commands.

By hand python -m flows.password, which prints it
"""

import fcntl
import os
import secrets
from pathlib import Path


def password(home: Path) -> str:
    """What the file `auth` in Prefect's folder holds, made where there is none; for its owner's eyes alone."""
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "auth", "a+", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two flows may be the first
        os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        if kept := file.read().strip():
            return kept
        made = f"wwm:{secrets.token_urlsafe(24)}"
        file.write(made)
        return made


def settings(home: Path) -> dict[str, str]:
    """Environment variables of a temporary server and of those who talk to it, which no page of a browser does; {}
    where PREFECT_API_URL names another server, in the environment or by `prefect config set`.
    """
    profiles = home / "profiles.toml"
    if "PREFECT_API_URL" in os.environ or profiles.is_file() and "PREFECT_API_URL" in profiles.read_text("utf-8"):
        return {}
    own = password(home)
    return {
        "PREFECT_SERVER_API_AUTH_STRING": own,
        "PREFECT_API_AUTH_STRING": own,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
    }


if __name__ == "__main__":
    print(password(Path(os.environ.get("PREFECT_HOME", ".prefect"))))
