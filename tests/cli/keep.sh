#!/bin/bash
# cursor, trim, config: what is stored, what goes, and what holds it back.
. "$(dirname "$0")/lib.sh"

"$SEGLOG" create log --segment-size 64K --keep-segments 1000 && seq 0 9999 | "$SEGLOG" append log
fact $? "a log with a rule of its own"
"$SEGLOG" config log | grep -qx 'keep-segments=1000'
fact $? "config shows the rule"
"$SEGLOG" cursor ls log
[ $? -eq 1 ]
fact $? "no cursor at all is 1"
"$SEGLOG" cursor set --dry-run log c 5000 | grep -q '5000'
fact $? "a dry run says where it would be"
"$SEGLOG" cursor show log c 2>err
[ $? -eq 1 ]
fact $? "and makes none"
"$SEGLOG" cursor set log c 5000 && "$SEGLOG" cursor show --json log c | grep -q '"lag_records": 5000,'
fact $? "set stores a place, show says how far it is behind"
before=$("$SEGLOG" info --json log | jq "del(.cursors)")
"$SEGLOG" trim --dry-run --keep-segments 2 log >out 2>err && grep -q 'by segments' out
fact $? "a dry run says what would go, and why"
[ "$before" = "$("$SEGLOG" info --json log | jq "del(.cursors)")" ]
fact $? "and changes nothing"
"$SEGLOG" trim --keep-segments 2 log 2>err && grep -q 'held back by cursor c' err
fact $? "trim held back by a cursor is 0 and says so"
[ "$("$SEGLOG" cat log --from 5000 -n 1)" = 5000 ]
fact $? "what the cursor has to read is there"
"$SEGLOG" trim --force --keep-segments 2 log 2>err && "$SEGLOG" cursor ls log | grep -q trimmed
fact $? "forced, it goes, and the cursor says so"
"$SEGLOG" cursor rm log c && [ "$("$SEGLOG" cursor rm log c 2>/dev/null; echo $?)" = 1 ]
fact $? "rm removes it once"
"$SEGLOG" config log keep-segments=off keep-age=7d && "$SEGLOG" config log | grep -qx 'keep-segments=off'
fact $? "config changes settings"
"$SEGLOG" config log segment-size=1M 2>err
[ $? -eq 2 ]
fact $? "but not those that may not change"
done_testing
