"""Where MLflow is: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME, or a database in the project's folder."""

import os
from pathlib import Path

EXPERIMENT, ROOT = "DVC_EXP_NAME", "DVC_ROOT"  # what `dvc exp run` sets: its name, and the project's folder


def project() -> Path:
    """The folder that a local database lies in: the working folder, or, where that is a copy which DVC made for an
    experiment and deletes at its end, the original.
    """
    return Path(os.environ[ROOT]) if EXPERIMENT in os.environ else Path.cwd()


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "wwm")


def target() -> list[str]:
    """Server and experiment."""
    return [tracking_uri(), experiment_name()]


def database() -> Path | None:
    """The file of a local database; None where there is a server."""
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def be_quiet() -> None:
    """To be called before mlflow is imported: who calls tries again by itself, and a URL would be printed for each
    stage.
    """
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    os.environ.update(quiet | dict(os.environ))
