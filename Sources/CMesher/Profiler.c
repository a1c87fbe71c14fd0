// SPDX-License-Identifier: Apache-2.0
// A sampling profiler of CPU time.
//
// Each thread has a timer on its own CPU clock, whose signal goes to that thread. setitimer(ITIMER_PROF) would be less
// code, but has one timer for the process: the kernel looks at it once a tick, so that many busy threads share the few
// signals of one; and the thread that gets a signal need not be the one that used the time. A thread that waits uses no
// CPU time, so its timer never goes off, and its system calls are not interrupted.
//
// The handler calls nothing but system calls, and reads no memory of which it is not sure: see `StackWalk.c`.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Profiler.h"

#include <errno.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include "StackWalk.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

typedef struct {
    uint64_t *words;
    size_t capacity;
    _Atomic size_t used;  // goes beyond `capacity` when samples are dropped
} sample_buffer;

/// One thread that is watched.
typedef struct {
    pid_t thread;
    int timer;  // the kernel's number; -1 when it could not be made
    bool seen;
} watch;

// What the handler uses. `buffer` is NULL when no profile is being taken.
static _Atomic(sample_buffer *) buffer;
static _Atomic int handlers;  // that run now
static _Atomic uint64_t dropped;

// What only the one who takes the profile uses; `taken` says that there is one.
static atomic_flag taken = ATOMIC_FLAG_INIT;
static sample_buffer storage;
static struct itimerspec interval;
static watch *watches;
static size_t watch_count, watch_capacity;
static uint64_t unwatched;

static void record(sample_buffer *to, const siginfo_t *info, const ucontext_t *context) {
    uint64_t addresses[CMESHER_PROFILE_DEPTH];
    size_t depth = cmesher_walk(context, addresses, CMESHER_PROFILE_DEPTH);
    size_t at = atomic_fetch_add_explicit(&to->used, depth + 1, memory_order_relaxed);
    // The last word stays zero, as the end.
    if (at >= to->capacity || to->capacity - at <= depth + 1) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
        return;
    }
    // Periods that went by before the signal could be delivered count as well.
    uint64_t periods = 1;
    if (info->si_overrun > 0) periods += (uint64_t)info->si_overrun;
    memcpy(to->words + at + 1, addresses, depth * sizeof *addresses);
    to->words[at] = periods << 32 | depth;
}

static void handle(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int error = errno;
    // Counted before `buffer` is read: whoever has set it to NULL and then sees no handler may unmap it.
    atomic_fetch_add(&handlers, 1);
    sample_buffer *to = atomic_load(&buffer);
    if (to != NULL && info->si_code == SI_TIMER) record(to, info, context);  // somebody's kill(2) is no sample
    atomic_fetch_sub(&handlers, 1);
    errno = error;
}

/// What SIGPROF is left at: a late signal must not end the process, as the default would.
static void ignore_signal(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPROF, &action, NULL);
}

static int install_handler(void) {
    struct sigaction now, action;
    if (sigaction(SIGPROF, NULL, &now) != 0) return errno;
    if ((now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)) return EBUSY;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&action.sa_mask);  // a sample is taken in microseconds; nothing need run in between
    return sigaction(SIGPROF, &action, NULL) == 0 ? 0 : errno;
}

int cmesher_profile_start(unsigned hertz, size_t words) {
    if (hertz < 1 || hertz > 1000 || words > SIZE_MAX / 8 || words <= CMESHER_PROFILE_DEPTH) return EINVAL;
    if (atomic_flag_test_and_set(&taken)) return EBUSY;
    // Pages that no sample reaches cost nothing.
    void *memory =
        mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        int error = errno;
        atomic_flag_clear(&taken);
        return error;
    }
    storage.words = memory;
    storage.capacity = words;
    atomic_store(&storage.used, 0);
    atomic_store(&dropped, 0);
    unwatched = 0;
    cmesher_walk_prepare();
    interval.it_interval.tv_sec = hertz == 1 ? 1 : 0;
    interval.it_interval.tv_nsec = hertz == 1 ? 0 : 1000000000L / hertz;
    int error = install_handler();
    if (error != 0) {
        cmesher_profile_release();
        return error;
    }
    atomic_store(&buffer, &storage);
    return 0;
}

/// A running timer on the CPU clock of a thread, or -1 and `errno`.
static int make_timer(pid_t thread) {
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event.sigev_notify_thread_id = thread;
    // The number that Linux gives to the CPU clock of any thread of the process: CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED.
    clockid_t clock = (clockid_t)(~(unsigned)thread << 3 | 6U);
    int timer;
    // The system call: the C library's function wants another library before glibc 2.34.
    if (syscall(SYS_timer_create, clock, &event, &timer) != 0) return -1;
    // The first period is cut at random, or threads that work in step would always be met at the same place.
    struct itimerspec setting = interval;
    uint64_t period = (uint64_t)interval.it_interval.tv_sec * 1000000000U + (uint64_t)interval.it_interval.tv_nsec;
    uint64_t first = 1 + (uint64_t)random() % period;
    setting.it_value.tv_sec = (time_t)(first / 1000000000U);
    setting.it_value.tv_nsec = (long)(first % 1000000000U);
    if (syscall(SYS_timer_settime, timer, 0, &setting, NULL) != 0) {
        int error = errno;
        syscall(SYS_timer_delete, timer);
        errno = error;
        return -1;
    }
    return timer;
}

static watch *find_watch(pid_t thread) {
    for (size_t i = 0; i < watch_count; i++)
        if (watches[i].thread == thread) return &watches[i];
    if (watch_count == watch_capacity) {
        size_t capacity = watch_capacity == 0 ? 64 : watch_capacity * 2;
        watch *larger = realloc(watches, capacity * sizeof *larger);
        if (larger == NULL) return NULL;
        watches = larger;
        watch_capacity = capacity;
    }
    watches[watch_count] = (watch){.thread = thread, .timer = -1, .seen = false};
    return &watches[watch_count++];
}

int cmesher_profile_watch(void) {
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL) return errno;
    for (size_t i = 0; i < watch_count; i++) watches[i].seen = false;
    int failure = 0;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        long thread = strtol(entry->d_name, NULL, 10);
        if (thread <= 0) continue;
        watch *found = find_watch((pid_t)thread);
        if (found == NULL) {
            unwatched++;
            failure = ENOMEM;
            continue;
        }
        found->seen = true;
        if (found->timer >= 0) continue;
        found->timer = make_timer(found->thread);
        // ESRCH and EINVAL: it has ended since.
        if (found->timer < 0 && errno != ESRCH && errno != EINVAL) {
            unwatched++;
            failure = errno;
        }
    }
    closedir(folder);
    size_t kept = 0;
    bool any = false;
    for (size_t i = 0; i < watch_count; i++) {
        if (!watches[i].seen) {
            // Its number may be given to another thread, which then gets a timer of its own.
            if (watches[i].timer >= 0) syscall(SYS_timer_delete, watches[i].timer);
            continue;
        }
        any = any || watches[i].timer >= 0;
        watches[kept++] = watches[i];
    }
    watch_count = kept;
    return any ? 0 : failure;
}

void cmesher_profile_stop(void) {
    for (size_t i = 0; i < watch_count; i++)
        if (watches[i].timer >= 0) syscall(SYS_timer_delete, watches[i].timer);
    free(watches);
    watches = NULL;
    watch_count = watch_capacity = 0;
    ignore_signal();  // which also discards signals that wait for a thread
    atomic_store(&buffer, NULL);
    while (atomic_load(&handlers) != 0) sched_yield();
}

const uint64_t *cmesher_profile_samples(size_t *words) {
    *words = storage.capacity;
    return storage.words;
}

cmesher_profile_gaps cmesher_profile_missing(void) {
    return (cmesher_profile_gaps){
        .dropped = atomic_load(&dropped), .unwatched = unwatched, .has_callers = cmesher_walk_is_allowed()};
}

void cmesher_profile_release(void) {
    munmap(storage.words, storage.capacity * 8);
    storage.words = NULL;
    storage.capacity = 0;
    atomic_flag_clear(&taken);
}

#else

int cmesher_profile_start(unsigned hertz, size_t words) {
    (void)hertz;
    (void)words;
    return ENOTSUP;
}
int cmesher_profile_watch(void) { return ENOTSUP; }
void cmesher_profile_stop(void) {}
const uint64_t *cmesher_profile_samples(size_t *words) {
    *words = 0;
    return NULL;
}
cmesher_profile_gaps cmesher_profile_missing(void) { return (cmesher_profile_gaps){0, 0, false}; }
void cmesher_profile_release(void) {}

#endif
