#!/usr/bin/env bash
# Makes the records of the benchmark: of the shared generator where it stands beside the checkout, else
# of `loglake demo`.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
generator="$here/../../../shared/logs/loggen.py"
mkdir -p "$(dirname "$out")"
if [ -f "$generator" ]; then
  python3 "$generator" --rows 5000000 --seed 1 --rate 100 \
    --needle 1234567:quetzalcoatl-58213 --needle 4321098:quetzalcoatl-58213 --out "$out.part"
else
  "${CARGO_TARGET_DIR:?}/release/loglake" demo --records 5000000 --seed 1 --print > "$out.part"
fi
mv "$out.part" "$out"
