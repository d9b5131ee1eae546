#!/bin/bash
# Measuring: a short run has every figure, next to its floor, and leaves nothing behind. What the
# figures are is not asserted; that depends on the machine.
. "$(dirname "$0")/lib.sh"

mkdir place
run bench --time 100ms --json place
status_is 'a short run' 0
err_is_empty 'without a word on stderr'
is 'one object' "$(jq -cs 'length, .[0].complete, .[0].place' out | tr '\n' ' ')" '1 true "place" '
is 'appends of both modes and four sizes' \
    "$(jq -c '[.append[] | [.mode, .bytes]] | sort' out)" \
    '[["exclusive",64],["exclusive",256],["exclusive",1024],["exclusive",4096],["shared",64],["shared",256],["shared",1024],["shared",4096]]'
is 'each with its floors' \
    "$(jq '[.append[] | .ns > 0 and .memcpy_ns > 0 and .write_ns > 0 and .per_memcpy > 0] | all' out)" true
is 'latencies of both modes and of the floors' "$(jq -c '[.latency[].what]' out)" \
    '["append exclusive","append shared","floor: memcpy","floor: write"]'
ordered='.p50_ns > 0 and .p50_ns <= .p99_ns and .p99_ns <= .p999_ns and .p999_ns <= .max_ns'
is 'as percentiles in order' "$(jq "[.latency[] | $ordered] | all" out)" true
if [ "$(nproc)" -ge 2 ]; then
    is 'there and back in three sizes' "$(jq -c '[.follow[].bytes]' out)" '[64,256,1024]'
    is 'next to a cache line' \
        "$(jq "[.follow[] | $ordered and .floor_p50_ns > 0 and .per_floor > 0] | all" out)" true
    is 'rings in four sizes, one and 32 a call' \
        "$(jq -c '[.ring[] | [.how, .bytes]] | sort' out)" \
        '[["array",8],["array",64],["array",256],["array",1024],["batched",8],["batched",64],["batched",256],["batched",1024],["single",8],["single",64],["single",256],["single",1024]]'
    is 'each next to memcpy' \
        "$(jq '[.ring[] | .ns > 0 and .million_per_s > 0 and .gb_per_s > 0 and .memcpy_ns > 0 and .per_memcpy > 0] | all' out)" true
    is 'and there and back' "$(jq -c '[.ring_trip[].bytes]' out)" '[64,256,1024]'
    is 'next to a line as well' \
        "$(jq "[.ring_trip[] | $ordered and .floor_p50_ns > 0 and .per_floor > 0] | all" out)" true
fi
if [ "$("$SEGLOG" doctor --json place | jq .volatile)" = true ]; then
    is 'nothing is durable here' "$(jq -c '[.volatile, .durable]' out)" '[true,[]]'
else
    is 'durable batches in all sizes' "$(jq -c '[.durable[] | .batch * 10000 + .bytes] | length, (unique | length)' out | tr '\n' ' ')" '12 12 '
    is 'next to their floor' \
        "$(jq "[.durable[] | $ordered and .records_per_s > 0 and .floor_records_per_s > 0 and .of_floor > 0] | all" out)" true
fi
is 'and nothing is left' "$(ls -A place)" ''

run bench --time 10ms --only append place
status_is 'for people' 0
out_like 'with a heading' '^mode +bytes +ns'
out_like 'and rows' '^exclusive +64 +[0-9.]+ '
! grep -q follow out
fact $? '--only leaves the rest out'
is 'again nothing is left' "$(ls -A place)" ''

# Stopped.
start stopped bench --time 1h --only append --json place
made() { [ -n "$(ls -d place/seglog-bench-* 2>/dev/null)" ]; } # not what the look at the place makes
until_true made
kill -TERM "$pid"
ends "$pid"
status_is 'stopped in order' 0
is 'which the result says' "$(jq .complete stopped.out)" false
is 'and again nothing is left' "$(ls -A place)" ''

refused 'no such place' 66 bench nosuch
refused 'a file is no place' 66 bench out
refused 'an unknown section' 2 bench --only nothing
refused 'a time that is none' 2 bench --time 5
done_testing
