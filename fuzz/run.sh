#!/usr/bin/env bash
# Runs every fuzz target for its share of some seconds: what `make fuzz` calls. An input that was found is kept in target/fuzz/<target>/found, new inputs that
# reach more code in target/fuzz/<target>/corpus, so that the next run goes on from there.
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1

# By how much there is to be found. Memory is limited, so that an input that needs a lot of it is a finding, as one that takes long is.
declare -A weights=([door]=4 [strangers]=2 [transactions]=2 [requests]=2 [frames]=2 [patterns]=1 [scores]=1)
limits=(-rss_limit_mb=1024 -timeout=20 -max_len=8192 -print_final_stats=1)

echo "fuzz: building, a few minutes the first time"
cargo build --quiet --release --bins
programs=$(echo ../target/fuzz/build/*/release)
total=0
for weight in "${weights[@]}"; do total=$((total + weight)); done

found=()
inputs=0
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null' EXIT
for target in door strangers transactions requests frames patterns scores; do
    share=$((seconds * weights[$target] / total))
    [ "$share" -gt 0 ] || share=1
    folder=../target/fuzz/$target
    mkdir -p "$folder/corpus" "$folder/found"
    words=()
    [ ! -e "dictionaries/$target" ] || words=(-dict="dictionaries/$target")
    "$programs/$target" "${limits[@]}" "${words[@]}" -max_total_time="$share" -artifact_prefix="$folder/found/" "$folder/corpus" "seeds/$target" \
        >"$folder/log" 2>&1 &
    child=$!
    while sleep 5 && kill -0 "$child" 2>/dev/null; do
        echo "fuzz: $target, $share s: $(grep -a -o '^#[0-9]*.*corp' "$folder/log" | tail -1 | sed 's/ corp$//')"
    done
    wait "$child" || found+=("$target")
    child=
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/log")
    inputs=$((inputs + ${executed:-0}))
    echo "fuzz: $target: ${executed:-an unknown number of} inputs in $share s"
done

if [ ${#found[@]} -gt 0 ]; then
    for target in "${found[@]}"; do
        echo "fuzz: $target failed, its input is in target/fuzz/$target/found; the end of its log:"
        grep -a -v '^#' "../target/fuzz/$target/log" | tail -30
    done
    echo "make fuzz: FAILED: ${found[*]}"
    exit 1
fi
echo "make fuzz: passed, $inputs inputs"
