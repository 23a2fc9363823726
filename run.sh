#!/usr/bin/env bash
# ./run.sh demo    the board, on SQLite and in-process Redis, at http://127.0.0.1:8000 (PORT changes it)
# ./run.sh test    the tests; --services fails where redis-server is missing, and further arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed; found $("${PYTHON:-python3}" --version 2>/dev/null || echo none)."
}

# Install the project with an extra into .venv, unless the same was installed there before.
install() {
    local python installed=".venv/installed-$1"
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$("$python" --version) has no venv; on Debian and Ubuntu: apt install python3-venv."
    if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    if ! cmp -s pyproject.toml "$installed"; then
        echo "Installing into .venv ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$1]"
        cp pyproject.toml "$installed"
    fi
}

demo() {
    install demo
    local port="${PORT:-8000}"
    [[ $port =~ ^[1-9][0-9]{0,4}$ ]] && .venv/bin/python - "$port" <<'EOF' || fail "PORT is $port: set the number of a port that is free, from 1 to 65535."
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", int(sys.argv[1])))
    except (OSError, OverflowError):
        sys.exit(1)
EOF
    .venv/bin/python example_project/manage.py setup_board >/dev/null
    cat <<EOF

The board: http://127.0.0.1:$port/   (Ctrl-C stops it)

What to try first:
  1. Choose "Off" as the pin store and write something: you do not see it until the replica has caught up.
  2. Choose "Cookie" and write again: you see it at once, read from the primary while the pin holds.
  3. Choose "Redis", sign in as ada here and in another browser, and write in one: the other shows it too.

EOF
    exec .venv/bin/python example_project/manage.py runserver "127.0.0.1:$port" --noreload
}

run_tests() {
    install test
    local argument coverage=--cov
    for argument in "$@"; do
        [ "$argument" = --services ] || coverage=
    done
    .venv/bin/python -m pytest ${coverage:+"$coverage"} "$@"
}

command="${1:-}"
[ $# -eq 0 ] || shift
case "$command" in
demo) demo ;;
test) run_tests "$@" ;;
*) fail "usage: ./run.sh demo | ./run.sh test [--services] [pytest arguments]" ;;
esac
