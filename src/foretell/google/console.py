"""Addresses of Google's console. Nobody is asked: whether there is anything at an address is seen there."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

CONSOLE = "https://console.cloud.google.com"


def page(path: str, project: str | None) -> str:
    """Return a page of the console, in a project where one is known."""
    return f"{CONSOLE}/{path}{f'?project={quote(project)}' if project else ''}"


def bucket(store: str, folder: str, project: str | None) -> str:
    """Return the page of a folder of a store, "" where that is no bucket of Google's."""
    place = urlsplit(store)
    path = quote(f"{place.netloc}{place.path}/{folder}")
    return page(f"storage/browser/{path}", project) if place.scheme == "gs" else ""


def table(project: str, dataset: str, name: str) -> str:
    """Return the page of a table of BigQuery."""
    place = {"project": project, "p": project, "d": dataset, "t": name, "page": "table"}
    return f"{CONSOLE}/bigquery?{urlencode(place)}"
