#!/usr/bin/env bash
# Checks the submission, builds its image and pushes it to the challenge.
set -euo pipefail

REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

usage() {
    cat <<'TEXT'
Usage: scripts/submit.sh [options] PHASE

Tests CaTran's plugin with catran-causalbench check-submission, builds the image of the Dockerfile with docker, and
pushes it to the challenge phase with evalai. PHASE is the phase's slug on EvalAI, such as gsk-causalbench-test-1981.
A challenge allows few submissions, so try --dry-run first.

Options:
  --tag TAG       name of the image (default: catran-causalbench:latest)
  --gpu           build with the CUDA build of torch
  --dry-run       print the commands, run none of them
  -h, --help      show this

Ends with 0 when the image was pushed, 1 when a step failed, 2 when the arguments or the machine cannot be used.
TEXT
}

refuse() {
    printf 'Error: %s\n' "$1" >&2
    exit 2
}

TAG=catran-causalbench:latest
PHASE=""
BUILD_ARGUMENTS=()
DRY_RUN=false
while [ $# -gt 0 ]; do
    case "$1" in
        --tag)
            [ $# -gt 1 ] || refuse "--tag needs a name"
            TAG="$2"
            shift
            ;;
        --gpu) BUILD_ARGUMENTS=(--build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130) ;;
        --dry-run) DRY_RUN=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) refuse "unknown option $1; see scripts/submit.sh --help" ;;
        *)
            [ -z "$PHASE" ] || refuse "found two phases, $PHASE and $1; expected one"
            PHASE="$1"
            ;;
    esac
    shift
done
[ -n "$PHASE" ] || refuse "found no PHASE; expected the challenge phase's slug, see scripts/submit.sh --help"

need() {
    command -v "$1" >/dev/null || refuse "found no program $1 in PATH; $2"
}

step() {
    printf '+ %s\n' "$*" >&2
    "$DRY_RUN" || "$@" || {
        printf 'FAILED: %s; nothing was pushed\n' "$*" >&2
        exit 1
    }
}

if ! "$DRY_RUN"; then
    need catran-causalbench "install this package: pip install -c constraints.txt ."
    need docker "see https://docs.docker.com/engine/install/"
    need evalai "install it with pip install evalai in an environment of its own, then evalai set_token TOKEN"
    docker info >/dev/null 2>&1 || refuse "docker is installed but its engine does not answer; start it (see docker info)"
fi

# The image does not get this shell's settings, so the check must not either.
step env -u CATRAN_CONFIG -u CATRAN_METHOD -u CATRAN_RUN_DIRECTORY catran-causalbench check-submission
step docker build --tag "$TAG" ${BUILD_ARGUMENTS[@]+"${BUILD_ARGUMENTS[@]}"} "$REPOSITORY"
step evalai push "$TAG" --phase "$PHASE"
