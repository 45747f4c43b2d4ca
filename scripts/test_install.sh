#!/usr/bin/env bash
# Builds wheel and source distribution, and installs each into a fresh environment of every supported Python at hand, as a
# user would: with pip alone, without constraints. There it runs doctor, a small fit and causalbench_run's help.
#
# Some 5 minutes and 3 GB, one after the other, for each of up to six environments. PYTHONS="python3.11" picks Pythons.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

# The Pythons on the path, or those of pyenv.
find_pythons() {
    local version candidate
    for version in 3.10 3.11 3.12; do
        for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
            if "$candidate" -c 'import venv' 2>/dev/null; then
                command -v "$candidate"
                break
            fi
        done
    done
}

# try PYTHON DISTRIBUTION: everything happens outside the repository, so that nothing but what was installed is imported.
try() {
    local python="$1" distribution="$2" environment="$WORK/environment"
    say "$("$python" --version), $(basename "$distribution")"
    "$python" -m venv --clear "$environment"
    cd "$WORK"
    environment/bin/python -m pip --disable-pip-version-check install --quiet "$distribution" || return
    export PATH="$environment/bin:$PATH" PYTHONPATH=
    catran-causalbench doctor || return
    catran-causalbench simulate --output "$WORK/screen.h5ad" --genes 12 --cells 1800 --overwrite || return
    catran-causalbench fit "$WORK/screen.h5ad" --perturbation-key target_gene --output "$WORK/network" --overwrite || return
    causalbench_run --help >"$WORK/help.txt" && grep -q inference_function_file_path "$WORK/help.txt"
}

PYTHONS="${PYTHONS:-$(find_pythons)}"
[ -n "$PYTHONS" ] || fail "found no Python 3.10 to 3.12"
say "Building"
for python in $PYTHONS; do break; done # the first of them builds
"$python" -m venv "$WORK/builder"
"$WORK/builder/bin/python" -m pip --disable-pip-version-check install --quiet build twine || fail "pip could not install build and twine"
"$WORK/builder/bin/python" -m build --outdir "$WORK/dist" "$REPOSITORY" >"$WORK/build.log" 2>&1 || {
    tail -n 20 "$WORK/build.log" >&2
    fail "the distributions cannot be built"
}
rm -rf "$REPOSITORY/build"
"$WORK/builder/bin/twine" check --strict "$WORK"/dist/* || fail "an index would not show the description"

FAILED=()
for python in $PYTHONS; do
    for distribution in "$WORK"/dist/*; do
        (try "$python" "$distribution") || FAILED+=("$python with $(basename "$distribution")")
    done
done
[ ${#FAILED[@]} -eq 0 ] || fail "${FAILED[*]}"
say "Installed and ran on: $(for python in $PYTHONS; do "$python" --version; done | paste -sd, -)"
