#!/usr/bin/env bash
# Real photographs before an RTSP camera, real weights, both embedders, everything killed once in the middle. Keeps the
# films, the logs, the counts and the confusions in artefacts/e2e (or in the folder given).
#   FOOTFALL_MODELS=…  a folder of weights      FOOTFALL_FACES=…  a folder of labelled photographs
set -euo pipefail
cd "$(dirname "$0")/.."

for needed in FOOTFALL_MODELS FOOTFALL_FACES; do
  if [ -z "${!needed:-}" ]; then
    echo "$needed names no folder; see the head of tests/e2e/test_photographs.py" >&2
    exit 2
  fi
done

folder="${1:-artefacts/e2e}"
rm -rf "$folder"
mkdir -p "$folder"
export FOOTFALL_E2E_ARTEFACTS="$(cd "$folder" && pwd)"

status=0
"${PYTHON:-.venv/bin/python}" -m pytest tests/e2e/test_photographs.py -v -s --junit-xml="$folder/junit.xml" || status=$?
echo "kept in $folder: $(ls "$folder" | tr '\n' ' ')"
exit "$status"
