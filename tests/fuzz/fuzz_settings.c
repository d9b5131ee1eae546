/*
 * settings_decode(): what it accepts is in range, and encodes to what was decoded.
 */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct settings_page page, again;
    struct settings_facts facts;
    const char *why = NULL;
    int rc;

    take(&in, &page, sizeof(page));
    if (mode & MODE_REPAIR) {
        memcpy(page.head.magic, MAGIC_SETTINGS, 8);
        le32_put(&page.crc, crc_of(&page, offsetof(struct settings_page, crc)));
    }
    rc = settings_decode(&page, &facts, &why);
    if (rc < 0) {
        must(why != NULL);
        must(rc == SEGLOG_ENOTLOG || rc == SEGLOG_EENDIAN || rc == SEGLOG_ECORRUPT ||
             rc == SEGLOG_EVERSION);
        return 0;
    }
    must(segment_size_is_legal(facts.segment_size));
    must(facts.mode <= 0777);
    settings_encode(&again, &facts);
    must(settings_decode(&again, &facts, &why) == 0);
    /* All that this release knows of is in the facts; padding is for later releases. */
    le32_put(&page.zero0, 0);
    must(memcmp(&page.segment_size, &again.segment_size,
                offsetof(struct settings_page, zero) -
                    offsetof(struct settings_page, segment_size)) == 0);
    return 0;
}
