/*
 * The image that the other tests here spoil: unspoiled, everything in it is found, whatever boot it
 * says it is of. Without that they would prove nothing.
 */
#include <criterion/criterion.h>

#include "image.h"
#include "support/tmpdir.h"

Test(image, unspoiled_gives_every_record)
{
    struct image *truth = image_make();

    for (int boot = IMAGE_COPIED; boot < IMAGE_BOOTS; boot++) {
        for (uint32_t copy = 0; copy <= DRIVE_COPY; copy += DRIVE_COPY) {
            struct image *image = image_copy(truth);
            char *dir = tmpdir_make();
            struct seen seen;

            image_settle(image, dir, (enum image_boot)boot);
            seen = drive(dir, truth, copy | DRIVE_ATTACH);
            cr_assert(seen.reader == 0 && seen.info == 0 && seen.verify == 0 && seen.opened == 0);
            cr_assert_eq(seen.forward, truth->records, "boot %d: %llu of %llu", boot,
                         (unsigned long long)seen.forward, (unsigned long long)truth->records);
            cr_assert_eq(seen.backward, truth->records);
            cr_assert_eq(seen.reports, 0);
            cr_assert_eq(seen.after, truth->records + 3);
            image_free(image);
            tmpdir_remove(dir);
        }
    }
    image_free(truth);
}

Test(image, trimmed_gives_every_record_left)
{
    struct image *truth = image_make();
    struct image *image = image_copy(truth);
    char *dir = tmpdir_make();
    struct seen seen;

    image_trim(image);
    image_settle(image, dir, IMAGE_COPIED);
    seen = drive(dir, truth, DRIVE_ATTACH);
    cr_assert(seen.reader == 0 && seen.info == 0 && seen.verify == 0 && seen.opened == 0);
    cr_assert(seen.forward < truth->records && seen.forward == seen.backward);
    cr_assert_eq(seen.reports, 0);
    cr_assert_eq(seen.after, seen.forward + 3);
    image_free(image);
    image_free(truth);
    tmpdir_remove(dir);
}
