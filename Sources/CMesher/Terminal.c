// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "Terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool has_keys;
static char farewell[128];
static size_t farewell_size;
static int is_taken;

static void write_all(const char *text, size_t size) {
    while (size > 0) {
        ssize_t count = write(STDOUT_FILENO, text, size);
        if (count <= 0) return;
        text += count;
        size -= (size_t)count;
    }
}

void cmesher_terminal_end(void) {
    if (!__atomic_exchange_n(&is_taken, 0, __ATOMIC_ACQ_REL)) return;
    write_all(farewell, farewell_size);
    if (has_keys) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

// The process ends by the same signal, as it would have without this.
static void fault(int number) {
    cmesher_terminal_end();
    raise(number);
}

static void watch_ends(void) {
    static const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
    struct sigaction action = {.sa_handler = fault, .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigaction(faults[i], &action, NULL);
    atexit(cmesher_terminal_end);
}

static int told[2] = {-1, -1};

static void tell(int number) {
    int before_it = errno;
    unsigned char byte = (unsigned char)number;
    // When the pipe is full, there is enough to read already.
    ssize_t count = write(told[1], &byte, 1);
    (void)count;
    errno = before_it;
}

int cmesher_terminal_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    if (told[0] < 0 && pipe2(told, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
    return told[0];
}

bool cmesher_terminal_begin(const char *entering, const char *leaving) {
    static bool is_watching;
    has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    farewell_size = strnlen(leaving, sizeof farewell - 1);
    memcpy(farewell, leaving, farewell_size);
    __atomic_store_n(&is_taken, 1, __ATOMIC_RELEASE);
    if (!is_watching) watch_ends();
    is_watching = true;
    if (has_keys) {
        struct termios keys = before;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keys.c_cc[VMIN] = 1;
        keys.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    write_all(entering, strlen(entering));
    return has_keys;
}
