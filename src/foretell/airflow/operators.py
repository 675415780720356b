"""
The four tasks of a graph: start, wait, check, stop.

Thin: what they do is in `duties`, loaded when a task runs, so that parsing a graph loads no store and no cloud library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from airflow.sdk import BaseOperator

from foretell.airflow.compat import Context, Report, find
from foretell.airflow.identity import generation, identity
from foretell.airflow.links import LINKS
from foretell.errors import ForetellError, UsageError


class ForetellOperator(BaseOperator):
    """A task about one action of the service in the directory `root`."""

    # No constructor: Airflow wraps each in one of its own, which costs a third of a parse.
    operator_extra_links = LINKS
    ui_color = "#eef2ff"
    root = ""
    action = ""
    places: Mapping[str, str] = MappingProxyType({})

    def about(self, root: Path, action: str) -> Self:
        """Say which action of which service it is about."""
        self.root = str(root)
        self.action = action
        return self

    @contextmanager
    def duty(self, context: Context) -> Iterator[Any]:
        """
        Open the service and target that this task is about; what goes wrong becomes Airflow's errors.

        What a person must mend fails at once, what may pass by itself is tried again.
        """
        from foretell.airflow import duties

        with _told():
            duty = duties.open_duty(
                Path(self.root), self.action, lambda zone: identity(context["dag_run"], zone)
            )
            try:
                yield duty
            finally:
                self.places = duty.places

    def report(self, context: Context, report: Report) -> Report:
        """Leave what became of the run for whoever looks at the task, also at one that fails."""
        context["ti"].xcom_push(key="return_value", value=report)
        return report


class StartOperator(ForetellOperator):
    """Ask for the run and launch it; cleared, stop the run that it began before and begin another of that date."""

    def execute(self, context: Context) -> Report:
        with self.duty(context) as duty:
            return self.report(
                context, duty.start(generation(context["ti"].max_tries, self.retries or 0), self.log)
            )


class WaitOperator(ForetellOperator):
    """Wait, without a worker, until the run has ended, however it ended."""

    def execute(self, context: Context) -> Report:
        return self.resume(context, None)

    def resume(self, context: Context, event: Mapping[str, object] | None) -> Report:
        """Take the step that the trigger came to; wait again unless the run has ended."""
        with self.duty(context) as duty:
            if not duty.advance(event, self.log):
                self.places = duty.places
                self.defer(trigger=duty.watch(), method_name="resume")
            return self.report(context, duty.report())


class CheckOperator(ForetellOperator):
    """Return the verdict: green means a model, or rows in the warehouse; red has the reason in its first line."""

    def execute(self, context: Context) -> Report:
        with self.duty(context) as duty:
            report = self.report(context, duty.report())
            duty.acknowledge()
            if not duty.succeeded:
                raise find("AirflowFailException")(duty.verdict())
            self.log.info(duty.summary())
            for outlet in self.outlets:
                context["outlet_events"][outlet].extra = report
            return report


class StopOperator(ForetellOperator):
    """End what is left of the run, and be red unless it succeeded, so that nothing turns a failure green."""

    def execute(self, context: Context) -> Report:
        with self.duty(context) as duty:
            duty.stop(f'ended by the task "{self.task_id}" of {context["dag_run"].run_id}', self.log)
            report = self.report(context, duty.report())
            duty.acknowledge()
            if not duty.succeeded:
                raise find("AirflowFailException")(duty.verdict())
            return report


@contextmanager
def _told() -> Iterator[None]:
    """Tell an error of ours as Airflow shows errors: the reason in the first line."""
    try:
        yield
    except UsageError as error:
        raise find("AirflowFailException")(explained(error)) from None
    except ForetellError as error:
        raise find("AirflowException")(explained(error)) from None


def explained(error: ForetellError) -> str:
    """Return an error's message with its reason in the first line, the only one that lists show."""
    first, *rest = error.lines()
    rest = [line for line in rest if not line.startswith("  why: ")]
    return "\n".join([f"{first}: {error.why}" if error.why else first, *rest])
