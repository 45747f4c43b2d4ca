# Sourced by other scripts: makes .venv in the repository once, and installs this checkout into it.
# Afterwards $REPOSITORY is the checkout and $BIN the environment's programs.

REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
BIN="$REPOSITORY/.venv/bin"

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    exit 1
}

usable_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.10 python3; do
        if "$candidate" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Runs pip; its output goes to a log, whose end is shown when pip fails.
logged_pip() {
    local log="$REPOSITORY/.venv/install.log"
    "$BIN/python" -m pip --disable-pip-version-check "$@" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "pip $1 failed; its whole output is in $log. Is the package index reachable, or the disk full?"
    }
}

prepare_environment() {
    local python stamp
    stamp="$REPOSITORY/.venv/installed-$(cat "$REPOSITORY/setup.py" "$REPOSITORY/constraints.txt" | cksum | cut -d' ' -f1)"
    if [ ! -e "$stamp" ]; then
        python="$(usable_python)" || fail "found no Python 3.10 to 3.12 (tried python3.11, python3.12, python3.10 and python3)"
        say "Making $REPOSITORY/.venv with $python and installing (3 to 10 minutes, up to 7 GB, this once)"
        "$python" -m venv --clear "$REPOSITORY/.venv" || fail "could not make the virtual environment; on Debian: apt install python3-venv"
        # Some dependencies of causalbench are built from source and need an older setuptools than pip would take.
        PIP_CONSTRAINT="$REPOSITORY/constraints.txt" logged_pip install -c "$REPOSITORY/constraints.txt" "$REPOSITORY[test,docs]"
        touch "$stamp"
    fi
    # The checkout may have changed since, so install its code again. A build folder left behind would restore deleted files.
    rm -rf "$REPOSITORY/build"
    logged_pip install --no-deps --no-build-isolation --force-reinstall "$REPOSITORY"
    rm -rf "$REPOSITORY/build"
}
