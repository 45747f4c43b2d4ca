#!/usr/bin/env bash
# One experiment from its data sets to its report: simulate (or convert), sweep by the plan of that name, report.
# Run it again to resume.
#
# Usage: run.sh quality|ablation|preprocessing|implementations [SWEEP OPTIONS]
#        run.sh measured FOLDER [SWEEP OPTIONS]       FOLDER holds the measured data sets (.npz)
#
# SEEDS, SIZE, GENES and CELLS change what is simulated, RESULTS where everything goes.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../environment.sh"
[ $# -gt 0 ] && [ -f "$HERE/$1.yaml" ] || fail "name an experiment: quality, ablation, preprocessing, implementations or measured"
EXPERIMENT="$1"
shift
RESULTS="${RESULTS:-$REPOSITORY/results}/$EXPERIMENT"
prepare_environment

# sweep NAME DATA... [OPTIONS]: a run that fails is recorded and stops nothing; the report is made of the others.
FAILED=0
SWEEPS=()
sweep() {
    local name="$1"
    shift
    SWEEPS+=("$RESULTS/$name")
    "$BIN/catran-causalbench" sweep "$RESULTS/$name" "$@" --plan "$HERE/$EXPERIMENT.yaml" || FAILED=$?
    [ "$FAILED" -le 1 ] || exit "$FAILED"
}

if [ "$EXPERIMENT" = measured ]; then
    FOLDER="${1:?name the folder with the data sets}"
    shift
    # A third of all pairs of the perturbed genes are edges: of 14, of 8 and of 6 genes.
    for panel in schraivogel2020_tapseq_k562_crispri:60 dixit2016_bmdc_24tf:18 sachs2005_all14:10; do
        name="${panel%:*}"
        [ -e "$RESULTS/data/$name/description.json" ] ||
            "$BIN/catran-causalbench" convert "$RESULTS/data/$name" "$FOLDER/$name.npz" --perturbation-key gene
        sweep "$name" "$RESULTS/data/$name" --edges "${panel#*:}" "$@"
    done
else
    case "$EXPERIMENT" in
        quality) SIZE="${SIZE:-rpe1}" SEEDS="${SEEDS:-20 21 22 23 24 25 26 27 28 29}" ;;
        ablation) SIZE="${SIZE:-rpe1}" SEEDS="${SEEDS:-20 21 25 26}" ;;
        preprocessing) SIZE="${SIZE:-small}" SEEDS="${SEEDS:-0 1 2 3 4}" ;;
        implementations) SIZE="${SIZE:-small}" SEEDS="${SEEDS:-0}" ;;
    esac
    DATA=()
    for seed in $SEEDS; do
        folder="$RESULTS/data/$SIZE${GENES:+-$GENES-genes}-seed$seed"
        DATA+=("$folder")
        [ -e "$folder/description.json" ] ||
            "$BIN/catran-causalbench" simulate "$folder" --size "$SIZE" --seed "$seed" \
                ${GENES:+--genes "$GENES"} ${CELLS:+--cells "$CELLS"}
    done
    sweep runs "${DATA[@]}" "$@"
fi

say "Report"
"$BIN/catran-causalbench" report "${SWEEPS[@]}" --output "$RESULTS/report" --overwrite
[ "$FAILED" -eq 0 ] || fail "some runs; start this script again to repeat them"
