/*
 * Names and texts of statuses.
 */
#include <seglog/seglog.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const int own[] = {
    SEGLOG_ECORRUPT,  SEGLOG_ENOTLOG,  SEGLOG_EVERSION,   SEGLOG_EENDIAN,
    SEGLOG_EMISMATCH, SEGLOG_ETRIMMED, SEGLOG_EREWOUND,   SEGLOG_EPOISONED,
    SEGLOG_EEVICTED,  SEGLOG_EFORKED,  SEGLOG_EFS,        SEGLOG_EVOLATILE,
    SEGLOG_EREADONLY, SEGLOG_EMISSING, SEGLOG_ETRUNCATED, SEGLOG_ELAPPED,
};
#define OWN_COUNT (sizeof(own) / sizeof(own[0]))

Test(status, each_of_ours_has_a_name_and_a_text_of_its_own)
{
    for (size_t i = 0; i < OWN_COUNT; i++) {
        cr_assert_str_neq(seglog_strerror(own[i]), "unknown status", "%d", own[i]);
        cr_assert(strncmp(seglog_status_name(own[i]), "SEGLOG_E", 8) == 0, "%d", own[i]);
        for (size_t k = 0; k < i; k++) {
            cr_assert_str_neq(seglog_strerror(own[i]), seglog_strerror(own[k]));
            cr_assert_str_neq(seglog_status_name(own[i]), seglog_status_name(own[k]));
        }
    }
}

Test(status, names_are_those_of_the_header)
{
    cr_assert_str_eq(seglog_status_name(SEGLOG_ECORRUPT), "SEGLOG_ECORRUPT");
    cr_assert_str_eq(seglog_status_name(SEGLOG_EFORKED), "SEGLOG_EFORKED");
    cr_assert_str_eq(seglog_status_name(SEGLOG_EMISSING), "SEGLOG_EMISSING");
}

Test(status, errno_has_its_name_and_its_text)
{
    cr_assert_str_eq(seglog_status_name(-ENOSPC), "ENOSPC");
    cr_assert_str_eq(seglog_status_name(-EDQUOT), "EDQUOT");
    cr_assert_str_eq(seglog_strerror(-ENOSPC), "No space left on device");
    cr_assert_str_eq(seglog_strerror(-ETIMEDOUT), "Connection timed out");
}

Test(status, no_text_ends_with_a_full_stop)
{
    for (int status = -6000; status <= 0; status++) {
        const char *text = seglog_strerror(status);
        cr_assert(text[0] != 0 && text[strlen(text) - 1] != '.', "%d: %s", status, text);
    }
}

Test(status, good_is_success)
{
    cr_assert_str_eq(seglog_strerror(0), "success");
    cr_assert_str_eq(seglog_strerror(17), "success");
    cr_assert_str_eq(seglog_strerror(INT_MAX), "success");
    cr_assert_str_eq(seglog_status_name(0), "0");
    cr_assert_str_eq(seglog_status_name(17), "0");
}

Test(status, the_rest_is_unknown)
{
    const int unknown[] = {
        -4095, -4096, -5000, SEGLOG_ELAPPED - 1, -6000, INT_MIN,
    };

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        cr_assert_str_eq(seglog_strerror(unknown[i]), "unknown status", "%d", unknown[i]);
        cr_assert_str_eq(seglog_status_name(unknown[i]), "?", "%d", unknown[i]);
    }
}

Test(version, the_string_is_made_of_the_numbers)
{
    char text[32];

    snprintf(text, sizeof(text), "%d.%d.%d", SEGLOG_VERSION_MAJOR, SEGLOG_VERSION_MINOR,
             SEGLOG_VERSION_PATCH);
    cr_assert_str_eq(text, SEGLOG_VERSION);
    cr_assert_str_eq(seglog_version(), SEGLOG_VERSION);
}
