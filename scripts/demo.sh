#!/usr/bin/env bash
# From nothing to a score table: environment, simulated benchmark directory, causalbench_run with CaTran and two rivals.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare_environment

WORLD="$REPOSITORY/demo/world"
RUNS="$REPOSITORY/demo/runs"
FIGURE="$REPOSITORY/demo/scores.png"
export CATRAN_CONFIG="${CATRAN_CONFIG:-demo}"

say "Simulating a Perturb-seq experiment: 100 genes, 16,000 cells, a network that is known"
"$BIN/catran-causalbench" simulate "$WORLD" --genes 100 --cells 16000 --seed 0 --overwrite

# One run of the real harness: NAME, then the file that holds the model.
benchmark() {
    local name="$1" model_file="$2"
    say "causalbench_run: $name"
    rm -rf "${RUNS:?}/$name"
    mkdir -p "$RUNS"
    "$BIN/causalbench_run" \
        --dataset_name weissmann_rpe1 \
        --data_directory "$WORLD" \
        --output_directory "$RUNS" \
        --exp_id "$name" \
        --training_regime interventional \
        --model_name custom \
        --inference_function_file_path "$model_file" \
        --model_seed 0 \
        --max_path_length 1 \
        --omission_estimation_size 500 \
        >"$RUNS/$name.log" 2>&1 || {
        tail -n 20 "$RUNS/$name.log" >&2
        fail "causalbench_run with $name; its whole output is in $RUNS/$name.log"
    }
}

benchmark catran "$("$BIN/catran-causalbench" plugin)"
CATRAN_RIVAL=random benchmark random "$("$BIN/catran-causalbench" plugin --rival)"
CATRAN_RIVAL=mean_difference benchmark mean_difference "$("$BIN/catran-causalbench" plugin --rival)"

say "Scores on held-out cells, by the harness; precision by the known network"
"$BIN/catran-causalbench" scores "$WORLD" "$RUNS/catran" "$RUNS/mean_difference" "$RUNS/random" --figure "$FIGURE"
printf '%-10s%s\n' \
    edges "$RUNS/catran/output_network.csv" \
    metrics "$RUNS/catran/metrics.json" \
    truth "$WORLD/true_network.csv" \
    figure "$FIGURE"
