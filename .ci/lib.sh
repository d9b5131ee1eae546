# shellcheck shell=sh
# What .ci/test, .ci/run and .ci/demo have in common. Sourced, with $root set.

jobs=$(nproc 2>/dev/null || echo 2)

# Configure and build: build DIR [CMAKE-OPTION...]. The output goes to DIR/build.log and is shown when
# something fails; what can be built is built nevertheless.
build() {
    build_dir=$1
    shift
    mkdir -p "$build_dir"
    if ! {
        cmake -S "$root" -B "$build_dir" "$@" &&
            cmake --build "$build_dir" --parallel "$jobs" -- -k $(keep_going "$build_dir")
    } >"$build_dir/build.log" 2>&1 </dev/null; then
        grep -E -A4 '(error|warning): |undefined reference|CMake Error' "$build_dir/build.log" |
            head -n 100
        return 1
    fi
}

# Ninja's -k wants a number, make's does not.
keep_going() {
    if [ -e "$1/build.ninja" ]; then echo 0; fi
}

# Count what ctest ran in a build directory: prints "PASSED FAILED". A program of many cases left a
# TAP file and counts with them; any other test counts as one, a skipped one not at all.
count_tests() {
    count_dir=$1
    sed -n 's/^[[:space:]]*<testcase name="\([^"]*\)".* status="\([a-z]*\)".*/\1 \2/p' \
        "$count_dir/junit.xml" | {
        passed=0 failed=0
        while read -r name status; do
            tap=$count_dir/test-results/$name.tap
            ok=0 bad=0
            if [ -f "$tap" ]; then
                ok=$(grep '^ok ' "$tap" | grep -ciE -v '# *skip') || true
                bad=$(grep -c '^not ok ' "$tap") || true
            elif [ "$status" = run ]; then
                ok=1
            fi
            # Killed, timed out or not started: a failure that no case tells of.
            if [ "$status" = fail ] && [ "$bad" -eq 0 ]; then bad=1; fi
            passed=$((passed + ok)) failed=$((failed + bad))
        done
        echo "$passed $failed"
    }
}

# Run the tests of a build directory: run_tests DIR [CTEST-OPTION...]. $launcher goes before ctest.
launcher=
run_tests() {
    tests_dir=$1
    shift
    rm -f "$tests_dir"/test-results/*.tap "$tests_dir/junit.xml"
    # shellcheck disable=SC2086
    $launcher ctest --test-dir "$tests_dir" --output-on-failure --no-tests=error \
        --output-junit "$tests_dir/junit.xml" "$@" </dev/null
}
