/* The least that a supervisor has to do, and nothing else: what others take is held against it.
 *
 *   floor LIST                      two pipes for each program, which are read and thrown away
 *   floor LIST DIRECTORY MAXBYTES   one pipe for both streams, spliced into DIRECTORY/pN.log, which is
 *                                   renamed to .1, .2 … whenever it has MAXBYTES
 *
 * LIST has a command in each line, its words divided by single blanks. Every start adds a line to LIST.log.
 * A program that ends is started again at once. SIGTERM goes to all of them; when all are gone, it ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORDS = 15, KEPT = 20, CHUNK = 1 << 20, LARGEST_PID = 1 << 22, SIGNALS = UINT32_MAX };

struct program {
    char **words;
    pid_t pid;
    int pipes[2]; /* their reading ends */
    int log;
    off_t size;
};

static struct program *programs;
static int count, alive, stopping, polled, journal, nothing;
static int *of_pid; /* program number + 1; only pages that are used exist */
static const char *directory;
static off_t most;
static sigset_t before;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void name(char *into, int number, int generation) {
    if (generation) snprintf(into, PATH_MAX, "%s/p%d.log.%d", directory, number, generation);
    else snprintf(into, PATH_MAX, "%s/p%d.log", directory, number);
}

static void open_log(int number) {
    char path[PATH_MAX];
    name(path, number, 0);
    programs[number].size = 0;
    programs[number].log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (programs[number].log < 0) die(path);
}

static void rotate(int number) {
    char from[PATH_MAX], to[PATH_MAX];
    close(programs[number].log);
    for (int generation = KEPT; generation > 0; generation--) {
        name(from, number, generation - 1);
        name(to, number, generation);
        rename(from, to);
    }
    open_log(number);
}

/* Whether the pipe is at its end. */
static int moved(int number, int pipe) {
    struct program *program = &programs[number];
    if (!directory) {
        static char thrown_away[65536];
        ssize_t length = read(pipe, thrown_away, sizeof thrown_away);
        return length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
    }
    size_t room = most - program->size < CHUNK ? (size_t)(most - program->size) : CHUNK;
    ssize_t length = splice(pipe, 0, program->log, 0, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (length > 0 && (program->size += length) >= most) rotate(number);
    return length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
}

static void close_pipe(struct program *program, int which) {
    if (program->pipes[which] < 0) return;
    close(program->pipes[which]);
    program->pipes[which] = -1;
}

static void start(int number) {
    struct program *program = &programs[number];
    int streams = directory ? 1 : 2, ends[2][2];
    for (int stream = 0; stream < streams; stream++) {
        if (pipe2(ends[stream], O_CLOEXEC)) die("pipe");
        fcntl(ends[stream][0], F_SETFL, O_NONBLOCK);
        if (directory) fcntl(ends[stream][0], F_SETPIPE_SZ, CHUNK);
        program->pipes[stream] = ends[stream][0];
        struct epoll_event event = {.events = EPOLLIN,
                                    .data.u64 = (uint64_t)stream << 32 | (uint32_t)number};
        if (epoll_ctl(polled, EPOLL_CTL_ADD, ends[stream][0], &event)) die("epoll_ctl");
    }
    pid_t pid = vfork();
    if (pid == 0) {
        setpgid(0, 0);
        dup2(nothing, 0);
        dup2(ends[0][1], 1);
        dup2(ends[streams - 1][1], 2);
        sigprocmask(SIG_SETMASK, &before, 0);
        execv(program->words[0], program->words);
        _exit(127);
    }
    if (pid < 0) die("vfork");
    for (int stream = 0; stream < streams; stream++) close(ends[stream][1]);
    program->pid = pid;
    of_pid[pid] = number + 1;
    alive++;
    char line[64];
    int length = snprintf(line, sizeof line, "spawned: 'p%d' with pid %d\n", number, pid);
    if (write(journal, line, (size_t)length) != length) die("journal");
}

static void reap(void) {
    pid_t pid;
    while ((pid = waitpid(-1, 0, WNOHANG)) > 0) {
        int number = of_pid[pid] - 1;
        if (number < 0) continue;
        of_pid[pid] = 0;
        alive--;
        for (int which = 0; which < 2; which++) {
            while (directory && programs[number].pipes[which] >= 0) {
                off_t so_far = programs[number].size;
                if (moved(number, programs[number].pipes[which]) || programs[number].size == so_far) break;
            }
            close_pipe(&programs[number], which);
        }
        if (!stopping) start(number);
    }
}

static void signals(int signalled) {
    struct signalfd_siginfo told;
    while (read(signalled, &told, sizeof told) == sizeof told) {
        if (told.ssi_signo == SIGCHLD) continue;
        stopping = 1;
        for (int number = 0; number < count; number++)
            if (of_pid[programs[number].pid] == number + 1) kill(programs[number].pid, SIGTERM);
    }
    reap();
}

static void read_list(const char *path) {
    FILE *list = fopen(path, "r");
    char *line = 0;
    size_t size = 0;
    if (!list) die(path);
    while (getline(&line, &size, list) > 0) {
        programs = realloc(programs, sizeof *programs * (size_t)(count + 1));
        char **words = calloc(MOST_WORDS + 1, sizeof *words);
        int used = 0;
        for (char *word = strtok(line, " \n"); word && used < MOST_WORDS; word = strtok(0, " \n"))
            words[used++] = strdup(word);
        if (used) programs[count++] = (struct program){words, 0, {-1, -1}, -1, 0};
    }
    free(line);
    fclose(list);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) return 2;
    if (argc == 4) directory = argv[2], most = atoll(argv[3]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    read_list(argv[1]);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.log", argv[1]);
    journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    of_pid = calloc(LARGEST_PID + 1, sizeof *of_pid);
    polled = epoll_create1(EPOLL_CLOEXEC);
    if (journal < 0 || nothing < 0 || !of_pid || polled < 0) die("beginning");
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    int signalled = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = SIGNALS};
    if (signalled < 0 || epoll_ctl(polled, EPOLL_CTL_ADD, signalled, &event)) die("signalfd");
    for (int number = 0; number < count; number++) {
        if (directory) open_log(number);
        start(number);
    }
    while (!stopping || alive) {
        struct epoll_event ready[64];
        int found = epoll_wait(polled, ready, 64, -1);
        for (int at = 0; at < found; at++) {
            if (ready[at].data.u64 == SIGNALS) {
                signals(signalled);
                break; /* what else was ready may be closed by now */
            }
            int number = (int)(ready[at].data.u64 & UINT32_MAX), which = (int)(ready[at].data.u64 >> 32);
            int pipe = programs[number].pipes[which];
            if (pipe >= 0 && moved(number, pipe)) close_pipe(&programs[number], which);
        }
    }
    return 0;
}
