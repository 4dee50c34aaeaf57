# The commands people type. `just` lists them; what each needs is said in the script it calls.

_default:
    @just --list

# Format, lints, documentation
check:
    cargo fmt --check
    cargo clippy --release --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# All tests but those with containers; starts clusters
test:
    cargo test --release --locked

# Unit tests and checks whose names contain FILTER; starts no cluster
test-one FILTER:
    cargo test --release --locked --lib --test checks -- '{{ FILTER }}'

# End-to-end tests whose names contain FILTER; starts a cluster
e2e FILTER='':
    cargo test --release --locked --test e2e -- '{{ FILTER }}'

# Breaks a cluster at random, ROUNDS times
chaos ROUNDS='10':
    cargo run --release --locked --example chaos -- --rounds '{{ ROUNDS }}'

# Tests with containers; needs Docker and the images (scripts/containers)
containers FILTER='':
    cargo test --release --locked --test containers -- '{{ FILTER }}'

# Instructions of each stage of a run, against the baseline; needs Valgrind
instructions *ARGS:
    scripts/instructions.sh {{ ARGS }}

alias bench := instructions

# Fuzzing
fuzz *ARGS:
    scripts/fuzz.sh {{ ARGS }}

# The long suites: all, or those named
slow *SUITES:
    .ci/slow {{ SUITES }}

# Everything a change must pass
ci:
    .ci/run

# Writes the third-party notices anew; with --check compares only
notices *ARGS:
    scripts/notices.sh {{ ARGS }}

# Licences, sources and advisories of the dependencies
deny:
    scripts/deny.sh

# Checks the workflows for GitHub
workflows:
    scripts/workflows.sh
