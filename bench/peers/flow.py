"""The model as a flow: a step an action, each in a process of its own."""

from __future__ import annotations

from metaflow import FlowSpec, step


class Prediction(FlowSpec):
    """Trains, then applies."""

    @step
    def start(self) -> None:
        """Train."""
        from prediction.main import act  # noqa: PLC0415 - in the step, so that it counts for it

        act("training")
        self.next(self.end)

    @step
    def end(self) -> None:
        """Apply."""
        from prediction.main import act  # noqa: PLC0415 - in the step, so that it counts for it

        act("application")


if __name__ == "__main__":
    Prediction()
