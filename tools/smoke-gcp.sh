#!/bin/sh
# The whole way in a real project of Google's, by `make smoke-gcp PROJECT=… [LOCATION=EU] [ZONE=europe-west1-b]`.
# Makes a bucket, a dataset, a repository and a service account of its own, uses them, and removes them at the end.
# Needs gcloud and bq, logged in (also `gcloud auth application-default login`), and Docker or Podman.
set -eu

: "${PROJECT:?say which project: make smoke-gcp PROJECT=…}"
LOCATION=${LOCATION:-EU}
ZONE=${ZONE:-europe-west1-b}
bin=$1

mark=$(od -An -N3 -tx1 /dev/urandom | tr -d ' ')
name=foretell-smoke-$mark
dataset=foretell_smoke_$mark
bucket=gs://$name
region=${ZONE%-*}
account=$name@$PROJECT.iam.gserviceaccount.com
registry=$region-docker.pkg.dev/$PROJECT/$name
work=$(mktemp -d)

say() { echo "smoke: $*" >&2; }

fail() { say "FAILED: $*"; exit 1; }

foretell() { "$bin/foretell" "$@" --on production; }

machines() { gcloud compute instances list --project="$PROJECT" --filter="labels.foretell_service=$name" --format='value(name)'; }

tell() {  # a field of a run, as `show` has it
    foretell show "$1" --json | "$bin/python" -c "import json, sys; print(json.load(sys.stdin)$2)"
}

until_stage() {  # RUN: wait until the command of its first attempt runs
    for _ in $(seq 100); do
        case $(foretell check "$1" 2>&1 || true) in *running*) return ;; esac
        sleep 5
    done
    fail "$1 does not begin"
}

clean() {
    status=$?
    say "removing what was made"
    set +e
    for machine in $(machines); do
        say "a machine was left: $machine"
        gcloud compute instances delete "$machine" --zone="$ZONE" --project="$PROJECT" --quiet
    done
    gcloud storage rm "$bucket" --recursive --project="$PROJECT" --quiet
    bq --project_id="$PROJECT" rm -r -f --dataset "$dataset"
    gcloud artifacts repositories delete "$name" --location="$region" --project="$PROJECT" --quiet
    for role in roles/logging.logWriter roles/bigquery.jobUser; do
        gcloud projects remove-iam-policy-binding "$PROJECT" --member="serviceAccount:$account" --role="$role" --quiet > /dev/null
    done
    gcloud iam service-accounts delete "$account" --project="$PROJECT" --quiet
    rm -rf "$work"
    [ "$status" = 0 ] && say "everything holds" || say "it ended with status $status"
    exit "$status"
}
trap clean EXIT
trap 'exit 130' INT TERM

say "making $bucket, $dataset, $registry and $account"
gcloud services enable compute.googleapis.com storage.googleapis.com bigquery.googleapis.com logging.googleapis.com \
    artifactregistry.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com serviceusage.googleapis.com \
    --project="$PROJECT"
gcloud storage buckets create "$bucket" --project="$PROJECT" --location="$LOCATION" --uniform-bucket-level-access \
    --public-access-prevention --soft-delete-duration=0
gcloud artifacts repositories create "$name" --repository-format=docker --location="$region" --project="$PROJECT"
gcloud auth configure-docker "$region-docker.pkg.dev" --quiet
gcloud iam service-accounts create "$name" --project="$PROJECT"
bq --location="$LOCATION" --project_id="$PROJECT" mk --dataset "$dataset"
member=serviceAccount:$account
sleep 15  # an account is known everywhere a little after it is made
gcloud storage buckets add-iam-policy-binding "$bucket" --member="$member" --role=roles/storage.objectUser > /dev/null
gcloud artifacts repositories add-iam-policy-binding "$name" --location="$region" --project="$PROJECT" --member="$member" \
    --role=roles/artifactregistry.reader > /dev/null
for role in roles/logging.logWriter roles/bigquery.jobUser; do
    gcloud projects add-iam-policy-binding "$PROJECT" --member="$member" --role="$role" --condition=None > /dev/null
done
bq --location="$LOCATION" --project_id="$PROJECT" query --use_legacy_sql=false \
    "GRANT \`roles/bigquery.dataEditor\` ON SCHEMA $dataset TO '$member'" > /dev/null

cd "$work"
cat > foretell.toml << END
name = "$name"
[source]
python = "3.11"
[actions.training]
command = "/bin/sh train.sh"
[actions.application]
command = "/bin/sh apply.sh"
inputs = ["training"]
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING,b:INT64"
[actions.staying]
command = "/bin/sh stay.sh"
[image]
registry = "$registry"
[targets.production]
store = "$bucket"
[targets.production.platform]
kind = "compute-engine"
project = "$PROJECT"
zones = ["$ZONE"]
machine_type = "e2-small"
service_account = "$account"
[targets.production.warehouse]
kind = "bigquery"
project = "$PROJECT"
dataset = "$dataset"
location = "$LOCATION"
END
echo 'echo training; echo model > output/model.txt; head -c 100000000 /dev/zero > output/large.bin' > train.sh
echo 'cat output/model.txt; printf "a,b\nx,1\ny,2\n" > output/predictions.csv' > apply.sh
# shellcheck disable=SC2016 - it is the machine that knows its attempt
echo 'echo staying; [ "$FORETELL_ATTEMPT" = 2 ] || sleep 3600; echo stayed > output/word' > stay.sh

say "1. image"
foretell build --push
foretell doctor || fail "the doctor finds something missing"

say "2. training, followed"
foretell run training

say "3. application, twice"
first=$(foretell run application | cut -d' ' -f1)
foretell run application > /dev/null
rows=$(foretell predictions --json | "$bin/python" -c 'import json, sys; print(len(json.load(sys.stdin)["rows"]))')
[ "$rows" = 2 ] || fail "there are $rows rows where two were delivered"
foretell logs "$first" | grep -q '^model$' || fail "the log does not hold what was printed"
foretell show "$first"

say "4. a machine that is deleted in the middle is replaced"
stays=$(foretell start staying)
until_stage "$stays"
gcloud compute instances delete "$(tell "$stays" '["attempts"][0]["launch"]["machine"]')" --zone="$ZONE" --project="$PROJECT" --quiet
foretell wait "$stays"
foretell check "$stays"
[ "$(tell "$stays" '["outcome"]["attempt"]')" = 2 ] || fail "it was not the second attempt that ended it"

say "5. a run that is stopped leaves no machine"
stops=$(foretell start staying)
until_stage "$stops"
foretell stop "$stops"
foretell tidy

say "6. nothing is left running"
for _ in $(seq 60); do
    [ -z "$(machines)" ] && break
    sleep 5
done
[ -z "$(machines)" ] || fail "machines are left: $(machines)"

say "7. people find the log"
for _ in $(seq 24); do
    found=$(gcloud logging read "logName=\"projects/$PROJECT/logs/foretell\" AND labels.service=\"$name\" AND textPayload=\"model\"" \
        --project="$PROJECT" --freshness=1d --limit=1 --format='value(insertId)')
    [ -n "$found" ] && break
    sleep 5
done
[ -n "$found" ] || fail "Cloud Logging has no line of the application"
