#!/bin/sh
# docs/FORMAT.md is complete: read_log.py, written from it alone, prints what `seglog cat -o json`
# prints, of logs in every state: sealed, active, in use, damaged, copied, cut short, golden.
#
# usage: test_format_document.sh PATH-OF-SEGLOG
set -eu
case $1 in
/*) seglog=$1 ;;
*) seglog=$PWD/$1 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then
    echo "no python3 here: left out"
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-format.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0

# same FACT DIR WANTED-STATUS: both readers print the same records and end with the same status.
same() {
    ours=0
    theirs=0
    "$seglog" cat -o json "$2" >ours 2>ours.err || ours=$?
    python3 "$here/read_log.py" "$2" >theirs 2>theirs.err || theirs=$?
    if [ $ours -eq "$3" ] && [ $theirs -eq "$3" ] && python3 - ours theirs <<'END'; then
import itertools, json, sys
ours, theirs = (map(json.loads, open(name, encoding="utf-8")) for name in sys.argv[1:])
for n, (a, b) in enumerate(itertools.zip_longest(ours, theirs)):
    if a != b:
        sys.exit("record %d: %s, by FORMAT.md %s" % (n, a, b))
END
        echo "ok - $1: $(wc -l <ours) records"
    else
        echo "not ok - $1: exit status $ours, by FORMAT.md $theirs, wanted $3"
        sed 's/^/    cat: /' ours.err
        sed 's/^/    read_log.py: /' theirs.err
        failures=$((failures + 1))
    fi
}

# poke DIR NUMBER OFFSET BYTES: overwrite bytes (as printf writes them) of a segment. ~ is another byte
# than the one that is there, which may be any: of a time, of something random.
poke() {
    segment=$1/$(printf %016x.seg "$2")
    bytes=$4
    if [ "$bytes" = '~' ]; then
        there=$(od -An -tu1 -j "$3" -N 1 "$segment")
        bytes=\\$(printf %03o $((there ^ 255)))
    fi
    printf "$bytes" | dd of="$segment" bs=1 seek="$3" conv=notrunc 2>/dev/null
}

# ---- golden logs -----------------------------------------------------------------------------------

for golden in "$here"/../golden/v1/*/; do
    name=$(basename "$golden")
    [ -f "$golden/settings.hex" ] || continue # not a whole log
    mkdir "$name"
    python3 - "$golden" "$name" <<'END'
import glob, os, sys
for path in glob.glob(os.path.join(sys.argv[1], "*.hex")):
    lines = open(path).read().split("\n")
    data = bytearray(int(lines[0].split()[1]))
    for line in filter(None, lines[1:]):
        offset, text = line.split()
        data[int(offset, 16):int(offset, 16) + len(text) // 2] = bytes.fromhex(text)
    open(os.path.join(sys.argv[2], os.path.basename(path)[:-4]), "wb").write(data)
END
    same "the golden log $name" "$name" 0
done

# ---- a log of every kind of record -----------------------------------------------------------------

"$seglog" create log --segment-size 64K
same "a log without a segment" log 1
python3 - >mixed <<'END'
import sys
for i in range(1500):
    record = bytes(i * 7 % 256 for i in range(i * 37 % 311))
    if i % 3:
        record = ("record %d \u00e9\u4e2d\U0001f600\x7f\\\"" % i).encode() * (i % 5)
    sys.stdout.buffer.write(len(record).to_bytes(4, "little") + record)
END
"$seglog" append -p --tag 7 log mixed
seq 1 1000 | "$seglog" append --tag 4294967295 log
head -c 16000 /dev/zero | "$seglog" append --whole log -
same "a log of several segments" log 0
segments=$(ls log/*.seg | wc -l)
[ "$segments" -ge 4 ] || { echo "not ok - only $segments segments"; failures=$((failures + 1)); }

# ---- in use ----------------------------------------------------------------------------------------

mkfifo pipe
"$seglog" append log <pipe &
producer=$!
exec 3>pipe
seq 2000 2100 >&3
tries=0
until [ "$("$seglog" cat --from last log 2>/dev/null)" = 2100 ]; do
    tries=$((tries + 1))
    [ $tries -lt 6000 ] || { echo "not ok - the producer appends nothing"; exit 1; }
    sleep 0.01
done
same "a log in use" log 0
cp -r log in-use 2>cp.err || grep -q '\.tmp' cp.err # what is being prepared may get its name meanwhile
exec 3>&-
wait $producer
same "a log taken away while in use" in-use 0
"$seglog" seal log
same "a sealed log" log 0

# ---- archived --------------------------------------------------------------------------------------

cp -r log archived
"$seglog" archive archived >/dev/null
[ "$(ls archived/*.arc | wc -l)" -ge 4 ] || { echo "not ok - no archives"; failures=$((failures + 1)); }
same "an archived log" archived 0
cp log/"$(printf %016x.seg 1)" archived/
same "a segment beside its archive" archived 0
poke archived 1 65000 '~'
same "a segment without a footer beside its archive" archived 0

# ---- damaged ---------------------------------------------------------------------------------------

for fault in "payload 1 20520 ~" "header 1 20496 ~" "word 1 20484 ~" \
    "zeros 1 20480 $(printf '\\000%.0s' 1 2 3 4 5 6 7 8)" "header-page 1 100 ~" \
    "activation 1 4096 ~" "footer 1 65000 ~" "first-footer 0 65000 ~"; do
    set -- $fault
    rm -rf bad
    cp -r log bad
    poke bad "$2" "$3" "$4"
    case $1 in
    activation | footer | first-footer) same "damage in a sealed segment: $1" bad 0 ;;
    *) same "damage in a sealed segment: $1" bad 65 ;;
    esac
done
rm -rf bad
cp -r log bad
rm "bad/$(printf %016x.seg 1)"
same "a missing segment" bad 65

# In an unsealed segment of a copy the first bad frame is the end.
"$seglog" create tail --segment-size 64K
seq 1 50 | "$seglog" append tail
for fault in "payload 20576 ~" "header 20560 ~" "word 20548 ~"; do
    set -- $fault
    rm -rf bad
    cp -r tail bad
    poke bad 0 "$2" "$3"
    same "the end of a copied log: $1" bad 0
done
# In place it is damage: this boot wrote it, so it was good once.
poke tail 0 20560 '~'
same "damage in the active segment of this boot" tail 65

[ $failures -eq 0 ]
