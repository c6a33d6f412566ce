#!/usr/bin/env bash
# Re-makes requirements/*.txt from pyproject.toml; called by `make lock`.
#
# One resolution for all: dev.txt pins everything, each tier's file starts from it, so that
# a version is the same in every file. The files hold hashes and no download addresses.
# Arguments go to pip-compile: `make lock ARGS=--upgrade`.
set -euo pipefail
cd "$(dirname "$0")/.."
export CUSTOM_COMPILE_COMMAND="make lock"

compile() {
    .venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
        --output-file "requirements/$1.txt" "${@:2}" pyproject.toml
}

compile dev --extra edge --extra hub --extra hq --extra onnx --extra flash --extra postgres --extra s3 --extra dev "$@"
for tier in edge hub hq onnx flash postgres s3; do
    cp requirements/dev.txt "requirements/$tier.txt"
    compile "$tier" --extra "$tier"
done
