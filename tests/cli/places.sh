#!/bin/bash
# Places: where to start and where to end.
. "$(dirname "$0")/lib.sh"

# One process each, so that every record has a time of its own.
for i in 0 1 2 3 4 5 6 7 8 9; do
    "$SEGLOG" append log <<<"r$i"
done
stamp_of() {
    "$SEGLOG" cat log --from "$1" -n 1 -f "${2:-%T}"
}
prints() { # FACT WANT ARGS...
    local text=$1 want=$2
    shift 2
    run cat log "$@"
    is "$text" "$(tr -d 'r\n' <out)" "$want"
}

prints 'from the first' 0123456789 --from first
prints 'from the last' 9 --from last
prints 'from a number' 3456789 --from 3
prints 'from N before the end' 789 --from -3
prints 'from more before the end than there are' 0123456789 --from -99
prints 'to a number: it is not printed' 012 --to 3
prints 'to the last' 012345678 --to last
prints 'to the end' 0123456789 --to end
prints 'to N before the end' 0123456 --to -3
prints 'to beyond the end' 0123456789 --to 99
prints 'between numbers' 345 --from 3 --to 6
prints 'between places of both kinds' 56 --from -5 --to 7
prints 'one record' 4 --from 4 --to 5
prints 'at most so many of an interval' 34 --from 3 --to 6 -n 2
prints 'an interval backward' 543 --from 3 --to 6 --reverse
prints 'so many of it' 54 --from 3 --to 6 --reverse -n 2
prints 'backward from N before the end' 987 --from -3 --reverse
prints 'backward to the end' 9876543210 --to end --reverse

for interval in '--from end' '--from 10' '--to first' '--to 0' '--from 5 --to 5' '--from 6 --to 3' \
    '--to -99' '--from -0'; do
    # shellcheck disable=SC2086
    run cat log $interval
    status_is "$interval holds nothing" 1
    err_is_empty 'without a word'
done
run cat log --from 11
status_is 'a number that is not there yet' 1
err_like 'is worth a word' 'the log has not got there yet'
run cat log --from 11 -q
err_is_empty 'but not with -q'

# Times.
t3=$(stamp_of 3)
n3=$(stamp_of 3 %t)
t6=$(stamp_of 6)
prints 'from a time' 3456789 --from "@$t3"
prints 'to a time: it is not printed' 012 --to "@$t3"
prints 'between times' 345 --from "@$t3" --to "@$t6"
prints 'seconds since the epoch' 3456789 --from "@${n3%?????????}.${n3: -9}"
prints 'a nanosecond earlier' 3456789 --from "@$(printf '%d.%09d' $(((n3 - 1) / 1000000000)) $(((n3 - 1) % 1000000000)))"
prints 'a nanosecond later' 456789 --from "@$(printf '%d.%09d' $(((n3 + 1) / 1000000000)) $(((n3 + 1) % 1000000000)))"
east=$(date -u -d "${t3%.*}Z +2 hours" +%Y-%m-%dT%H:%M:%S).${t3#*.}
prints 'with an offset' 3456789 --from "@${east%Z}+02:00"
prints 'an hour ago' 0123456789 --from @-1h
prints 'up to an hour ago' '' --to @-1h
prints 'long ago' 0123456789 --from @0
prints 'up to the far future' 0123456789 --to @2200-01-01T00:00:00Z
prints 'from the far future' '' --from @2200-01-01T00:00:00Z
prints 'a time and a number' 34 --from "@$t3" --to 5

for place in '' x FIRST + +1 1x 1.5 -x -- -1x @ @x @- @-5 @-5x @1e9 @2026- @2026-11-21 \
    @2026-11-21T04:05:06 @2026-02-29T00:00:00Z @2026-11-21T24:00:00Z @1969-12-31T23:59:59Z \
    @2026-11-21T04:05:06Zx 99999999999999999999 @99999999999999999999 ' 1' '1 '; do
    refused "--from '$place' is refused" 2 cat log "--from=$place"
done
refused '--to is as careful' 2 cat log --to x
refused 'and tail' 2 tail log --from x

# Through many small segments, sealed and not.
"$SEGLOG" create small --segment-size 64K
seq 0 9999 | "$SEGLOG" append small
for seal in no yes; do
    if [ $seal = yes ]; then "$SEGLOG" seal small; fi
    run cat small --from 1234 --to 8765
    seq 1234 8764 >want
    same_bytes "numbers across segments (sealed: $seal)" out want
    run cat small --from 1234 --to 8765 --reverse
    seq 8764 -1 1234 >want
    same_bytes "backward across segments (sealed: $seal)" out want
    run cat small --from -4321 --to -1234
    seq 5679 8765 >want
    same_bytes "from the end across segments (sealed: $seal)" out want
    t=$("$SEGLOG" cat small --from 5000 -n 1 -f %T)
    run cat small --to "@$t" --reverse -n 1 -f %o
    before=$(cat out)
    run cat small --from "@$t" -n 1 -f %o
    is "times meet without a gap (sealed: $seal)" "$(cat out)" "$((before + 1))"
done
done_testing
