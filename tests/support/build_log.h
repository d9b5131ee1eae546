/*
 * Logs built by hand, frame by frame: for states that appending does not produce on demand, such as
 * claims of the dead, cuts, damage, holes, and files of another boot.
 *
 * Every function fails the test when it cannot do its work.
 */
#ifndef TEST_SUPPORT_BUILD_LOG_H
#define TEST_SUPPORT_BUILD_LOG_H

#include "log/view.h"
#include "segment/build.h"

struct build_log {
    char *dir;
    int dirfd;
    struct settings_facts settings;
    struct boot_facts boot; /* what new segments are marked with; change it for another boot */
};

struct build_segment {
    struct build_log *log;
    struct segment *seg; /* mapped for writing */
    struct activation_facts act;
    uint64_t at;
    uint64_t seq_rel;
    struct footer_facts footer; /* once sealed */
};

/* A log in a directory of its own: settings and nothing else, segments of the smallest size. */
void build_log_make(struct build_log *log);
void build_log_remove(struct build_log *log);
/* New segments are from another boot. */
void build_log_reboot(struct build_log *log);
/* `live` and `owners` as a first opener leaves them. */
void build_log_live(struct build_log *log);
/* Let a slot of `live` be at this generation. */
void build_log_slot(struct build_log *log, uint32_t slot, uint32_t gen);
void build_log_floor(struct build_log *log, uint64_t number, uint64_t first_seq);
void build_log_unlink(struct build_log *log, uint64_t number);

/* Segment `number`, prepared and not active. */
void build_spare(struct build_log *log, uint64_t number, struct build_segment *out);
/* The next one: behind prev (rolled or cut), or the first of the log for NULL. */
void build_begin(struct build_log *log, struct build_segment *prev, struct build_segment *out);
void build_activate(struct build_segment *seg, uint64_t base_seq, uint64_t epoch,
                    uint64_t pred_generation);
void build_close(struct build_segment *seg);

/* One record; the offset of its frame. */
uint64_t build_record(struct build_segment *seg, const char *text, uint64_t time_ns, uint32_t tag);
/* n records "<number>" with that number as time and number % 10 as tag. */
void build_records(struct build_segment *seg, unsigned n);
uint64_t build_claim(struct build_segment *seg, uint32_t slot, uint32_t gen, uint32_t count,
                     uint64_t span);
uint64_t build_abort(struct build_segment *seg, uint32_t count, uint64_t span);
uint64_t build_pad(struct build_segment *seg, uint64_t span);
void build_roll(struct build_segment *seg);
bool build_has_room(const struct build_segment *seg, uint64_t len);

/* Seal what was rolled. prev: the segment before, NULL for the first. */
void build_seal(struct build_segment *seg, const struct build_segment *prev);
/* Seal here, as a recovery does that cuts the log. */
void build_cut(struct build_segment *seg, const struct build_segment *prev);
/* Seal around damage, up to here. */
void build_seal_damaged(struct build_segment *seg, const struct build_segment *prev);
/* All up to here was synced once. */
void build_mark(struct build_segment *seg);
/* Turn the bits of one byte. */
void build_damage(struct build_segment *seg, uint64_t offset);

#endif
