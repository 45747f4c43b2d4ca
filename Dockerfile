# CaTran in the layout of the CausalBench challenge: ONE inference class as /code/main.py, the package installed.
#   docker build -t catran-causalbench .                                  CPU, smaller
#   docker build -t catran-causalbench --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .     GPU
# Without a command the container runs CaTran through causalbench_run on a simulated benchmark directory.
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# causalbench builds some of its dependencies from source.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home catran

WORKDIR /code
COPY constraints.txt setup.py README.md LICENSE ./
COPY configs configs
COPY catran_causalbench catran_causalbench
RUN PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir -c constraints.txt --extra-index-url "$TORCH_INDEX" . \
    && cp catran_causalbench/plugin.py main.py \
    && rm -rf build catran_causalbench *.egg-info

USER catran
WORKDIR /home/catran
ENV CATRAN_CONFIG=demo
CMD ["sh", "-c", "catran-causalbench simulate world --genes 100 --cells 16000 \
    && causalbench_run --dataset_name weissmann_rpe1 --data_directory world --output_directory runs --exp_id catran \
       --training_regime interventional --model_name custom --inference_function_file_path /code/main.py \
       --max_path_length 1 --omission_estimation_size 500 \
    && catran-causalbench scores world runs/catran"]
