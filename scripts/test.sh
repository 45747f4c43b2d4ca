#!/usr/bin/env bash
# Makes the environment if need be, then runs the linters, all tests with their coverage, and a sample of mutants.
# Options are handed to pytest, for a part of the tests; coverage and mutants are left out then.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$REPOSITORY"
prepare_environment

say "Checking style, types and security"
"$BIN/ruff" check . || fail "ruff found the problems above"
"$BIN/ruff" format --check --quiet . || fail "run ruff format on the files above"
"$BIN/mypy" || fail "mypy found the problems above"
"$BIN/bandit" --quiet --configfile pyproject.toml --recursive catran_causalbench scripts setup.py ||
    fail "bandit found the problems above"

# Threads that wait for work must not spin: on a busy machine that makes small models tenfold slower.
export OMP_WAIT_POLICY=passive

say "Running the tests"
if [ $# -gt 0 ]; then
    "$BIN/pytest" "$@" || fail "some tests did not pass, see above"
    exit
fi
"$BIN/pytest" --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered ||
    fail "some tests did not pass, or too little is covered, see above"

say "Changing the code here and there, to see whether the tests notice"
"$BIN/python" scripts/tools/sample_mutants.py || fail "the tests did not notice the changes above"
