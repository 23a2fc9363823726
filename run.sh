#!/usr/bin/env bash
# ./run.sh demo    the board, on SQLite and in-process Redis, at http://127.0.0.1:8000 (PORT changes it);
#                  --postgres runs it on a PostgreSQL primary and two standbys that it starts, where PostgreSQL is there
# ./run.sh test    the tests; --services fails where a server is missing, and further arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")"

usage="usage: ./run.sh demo [--postgres] | ./run.sh test [--services] [pytest arguments]"

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

# Install the project with extras, separated by commas, into .venv, unless the same was installed there before.
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
    local port="${PORT:-8000}" extras=demo
    export BOARD_POSTGRES=
    case "$#$*" in
    0) ;;
    1--postgres) extras=demo,postgres BOARD_POSTGRES=1 ;;
    *) fail "$usage" ;;
    esac
    install "$extras"
    [[ $port =~ ^[1-9][0-9]{0,4}$ ]] && .venv/bin/python - "$port" <<'EOF' || fail "PORT is $port: set the number of a port that is free, from 1 to 65535."
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", int(sys.argv[1])))
    except (OSError, OverflowError):
        sys.exit(1)
EOF
    if [ -n "$BOARD_POSTGRES" ]; then
        echo "Starting PostgreSQL ..."
    else
        .venv/bin/python example_project/manage.py setup_board >/dev/null
    fi
    exec .venv/bin/python example_project/manage.py runserver "127.0.0.1:$port" --noreload
}

run_tests() {
    local argument extras=test
    # All tests: in a few processes, each with servers of its own.
    local -a whole=(--cov --numprocesses auto --maxprocesses 4)
    for argument in "$@"; do
        if [ "$argument" = --services ]; then extras=services; else whole=(); fi
    done
    install "$extras"
    .venv/bin/python -m pytest ${whole[@]+"${whole[@]}"} "$@"
}

command="${1:-}"
[ $# -eq 0 ] || shift
case "$command" in
demo) demo "$@" ;;
test) run_tests "$@" ;;
*) fail "$usage" ;;
esac
