#!/bin/bash
# Exit statuses that a log or a machine in trouble gives.
. "$(dirname "$0")/lib.sh"

# Where leaks are looked for, that needs descriptors of its own.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

# Limits of this process: unavailable, whatever the command, and nothing is half done.
limited() { # DESCRIPTORS ARGS...
    last=$*
    prlimit --nofile="$1" "$SEGLOG" "${@:2}" >out 2>err </dev/null
    code=$?
}
"$SEGLOG" create log --segment-size 64K
seq 0 4999 | "$SEGLOG" append log
for command in cat tail info verify append seal; do
    met=0
    for n in $(seq 3 40); do
        limited "$n" $command log
        [ $code -ne 127 ] || continue # not even the loader could open its files
        [ $code -ne 0 ] || break
        [ $code -eq 69 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q 'ulimit -n' err || break
        met=$((met + 1))
    done
    status_is "$command works as soon as it may open enough files" 0
    [ $met -gt 0 ]
    fact $? "before that it says that too few are allowed"
done
for n in $(seq 3 40); do
    limited "$n" create new
    [ $code -eq 127 ] || break
done
status_is 'create, too' 69
[ ! -e new ]
fact $? 'and leaves nothing'
run verify log
status_is 'the log is sound' 0

# A medium that fails; reading the memory at address 0 does.
last='append from a file that cannot be read'
"$SEGLOG" append log /proc/self/mem >out 2>err
code=$?
status_is 'a FILE whose medium fails is 74' 74
err_like 'which is named' '^seglog: append: /proc/self/mem: Input/output error'

# A sync failed in this boot: bit 1 of `attention`, at 128 in `live`.
"$SEGLOG" create poisoned --segment-size 64K
seq 1 10 | "$SEGLOG" append poisoned
printf '\2' | dd of=poisoned/live bs=1 seek=128 conv=notrunc status=none
refused 'a poisoned log takes no record' 74 append poisoned
err_like 'and can still be read' 'the log can still be read; seglog info tells more$'
refused 'nor a seal' 74 seal poisoned
run cat poisoned
out_is 'which is true' "$(seq 1 10)"
is 'info tells' "$("$SEGLOG" info --json poisoned | jq .poisoned)" true

# Settings that are damaged: bad data, and damage for verify.
cp -r log broken
printf x | dd of=broken/settings bs=1 seek=100 conv=notrunc status=none
for command in append cat info seal; do
    refused "damaged settings: $command" 65 $command broken
done
run verify broken
status_is 'damaged settings: verify' 1
done_testing
