# What the benches of one running server share. They set `port` and source this, which builds everything (unless STENTOR and LOADGEN name
# binaries) and gives them
#   stentor, loadgen  the binaries
#   work, out         a directory that is gone in the end, and where the JSON goes
#   data              the flags that name the server's data directory
#   server            its process, once `serve` has returned; it is ended with the script
# shellcheck shell=bash

bench=${0##*/}
work=$(mktemp -d)
out=${OUT:-$work}
server=

cleanup() {
    if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then
        kill "$server"
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

if [[ -z ${STENTOR:-} || -z ${LOADGEN:-} ]]; then
    cargo build --release --workspace --quiet
fi
stentor=${STENTOR:-target/release/stentor}
loadgen=${LOADGEN:-target/release/loadgen}
mkdir -p "$out"
data=(--data-dir "$work/data")

# Runs a command of the server's, whose words are wanted only where it fails.
ask() {
    "$stentor" "$@" "${data[@]}" 2>"$work/words" || {
        cat "$work/words" >&2
        return 1
    }
}

# One account that watches `owner`, and its keys: `subscriber` and `publisher`.
create_account() {
    owner=Stentor1oadgenWa11et777777777777777777777777
    ask account create bench --tier elite >/dev/null
    subscriber=$(ask key create bench --role subscriber)
    publisher=$(ask key create bench --role publisher)
    ask account watch bench "$owner" >/dev/null
}

is_answered() {
    curl --silent --output /dev/null --max-time 2 "$@" "http://127.0.0.1:$port/healthz"
}

# Starts the server with the flags given, and waits until it serves.
serve() {
    if is_answered; then
        echo "$bench: something serves on port $port already: set PORT" >&2
        exit 1
    fi
    "$stentor" serve --listen "127.0.0.1:$port" "${data[@]}" "$@" >"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        is_answered --fail && break
        if ! kill -0 "$server" 2>/dev/null; then
            echo "$bench: the server did not start:" >&2
            cat "$work/server.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}
