"""The pages of MLflow's and Prefect's servers that one wants to see first; for `make ui`.

By hand python -m wwm.track.links MLFLOW_URL PREFECT_URL
"""

import sqlite3
import sys
from contextlib import closing, suppress
from urllib.parse import urlencode

from wwm.track import server

# Without it MLflow may show the pages of its other half, for agents.
TRAINING = {"workflowType": "machine_learning"}
# By date, models would be hidden under the pipeline run that they belong to.
RANKED = {"orderByKey": "metrics.`cloze.nats`", "orderByAsc": "true"}
COMPARED = TRAINING | {"searchFilter": 'tags.model != ""', "compareRunsMode": "CHART"} | RANKED


def experiment_id() -> str | None:
    """Of a local database, without importing mlflow for seconds; None where there is a server, or nothing yet."""
    file = server.database()
    if file and file.is_file():
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            query = "SELECT experiment_id FROM experiments WHERE name = ?"
            row = connection.execute(query, (server.experiment_name(),)).fetchone()
            return str(row[0]) if row else None
    return None


def links(mlflow: str, prefect: str) -> dict[str, str]:
    """URL by what it shows."""
    shown = {"MLflow": mlflow}
    if number := experiment_id():
        page = f"{mlflow}/#/experiments/{number}"
        shown = {
            "MLflow, best model of each task, and how to fetch it": f"{mlflow}/#/models",
            "MLflow, models compared": f"{page}/runs?{urlencode(COMPARED)}",
            "MLflow, models with curves and scores": f"{page}/models?{urlencode(TRAINING | {'viewMode': 'CHART'})}",
            "MLflow, all runs": f"{page}/runs?{urlencode(TRAINING)}",
        }
    return shown | {"Prefect, runs of the flow": f"{prefect}/runs"}


if __name__ == "__main__":
    shown = links(*sys.argv[1:])
    width = max(map(len, shown))
    print("\n".join(f"{name:<{width}}  {url}" for name, url in shown.items()), flush=True)
