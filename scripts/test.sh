#!/usr/bin/env bash
# Makes the environment if it is missing, then runs the linters, all tests with coverage, and a sample of mutants. The tests
# build the documentation, too.
# Arguments are passed to pytest, to run some of the tests; coverage and mutants are left out then.
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

# Waiting threads must not spin: on a busy machine that makes small models ten times slower.
export OMP_WAIT_POLICY=passive

say "Running the tests"
if [ $# -gt 0 ]; then
    "$BIN/pytest" "$@" || fail "some tests failed, see above"
    exit
fi
"$BIN/pytest" --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered ||
    fail "some tests failed, or coverage is too low, see above"

say "Running the tests on mutants of the code"
"$BIN/python" scripts/tools/sample_mutants.py || fail "the tests did not detect the mutants above"
