"""A graph read from JSON, as in the seed articles: a loader in each repository, named like the file it reads."""

import datetime
import json
import os

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator


def configure():
    """Read the file that is named like this one."""
    path = os.path.dirname(os.path.abspath(__file__))
    name = os.path.splitext(os.path.basename(__file__))[0]
    with open(os.path.join(path, "configs", name + ".json")) as file:
        return json.loads(file.read())


def construct(config):
    """Make the graph, its tasks, and what depends on what."""

    def _construct_graph(start_date, **options):
        return DAG(start_date=datetime.datetime.strptime(start_date, "%Y-%m-%d"), **options)

    def _construct_task(graph, name, code):
        return BashOperator(task_id=name, bash_command=code, dag=graph)

    graph = _construct_graph(**config["graph"])
    tasks = [_construct_task(graph, **task) for task in config["tasks"]]
    tasks = {task.task_id: task for task in tasks}
    for child, parent in config["dependencies"]:
        tasks[parent].set_downstream(tasks[child])
    return graph


try:
    graph = construct(configure())
except FileNotFoundError:
    pass
