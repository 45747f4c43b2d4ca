#!/usr/bin/env bash
# Reproduce the table of results: environment, SIMULATED data sets, sweeps over all methods, report. Repeat to resume.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Smaller than RPE1: fewer genes, but about as many cells per perturbation.
SEEDS="${SEEDS:-100 101 102 103 104}"
GENES="${GENES:-120}"
CELLS="${CELLS:-28800}"
EDGES="${EDGES:-500}"
METHODS="${METHODS:-catran,catran-catran,catran-paper,random,correlation,mean_difference,effect_size,ash,guanlab,sparserc,grnboost,betterboost,oracle}"
# A size at which DCDI and DCDFG finish, too, with all genes perturbed and with a share of the training that CausalBench
# gives them (all of it takes hours on a CPU).
DCDI_TRAINING_SHARE="${DCDI_TRAINING_SHARE:-0.05}"
SMALL_GENES="${SMALL_GENES:-20}"
SMALL_CELLS="${SMALL_CELLS:-4000}"
SMALL_EDGES="${SMALL_EDGES:-60}"
SMALL_METHODS="${SMALL_METHODS:-catran,random,correlation,mean_difference,effect_size,guanlab,dcdi_g,dcdi_dsf,dcdfg_lin,dcdfg_mlp,oracle}"
SMALL_FRACTIONS="${SMALL_FRACTIONS:-1}"
RESULTS="${RESULTS:-$REPOSITORY/results}"

prepare_environment

# simulate GENES CELLS: make a data set for each seed unless it exists; DATA lists them.
simulate() {
    local genes="$1" cells="$2" seed directory
    DATA=()
    for seed in $SEEDS; do
        directory="$RESULTS/data/$genes-genes-seed$seed"
        DATA+=("$directory")
        [ -e "$directory/description.json" ] ||
            "$BIN/catran-causalbench" simulate --output "$directory" --genes "$genes" --cells "$cells" --seed "$seed"
    done
}

# A failed run is recorded and does not stop the sweep; the report covers the others.
FAILED=0
sweep() {
    "$BIN/catran-causalbench" sweep "$@" || FAILED=$?
    [ "$FAILED" -le 1 ] || exit "$FAILED"
}

say "Simulating data sets of $GENES and of $SMALL_GENES genes, seeds $SEEDS"
simulate "$GENES" "$CELLS"
LARGE=("${DATA[@]}")
simulate "$SMALL_GENES" "$SMALL_CELLS"
SMALL=("${DATA[@]}")

say "Sweep over the data sets of $GENES genes"
sweep --output "$RESULTS/large" "${LARGE[@]}" --methods "$METHODS" --edges "$EDGES"

say "Sweep over the data sets of $SMALL_GENES genes, DCDI and DCDFG included"
sweep --output "$RESULTS/small" "${SMALL[@]}" --methods "$SMALL_METHODS" --edges "$SMALL_EDGES" \
    --fractions "$SMALL_FRACTIONS" --dcdi-training-share "$DCDI_TRAINING_SHARE"

say "Report"
"$BIN/catran-causalbench" report "$RESULTS/large" "$RESULTS/small" --output "$RESULTS/report" --overwrite
[ "$FAILED" -eq 0 ] || fail "some runs failed; repeat this script to run them again"
