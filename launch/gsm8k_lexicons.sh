#!/usr/bin/env bash
# Real text through every part, with random models: prepares launch/recipes/gsm8k_lexicons.yaml's files from a data
# folder, trains both stages on two processes (one where there is one GPU), and evaluates on MGSM.
#   bash launch/gsm8k_lexicons.sh [DATA]     DATA holds gsm8k/train.jsonl, lexicons/en-XX.txt, mgsm/mgsm_XX.tsv
set -euo pipefail
data=$(realpath "${1:-../shared/data}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
run=runs/gsm8k_lexicons
mkdir -p "$run/data"
heldout=200
head -n -$heldout "$data/gsm8k/train.jsonl" > "$run/data/stage2.jsonl"
tail -n $heldout "$data/gsm8k/train.jsonl" > "$run/data/stage2_heldout.jsonl"
for part in "" _heldout; do
  lingualift-ds codeswitch --input "$run/data/stage2$part.jsonl" --split-sentences --lexicons "$data/lexicons" \
    --languages sw,hi,th,ur --ratio 0.3-1.0 --output "$run/data/stage1$part.jsonl"
done
[ -f "$run/models/llm/model.safetensors" ] ||
  lingualift-ds random-models --corpus "$run/data/stage1.jsonl,$run/data/stage2.jsonl" --output "$run/models"
ranks=$(python -c 'import torch; print(min(2, torch.cuda.device_count()) or 2)')
for stage in 1 2; do
  deepspeed --num_gpus "$ranks" launch/train.py --stage $stage --config launch/recipes/gsm8k_lexicons.yaml
done
lingualift-ds evaluate --model "$run/stage2" --tasks mgsm --data "$data/mgsm" --output "$run/evaluation" \
  --limit 50 --max-new-tokens 128
