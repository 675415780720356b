# One attempt of a Foretell run, on a machine of its own: pull the image, run it, bear witness, delete the machine.
# What to run stands in the machine's metadata; what it is stands in the store. No secret is in either.
set -u
umask 077
mkdir -p "$HOME"
metadata=http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1
compute=${CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE:-https://compute.googleapis.com/compute/v1/}
storage=${STORAGE_EMULATOR_HOST:-https://storage.googleapis.com}

say() { echo "foretell: $*"; }

about() { curl --silent --show-error --fail --max-time 10 --header 'Metadata-Flavor: Google' "$metadata/$1"; }

told() {  # an attribute of this machine, for which we wait
    until about "instance/$1"; do sleep 1; done
}

token() { about instance/service-accounts/default/token | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p'; }

request() {  # METHOD ADDRESS [MORE]: repeated while it may help; gives the last status
    method=$1 address=$2
    shift 2
    for pause in 1 2 4 8 16 0; do
        status=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 --request "$method" \
            --header "Authorization: Bearer $(token)" "$@" "$address")
        case $status in
            000 | 408 | 429 | 5??) sleep "$pause" ;;
            *) break ;;
        esac
    done
    echo "$status"
}

testify() {  # REASON FINAL CAUSE: what this machine saw of the attempt's end; whoever was first is right
    say "$3"
    case $store in gs://*) ;; *) return ;; esac
    cause=$(printf '%s' "$3" | tr '\n\t' '  ' | tr -d '\000-\037' | cut -c 1-600 | sed 's/["\\]/\\&/g')
    word=$(printf '{"format": 1, "boot": "%s", "cause": "%s", "reason": "%s", "final": %s, "at": "%s"}' \
        "$boot" "$cause" "$1" "$2" "$(date -u +%Y-%m-%dT%H:%M:%S+00:00)")
    place=$(printf '%s' "${store#gs://}/$run/attempts/$attempt/host.json" | sed 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3F/g')
    said=$(request PUT "$storage/$place" --header 'x-goog-if-generation-match: 0' \
        --header 'Content-Type: application/json' --data-binary "$word")
    say "the witness is recorded: $said"
}

leave() {  # delete this machine; where it may not, the limit of its time and whoever waits will
    kill "$watcher" 2>/dev/null
    said=$(request DELETE "${compute}projects/$project/zones/$zone/instances/$name")
    say "the machine is deleted: $said"
    exit 0
}

watch() {  # end the container in good order when this machine is about to be taken away
    while sleep 1; do
        case $(curl --silent --max-time 70 --header 'Metadata-Flavor: Google' \
            "$metadata/instance/preempted?wait_for_change=true&timeout_sec=60") in
            TRUE)
                : > "$HOME/preempted"
                docker stop --time "${kill%.*}" "$machine"
                return
                ;;
        esac
    done > /dev/null 2>&1
}

log_in() {  # to Google's own registries only: nobody else is shown the token
    [ "$registry" = none ] || token | docker login --username oauth2accesstoken --password-stdin "https://$registry"
}

pull() {  # the image by its digest; gives what the registry said when it says no
    for pause in 2 4 8 16 30 30 30 0; do
        log_in > /dev/null 2>&1
        words=$(docker pull --quiet "$image" 2>&1) && return 0
        case $words in
            *'manifest unknown'* | *'not found'* | *denied* | *nauthorized* | *'invalid reference'*)
                final=true
                break
                ;;
        esac
        say "the image is not pulled yet: $words"
        sleep "$pause"
    done
    testify image "$final" "image: $image cannot be pulled: $words"
    return 1
}

cards() {  # drivers for graphics cards, and how a container gets at them
    cos-extensions install gpu
    mount --bind /var/lib/nvidia /var/lib/nvidia
    mount -o remount,exec /var/lib/nvidia
    printf '%s\n' --volume=/var/lib/nvidia/lib64:/usr/local/nvidia/lib64 --volume=/var/lib/nvidia/bin:/usr/local/nvidia/bin
    for card in /dev/nvidia*; do [ ! -c "$card" ] || echo "--device=$card"; done
}

run_container() {  # the guard is its process 1; the network is the machine's, where the metadata server is
    # shellcheck disable=SC2086 - an option a word
    docker run --name "$machine" --network host --restart no --security-opt no-new-privileges \
        --stop-timeout "$((${kill%.*} + 5))" --memory "${memory}k" --memory-swap "${memory}k" \
        --env HOME=/tmp/foretell --env "FORETELL_MACHINE=$machine" $options "$image" \
        @ASSIGNMENT@ > "$HOME/words" 2>&1
}

boot=$(told id) name=$(told name) project=$(until about project/project-id; do sleep 1; done)
zone=$(told zone) zone=${zone##*/}
store=$(told attributes/foretell-store) run=$(told attributes/foretell-run) attempt=$(told attributes/foretell-attempt)
machine=$(told attributes/foretell-machine) image=$(told attributes/foretell-image)
registry=$(told attributes/foretell-registry) deadline=$(told attributes/foretell-deadline)
kill=$(told attributes/foretell-kill) gpu=$(told attributes/foretell-gpu)
final=false watcher= options=

# as much memory as there is, less what the system needs: so too much of it ends the container alone, and is seen
total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
spared=$((total / 20 > 262144 ? total / 20 : 262144))
memory=$((total - spared))

# the system runs this at every boot, and an attempt is run once
if ! mkdir "$HOME/begun" 2>/dev/null; then
    testify '' false 'the machine was restarted, and with it what ran on it ended'
    leave
fi
watch &
watcher=$!
trap 'docker stop --time "${kill%.*}" "$machine" > /dev/null 2>&1' TERM

if pull; then
    [ "$gpu" = none ] || options=$(cards)
    { run_container; echo $? > "$HOME/ended"; } &
    until [ -s "$HOME/ended" ]; do wait $!; done  # a signal ends the waiting, not the container
    ended=$(cat "$HOME/ended")
    tooMuch=$(docker inspect --format '{{.State.OOMKilled}}' "$machine" 2>/dev/null)
    last=$({ docker cp "$machine:/tmp/foretell/agent.err" - | tar -xOf -; cat "$HOME/words"; } 2>/dev/null | tail -n 3)
    if [ -e "$HOME/preempted" ] || [ "$(about instance/preempted 2>/dev/null)" = TRUE ]; then
        testify preempted false 'preempted: the machine was taken away, as Spot machines are'
    elif [ "$ended" = 0 ]; then
        say 'the agent has said its word'
    elif [ "$tooMuch" = true ]; then
        testify 'out of memory' false "out of memory: the container was killed at $((memory / 1024)) MB"
    elif [ "$ended" = 137 ]; then
        testify '' false 'the container was killed'
    else
        testify '' false "the container ended with status $ended: $last"
    fi
fi
leave
