#!/bin/sh
# The main job on real data: train, apply, look. Everything goes to examples/lifetime-value/.foretell.
set -eu
bin=$1
cd "$(dirname "$0")/lifetime-value"
PATH="$bin:$PATH"

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

echo "A model of customer lifetime value, on the orders of 23,570 customers of an online shop (see README.md there)."
show foretell run training
show foretell run application
show foretell predictions --limit 5
show foretell models
show foretell runs --limit 4

cat <<END

Everything lies in examples/lifetime-value/.foretell:
  store/             what was asked, decided and produced, run by run
  warehouse.duckdb   the predictions, and the ledger of what was delivered
Try next, in examples/lifetime-value (with .venv/bin on your PATH):
  foretell show application/RUN-ID         one run in full: stages, inputs, files, metrics
  foretell run application                 once more: the partition of today is replaced, not doubled
  foretell tick                            start what the schedules say is due; \`foretell tick --print crontab\`
  foretell init my-service                 a service of your own that runs at once
END
