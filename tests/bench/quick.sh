#!/usr/bin/env bash
# Compares the benchmarks of this checkout with those of another commit by the instructions that they
# execute: these stay the same on a machine whose speed does not.
#
#     quick.sh COMMIT
set -euo pipefail
base=${1:?usage: quick.sh COMMIT}
here=$(git rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/base" 2>/dev/null; rm -rf "$work"' EXIT
command -v valgrind >/dev/null || { echo "valgrind is needed to count instructions" >&2; exit 1; }

# name ⇥ instructions of each benchmark of a checkout.
count() {
  (cd "$1" && cargo bench --workspace --bench decode --bench files --features loglake-format/stages \
      --no-run --message-format json-render-diagnostics) \
    | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | while read -r bin; do
      "$bin" --list 2>/dev/null | sed -n 's/: benchmark$//p' | while read -r name; do
        counted=$(valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
            "$bin" --test --exact "$name" 2>&1 | sed -n 's/.*I *refs: *//p' | tr -d ,)
        printf '%s\t%s\n' "$name" "$counted"
      done
    done | sort
}

git -C "$here" worktree add --quiet --detach "$work/base" "$base"
count "$here" >"$work/now.tsv"
count "$work/base" >"$work/before.tsv"
join -t "$(printf '\t')" "$work/before.tsv" "$work/now.tsv" | awk -F '\t' '
  BEGIN { printf "%-24s %16s %16s %8s\n", "", "before", "now", "ratio" }
  { printf "%-24s %16d %16d %8.3f\n", $1, $2, $3, $3 / $2; if ($3 > 1.05 * $2) worse = 1 }
  END { if (worse) { print "more than 5 % worse"; exit 1 } }'
