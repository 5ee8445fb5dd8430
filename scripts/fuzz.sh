#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: fuzz.sh 5s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | grep -v '^webui/e2e/' | sort); do
    for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
        echo "fuzz $target in ./$(dirname "$file") for $time"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 "./$(dirname "$file")"
    done
done
