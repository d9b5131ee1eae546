/*
 * Run a command where io_uring is forbidden:  without_uring COMMAND [ARG...]
 *
 * Without a command it looks whether forbidding works: a filter that forbids nothing would let all
 * tests under it pass for nothing.
 */
#include "io/io.h"

#include "io/forbid.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct io_facts facts;
    const int rc = forbid_io_uring();

    if (rc < 0) {
        fprintf(stderr, "without_uring: no filter can be set: %s\n", strerror(-rc));
        return 126;
    }
    if (argc < 2) {
        io_probe(&facts);
        printf("io_uring: %s\n", facts.status == 0 ? "not forbidden" : facts.reason);
        return facts.status < 0 ? 0 : 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
