// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csimulation.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

// Of the thread, so that real event loops beside a simulated one keep their own.
static _Thread_local int64_t simulated;

void simulation_set_time(int64_t nanoseconds) { simulated = nanoseconds; }

static const int64_t second = 1000000000;
// Some moment of the year 2026, for clocks that know the date.
static const int64_t epoch = 1767225600;

// The program's own function stands before the C library's: whoever asks for the time, asks here.
int clock_gettime(clockid_t clock, struct timespec *time) {
    if (simulated == 0) return (int)syscall(SYS_clock_gettime, clock, time);
    time->tv_sec = simulated / second + (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? epoch : 0);
    time->tv_nsec = simulated % second;
    return 0;
}

int64_t simulation_real_time(void) {
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

void simulation_make_deterministic(char *const *arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("SWIFT_DETERMINISTIC_HASHING") != NULL) return;
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1);
    execv("/proc/self/exe", arguments);
}

enum { most_decisions = 1 << 20, most_notes = 2000, note_size = 200 };

static struct {
    uint64_t seed;
    uint64_t schedules;
    uint32_t count;
    uint32_t notes;
    char rule[64];
    char text[600];
    char note[most_notes][note_size];
    uint32_t decisions[most_decisions];
} *shared;

bool simulation_share(void) {
    void *memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    shared = memory;
    return true;
}

static void copy(char *to, const char *from, size_t size) {
    strncpy(to, from, size - 1);
    to[size - 1] = 0;
}

void simulation_begin(uint64_t seed) {
    shared->seed = seed;
    shared->count = 0;
    shared->notes = 0;
}

void simulation_end(void) { shared->schedules += 1; }

void simulation_record(uint32_t decision) {
    if (shared->count < most_decisions) shared->decisions[shared->count++] = decision;
}

void simulation_note(const char *text) { copy(shared->note[shared->notes++ % most_notes], text, note_size); }

void simulation_fail(const char *rule, const char *text) {
    copy(shared->rule, rule, sizeof(shared->rule));
    copy(shared->text, text, sizeof(shared->text));
}

void simulation_forget(void) {
    simulation_begin(0);
    shared->schedules = 0;
    shared->rule[0] = 0;
    shared->text[0] = 0;
}

uint64_t simulation_seed(void) { return shared->seed; }
uint64_t simulation_schedules(void) { return shared->schedules; }
uint32_t simulation_decision_count(void) { return shared->count; }
uint32_t simulation_decision(uint32_t index) { return shared->decisions[index]; }
uint32_t simulation_note_count(void) { return shared->notes < most_notes ? shared->notes : most_notes; }
const char *simulation_note_at(uint32_t index) {
    return shared->note[(shared->notes < most_notes ? index : shared->notes + index) % most_notes];
}
const char *simulation_rule(void) { return shared->rule; }
const char *simulation_text(void) { return shared->text; }

int simulation_fork(void (*body)(void *), void *argument, bool is_quiet, unsigned most_seconds) {
    pid_t child = fork();
    if (child < 0) return 127;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        // A schedule that never ends is a failure too.
        alarm(most_seconds);
        if (is_quiet) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, 1);
            dup2(null, 2);
            // Swift's handler takes seconds to say what nobody reads.
            signal(SIGILL, SIG_DFL);
            signal(SIGTRAP, SIG_DFL);
            signal(SIGSEGV, SIG_DFL);
            signal(SIGABRT, SIG_DFL);
        }
        body(argument);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

bool simulation_resets(struct linger value) { return value.l_onoff != 0 && value.l_linger == 0; }

struct linger simulation_reset_linger(void) { return (struct linger){.l_onoff = 1, .l_linger = 0}; }

int simulation_peer_connect(uint16_t port) {
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    int size = 64 * 1024;
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(peer, (struct sockaddr *)&address, sizeof(address)) == 0) return peer;
    close(peer);
    return -1;
}

void simulation_peer_send(int peer, int count) {
    char *bytes = calloc(1, (size_t)count);
    ssize_t ignored = send(peer, bytes, (size_t)count, MSG_NOSIGNAL);
    (void)ignored;
    free(bytes);
}

void simulation_peer_shut_down(int peer) { shutdown(peer, SHUT_WR); }

void simulation_peer_reset(int peer) {
    struct linger value = simulation_reset_linger();
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &value, sizeof(value));
    close(peer);
}

void simulation_peer_close(int peer) { close(peer); }

int simulation_peer_read(int peer) {
    struct pollfd waiting = {.fd = peer, .events = POLLIN};
    if (poll(&waiting, 1, 100) <= 0) return -2;
    char bytes[1 << 16];
    ssize_t count = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    return count < 0 ? -1 : (int)count;
}
