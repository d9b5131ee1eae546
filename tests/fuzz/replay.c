/*
 * Runs a fuzz target over stored inputs, for compilers that have no libFuzzer: every file named on
 * the command line, and every file in a directory named there. An input that once broke something
 * is so tried in every test run.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned long inputs;

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "replay: %s: %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void replay_file(const char *path, size_t len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(len); /* exactly as long as the input, so that reading past it is seen */

    if (!file || (!data && len > 0))
        fail("open", path);
    if (fread(data, 1, len, file) != len)
        fail("read", path);
    fclose(file);
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    inputs++;
}

static void replay(const char *path)
{
    struct stat st;
    struct dirent *entry;
    DIR *dir;

    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            return; /* a target without a corpus yet */
        fail("stat", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    dir = opendir(path);
    if (!dir)
        fail("open", path);
    while ((entry = readdir(dir))) {
        char *inside;

        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&inside, "%s/%s", path, entry->d_name) < 0)
            fail("name", path);
        replay(inside);
        free(inside);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];

    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%lu inputs\n", inputs);
    return 0;
}
