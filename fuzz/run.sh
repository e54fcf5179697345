#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds.
#
#   fuzz/run.sh [SECONDS [TARGET...]]      by default, 5 seconds for each of all targets
#
# It works with stable Rust and without cargo-fuzz, which would only set the flags below. They make the compiler count
# which code an input reaches; libFuzzer looks for inputs that reach more. libfuzzer-sys compiles libFuzzer, which needs
# a C++ compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-5}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(receiver responder deflate frames sender closing router timer topics)

host=$(rustc -vV | sed -n 's/^host: //p')
flags=(
  --cfg fuzzing
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Ccodegen-units=1
)
# With --target, the flags apply to the fuzz targets and their dependencies, but not to build scripts and derive macros.
RUSTFLAGS="${flags[*]}" cargo build --quiet --release --locked --target-dir target --target "$host" "${targets[@]/#/--bin=}"

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="artifacts/$target/")
  log=artifacts/$target/log
  if ! "target/$host/release/$target" "${options[@]}" "corpus/$target" >"$log" 2>&1; then
    cat "$log"
    echo "$target: failed. The input is in fuzz/artifacts/$target/; fuzz/README.md says how to run it again." >&2
    exit 1
  fi
  echo "$target: $(grep '^Done' "$log")"
done
