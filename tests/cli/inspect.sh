#!/bin/bash
# info, seal, doctor.
. "$(dirname "$0")/lib.sh"

"$SEGLOG" create log --segment-size 64K
run info --json log
is 'an empty log' "$(jq -c '[.records,.first_seq,.next_seq,.bytes,.void,.appenders,.poisoned,.waiting_claim]' out)" \
    '[0,0,0,0,0,0,false,null]'
is 'its level' "$(jq -r .sync out)" sealed
seq 0 4999 | "$SEGLOG" append log --tag 2
run info --json log
is 'counts' "$(jq -c '[.records,.first_seq,.next_seq,.bytes]' out)" '[5000,0,5000,18890]'
is 'segments add up' "$(jq -c '[(.segments|map(.records)|add),(.segments|map(.bytes)|add)]' out)" '[5000,18890]'
is 'and follow one another' "$(jq '[.segments[]|select(.records>0)] as $s | [range(1;$s|length) | $s[.].first_seq == $s[.-1].first_seq + $s[.-1].records] | all' out)" true
is 'states are known ones' "$(jq -r '.segments[].state' out | sort -u | grep -vxE 'spare|active|full|sealed' | wc -l)" 0
is 'one is active' "$(jq '[.segments[]|select(.state=="active")]|length' out)" 1
is 'every field is there' "$(jq '.segments | map(has("number") and has("state") and has("first_seq") and has("records") and has("bytes") and has("min_time") and has("max_time")) | all' out)" true
is 'also of the log' "$(jq 'has("durable_seq") and has("void") and has("appenders") and has("sync") and has("poisoned") and has("io_engine") and has("waiting_claim")' out)" true
is 'times are those of the records' "$(jq -r '[.segments[]|select(.records>0)][0].min_time' out)" "$("$SEGLOG" cat log -n 1 -f %T)"
is 'and null where there are none' "$("$SEGLOG" create e && "$SEGLOG" info --json e | jq -c '[.segments[]|select(.min_time != null)]')" '[]'
run info log
status_is 'for people' 0
out_like 'records' '^records +5000, numbers 0 to 5000'
out_like 'segments' '^SEGMENT +STATE'
refused 'no log' 66 info nosuch
refused 'no log in JSON' 66 info --json nosuch
mkdir files && touch files/x
refused 'other files' 66 info files

run seal log
status_is 'sealing' 0
err_is_empty 'without a word'
[ ! -s out ]
fact $? 'on either stream'
is 'all is sealed' "$("$SEGLOG" info --json log | jq -r '[.segments[]|select(.records>0)|.state]|unique[]')" sealed
is 'and durable' "$("$SEGLOG" info --json log | jq .durable_seq)" 5000
run seal -v log
status_is 'again: nothing to seal is no failure' 0
err_like 'which -v says' 'log: nothing to seal'
echo x | "$SEGLOG" append log
run seal -v log
err_like '-v counts' 'log: sealed 1 segment$'
run seal log --timeout 0 --evict-after 1s
status_is 'with its options' 0
refused 'a timeout that is none' 2 seal log --timeout 5
refused 'an age that is none' 2 seal log --evict-after soon
refused 'no log to seal' 66 seal nosuch
[ ! -e nosuch ]
fact $? 'and none is made'
run cat log --from 4999
out_is 'sealed records are read' $'4999\nx'

run doctor
status_is 'the current directory will do' 0
out_like 'it speaks of the file system' 'local file system'
out_like 'and of io_uring' '^io_uring'
out_like 'with a verdict' 'log can live here'
run doctor --json "$work"
is 'in JSON' "$(jq -c '[.ok, (.file_system|type), (.cpus > 0), (.io_uring|type)]' out)" '[true,"string",true,"boolean"]'
[ -z "$(ls -A e.doctor 2>/dev/null)" ]
fact $? 'nothing is left behind'
is 'which engine a log would get' "$(SEGLOG_IO=threads "$SEGLOG" doctor --json | jq -r .io_engine)" threads
is 'also in info' "$(SEGLOG_IO=threads "$SEGLOG" info --json log | jq -r .io_engine)" threads
is 'and why not the other' "$(jq 'if .io_uring then .io_uring_why_not == null and .io_uring_errno == null else (.io_uring_why_not|length) > 0 and (.io_uring_errno|startswith("E")) end' out)" true
export SEGLOG_IO=threads
run doctor
out_like 'with what was asked for' '^disk work +threads \(SEGLOG_IO=threads\)'
unset SEGLOG_IO
if [ "$("$SEGLOG" doctor --json | jq .io_uring)" = true ]; then
    is 'io_uring where it may' "$("$SEGLOG" doctor --json | jq -r .io_engine)" io_uring
else
    echo '# io_uring is forbidden here'
    export SEGLOG_IO=uring
    refused 'a demand that cannot be met' 69 seal log
fi
export SEGLOG_IO=threads
seq 5 | "$SEGLOG" append engine
run seal engine
status_is 'sealing by threads' 0
export SEGLOG_IO=rings
refused 'an engine that there is not' 2 seal engine
err_like 'by its name' "SEGLOG_IO: 'rings' is none of uring, threads, auto"
unset SEGLOG_IO
refused 'a place that is not there' 66 doctor nosuch
run doctor /dev/shm
out_like 'memory is called what it is' 'until the power fails|cannot|keeps'
run doctor --json /proc
status_is 'no log can live in /proc' 69
is 'in JSON too' "$(jq .ok out)" false
done_testing
