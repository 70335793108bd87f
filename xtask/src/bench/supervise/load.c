/* What is supervised: programs that say when they began. Small and static, since thousands of them live at once.
 *
 *   load sleep BEACON ALIVE ID                     sleeps
 *   load lines BEACON ALIVE ID GATE BYTES BLOCK    waits for GATE, writes BYTES in lines, sleeps
 *
 * BEACON is a file to which records are appended; ALIVE a FIFO that is held open for writing, so that its
 * reader sees when the last program is gone; GATE a FIFO that opens when somebody opens it for writing;
 * BLOCK how many lines go into one write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEGAN = 1, WRITES = 2, WROTE = 3 };
enum { LINE = 100, MOST_LINES = 1000, NUMBER_AT = 9, NUMBER_DIGITS = 12, LIFE_S = 1800 };

struct record {
    uint64_t nanoseconds;
    uint32_t pid, id, kind, zero;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void say(int beacon, uint32_t id, uint32_t kind, uint64_t at) {
    struct record record = {at, (uint32_t)getpid(), id, kind, 0};
    if (write(beacon, &record, sizeof record) != sizeof record) _exit(3);
}

static void digits(char *at, int count, uint64_t number) {
    while (count--) {
        at[count] = "0123456789abcdef"[number & 15];
        number >>= 4;
    }
}

/* Lines of "ID NUMBER xxx…"; whoever reads them can tell each from every other. */
static int lines(int beacon, uint32_t id, char **words) {
    static char block[LINE * MOST_LINES];
    uint64_t count = strtoull(words[1], 0, 10) / LINE, written = 0;
    uint64_t per_write = strtoull(words[2], 0, 10);
    if (per_write < 1 || per_write > MOST_LINES) return 2;
    memset(block, 'x', sizeof block);
    for (uint64_t line = 0; line < per_write; line++) {
        char *at = block + line * LINE;
        digits(at, 8, id);
        at[8] = at[NUMBER_AT + NUMBER_DIGITS] = ' ';
        at[LINE - 1] = '\n';
    }
    int gate = open(words[0], O_RDONLY | O_CLOEXEC);
    if (gate < 0) return 4;
    close(gate);
    say(beacon, id, WRITES, now());
    while (written < count) {
        uint64_t next = count - written < per_write ? count - written : per_write;
        for (uint64_t line = 0; line < next; line++)
            digits(block + line * LINE + NUMBER_AT, NUMBER_DIGITS, written + line);
        for (size_t done = 0; done < next * LINE;) {
            ssize_t length = write(1, block + done, next * LINE - done);
            if (length < 0 && errno != EINTR) return 5;
            if (length > 0) done += (size_t)length;
        }
        written += next;
    }
    say(beacon, id, WROTE, now());
    return 0;
}

int main(int count, char **words) {
    uint64_t began = now();
    if (count < 5) return 2;
    int beacon = open(words[2], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (beacon < 0) return 3;
    uint32_t id = (uint32_t)strtoul(words[4], 0, 10);
    say(beacon, id, BEGAN, began);
    /* Stays open until we end. Without a reader nobody wants to know. */
    (void)open(words[3], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    alarm(LIFE_S);
    if (count == 8 && !strcmp(words[1], "lines")) {
        int status = lines(beacon, id, words + 5);
        if (status) return status;
    }
    close(beacon);
    for (;;) pause();
}
