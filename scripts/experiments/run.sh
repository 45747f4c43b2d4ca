#!/usr/bin/env bash
# Run one experiment: simulate (or convert) its data sets, run the sweep of its plan, write the report. Repeat to resume.
#
# Usage: run.sh quality|ablation|network|preprocessing|implementations [SWEEP OPTIONS]
#        run.sh measured DIRECTORY [SWEEP OPTIONS]   DIRECTORY holds the measured data sets (.npz)
#        run.sh independent|independent-slow DIRECTORY [SWEEP OPTIONS]   DIRECTORY holds data with known truth (.npz)
#
# The variables SEEDS, SIZE, GENES and CELLS change what is simulated, RESULTS where the results go.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../environment.sh"
[ $# -gt 0 ] && [ -f "$HERE/$1.yaml" ] || fail "name an experiment: quality, ablation, network, preprocessing, implementations, measured, independent or independent-slow"
EXPERIMENT="$1"
shift
RESULTS="${RESULTS:-$REPOSITORY/results}/$EXPERIMENT"
prepare_environment

# sweep NAME DATA... [OPTIONS]: a failed run is recorded and does not stop the sweep; the report covers the others.
FAILED=0
SWEEPS=()
sweep() {
    local name="$1"
    shift
    SWEEPS+=("$RESULTS/$name")
    "$BIN/catran-causalbench" sweep --output "$RESULTS/$name" "$@" --plan "$HERE/$EXPERIMENT.yaml" || FAILED=$?
    [ "$FAILED" -le 1 ] || exit "$FAILED"
}

if [[ "$EXPERIMENT" = independent* ]]; then
    DIRECTORY="${1:?name the directory with the data sets}"
    shift
    sweep runs "$DIRECTORY"/*.npz "$@"
elif [ "$EXPERIMENT" = measured ]; then
    DIRECTORY="${1:?name the directory with the data sets}"
    shift
    # The number of edges is a third of all pairs of the perturbed genes, of which there are 14, 8 and 6.
    for panel in schraivogel2020_tapseq_k562_crispri:60 dixit2016_bmdc_24tf:18 sachs2005_all14:10; do
        name="${panel%:*}"
        [ -e "$RESULTS/data/$name/description.json" ] ||
            "$BIN/catran-causalbench" convert "$DIRECTORY/$name.npz" --output "$RESULTS/data/$name" --perturbation-key gene
        sweep "$name" "$RESULTS/data/$name" --edges "${panel#*:}" "$@"
    done
else
    case "$EXPERIMENT" in
        quality) SIZE="${SIZE:-rpe1}" SEEDS="${SEEDS:-20 21 22 23 24 25 26 27 28 29}" ;;
        ablation) SIZE="${SIZE:-rpe1}" SEEDS="${SEEDS:-20 21 25 26}" ;;
        network) SIZE="${SIZE:-small}" SEEDS="${SEEDS:-20 21 22 23 24}" ;;
        preprocessing) SIZE="${SIZE:-small}" SEEDS="${SEEDS:-0 1 2 3 4}" ;;
        implementations) SIZE="${SIZE:-small}" SEEDS="${SEEDS:-0}" ;;
    esac
    DATA=()
    for seed in $SEEDS; do
        directory="$RESULTS/data/$SIZE${GENES:+-$GENES-genes}-seed$seed"
        DATA+=("$directory")
        [ -e "$directory/description.json" ] ||
            "$BIN/catran-causalbench" simulate --output "$directory" --size "$SIZE" --seed "$seed" \
                ${GENES:+--genes "$GENES"} ${CELLS:+--cells "$CELLS"}
    done
    sweep runs "${DATA[@]}" "$@"
fi

if [[ "$EXPERIMENT" = independent* ]]; then
    "$BIN/python" "$HERE/independent_table.py" "${SWEEPS[@]}" | tee "$RESULTS/table.md"
fi

say "Report"
"$BIN/catran-causalbench" report "${SWEEPS[@]}" --output "$RESULTS/report" --overwrite
[ "$FAILED" -eq 0 ] || fail "some runs failed; repeat this script to run them again"
