#!/usr/bin/env bash
# What docs/performance.md asks of a GPU, in one go: bash bench/gpu.sh data/mask/bench data/vocab/vocab.txt > gpu.md
# Base at 512 and 128, full rows and short documents, large at 512, and what the time of base at 512 goes to (gpu-profile.txt).
set -euo pipefail
shards=$1
given=(--vocabulary "$2" --precision bf16 --compile)
base=(--layers 12 --hidden 768)
python -m bench.pretrain "$shards/512/train" "${given[@]}" "${base[@]}" --length 512 --full-rows --batch 192 --micro-batch 64
python -m bench.pretrain "$shards/512/train" "${given[@]}" "${base[@]}" --length 512 --full-rows --batch 192 --micro-batch 64 --profile gpu-profile.txt
python -m bench.pretrain "$shards/512/train" "${given[@]}" "${base[@]}" --length 512 --batch 192 --micro-batch 64
python -m bench.pretrain "$shards/128/train" "${given[@]}" "${base[@]}" --length 128 --full-rows --batch 768 --micro-batch 256
python -m bench.pretrain "$shards/128/train" "${given[@]}" "${base[@]}" --length 128 --batch 768 --micro-batch 256
python -m bench.pretrain "$shards/512/train" "${given[@]}" --layers 24 --hidden 1024 --length 512 --full-rows --batch 192 --micro-batch 16
