# CaTran in the layout of the CausalBench challenge: /code holds requirements.txt and main.py with ONE inference class.
#   docker build -t catran-causalbench .                                                                    CPU
#   docker build -t catran-causalbench --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .     GPU
# Without a command the container runs CaTran through causalbench_run on simulated cells; it needs no network.
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Some of causalbench's dependencies are built from source; the compiler stays behind in this stage.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential
RUN python -m venv /opt/catran
ENV PATH=/opt/catran/bin:$PATH

WORKDIR /source
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
COPY configs configs
COPY catran_causalbench catran_causalbench

# The package is on no index, so the requirements name its wheel, which lies beside them.
WORKDIR /code
RUN cp /source/constraints.txt . \
    && cp /source/catran_causalbench/plugin.py main.py \
    && pip wheel --no-cache-dir --no-deps --wheel-dir . /source \
    && printf '%s\n' '-c constraints.txt' ./*.whl >requirements.txt \
    && PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -r requirements.txt

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home catran
COPY --from=build /opt/catran /opt/catran
COPY --from=build /code /code
ENV PATH=/opt/catran/bin:$PATH
WORKDIR /code
USER 1000
# The demo's preset is set here only: as a variable of the image it would change what the challenge runs.
CMD ["sh", "-c", "cd /home/catran && export CATRAN_CONFIG=demo \
    && catran-causalbench simulate --output simulated --genes 100 --cells 16000 --overwrite \
    && causalbench_run --dataset_name weissmann_rpe1 --data_directory simulated --output_directory runs --exp_id catran \
       --training_regime interventional --model_name custom --inference_function_file_path /code/main.py \
       --max_path_length 1 --omission_estimation_size 500 \
    && catran-causalbench compare simulated runs/catran"]
