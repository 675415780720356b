#!/bin/sh
# Install the system's packages that tests look through, where they are missing and we may; else say so and go on.
for program in "$@"; do
    command -v "$program" >/dev/null && continue
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "$program"
    else
        echo "system: \"$program\" is missing; the tests that need it are skipped" >&2
    fi
done
