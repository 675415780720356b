#!/bin/sh
# Stands in for the interpreter of a guard, so that the guard and its agent can be killed at a named moment.
# $TRACER is a command in front of it, if it is to be traced.
exec $TRACER "$KILLER_PYTHON" -I "${0%/*}/killer.py" "$@"
