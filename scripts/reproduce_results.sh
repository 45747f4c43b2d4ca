#!/usr/bin/env bash
# From nothing to the table of results: environment, SIMULATED worlds, sweeps over all methods, report.
# Started again, it goes on where it was stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# RPE1-like worlds of reduced size: fewer genes, about as many cells per perturbation.
SEEDS="${SEEDS:-100 101 102 103 104}"
GENES="${GENES:-120}"
CELLS="${CELLS:-28800}"
EDGES="${EDGES:-500}"
METHODS="${METHODS:-catran,catran-paper,random,correlation,mean_difference,effect_size,guanlab,sparserc,grnboost,betterboost,oracle}"
# Worlds that the DCDI family finishes too, all genes perturbed, after a share of the training that CausalBench gives it
# (the whole takes hours on a CPU).
export CATRAN_RIVAL_TRAINING="${CATRAN_RIVAL_TRAINING:-0.05}"
SMALL_GENES="${SMALL_GENES:-20}"
SMALL_CELLS="${SMALL_CELLS:-4000}"
SMALL_EDGES="${SMALL_EDGES:-60}"
SMALL_METHODS="${SMALL_METHODS:-catran,random,correlation,mean_difference,effect_size,guanlab,dcdi_g,dcdi_dsf,dcdfg_lin,dcdfg_mlp,oracle}"
SMALL_FRACTIONS="${SMALL_FRACTIONS:-1}"
RESULTS="${RESULTS:-$REPOSITORY/results}"

prepare_environment

# simulate NAME GENES CELLS: a world for each seed, unless it is there; WORLDS lists them.
simulate() {
    local name="$1" genes="$2" cells="$3" seed world
    WORLDS=()
    for seed in $SEEDS; do
        world="$RESULTS/worlds/$name-$genes-genes-seed$seed"
        WORLDS+=("$world")
        [ -e "$world/description.json" ] ||
            "$BIN/catran-causalbench" simulate "$world" --genes "$genes" --cells "$cells" --seed "$seed"
    done
}

say "Simulating worlds of $GENES and of $SMALL_GENES genes, seeds $SEEDS"
simulate world "$GENES" "$CELLS"
LARGE=("${WORLDS[@]}")
simulate small-world "$SMALL_GENES" "$SMALL_CELLS"
SMALL=("${WORLDS[@]}")

# A run that fails is recorded and stops nothing; the report is made of the others.
FAILED=0
say "Sweep over the worlds of $GENES genes"
"$BIN/catran-causalbench" sweep "$RESULTS/large" "${LARGE[@]}" --methods "$METHODS" --edges "$EDGES" || FAILED=$?
[ "$FAILED" -le 1 ] || exit "$FAILED"

say "Sweep over the worlds of $SMALL_GENES genes, the DCDI family included"
"$BIN/catran-causalbench" sweep "$RESULTS/small" "${SMALL[@]}" --methods "$SMALL_METHODS" --edges "$SMALL_EDGES" \
    --fractions "$SMALL_FRACTIONS" || FAILED=$?
[ "$FAILED" -le 1 ] || exit "$FAILED"

say "Report"
"$BIN/catran-causalbench" report "$RESULTS/large" "$RESULTS/small" --output "$RESULTS/report" --overwrite
[ "$FAILED" -eq 0 ] || fail "some runs; start this script again to repeat them"
