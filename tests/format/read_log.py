#!/usr/bin/env python3
"""Print the records of a log as JSON lines: a second reader, written from docs/FORMAT.md alone.

It shares no code with the library, uses nothing but Python's own library, and is here to prove that
the document is complete. It is slow. The hashes of a seal (XXH3-128), which readers need not check,
are not checked.

usage: read_log.py DIR
Damage is told on stderr. Exit status: 0 done, 1 no record, 65 damage was met, 66 no log.
"""
import base64
import datetime
import fcntl
import json
import os
import re
import struct
import sys

# FORMAT, "Checksums"
CRC_TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    CRC_TABLE.append(i)


def crc(start, data):
    register = start ^ 0xFFFFFFFF
    for byte in data:
        register = CRC_TABLE[(register ^ byte) & 255] ^ register >> 8
    return register ^ 0xFFFFFFFF


def rotated(value, bits):
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


def xxh32(data):
    """The checksum of LZ4's own frames (https://github.com/Cyan4973/xxHash, with seed 0)."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    at, value = 0, p5
    if len(data) >= 16:
        lanes = [p1 + p2 & 0xFFFFFFFF, p2, 0, -p1 & 0xFFFFFFFF]
        for words in struct.iter_unpack("<4I", data[:len(data) // 16 * 16]):
            lanes = [rotated(a + b * p2 & 0xFFFFFFFF, 13) * p1 & 0xFFFFFFFF
                     for a, b in zip(lanes, words)]
        at = len(data) // 16 * 16
        value = sum(rotated(a, bits) for a, bits in zip(lanes, (1, 7, 12, 18)))
    value = value + len(data) & 0xFFFFFFFF
    while at + 4 <= len(data):
        value = rotated(value + u32(data, at) * p3 & 0xFFFFFFFF, 17) * p4 & 0xFFFFFFFF
        at += 4
    for byte in data[at:]:
        value = rotated(value + byte * p5 & 0xFFFFFFFF, 11) * p1 & 0xFFFFFFFF
    value = (value ^ value >> 15) * p2 & 0xFFFFFFFF
    value = (value ^ value >> 13) * p3 & 0xFFFFFFFF
    return value ^ value >> 16


def unpacked(block):
    """One LZ4 block (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md)."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15:
            total += block[at]
            at += 1
            if block[at - 1] != 255:
                break
        return total

    while at < len(block):
        token = block[at]
        at += 1
        literals = length(token >> 4)
        out += block[at:at + literals]
        at += literals
        if at >= len(block):
            break
        back = block[at] | block[at + 1] << 8
        at += 2
        match = length(token & 15) + 4
        while match > 0:
            piece = out[len(out) - back:][:match]
            out += piece
            match -= len(piece)
    return bytes(out)


class Refused(Exception):
    """The log, or one of its files, is not for this reader."""


class Damaged(Exception):
    """Bytes fail a check."""


def u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]


def file_head(page, magic):
    """FORMAT, "What files begin with": the questions in their order. Gives the UUID."""
    if page[0:8] != magic:
        raise Damaged("magic")
    if u32(page, 8) == 0x04030201:
        raise Refused("the other byte order")
    if crc(0, page[0:4092]) != u32(page, 4092):
        raise Damaged("checksum of the first page")
    if u32(page, 8) != 0x01020304:
        raise Damaged("byte order mark")
    if struct.unpack_from("<H", page, 12)[0] != 1:
        raise Refused("another format version")
    if u64(page, 16) != 0:
        raise Refused("an unknown feature")
    return page[40:56]


def boot_id_now():
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except OSError:
        return None


SAME, OTHER, UNKNOWN = "same", "other", "unknown"


def boot_relation(mark, stat, now):
    """FORMAT, "Boot marks"."""
    if crc(0, mark[0:36]) != u32(mark, 36):
        return OTHER
    if now is None or mark[0:16] == bytes(16):
        return UNKNOWN
    if mark[0:16] != now:
        return OTHER
    if u64(mark, 16) != stat.st_dev or u64(mark, 24) != stat.st_ino:
        return UNKNOWN
    return SAME


class Log:
    def __init__(self, directory):
        self.dir = directory
        page = self.read("settings")
        if page is None or len(page) != 4096:
            raise Refused("no settings of 4096 bytes")
        try:
            self.uuid = file_head(page, b"SEGLOGc\n")
        except Damaged as why:
            raise Refused("settings: %s" % why)
        self.boot_id = boot_id_now()
        self.floor_number, self.floor_seq = self.read_floor()

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def read_floor(self):
        best = (0, 0, 0)
        data = self.read("floor") or b""
        for at in (0, 4096):
            page = data[at:at + 4096]
            if (len(page) == 4096 and page[0:8] == b"SEGLOGr\n" and page[8:24] == self.uuid
                    and crc(0, page[0:4092]) == u32(page, 4092)):
                best = max(best, (u64(page, 24), u64(page, 32), u64(page, 40)))
        return best[1], best[2]

    def numbers(self):
        names = (re.fullmatch(r"([0-9a-f]{16})\.(?:seg|arc)", name) for name in os.listdir(self.dir))
        return sorted({int(name[1], 16) for name in names if name})

    # ---- FORMAT, "Is the producer dead?" ------------------------------------------------------

    def is_locked(self, byte):
        try:
            fd = os.open(self.path("owners"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
            answer = fcntl.fcntl(fd, getattr(fcntl, "F_OFD_GETLK", 36), ask)
        finally:
            os.close(fd)
        return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK

    def live(self):
        """The file `live`, if what it says is about this boot and this log."""
        data = self.read("live")
        if data is None or len(data) != 69632 or u64(data, 64) != 1:
            return None
        if data[0:8] != b"SEGLOGl\n" or data[8:24] != self.uuid:
            return None
        if self.boot_id is None:
            return data if self.is_locked(0) else None
        relation = boot_relation(data[24:64], os.stat(self.path("live")), self.boot_id)
        return data if relation == SAME else None

    def owner_is_dead(self, live, slot, generation):
        return u32(live, 4096 + 64 * slot) != generation or not self.is_locked(64 + slot)


def image_of(archive):
    """FORMAT, "Archives": the segment in one. A block that fails its checks is taken as zeros."""
    end = archive[-64:]
    if (len(archive) < 4096 + 64 or u32(archive, 0) != 0x184D2A50 or end[0:8] != b"SEGLOGy\n"
            or crc(0, end[0:60]) != u32(end, 60) or u64(end, 16) != len(archive)
            or u64(archive, 80) > 1 << 30):
        raise Damaged("not an archive")
    size, block_bytes, table_off = u64(archive, 80), u32(archive, 100), u64(end, 24)
    table = archive[table_off + 8:table_off + 8 + 8 * u32(end, 32)]
    if crc(0, table) != u32(end, 40):
        raise Damaged("block table")
    image, at = bytearray(), 4096 + 15
    for stored, check in struct.iter_unpack("<II", table):
        wanted = min(block_bytes, size - len(image))
        block = archive[at + 4:at + 4 + (stored & 0x7FFFFFFF)]
        at += 4 + len(block) + 4
        if xxh32(block) == check:
            block = block if stored >> 31 else unpacked(block)
        image += block if len(block) == wanted else bytes(wanted)
    return bytes(image)


class Segment:
    """FORMAT, "Segments". Frames are read by walk()."""

    def __init__(self, log, number, archived=False):
        self.log, self.number = log, number
        name = log.path("%016x.%s" % (number, "arc" if archived else "seg"))
        with open(name, "rb") as file:
            self.stat = os.stat(file.fileno())
            self.data = image_of(file.read()) if archived else file.read()
        if len(self.data) < 4096:
            raise Damaged("the file is truncated")
        page = self.data[0:4096]
        uuid = file_head(page, b"SEGLOGs\n")
        size = u64(page, 72)
        self.discipline = u32(page, 92)
        if size & (size - 1) or not 65536 <= size <= 1 << 30 or u64(page, 64) == 0:
            raise Damaged("header out of range")
        index_bytes = (size // 65536 * 16 + 4095) // 4096 * 4096
        self.footer_off = size - 4096
        self.region_end = self.footer_off - index_bytes
        if u64(page, 80) != self.region_end or u32(page, 88) != 0x5000:
            raise Damaged("another layout")
        if self.discipline not in (1, 2):
            raise Refused("an unknown write discipline")
        if len(self.data) != size or uuid != log.uuid or u64(page, 56) != number:
            raise Damaged("not the segment that its name says")
        self.size, self.span_max = size, size // 4
        self.generation = u64(page, 64)
        self.seed = crc(0, page[64:72])
        self.relation = boot_relation(self.data[0x2080:0x20A8], self.stat, log.boot_id)
        if archived:
            self.relation = OTHER
        if self.relation == UNKNOWN and log.boot_id is None and log.live():
            self.relation = SAME
        self.mark = self.read_mark()
        self.footer = self.read_footer()
        self.activation = self.read_activation()
        self.end = self.region_end
        self.next_rel = None
        self.sealed = False

    def read_activation(self):
        """(base, epoch, generation of the one before); None: absent; False: bad."""
        block = self.data[0x1000:0x1030]
        if u64(block, 40) == 0:
            found = None
        elif (block[40:48] != b"SEGLOGa\n" or u64(block, 24) != self.generation
                or crc(0, block[0:36]) != u32(block, 36)):
            found = False
        else:
            found = struct.unpack_from("<QQQ", block)
        if not found and self.footer:
            found = (self.footer["base"], self.footer["epoch"], 0)
        return found

    def read_mark(self):
        best = None
        for at in (0x3000, 0x4000):
            slot = self.data[at:at + 64]
            if (slot[0:8] != b"SEGLOGm\n" or u64(slot, 8) != self.generation
                    or crc(0, slot[0:60]) != u32(slot, 60)):
                continue
            counter, offset, rel = struct.unpack_from("<QQQ", slot, 16)
            if 0x5000 <= offset <= self.region_end and offset % 32 == 0 and rel < 1 << 32:
                best = max(best or (0, 0, 0), (counter, offset, rel))
        return best and {"offset": best[1], "rel": best[2]}

    def read_footer(self):
        """The footer; None: never written; False: bad."""
        page = self.data[self.footer_off:]
        if page == bytes(4096):
            return None
        facts = {"base": u64(page, 24), "next": u64(page, 32), "epoch": u64(page, 40),
                 "end": u64(page, 48), "torn": u32(page, 152) & 1}
        if (page[0:8] != b"SEGLOGf\n" or crc(0, page[0:4092]) != u32(page, 4092)
                or u64(page, 8) != self.generation or u64(page, 16) != self.number
                or not 0x5000 <= facts["end"] <= self.region_end or facts["end"] % 32
                or not 0 <= facts["next"] - facts["base"] <= self.size):
            return False
        return facts

    def settle(self, base, epoch, after):
        """What the segment begins with is known; after: the activation of the next one, if any."""
        self.base, self.epoch = base, epoch
        if self.footer and self.footer["base"] == base:
            self.sealed = True
            self.end, self.next_rel = self.footer["end"], self.footer["next"] - base
            self.torn = self.footer["torn"]
        elif (self.footer is False and self.mark and after and after[1] > epoch
                and after[0] == base + self.mark["rel"]):
            self.sealed, self.torn = True, 1
            self.end, self.next_rel = self.mark["offset"], self.mark["rel"]
        elif self.discipline == 2 and self.relation == SAME:
            self.end = min(self.end, u64(self.data, 0x2040))

    # ---- FORMAT, "Word 0" ---------------------------------------------------------------------

    def word(self, at):
        """(kind, numbers, span, payload length) of the frame at `at`; Damaged."""
        word = u64(self.data, at)
        kind = word & 7
        if word == 0:
            return "empty", 0, 0, 0
        if kind == 2:
            length = word >> 32
            span = (32 + length + 31) // 32 * 32
            if word & 0xFFFFFFF8 != (1 << 3 | (self.generation & 0xFFFF) << 16):
                raise Damaged("word 0")
            count = 1
        elif kind in (1, 3, 4, 5):
            length, count, span = 0, word >> 28 & 0xFFF, (word >> 40) * 32
            if kind == 1:
                good = count > 0 and word >> 13 & 0x7FFF
            else:
                stripped = struct.pack("<Q", word & ~(0x1FFFFFF << 3))
                check = crc(self.seed ^ at // 32, stripped) & 0x1FFFFFF
                good = check == word >> 3 & 0x1FFFFFF and (count > 0) == (kind == 3)
            if kind == 5 and good and span == 0:
                return "roll", 0, self.region_end - at, 0
            if not good or kind == 5 or span == 0 or span // 32 < count:
                raise Damaged("word 0")
        else:
            raise Damaged("word 0")
        if span > self.span_max or at + span > self.region_end - 32:
            raise Damaged("word 0")
        return {1: "claimed", 2: "data", 3: "aborted", 4: "pad"}[kind], count, span, length

    def header(self, at):
        """(relative number, time, payload checksum, tag) of the record at `at`; Damaged."""
        h = self.data[at:at + 32]
        if crc(self.seed ^ at // 32, h[0:8] + h[16:32] + h[8:12]) != u32(h, 12):
            raise Damaged("header checksum")
        return u32(h, 8), u64(h, 16), u32(h, 24), u32(h, 28)

    def search(self, at, rel):
        """The next good record behind damage at `at`: (offset, relative number), or None."""
        for there in range(at + 32, min(self.end, self.region_end - 31), 32):
            if self.data[there] & 7 != 2:
                continue
            try:
                kind, _, span, _ = self.word(there)
                number = self.header(there)[0]
            except Damaged:
                continue
            if (there + span <= self.end and rel <= number <= rel + (there - at) // 32
                    and (not self.sealed or number <= self.next_rel)):
                return there, number
        return None


class Reader:
    def __init__(self, directory):
        self.log = Log(directory)
        self.records = 0
        self.damages = 0

    def damage(self, number, offset, first, end, why):
        self.damages += 1
        lost = "numbers %d to %d" % (first, end - 1) if end > first else "no number"
        print("segment %d, offset %d: %s; %s lost" % (number, offset, why, lost), file=sys.stderr)

    def open(self, number):
        """The segment, by FORMAT, "Archives", or its archive; None: no file; False: not usable."""
        found = None
        for archived in (False, True):
            try:
                segment = Segment(self.log, number, archived)
                if segment.footer or not os.path.exists(self.log.path("%016x.arc" % number)):
                    return segment
                found = found or segment
            except FileNotFoundError:
                pass
            except Damaged:
                found = False if found is None else found
        return found

    def record(self, segment, header, at, length):
        rel, time_ns, _, tag = header
        payload = segment.data[at + 32:at + 32 + length]
        seconds, ns = divmod(time_ns, 10**9)
        when = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
        record = {"seq": segment.base + rel, "time": when.strftime("%Y-%m-%dT%H:%M:%S.") +
                  "%09dZ" % ns, "tag": tag, "len": length}
        try:
            record["text"] = payload.decode("utf-8")
        except UnicodeDecodeError:
            record["base64"] = base64.b64encode(payload).decode("ascii")
        print(json.dumps(record, ensure_ascii=False))
        self.records += 1

    def claim_ends(self, segment, at):
        """FORMAT, "Where a log ends": does this open claim end the log for now?"""
        word = u64(segment.data, at)
        if segment.relation == OTHER:
            return True
        if segment.relation == UNKNOWN:
            return False
        live = self.log.live()
        if live is None:
            return self.log.is_locked(0)
        return not self.log.owner_is_dead(live, word >> 3 & 1023, word >> 13 & 0x7FFF)

    def is_ours(self, segment):
        return segment.sealed or segment.footer or segment.mark or segment.relation == SAME

    def walk(self, segment):
        """Print a segment's records. Gives the number reached and whether the log goes on."""
        at, rel = 0x5000, 0
        while True:
            if at >= segment.end or at > segment.region_end - 32:
                break
            try:
                kind, count, span, length = segment.word(at)
                below_mark = segment.mark and at < segment.mark["offset"]
                if kind == "empty":
                    if not segment.sealed and not below_mark:
                        return segment.base + rel, False
                    raise Damaged("nothing was written here")
                if kind == "roll":
                    break
                if at + span > segment.end:
                    raise Damaged("a frame beyond the end")
                if kind == "claimed":
                    if segment.sealed:
                        raise Damaged("an open claim in a sealed segment")
                    if segment.relation == OTHER and below_mark:
                        raise Damaged("an open claim below the mark")
                    if self.claim_ends(segment, at):
                        return segment.base + rel, False
                if kind == "data":
                    header = segment.header(at)
                    if header[0] != rel:
                        raise Damaged("a number out of order")
                    payload = segment.data[at + 32:at + 32 + length]
                    if crc(segment.seed ^ at // 32, payload) != header[2]:
                        if not segment.sealed and not below_mark and segment.relation != SAME:
                            return segment.base + rel, False
                        self.damage(segment.number, at, segment.base + rel,
                                    segment.base + rel + 1, "payload checksum")
                    else:
                        self.record(segment, header, at, length)
                at, rel = at + span, rel + count
            except Damaged as why:
                if not segment.sealed and not below_mark and segment.relation != SAME:
                    return segment.base + rel, False
                found = segment.search(at, rel)
                if found is None:
                    end_rel = segment.next_rel
                    if not segment.sealed:
                        after = self.open(segment.number + 1)
                        if not after or not after.activation or \
                                after.activation[0] < segment.base + rel:
                            self.damage(segment.number, at, segment.base + rel,
                                        segment.base + rel + 1, why)
                            return segment.base + rel, False
                        end_rel = after.activation[0] - segment.base
                    found = segment.end, end_rel
                self.damage(segment.number, at, segment.base + rel, segment.base + found[1], why)
                at, rel = found
        if segment.sealed and segment.next_rel > rel:
            self.damage(segment.number, at, segment.base + rel, segment.base + segment.next_rel,
                        "records are missing before the seal")
            rel = segment.next_rel
        return segment.base + rel, True

    def skip(self, number, seq, why):
        """Segment `number` cannot be used: the next one that can, and that is of the log."""
        for later in self.log.numbers():
            segment = self.open(later) if later > number else None
            if segment and segment.activation and segment.activation[0] >= seq:
                if not self.is_ours(segment):
                    return None
                if segment.activation[0] > seq or why != "the file is missing":
                    self.damage(number, 0, seq, segment.activation[0], why)
                return segment
        return None

    def enter(self, number, seq, before):
        """FORMAT, "From one segment to the next". The segment that goes on at `seq`, or None."""
        segment = self.open(number)
        if not segment:
            return self.skip(number, seq, "the file is missing" if segment is None else "damaged")
        must_be_active = before is None or (before.sealed and before.torn)
        if segment.activation is None and must_be_active:
            return None
        if not segment.activation:
            epoch, generation = (before.epoch, before.generation) if before else (0, 0)
            segment.activation = (seq, epoch, generation)
        base, epoch, predecessor = segment.activation
        fits = base == seq
        if before:
            fits = (fits and predecessor == before.generation
                    and epoch >= before.epoch + (1 if must_be_active else 0))
        if not fits and not self.is_ours(segment):
            return None
        if base < seq:
            return self.skip(number, seq, "numbers were used before")
        if base > seq:
            self.damage(number, 0x1000, seq, base, "numbers are missing before this segment")
        return segment

    def run(self):
        before, number, seq = None, self.log.floor_number, self.log.floor_seq
        goes_on = True
        while goes_on:
            segment = self.enter(number, seq, before)
            if segment is None:
                break
            after = self.open(segment.number + 1) if segment.footer is False else None
            segment.settle(segment.activation[0], segment.activation[1],
                           after.activation if after else None)
            seq, goes_on = self.walk(segment)
            before, number = segment, segment.number + 1
        return 65 if self.damages else 0 if self.records else 1


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # Lines end in LF and are UTF-8 whatever the locale says.
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    try:
        return Reader(sys.argv[1]).run()
    except (Refused, NotADirectoryError) as why:
        print("%s: %s" % (sys.argv[1], why), file=sys.stderr)
        return 66


if __name__ == "__main__":
    sys.exit(main())
