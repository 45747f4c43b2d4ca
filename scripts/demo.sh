#!/usr/bin/env bash
# From nothing to a score table: environment, simulated benchmark directory, causalbench_run with CaTran and two baselines.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare_environment

DATA="$REPOSITORY/demo/simulated"
RUNS="$REPOSITORY/demo/runs"
FIGURE="$REPOSITORY/demo/comparison.png"
export CATRAN_CONFIG="${CATRAN_CONFIG:-demo}"

say "Simulating a Perturb-seq experiment with a known network: 100 genes, 16,000 cells"
"$BIN/catran-causalbench" simulate --output "$DATA" --genes 100 --cells 16000 --seed 0 --overwrite

PLUGIN="$("$BIN/catran-causalbench" plugin)"

# benchmark METHOD: one run of CausalBench itself.
benchmark() {
    local method="$1"
    say "causalbench_run: $method"
    rm -rf "${RUNS:?}/$method"
    mkdir -p "$RUNS"
    CATRAN_METHOD="$method" "$BIN/causalbench_run" \
        --dataset_name weissmann_rpe1 \
        --data_directory "$DATA" \
        --output_directory "$RUNS" \
        --exp_id "$method" \
        --training_regime interventional \
        --model_name custom \
        --inference_function_file_path "$PLUGIN" \
        --model_seed 0 \
        --max_path_length 1 \
        --omission_estimation_size 500 \
        >"$RUNS/$method.log" 2>&1 || {
        tail -n 20 "$RUNS/$method.log" >&2
        fail "causalbench_run with $method; its whole output is in $RUNS/$method.log"
    }
}

benchmark catran
benchmark random
benchmark mean_difference

say "Scores on held-out cells, by CausalBench; precision, by the known network"
"$BIN/catran-causalbench" compare "$DATA" "$RUNS/catran" "$RUNS/mean_difference" "$RUNS/random" --figure "$FIGURE"
printf '%-10s%s\n' \
    edges "$RUNS/catran/output_network.csv" \
    metrics "$RUNS/catran/metrics.json" \
    truth "$DATA/true_network.csv" \
    figure "$FIGURE"
